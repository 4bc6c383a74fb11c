//! Offers in the style of the usual clients, and variants of them with everything that RFC 8829 and its kin allow: each
//! is answered, and the answer is checked against the offer (RFC 3264, RFC 9143, RFC 8285).

mod answer_rules;

use super::*;
use crate::media::{EncodedFrame, Timestamp};
use crate::util::broadcast::Keep;

const CHROMIUM: &str = include_str!("offers/chromium.sdp");
const FIREFOX: &str = include_str!("offers/firefox.sdp");
/// As Firefox ESR 153 wrote it in `make players`, without the candidates.
const FIREFOX_ESR: &str = include_str!("offers/firefox_esr153.sdp");
const SAFARI_17: &str = include_str!("offers/safari17.sdp");
const SAFARI_18: &str = include_str!("offers/safari18.sdp");
const AIORTC: &str = include_str!("offers/aiortc.sdp");
const GSTREAMER: &str = include_str!("offers/gstreamer.sdp");
const PION: &str = include_str!("offers/pion.sdp");
const LIBDATACHANNEL: &str = include_str!("offers/libdatachannel.sdp");
const OBS: &str = include_str!("offers/obs.sdp");

const SHA_256: &str = "a=fingerprint:sha-256 ";

/// What an offer is, the offer, and what the answer holds: for each section the medium and what becomes of it, `x` for
/// rejected, the payload type of what is sent, `-` for inactive. Or the words of the refusal.
type Row = (&'static str, String, Result<&'static str, &'static str>);

fn row(offer: &'static str, sdp: impl Into<String>, expected: &'static str) -> Row {
    (offer, sdp.into(), Ok(expected))
}

fn refused(offer: &'static str, sdp: impl Into<String>, words: &'static str) -> Row {
    (offer, sdp.into(), Err(words))
}

/// `sdp` without the lines that begin with one of `prefixes`.
fn without(sdp: &str, prefixes: &[&str]) -> String {
    let kept = sdp.lines().filter(|line| !prefixes.iter().any(|prefix| line.starts_with(prefix)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The session's lines and the sections with these numbers, in this order.
fn pick(sdp: &str, numbers: &[usize]) -> String {
    let sections = sdp::sections::sections(sdp);
    let picked = [&0].into_iter().chain(numbers).flat_map(|number| &sections[*number]);
    picked.flat_map(|line| [*line, "\n"]).collect()
}

/// GStreamer's webrtcbin with another bundle policy than `none`.
fn gstreamer(one_transport: bool, bundle_only: bool) -> String {
    let mut sdp = GSTREAMER.replace("t=0 0\n", "t=0 0\na=group:BUNDLE video0 audio1\n");
    if one_transport {
        sdp = sdp.replace("AUDIO", "VIDEO");
    }
    if bundle_only {
        sdp = sdp.replace("m=audio 9", "m=audio 0").replace("a=mid:audio1", "a=mid:audio1\na=bundle-only");
    }
    sdp
}

fn clients() -> Vec<Row> {
    vec![
        row("Chromium", CHROMIUM, "video 109+114, audio 111+63, application"),
        row("Chromium, video alone", pick(CHROMIUM, &[1]), "video 109+114"),
        row("Chromium, audio first", pick(CHROMIUM, &[2, 1, 3]), "audio 111+63, video 109+114, application"),
        row("Chromium, data first", pick(CHROMIUM, &[3, 2, 1]), "application, audio 111+63, video 109+114"),
        row(
            "Chromium with max-bundle",
            CHROMIUM.replace("m=audio 9", "m=audio 0").replace("a=mid:1", "a=mid:1\na=bundle-only"),
            "video 109+114, audio 111+63, application",
        ),
        row("Firefox", FIREFOX, "video 126+127, audio 109, application"),
        row(
            "Firefox with max-bundle",
            FIREFOX.replace("m=audio 9", "m=audio 0").replace("a=mid:1", "a=mid:1\na=bundle-only"),
            "video 126+127, audio 109, application",
        ),
        row("Firefox ESR 153", FIREFOX_ESR, "video 126+127, audio 109"),
        row(
            "Firefox ESR 153, packetization-mode 0 alone",
            without(FIREFOX_ESR, &["a=fmtp:126 ", "a=rtpmap:126 ", "a=fmtp:105 ", "a=rtpmap:105 "]),
            "video 97+98, audio 109",
        ),
        row("Safari 17", SAFARI_17, "video 98+99, audio 111+63, application"),
        row("Safari 18", SAFARI_18, "video 98+99, audio 111+63, application"),
        row("aiortc", AIORTC, "audio 96, video 101+102, application"),
        row("aiortc, video and data", pick(AIORTC, &[2, 3]), "video 101+102, application"),
        row("GStreamer with bundle-policy none or balanced", GSTREAMER, "video 96, audio x"),
        row("GStreamer with max-compat", gstreamer(false, false), "video 96, audio 97"),
        row("GStreamer with max-bundle", gstreamer(true, true), "video 96, audio 97"),
        row("GStreamer without a BUNDLE group and audio", pick(GSTREAMER, &[1]), "video 96"),
        row("GStreamer, audio first", pick(GSTREAMER, &[2, 1]), "audio x, video 96"),
        row("Pion", PION, "video 106+107, audio 111"),
        row("libdatachannel", LIBDATACHANNEL, "video 96, audio 111, application"),
        refused("OBS publishes", OBS, "does not want to receive video"),
        row("OBS as a player", OBS.replace("a=sendonly", "a=recvonly"), "audio 111, video 96"),
    ]
}

fn bundles() -> Vec<Row> {
    let rejected_first = format!("{}{}", CHROMIUM, second_video("0"));
    vec![
        row("no BUNDLE group", without(CHROMIUM, &["a=group"]), "video 109+114, audio x, application x"),
        row(
            "an empty BUNDLE group",
            CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE"),
            "video 109+114, audio x, application x",
        ),
        row(
            "video not in the group",
            CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 1 2"),
            "video 109+114, audio x, application x",
        ),
        row(
            "audio not in the group",
            CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 0 2"),
            "video 109+114, audio x, application",
        ),
        row(
            "another group first",
            CHROMIUM.replace("a=group", "a=group:LS 0 1\na=group"),
            "video 109+114, audio 111+63, application",
        ),
        row(
            "two BUNDLE groups",
            CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 1\na=group:BUNDLE 2 0"),
            "video 109+114, audio x, application",
        ),
        row(
            "the group names what is not there",
            CHROMIUM.replace("BUNDLE 0", "BUNDLE 7 0"),
            "video 109+114, audio 111+63, application",
        ),
        row(
            "the tag is rejected",
            pick(CHROMIUM, &[2, 1]).replace("m=audio 9", "m=audio 0").replace("BUNDLE 0 1 2", "BUNDLE 1 0"),
            "audio x, video 109+114",
        ),
        row("no mid", without(CHROMIUM, &["a=group", "a=mid"]), "video 109+114, audio x, application x"),
        row("no mid, audio first", without(&pick(CHROMIUM, &[2, 1]), &["a=group", "a=mid"]), "audio x, video 109+114"),
        refused("a mid twice", CHROMIUM.replace("a=mid:1", "a=mid:0"), "same a=mid"),
        row(
            "long mids",
            CHROMIUM.replace("a=mid:0", "a=mid:video-0").replace("BUNDLE 0", "BUNDLE video-0"),
            "video 109+114, audio 111+63, application",
        ),
        row(
            "a second video section",
            format!("{}{}", CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"), second_video("9")),
            "video 109+114, audio 111+63, application, video -",
        ),
        row(
            "the second video section is rejected",
            rejected_first,
            "video 109+114, audio 111+63, application, video x",
        ),
        row(
            "the first video section is rejected",
            format!(
                "{}{}",
                CHROMIUM.replace("m=video 9", "m=video 0").replace("BUNDLE 0 1 2", "BUNDLE 1 2 3"),
                second_video("9")
            ),
            "video x, audio 111+63, application, video 109",
        ),
        row(
            "the first video section sends",
            format!(
                "{}{}",
                CHROMIUM.replacen("a=recvonly", "a=sendonly", 1).replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"),
                second_video("9")
            ),
            "video -, audio 111+63, application, video 109",
        ),
        row(
            "the first video section has no H.264",
            format!(
                "{}{}",
                CHROMIUM.replace("H264", "VP8").replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3"),
                second_video("9")
            ),
            "video -, audio 111+63, application, video 109",
        ),
        row(
            "an unknown medium",
            CHROMIUM.replace("m=application 9", "m=text 9 RTP/AVP 98\nc=IN IP4 0.0.0.0\na=mid:5\nm=application 9"),
            "video 109+114, audio 111+63, text x, application",
        ),
        row(
            "an unknown medium in the group",
            CHROMIUM
                .replace("BUNDLE 0", "BUNDLE 5 0")
                .replace("m=application 9", "m=image 9 udptl t38\na=mid:5\nm=application 9"),
            "video 109+114, audio 111+63, image x, application",
        ),
        row(
            "two data channel sections",
            format!(
                "{}{}",
                CHROMIUM.replace("BUNDLE 0", "BUNDLE 0 3"),
                &pick(CHROMIUM, &[3])[pick(CHROMIUM, &[]).len()..].replace("a=mid:2", "a=mid:3")
            ),
            "video 109+114, audio 111+63, application, application x",
        ),
        row(
            "application over RTP",
            CHROMIUM
                .replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 UDP/TLS/RTP/SAVPF 100"),
            "video 109+114, audio 111+63, application x",
        ),
    ]
}

/// A recvonly video section with the mid 3, and H.264 as 109.
fn second_video(port: &str) -> String {
    format!(
        "m=video {port} UDP/TLS/RTP/SAVPF 109\nc=IN IP4 0.0.0.0\na=ice-ufrag:x1Yz\na=ice-pwd:0123456789abcdefghijklmn\n\
         {SHA_256}12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD\n\
         a=setup:actpass\na=mid:3\na=recvonly\na=rtcp-mux\na=rtpmap:109 H264/90000\n\
         a=fmtp:109 packetization-mode=1;profile-level-id=42e01f\n"
    )
}

fn attributes() -> Vec<Row> {
    let all = "video 109+114, audio 111+63, application";
    vec![
        row("no direction", without(CHROMIUM, &["a=recvonly"]), all),
        row(
            "a direction of the session",
            without(CHROMIUM, &["a=recvonly"]).replace("t=0 0", "t=0 0\na=recvonly"),
            all,
        ),
        refused(
            "the session sends",
            without(CHROMIUM, &["a=recvonly"]).replace("t=0 0", "t=0 0\na=sendonly"),
            "does not want to receive",
        ),
        row("both directions", CHROMIUM.replace("a=recvonly", "a=sendrecv"), all),
        row(
            "the audio is sent to us",
            format!("{}a=sendonly\n", without(&pick(CHROMIUM, &[1, 2]), &["a=recvonly"])),
            "video 109+114, audio -",
        ),
        row(
            "the audio is inactive",
            format!("{}a=inactive\n", without(&pick(CHROMIUM, &[1, 2]), &["a=recvonly"])),
            "video 109+114, audio -",
        ),
        row(
            "audio without Opus",
            CHROMIUM.replace("opus/48000/2", "L16/48000/2"),
            "video 109+114, audio -, application",
        ),
        row(
            "audio without Opus is the tag",
            pick(&CHROMIUM.replace("opus/48000/2", "L16/48000/2"), &[2, 1]),
            "audio -, video 109+114",
        ),
        row("audio is rejected", CHROMIUM.replace("m=audio 9", "m=audio 0"), "video 109+114, audio x, application"),
        row("spaces in fmtp", CHROMIUM.replace(';', "; "), all),
        row(
            "capitals",
            CHROMIUM.replace("H264/", "h264/").replace("opus/", "OPUS/").replace("=42e01f", "=42E01F"),
            all,
        ),
        row(
            "two formats of one profile",
            CHROMIUM.replace("42001f", "42e01f"),
            "video 103+104, audio 111+63, application",
        ),
        row("no retransmissions", CHROMIUM.replace(" rtx/", " other/"), "video 109, audio 111+63, application"),
        row(
            "feedback for all formats",
            without(CHROMIUM, &["a=rtcp-fb"]).replace("a=rtpmap:96", "a=rtcp-fb:* nack pli\na=rtpmap:96"),
            all,
        ),
        row("no feedback", without(CHROMIUM, &["a=rtcp-fb"]), all),
        row("static payload types without rtpmap", without(CHROMIUM, &["a=rtpmap:0 ", "a=rtpmap:8 "]), all),
        row("a dynamic payload type without rtpmap", without(CHROMIUM, &["a=rtpmap:45 "]), all),
        refused("no H.264", CHROMIUM.replace("H264", "VP8"), "no H.264"),
        row("packetization-mode 0 alone", CHROMIUM.replace("packetization-mode=1", "packetization-mode=0"), all),
        row("no packetization-mode", CHROMIUM.replace("packetization-mode=1;", ""), all),
        row("no packetization-mode, without fmtp", without(GSTREAMER, &["a=fmtp:96"]), "video 96, audio x"),
        row(
            "packetization-mode 1 after 0 of the same profile",
            CHROMIUM.replace("mode=0;profile-level-id=42001f", "mode=0;profile-level-id=42e01f"),
            all,
        ),
        refused(
            "packetization-mode 2",
            CHROMIUM
                .replace("packetization-mode=1", "packetization-mode=2")
                .replace("packetization-mode=0", "packetization-mode=2"),
            "no H.264",
        ),
        refused("no video", pick(CHROMIUM, &[2, 3]), "no video section"),
        refused("video rejected", CHROMIUM.replace("m=video 9", "m=video 0"), "port 0"),
        refused("no rtcp-mux", without(CHROMIUM, &["a=rtcp-mux"]), "a=rtcp-mux"),
        refused("no ICE", without(CHROMIUM, &["a=ice-ufrag"]), "no ICE credentials"),
        refused("no fingerprint", without(CHROMIUM, &["a=fingerprint"]), "no DTLS fingerprint"),
        row(
            "an unknown hash first",
            CHROMIUM.replace(SHA_256, "a=fingerprint:sha-512 AB:CD\na=fingerprint:sha-256 "),
            all,
        ),
        row("the hash in capitals", CHROMIUM.replace("sha-256", "SHA-256"), all),
        refused("an unknown hash alone", CHROMIUM.replace("sha-256", "sha-512"), "is sha-512"),
        row("the offerer is the DTLS client", CHROMIUM.replace("actpass", "active"), all),
        row("the offerer is the DTLS server", CHROMIUM.replace("actpass", "passive"), all),
        row("no DTLS role", without(CHROMIUM, &["a=setup"]), all),
        row("no extensions", without(CHROMIUM, &["a=extmap"]), all),
        row("an extension above 14", CHROMIUM.replace("a=extmap:14 ", "a=extmap:16 "), all),
        row(
            "an extension above 14, not mixed",
            without(CHROMIUM, &["a=extmap-allow"]).replace("a=extmap:5 ", "a=extmap:17 "),
            all,
        ),
        row("the profile SAVP", CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"), all),
        row("the profile of old browsers", CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"), all),
        row("data channels over DTLS/SCTP in the old form", pick(AIORTC, &[2, 3]), "video 101+102, application"),
        row("lines end with CR and LF", CHROMIUM.replace('\n', "\r\n"), all),
        refused("no SDP", "hello", "does not begin with v=0"),
        refused("a line without =", "v=0\r\nnonsense", "line 2 has no ="),
    ]
}

/// A manager, and a camera with audio and a key frame whose NAL units fit packets.
fn with_audio() -> (SessionManager, CameraStream) {
    let camera = CameraStream { audio: Some(Broadcast::new(4)), ..camera() };
    let data = bytes::Bytes::from_static(&[0, 0, 1, 0x65, 0x88]);
    camera.video.send(EncodedFrame::new(Timestamp::default(), true, data), Keep::From);
    (manager(), camera)
}

#[tokio::test]
async fn each_offer_is_answered_as_it_allows() {
    let rows: Vec<Row> = [clients(), bundles(), attributes()].into_iter().flatten().collect();
    assert!(rows.len() >= 40, "{}", rows.len());
    let (manager, camera) = with_audio();
    let mut wrong = Vec::new();
    for (name, offer, expected) in rows {
        let found = match manager.create_session(&camera, &offer, VIA, VIA, &principal("")).await {
            Ok(answer) => {
                assert!(manager.end(&answer.id), "{name}");
                let broken = answer_rules::violations(&offer, &answer.answer);
                if !broken.is_empty() {
                    wrong.push(format!("{name}: {}\n{}", broken.join("; "), answer.answer));
                }
                Ok(answer_rules::summary(&answer.answer))
            }
            Err(AcceptError::Offer(refusal)) => Err(refusal.to_string()),
            Err(other) => {
                wrong.push(format!("{name}: neither answered nor refused: {other}"));
                continue;
            }
        };
        let met = match (&found, expected) {
            (Ok(summary), Ok(expected)) => summary == expected,
            (Err(refusal), Err(words)) => refusal.contains(words) && !refusal.contains('\n'),
            _ => false,
        };
        if !met {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
        }
    }
    manager.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
