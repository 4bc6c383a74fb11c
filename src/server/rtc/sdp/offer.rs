//! Parses a viewer's SDP offer: what it asks for, and whether it can be answered. Pure.

use std::borrow::Cow;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::sdp::MediaDescription;
use webrtc::peer_connection::RTCSessionDescription;

use super::sections::{Section, mid, sections};
use super::trickle::TrickledCandidate;
use super::{bundle, candidates, h264, sctpmap};
use crate::media::h264::Profile;

/// H.264 without a `profile-level-id`: baseline at level 1 (RFC 6184 section 8.1).
const DEFAULT_PROFILE: Profile = Profile { idc: 66, constraints: 0, level: 10 };

/// Characters of the library's error message that are passed on: one line.
const MAX_ERROR_CHARS: usize = 100;

/// Why an offer cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OfferError {
    /// It is not SDP.
    #[error("the body is not an SDP offer ({0}); send what RTCPeerConnection.createOffer() returns")]
    Malformed(String),
    /// It is SDP that porthole cannot serve.
    #[error("{0}")]
    NotAcceptable(Cow<'static, str>),
}

/// A parsed offer that can be answered.
#[derive(Debug)]
pub struct Offer {
    /// The session description for the peer connection.
    pub description: RTCSessionDescription,
    /// The viewer's candidates, which are removed from the description.
    pub candidates: Vec<TrickledCandidate>,
    /// Whether the viewer wants audio.
    pub wants_audio: bool,
    /// Whether the viewer has data channels.
    pub wants_data: bool,
    /// Whether the viewer wants to be the DTLS client.
    pub offerer_is_dtls_client: bool,
    /// The H.264 formats of its video sections that we can send, in the viewer's order.
    formats: Vec<Profile>,
}

impl Offer {
    /// The H.264 format of the offer to send a stream of profile `stream` as.
    ///
    /// # Errors
    ///
    /// If none of them could be decoded.
    pub fn format_for(&self, stream: Profile) -> Result<Profile, OfferError> {
        h264::choose(stream, &self.formats).map_err(|message| OfferError::NotAcceptable(message.into()))
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
    let sdp = sctpmap::upgrade_sctpmap(&bundle::apply_bundle_transport(sdp));
    // Which candidates are used is decided later, as for trickled ones.
    let candidates = candidates(&sdp);
    let sdp = candidates::replace_candidates(&sdp, &[]);
    // We receive nothing from viewers. Read as recvonly, a sendrecv section is answered as sendonly.
    let sdp = sdp.replace("\r\na=sendrecv\r\n", "\r\na=recvonly\r\n");
    let malformed = |error: rtc::shared::error::Error| OfferError::Malformed(single_line(&error.to_string()));
    let description = RTCSessionDescription::offer(sdp.clone()).map_err(malformed)?;
    let parsed = description.unmarshal().map_err(malformed)?;
    let of = |kind: RtpCodecKind| {
        let kind = kind.to_string();
        parsed.media_descriptions.iter().filter(move |media| media.media_name.media == kind)
    };
    let unacceptable = |message: &'static str| Err(OfferError::NotAcceptable(message.into()));
    if of(RtpCodecKind::Video).next().is_none() {
        return unacceptable("the offer has no video section; add a recvonly video transceiver");
    }
    if !of(RtpCodecKind::Video).any(receives) {
        return unacceptable("the offer does not want to receive video; make the transceiver recvonly");
    }
    let formats: Vec<Profile> = of(RtpCodecKind::Video).filter(|media| receives(media)).flat_map(h264).collect();
    if formats.is_empty() {
        return unacceptable("the offer has no H.264 with packetization-mode=1; use a browser that decodes H.264");
    }
    if !sdp.contains("a=ice-ufrag:") || !sdp.contains("a=fingerprint:") {
        return Err(OfferError::Malformed("it has no ICE credentials or no DTLS fingerprint".into()));
    }
    let wants_audio = of(RtpCodecKind::Audio).any(receives);
    let wants_data = parsed.media_descriptions.iter().any(|media| media.media_name.media == "application");
    let offerer_is_dtls_client = sdp.lines().any(|line| line == "a=setup:active");
    Ok(Offer { description, candidates, wants_audio, wants_data, offerer_is_dtls_client, formats })
}

/// The candidates of all sections.
fn candidates(sdp: &str) -> Vec<TrickledCandidate> {
    let of_section = |section: Section<'_>| {
        let mid = mid(&section).map(String::from);
        let values = section.into_iter().filter(|line| line.starts_with("a=candidate:"));
        values.map(move |line| TrickledCandidate { candidate: line[2..].into(), mid: mid.clone() }).collect::<Vec<_>>()
    };
    sections(sdp).into_iter().flat_map(of_section).collect()
}

/// The library's message repeats the offer from the error on: one line is enough to find it.
fn single_line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR_CHARS).collect()
}

fn receives(media: &MediaDescription) -> bool {
    !media.has_attribute("sendonly") && !media.has_attribute("inactive")
}

/// The H.264 formats of a section that we can send: those with packetization-mode=1.
fn h264(media: &MediaDescription) -> Vec<Profile> {
    let values = |key: &'static str| {
        media.attributes.iter().filter(move |attribute| attribute.key == key).filter_map(|a| a.value.as_deref())
    };
    let is_h264 = |map: &&str| map.to_ascii_lowercase().contains(" h264/90000");
    let format = |map: &str| {
        let payload_type = map.split(' ').next().unwrap_or_default();
        let mut lines = values("fmtp").filter_map(|fmtp| fmtp.split_once(' '));
        let (_, line) = lines.find(|(of, _)| *of == payload_type)?;
        let mut parameters = line.split(';').filter_map(|parameter| parameter.trim().split_once('='));
        let named = |name: &str| parameters.clone().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let sendable = named("packetization-mode").is_some_and(|(_, mode)| mode == "1");
        let profile = parameters.find(|(key, _)| key.eq_ignore_ascii_case("profile-level-id"));
        // A format with an unreadable profile is of no use.
        sendable.then(|| profile.map_or(Some(DEFAULT_PROFILE), |(_, value)| Profile::parse(value.trim())))?
    };
    values("rtpmap").filter(is_h264).filter_map(format).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A browser-like offer of one video section, with some lines replaced.
    fn offer(direction: &str, codec: &str, mode: &str) -> String {
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00\r\na=setup:actpass\r\na=mid:0\r\n\
             a={direction}\r\na=rtcp-mux\r\na=rtpmap:97 {codec}/90000\r\n\
             a=fmtp:97 profile-level-id=42e01f;{mode};level-asymmetry-allowed=1\r\n"
        )
    }

    #[test]
    fn a_browsers_offer_is_accepted() {
        let parsed = parse(&offer("recvonly", "H264", "packetization-mode=1")).expect("offer");
        assert!(!parsed.wants_audio && !parsed.wants_data && !parsed.offerer_is_dtls_client);
        assert_eq!(parsed.format_for(Profile::CONSTRAINED_BASELINE), Ok(Profile::CONSTRAINED_BASELINE));
    }

    #[test]
    fn data_channels_and_the_dtls_role_are_parsed() {
        let data =
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n";
        let sdp = offer("recvonly", "H264", "packetization-mode=1") + data;
        let read = |sdp: &str| parse(sdp).map(|offer| (offer.wants_data, offer.offerer_is_dtls_client)).expect("offer");
        assert_eq!(read(&sdp), (true, false));
        assert_eq!(read(&sdp.replace("actpass", "active")), (true, true));
    }

    #[test]
    fn candidates_stand_beside_the_description() {
        let sdp =
            offer("recvonly", "H264", "packetization-mode=1") + "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n";
        let parsed = parse(&sdp).expect("offer");
        let candidate = "candidate:1 1 udp 1 192.0.2.1 5000 typ host".into();
        assert_eq!(parsed.candidates, [TrickledCandidate { candidate, mid: Some("0".into()) }]);
        assert!(!parsed.description.sdp.contains("a=candidate"), "{}", parsed.description.sdp);
    }

    #[test]
    fn the_formats_are_those_of_h264_that_can_be_sent() {
        let lines = "a=rtpmap:98 H264/90000\r\na=fmtp:98 profile-level-id=64001f;packetization-mode=1\r\n\
                     a=rtpmap:99 h264/90000\r\na=fmtp:99 packetization-mode=1\r\n\
                     a=rtpmap:100 H264/90000\r\na=fmtp:100 packetization-mode=0;profile-level-id=4d001f\r\n\
                     a=rtpmap:101 H264/90000\r\na=fmtp:101 packetization-mode=1;profile-level-id=high\r\n\
                     a=rtpmap:102 H264/90000\r\n";
        let sdp = offer("recvonly", "H264", "packetization-mode=1") + lines;
        let formats = parse(&sdp).expect("offer").formats;
        assert_eq!(formats.iter().map(ToString::to_string).collect::<Vec<_>>(), ["42e01f", "64001f", "42000a"]);
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_the_reason() {
        let reason = |sdp: &str| parse(sdp).expect_err("should be refused").to_string();
        assert!(reason("hello").contains("does not begin with v=0"));
        assert!(reason("v=0\r\nnonsense").contains("not an SDP offer"));
        assert!(reason("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n").contains("no video section"));
        assert!(reason(&offer("sendonly", "H264", "packetization-mode=1")).contains("recvonly"));
        assert!(reason(&offer("recvonly", "VP8", "packetization-mode=1")).contains("no H.264"));
        assert!(reason(&offer("recvonly", "H264", "packetization-mode=0")).contains("no H.264"));
    }
}
