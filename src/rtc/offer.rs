//! What a viewer's SDP offer asks for, and whether it can be answered at all. Pure.

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::sdp::MediaDescription;
use webrtc::peer_connection::RTCSessionDescription;

/// Why an offer cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// It is not SDP.
    #[error("the body is not an SDP offer ({0}); send what RTCPeerConnection.createOffer() returns")]
    Malformed(String),
    /// It is SDP that porthole cannot serve.
    #[error("{0}")]
    NotAcceptable(&'static str),
}

/// A parsed offer that can be answered.
#[derive(Debug)]
pub struct Offer {
    /// The session description for the peer connection.
    pub description: RTCSessionDescription,
    /// Whether the viewer wants to hear.
    pub wants_audio: bool,
}

/// Reads an offer.
///
/// # Errors
///
/// When it is not SDP, wants no video, or has no H.264.
pub fn parse(sdp: &str) -> Result<Offer, Refused> {
    if !sdp.trim_start().starts_with("v=0") {
        return Err(Refused::Malformed("it does not begin with v=0".into()));
    }
    // A browser hides its addresses behind .local names, which are not resolved: the browser reaches ours.
    let hidden = |line: &&str| line.starts_with("a=candidate:") && line.contains(".local ");
    let sdp: String = sdp.lines().filter(|line| !hidden(line)).flat_map(|line| [line, "\r\n"]).collect();
    let malformed = |error: rtc::shared::error::Error| Refused::Malformed(error.to_string());
    let description = RTCSessionDescription::offer(sdp.clone()).map_err(malformed)?;
    let parsed = description.unmarshal().map_err(malformed)?;
    let of = |kind: RtpCodecKind| {
        let kind = kind.to_string();
        parsed.media_descriptions.iter().filter(move |media| media.media_name.media == kind)
    };
    if of(RtpCodecKind::Video).next().is_none() {
        return Err(Refused::NotAcceptable("the offer has no video section; add a recvonly video transceiver"));
    }
    if !of(RtpCodecKind::Video).any(receives) {
        return Err(Refused::NotAcceptable("the offer does not want to receive video; make the transceiver recvonly"));
    }
    if !of(RtpCodecKind::Video).filter(|media| receives(media)).any(has_h264) {
        return Err(Refused::NotAcceptable(
            "the offer has no H.264 with packetization-mode=1; use a browser that decodes H.264",
        ));
    }
    if !sdp.contains("a=ice-ufrag:") || !sdp.contains("a=fingerprint:") {
        return Err(Refused::Malformed("it has no ICE credentials or no DTLS fingerprint".into()));
    }
    let wants_audio = of(RtpCodecKind::Audio).any(receives);
    Ok(Offer { description, wants_audio })
}

fn receives(media: &MediaDescription) -> bool {
    !media.has_attribute("sendonly") && !media.has_attribute("inactive")
}

fn has_h264(media: &MediaDescription) -> bool {
    let values = |key: &'static str| {
        media.attributes.iter().filter(move |attribute| attribute.key == key).filter_map(|a| a.value.as_deref())
    };
    values("rtpmap").filter(|map| map.to_ascii_lowercase().contains(" h264/90000")).any(|map| {
        let payload_type = map.split(' ').next().unwrap_or_default();
        values("fmtp").any(|fmtp| {
            fmtp.split_once(' ').is_some_and(|(of, parameters)| {
                of == payload_type && parameters.split(';').any(|one| one.trim() == "packetization-mode=1")
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An offer of one video section, as a browser writes it, with some of its lines replaced.
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
        assert!(!parsed.wants_audio);
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
