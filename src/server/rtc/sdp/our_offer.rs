//! Our own offer, for players that answer instead of offering, and for servers that we publish to. The answer has all that
//! an offer of the other side would have, and is taken as one. Pure.

use super::answer;
use super::formats::{
    ABS_CAPTURE_TIME, H264Format, PLAYOUT_DELAY, PacketizationMode, TRANSPORT_FEEDBACK, TRANSPORT_WIDE_NUMBER,
    VIDEO_FEEDBACK, VIEWERS_ESTIMATE,
};
use crate::media::h264::Profile;

/// What the offer says.
#[derive(Debug, Clone)]
pub struct OurOffer<'a> {
    /// Our ICE credentials: username fragment and password.
    pub ufrag: &'a str,
    pub password: &'a str,
    /// The SHA-256 fingerprint of our certificate.
    pub fingerprint: &'a str,
    /// The H.264 profile of the camera's stream.
    pub profile: Profile,
    /// Whether the other side checks and nominates the paths, and we only answer (RFC 8445 section 2.5).
    pub is_lite: bool,
    /// The synchronisation source of the video.
    pub video_ssrc: u32,
    /// That of its retransmissions.
    pub rtx_ssrc: u32,
    /// That of the audio; `None` if there is none.
    pub audio_ssrc: Option<u32>,
    /// Values of `a=candidate`.
    pub candidates: &'a [String],
}

impl OurOffer<'_> {
    /// The session description.
    pub fn text(&self) -> String {
        let transport = [
            "c=IN IP4 0.0.0.0".to_owned(),
            format!("a=ice-ufrag:{}", self.ufrag),
            format!("a=ice-pwd:{}", self.password),
            format!("a=fingerprint:sha-256 {}", self.fingerprint),
            "a=setup:actpass".into(),
            "a=rtcp-mux".into(),
            "a=sendonly".into(),
        ];
        let group = if self.audio_ssrc.is_some() { "a=group:BUNDLE 0 1" } else { "a=group:BUNDLE 0" };
        let mut lines: Vec<String> = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", group].map(String::from).into();
        // The offerer controls ICE unless it is lite (RFC 8445 section 6.1.1). A server may be lite itself, so that it is for
        // us to check the paths; with players we take the role of a lite agent, as in all other sessions.
        lines.extend(self.is_lite.then(|| "a=ice-lite".to_owned()));
        lines.push("m=video 9 UDP/TLS/RTP/SAVPF 102 103".into());
        lines.extend(transport.iter().cloned());
        lines.extend(["a=mid:0", "a=rtpmap:102 H264/90000"].map(String::from));
        let (profile, mode) = (self.profile, PacketizationMode::NonInterleaved);
        lines.push(format!("a=fmtp:102 {}", H264Format { payload_type: 102, profile, mode }.parameters()));
        let feedback = VIDEO_FEEDBACK.into_iter().chain([TRANSPORT_FEEDBACK, VIEWERS_ESTIMATE]);
        lines.extend(feedback.map(|message| format!("a=rtcp-fb:102 {message}")));
        lines.extend(["a=rtpmap:103 rtx/90000", "a=fmtp:103 apt=102"].map(String::from));
        let extensions = [PLAYOUT_DELAY, ABS_CAPTURE_TIME, TRANSPORT_WIDE_NUMBER];
        lines.extend(extensions.iter().zip(1..).map(|(uri, id)| format!("a=extmap:{id} {uri}")));
        // Servers tell the streams of one transport apart by their sources.
        lines.push(format!("a=ssrc-group:FID {} {}", self.video_ssrc, self.rtx_ssrc));
        lines.extend(answer::sender("video", [self.video_ssrc, self.rtx_ssrc]));
        lines.extend(self.candidates.iter().map(|candidate| format!("a={candidate}")));
        lines.push("a=end-of-candidates".into());
        if let Some(ssrc) = self.audio_ssrc {
            lines.push("m=audio 9 UDP/TLS/RTP/SAVPF 111 63".into());
            lines.extend(transport);
            lines.extend(
                [
                    "a=mid:1",
                    "a=rtpmap:111 opus/48000/2",
                    "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
                    "a=rtpmap:63 red/48000/2",
                    "a=fmtp:63 111/111",
                ]
                .map(String::from),
            );
            // One extension has one id in all sections of a group (RFC 8285 section 6).
            lines.push(format!("a=rtcp-fb:111 {TRANSPORT_FEEDBACK}"));
            lines.push(format!("a=extmap:3 {TRANSPORT_WIDE_NUMBER}"));
            lines.extend(answer::sender("audio", [ssrc]));
        }
        lines.iter().flat_map(|line| [line, "\r\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_with_its_directions_turned_round_could_be_a_viewers() {
        let candidates = ["candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host".to_owned()];
        for (audio, is_lite) in [(false, true), (true, true), (true, false)] {
            let offer = OurOffer {
                ufrag: "abcd",
                password: "abcdefghijklmnopqrstuvwx",
                fingerprint: "12:34",
                profile: Profile::CONSTRAINED_BASELINE,
                is_lite,
                video_ssrc: 11,
                rtx_ssrc: 12,
                audio_ssrc: audio.then_some(13),
                candidates: &candidates,
            };
            let text = offer.text();
            assert_eq!(text.matches("\r\nm=").count(), 1 + usize::from(audio), "{text}");
            assert_eq!(text.contains("a=ice-lite\r\n"), is_lite);
            assert!(
                text.contains("a=ssrc-group:FID 11 12\r\na=msid:porthole video\r\na=ssrc:11 cname:porthole\r\n"),
                "{text}"
            );
            assert_eq!(text.contains("a=ssrc:13 msid:porthole audio\r\n"), audio, "{text}");
            let turned = text.replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active");
            let parsed = super::super::offer::parse(&turned).expect("should be an offer");
            let accepted = parsed.accept(Profile::CONSTRAINED_BASELINE).expect("should be acceptable");
            assert_eq!((accepted.audio.is_some(), accepted.offerer_is_dtls_client), (audio, true));
            let numbered = [Some(&accepted.video), accepted.audio.as_ref()].into_iter().flatten();
            assert!(text.contains("a=rtcp-fb:102 goog-remb\r\n"), "for players that estimate themselves");
            assert!(numbered.into_iter().all(|format| format.transport_number_id == Some(3)));
            assert_eq!(accepted.candidates.len(), 1);
        }
    }
}
