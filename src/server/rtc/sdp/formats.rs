//! The codecs and header extensions of an offered RTP section that we can send. Pure.

use super::description::{Description, MediaSection};
use super::h264 as profiles;
use crate::media::ScreenCodec;
use crate::media::h264::Profile;

/// Header extension with the capture time of a frame or audio packet (webrtc.org, abs-capture-time).
pub const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// Header extension with the limits of the receiver's playout delay (webrtc.org, playout-delay).
pub const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Header extension with the transport-wide number of a packet (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub const TRANSPORT_WIDE_NUMBER: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The feedback messages about video that we act on, besides those about congestion.
pub const VIDEO_FEEDBACK: [&str; 3] = ["nack", "nack pli", "ccm fir"];

/// The feedback that reports the arrival of each packet by its transport-wide number, of all streams.
pub const TRANSPORT_FEEDBACK: &str = "transport-cc";

/// The feedback with the viewer's own estimate of what its network carries (draft-alvestrand-rmcat-remb-03). It is taken
/// where the other one is not offered.
pub const VIEWERS_ESTIMATE: &str = "goog-remb";

/// H.264 without a `profile-level-id`: baseline at level 1 (RFC 6184 section 8.1).
const DEFAULT_PROFILE: Profile = Profile { idc: 66, constraints: 0, level: 10 };

/// The largest id of a header extension in the one-byte form; 15 is reserved (RFC 8285 section 4.2).
pub const MAX_ONE_BYTE_ID: u8 = 14;

/// How NAL units become packets (RFC 6184 section 5.4). The interleaved mode, 2, is not sent, and no player asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketizationMode {
    /// 0: each NAL unit is one packet.
    SingleNalUnit,
    /// 1: large NAL units are cut, and small ones may share a packet.
    NonInterleaved,
}

/// An H.264 format that we can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H264Format {
    /// Its payload type.
    pub payload_type: u8,
    /// Its profile.
    pub profile: Profile,
    /// Its packetization mode.
    pub mode: PacketizationMode,
}

impl H264Format {
    /// The format parameters of an answer (RFC 6184 section 8.1). Firefox accepts exactly these parameters only.
    pub fn parameters(self) -> String {
        let mode = match self.mode {
            PacketizationMode::SingleNalUnit => 0,
            PacketizationMode::NonInterleaved => 1,
        };
        format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={}", self.profile)
    }
}

/// The payload types of a section that have an `a=rtpmap` with this encoding name and clock rate, in the offerer's
/// order of preference.
fn payload_types<'a>(section: &'a MediaSection, encoding: &'a str) -> impl Iterator<Item = u8> + 'a {
    let named = move |format: &&String| {
        let mut maps = section.attributes.values("rtpmap").filter_map(|map| map.split_once(' '));
        let map = maps.find(|(payload_type, _)| payload_type == format).map(|(_, map)| map.trim());
        map.is_some_and(|map| map.eq_ignore_ascii_case(encoding))
    };
    section.formats.iter().filter(named).filter_map(|format| format.parse().ok().filter(|number| *number < 128))
}

/// The format parameters of a payload type, without white space.
fn parameters(section: &MediaSection, payload_type: u8) -> Vec<(String, String)> {
    let payload_type = payload_type.to_string();
    let mut lines = section.attributes.values("fmtp").filter_map(|line| line.split_once(' '));
    let line = lines.find(|(of, _)| *of == payload_type).map_or("", |(_, line)| line);
    let pairs = line.split(';').filter_map(|parameter| parameter.split_once('='));
    let compact = |text: &str| text.split_ascii_whitespace().collect::<String>();
    pairs.map(|(name, value)| (compact(name).to_ascii_lowercase(), compact(value))).collect()
}

/// The H.264 formats that we can send.
pub fn h264(section: &MediaSection) -> Vec<H264Format> {
    let format = |payload_type| {
        let parameters = parameters(section, payload_type);
        let named = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mode = match named("packetization-mode") {
            None | Some("0") => PacketizationMode::SingleNalUnit,
            Some("1") => PacketizationMode::NonInterleaved,
            Some(_) => return None,
        };
        // A format with an unreadable profile is of no use.
        let profile = named("profile-level-id").map_or(Some(DEFAULT_PROFILE), Profile::parse)?;
        Some(H264Format { payload_type, profile, mode })
    };
    payload_types(section, "H264/90000").filter_map(format).collect()
}

/// The format in which a viewer that sends video on the section is to do so, as it is passed on to a program: H.264, which most of
/// them decode with the board's hardware, and otherwise VP8. Not every browser that decodes H.264 encodes it.
pub fn screen(section: &MediaSection) -> Option<(u8, ScreenCodec)> {
    let h264: Vec<H264Format> =
        h264(section).into_iter().filter(|format| format.mode == PacketizationMode::NonInterleaved).collect();
    let offered: Vec<Profile> = h264.iter().map(|format| format.profile).collect();
    let best = profiles::choose(Profile::CONSTRAINED_BASELINE, &offered).ok();
    let format = best.and_then(|best| h264.iter().find(|format| format.profile == best));
    let h264 = format.map(|format| (format.payload_type, ScreenCodec::H264));
    h264.or_else(|| payload_types(section, "VP8/90000").next().map(|payload_type| (payload_type, ScreenCodec::Vp8)))
}

/// The payload type of retransmissions of another one (RFC 4588 section 8).
pub fn rtx(section: &MediaSection, of: u8) -> Option<u8> {
    let apt = ("apt".to_owned(), of.to_string());
    payload_types(section, "rtx/90000").find(|payload_type| parameters(section, *payload_type).contains(&apt))
}

/// The payload type of Opus (RFC 7587 section 7).
pub fn opus(section: &MediaSection) -> Option<u8> {
    payload_types(section, "opus/48000/2").next()
}

/// The payload type of packets that carry earlier ones of `of` too (RFC 2198). Its parameters are the payload types of the
/// newest and of the earlier ones (RFC 2198 section 5).
pub fn red(section: &MediaSection, of: u8) -> Option<u8> {
    let pure = |payload_type: &u8| {
        let of = of.to_string();
        let payload_type = payload_type.to_string();
        let lines = section.attributes.values("fmtp").filter_map(|line| line.split_once(' '));
        let mut types = lines.filter(|(named, _)| *named == payload_type).map(|(_, types)| types.trim());
        types.any(|types| types.contains('/') && types.split('/').all(|of_block| of_block == of))
    };
    payload_types(section, "red/48000/2").find(pure)
}

/// The feedback messages that are offered for a payload type, also those for all of them (RFC 4585 section 4.2).
pub fn feedback(section: &MediaSection, payload_type: u8) -> Vec<String> {
    let payload_type = payload_type.to_string();
    let lines = section.attributes.values("rtcp-fb").filter_map(|line| line.split_once(' '));
    let mut messages: Vec<String> = Vec::new();
    for (_, message) in lines.filter(|(of, _)| *of == payload_type || *of == "*") {
        let message = message.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    messages
}

/// Whether one- and two-byte header extensions may alternate within the section (RFC 8285 section 4.1.2).
pub fn allows_mixed_extensions(description: &Description, section: &MediaSection) -> bool {
    [&section.attributes, &description.session].into_iter().any(|attributes| attributes.has("extmap-allow-mixed"))
}

/// The id of the header extension with this URI that we may send; those above 14 only if `two_bytes` are possible.
pub fn extension_id(description: &Description, section: &MediaSection, uri: &str, two_bytes: bool) -> Option<u8> {
    let maximum = if two_bytes { u8::MAX } else { MAX_ONE_BYTE_ID };
    let id = |value: &str| {
        // a=extmap:<id>["/"<direction>] <URI> <attributes> (RFC 8285 section 5)
        let mut words = value.split_ascii_whitespace();
        let (id, of) = (words.next()?, words.next()?);
        let (id, direction) = id.split_once('/').unwrap_or((id, "sendrecv"));
        let receives = matches!(direction, "sendrecv" | "recvonly");
        id.parse().ok().filter(|id| of == uri && receives && (1..=maximum).contains(id) && *id != MAX_ONE_BYTE_ID + 1)
    };
    let ids = section.attributes.values("extmap").chain(description.session.values("extmap")).filter_map(id);
    ids.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(attributes: &str) -> Description {
        Description::parse(&format!("v=0\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 102 103 111\n{attributes}"))
            .expect("SDP")
    }

    #[test]
    fn formats_are_those_with_a_known_profile_and_mode() {
        let sdp = description(
            "a=rtpmap:96 VP8/90000\na=rtpmap:97 h264/90000\na=fmtp:97 PROFILE-LEVEL-ID=42E01F; packetization-mode=1\n\
             a=rtpmap:98 H264/90000\na=fmtp:98 packetization-mode=1\na=rtpmap:99 H264/90000\n\
             a=fmtp:99 packetization-mode=1;profile-level-id=high\na=rtpmap:100 H264/90000\n\
             a=rtpmap:101 H264/90000\na=fmtp:101 packetization-mode=1\n\
             a=rtpmap:102 H264/90000\na=fmtp:102 packetization-mode=0;profile-level-id=42e01f\n\
             a=rtpmap:103 H264/90000\na=fmtp:103 packetization-mode=2\n",
        );
        let found: Vec<String> = h264(&sdp.media[0])
            .iter()
            .map(|found| format!("{} {} {:?}", found.payload_type, found.profile, found.mode))
            .collect();
        assert_eq!(
            found,
            [
                "97 42e01f NonInterleaved",
                "98 42000a NonInterleaved",
                "100 42000a SingleNalUnit",
                "102 42e01f SingleNalUnit"
            ],
            "101 is not among the formats"
        );
    }

    #[test]
    fn retransmissions_and_feedback_belong_to_a_payload_type() {
        let sdp = description(
            "a=rtpmap:98 rtx/90000\na=fmtp:98 apt=97;rtx-time=3000\na=rtpmap:99 rtx/90000\na=fmtp:99 rtx-time=1; apt=96\n\
             a=rtcp-fb:* nack\na=rtcp-fb:97 nack  pli\na=rtcp-fb:97 nack\na=rtcp-fb:96 ccm fir\n",
        );
        let section = &sdp.media[0];
        assert_eq!([96, 97, 98].map(|of| rtx(section, of)), [Some(99), Some(98), None]);
        assert_eq!(feedback(section, 97), ["nack", "nack pli"]);
    }

    #[test]
    fn a_picture_is_h264_if_it_can_be_and_otherwise_vp8() {
        let formats =
            "a=rtpmap:96 VP8/90000\na=rtpmap:97 H264/90000\na=fmtp:97 packetization-mode=0;profile-level-id=42e01f\n";
        let chosen = |more: &str| screen(&description(&format!("{formats}{more}")).media[0]);
        assert_eq!(chosen(""), Some((96, ScreenCodec::Vp8)), "one packet for each NAL unit is not for large pictures");
        let main = "a=rtpmap:98 H264/90000\na=fmtp:98 packetization-mode=1;profile-level-id=4d001f\n";
        assert_eq!(chosen(main), Some((98, ScreenCodec::H264)));
        let baseline = "a=rtpmap:99 H264/90000\na=fmtp:99 packetization-mode=1;profile-level-id=42e01f\n";
        assert_eq!(chosen(&format!("{main}{baseline}")), Some((99, ScreenCodec::H264)));
        assert_eq!(screen(&description("a=rtpmap:96 AV1/90000\n").media[0]), None);
    }

    #[test]
    fn opus_has_two_channels() {
        assert_eq!(opus(&description("a=rtpmap:111 OPUS/48000/2\n").media[0]), Some(111));
        assert_eq!(opus(&description("a=rtpmap:111 opus/48000\n").media[0]), None);
    }

    #[test]
    fn redundancy_is_that_of_opus_alone() {
        let red = |fmtp: &str| {
            let sdp = description(&format!("a=rtpmap:111 opus/48000/2\na=rtpmap:100 red/48000/2\n{fmtp}\n"));
            red(&sdp.media[0], 111)
        };
        assert_eq!(red("a=fmtp:100 111/111"), Some(100));
        assert_eq!(red("a=fmtp:100 111/111/111"), Some(100));
        assert_eq!([red(""), red("a=fmtp:100 111"), red("a=fmtp:100 111/0"), red("a=fmtp:99 111/111")], [None; 4]);
    }

    #[test]
    fn extension_ids_are_those_that_a_packet_can_carry() {
        let sdp = description(
            "a=extmap:16 urn:a\na=extmap:15 urn:b\na=extmap:3/sendonly urn:c\na=extmap:2/recvonly urn:d\n\
             a=extmap:20 urn:e\na=extmap:5 urn:e x y\na=extmap:4100 urn:f\na=extmap:0 urn:g\n",
        );
        let id = |uri: &str, two_bytes| extension_id(&sdp, &sdp.media[0], uri, two_bytes);
        assert_eq!(
            ["urn:a", "urn:b", "urn:c", "urn:d", "urn:e", "urn:f", "urn:g"].map(|uri| id(uri, false)),
            [None, None, None, Some(2), Some(5), None, None]
        );
        assert_eq!((id("urn:a", true), id("urn:b", true), id("urn:f", true)), (Some(16), None, None));
    }
}
