//! The description of what a camera sends (RFC 8866), for the answer to DESCRIBE. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::target::TrackKind;
use crate::media::h264::{PPS, Profile, SPS, nal_type, nals};

/// What is described.
#[derive(Debug)]
pub struct StreamDescription<'d> {
    /// The camera's name.
    pub camera: &'d str,
    /// The H.264 profile, if there is no key frame to read it from.
    pub profile: Profile,
    /// A key frame with its parameter sets.
    pub key_frame: Option<&'d [u8]>,
    /// Whether there is audio.
    pub audio: bool,
    /// Our address.
    pub local: IpAddr,
    /// Identifies the description.
    pub id: u32,
}

impl StreamDescription<'_> {
    /// The session description.
    pub fn text(&self) -> String {
        let Self { camera, local, id, .. } = self;
        let (version, any) = if local.is_ipv4() { (4, "0.0.0.0") } else { (6, "::") };
        let mut text = format!(
            "v=0\r\no=- {id} 1 IN IP{version} {local}\r\ns={camera}\r\nc=IN IP{version} {any}\r\nt=0 0\r\na=control:*\r\n"
        );
        self.track(&mut text, TrackKind::Video, "video", "H264/90000", &self.video_parameters());
        if self.audio {
            self.track(&mut text, TrackKind::Audio, "audio", "opus/48000/2", "sprop-stereo=1");
        }
        text
    }

    fn track(&self, text: &mut String, kind: TrackKind, media: &str, format: &str, parameters: &str) {
        let (number, control) = (kind.payload_type(), kind.control());
        let _ = write!(
            text,
            "m={media} 0 RTP/AVP {number}\r\na=rtpmap:{number} {format}\r\na=fmtp:{number} {parameters}\r\n\
             a=control:{control}\r\n"
        );
    }

    /// The parameters of the video (RFC 6184 section 8.1).
    fn video_parameters(&self) -> String {
        let sets = nals(self.key_frame.unwrap_or_default()).filter(|nal| matches!(nal_type(nal), SPS | PPS));
        let sets: Vec<&[u8]> = sets.collect();
        let profile = sets.iter().find_map(|nal| Profile::of_sps(nal)).unwrap_or(self.profile);
        let mut text = format!("packetization-mode=1;profile-level-id={profile}");
        if !sets.is_empty() {
            let sets: Vec<String> = sets.iter().map(|set| STANDARD.encode(set)).collect();
            let _ = write!(text, ";sprop-parameter-sets={}", sets.join(","));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_those_of_the_key_frame() {
        let key_frame =
            [&[0, 0, 0, 1][..], &[0x67, 0x4d, 0x40, 0x28, 9], &[0, 0, 1], &[0x68, 0xce], &[0, 0, 1, 0x65, 1]];
        let key_frame = key_frame.concat();
        let description = StreamDescription {
            camera: "door",
            profile: Profile::CONSTRAINED_BASELINE,
            key_frame: Some(&key_frame),
            audio: true,
            local: [192, 0, 2, 1].into(),
            id: 7,
        };
        let text = description.text();
        assert!(
            text.starts_with("v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=door\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"),
            "{text}"
        );
        let video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;\
                     profile-level-id=4d4028;sprop-parameter-sets=Z01AKAk=,aM4=\r\na=control:trackID=0\r\n";
        let audio =
            "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=fmtp:97 sprop-stereo=1\r\na=control:trackID=1\r\n";
        assert!(text.ends_with(&format!("a=control:*\r\n{video}{audio}")), "{text}");
    }

    #[test]
    fn without_a_key_frame_the_profile_is_what_is_known() {
        let local = std::net::Ipv6Addr::LOCALHOST.into();
        let profile = Profile::CONSTRAINED_BASELINE;
        let text = StreamDescription { camera: "a", profile, key_frame: None, audio: false, local, id: 1 }.text();
        assert!(text.contains("a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n"), "{text}");
        assert!(text.contains("IN IP6 ::1\r\n") && !text.contains("m=audio"), "{text}");
    }
}
