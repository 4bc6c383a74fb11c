//! Parses a viewer's SDP offer: what it asks for, and whether it can be answered. Pure.

use super::accepted::AcceptedOffer;
use super::bundle::Bundle;
use super::description::{Description, MediaSection};
use super::formats::{H264Format, PacketizationMode};
use super::offer_error::OfferError;
use super::transport::SectionTransport;
use super::{formats, h264};
use crate::media::h264::Profile;

/// A parsed offer with at least one section that video could be sent on.
#[derive(Debug)]
pub struct Offer {
    description: Description,
    /// The video sections that we can send on.
    candidates: Vec<VideoSection>,
}

/// A video section that we can send on.
#[derive(Debug)]
struct VideoSection {
    formats: Vec<H264Format>,
    /// The sections that share its transport.
    bundle: Bundle,
    transport: SectionTransport,
}

impl Offer {
    /// The offer as it is answered with a stream of profile `stream`: on the first video section with an H.264 format
    /// for it in which NAL units may be cut, or else on the first one with any.
    ///
    /// # Errors
    ///
    /// If the stream could not be decoded in any of them.
    pub fn accept(&self, stream: Profile) -> Result<AcceptedOffer, OfferError> {
        let choose = |formats: &[H264Format]| {
            h264::choose(stream, &formats.iter().map(|format| format.profile).collect::<Vec<_>>())
        };
        for mode in [PacketizationMode::NonInterleaved, PacketizationMode::SingleNalUnit] {
            for VideoSection { formats, bundle, transport } in &self.candidates {
                let formats: Vec<H264Format> = formats.iter().copied().filter(|format| format.mode == mode).collect();
                let Ok(profile) = choose(&formats) else { continue };
                if let Some(format) = formats.iter().find(|format| format.profile == profile) {
                    return Ok(AcceptedOffer::new(&self.description, *format, bundle, transport));
                }
            }
        }
        let mut all: Vec<H264Format> = Vec::new();
        for format in self.candidates.iter().flat_map(|section| &section.formats) {
            if all.iter().all(|known| known.profile != format.profile) {
                all.push(*format);
            }
        }
        let refusal = choose(&all).err().unwrap_or_default();
        Err(OfferError::NotAcceptable(refusal.into()))
    }
}

/// Parses an offer.
///
/// # Errors
///
/// If it is not SDP, does not want video, or has no H.264.
pub fn parse(sdp: &str) -> Result<Offer, OfferError> {
    if !sdp.trim_start().starts_with("v=0") {
        return Err(OfferError::Malformed("it does not begin with v=0".into()));
    }
    let description = Description::parse(sdp)?;
    let mut candidates = Vec::new();
    let mut refusal = None;
    let sections = description.media.iter().enumerate().filter(|(_, section)| section.medium == "video");
    for (index, section) in sections {
        match VideoSection::parse(&description, index, section) {
            Ok(section) => candidates.push(section),
            // That of the first section: another one may be for the viewer's own picture.
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if candidates.is_empty() {
        return Err(
            refusal.unwrap_or_else(|| unacceptable("the offer has no video section; add a recvonly video transceiver"))
        );
    }
    Ok(Offer { description, candidates })
}

impl VideoSection {
    /// Parses a section, if we can send on it.
    fn parse(description: &Description, index: usize, section: &MediaSection) -> Result<Self, OfferError> {
        if section.is_rejected() {
            return Err(unacceptable("the offer rejects its video section (port 0); offer it with another port"));
        }
        if !section.is_rtp() {
            return Err(unacceptable("the offer's video is not over RTP; offer UDP/TLS/RTP/SAVPF"));
        }
        if !description.receives(section) {
            return Err(unacceptable("the offer does not want to receive video; make the transceiver recvonly"));
        }
        let formats = formats::h264(section);
        if formats.is_empty() {
            return Err(unacceptable(
                "the offer has no H.264 with packetization-mode 0 or 1; use a player that decodes H.264",
            ));
        }
        let bundle = Bundle::of(description, index);
        let transport = transport(description, &bundle)?;
        let muxes =
            |section: &MediaSection| ["rtcp-mux", "rtcp-mux-only"].iter().any(|name| section.attributes.has(name));
        if !bundle.members.iter().any(|member| muxes(&description.media[*member])) {
            return Err(unacceptable("the offer has no a=rtcp-mux; offer RTP and RTCP on one port"));
        }
        Ok(Self { formats, bundle, transport })
    }
}

/// The transport of a bundle: that of its first section, or of the first that has one, as `bundle-only` sections need
/// none.
fn transport(description: &Description, bundle: &Bundle) -> Result<SectionTransport, OfferError> {
    let mut transports =
        bundle.members.iter().map(|member| SectionTransport::of(description, &description.media[*member]));
    let first = transports.next().unwrap_or_else(|| Err(unacceptable("the offer has no video section")));
    first.or_else(|error| transports.find_map(Result::ok).ok_or(error))
}

fn unacceptable(message: &'static str) -> OfferError {
    OfferError::NotAcceptable(message.into())
}

#[cfg(test)]
mod tests;
