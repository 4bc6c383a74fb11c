//! Tests of what is read from an offer. How whole offers are answered is in `rtc/tests`.

use super::*;
use crate::media::ScreenCodec;
use crate::server::rtc::sdp::accepted::{ScreenFormat, TalkFormat};
use crate::server::rtc::sdp::answer::LocalDescription;
use crate::server::rtc::sdp::transport::Setup;

/// A browser-like offer of one video section, with some lines replaced.
fn offer(direction: &str, codec: &str, mode: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 97 98\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00\r\na=setup:actpass\r\na=mid:0\r\n\
         a={direction}\r\na=rtcp-mux\r\na=rtpmap:97 {codec}/90000\r\n\
         a=fmtp:97 profile-level-id=42e01f;{mode};level-asymmetry-allowed=1\r\n"
    )
}

fn accept(sdp: &str) -> AcceptedOffer {
    parse(sdp).and_then(|offer| offer.accept(Profile::CONSTRAINED_BASELINE)).expect("offer")
}

/// The answer of a board with this source of audio.
fn answer(accepted: &AcceptedOffer, audio_ssrc: Option<u32>) -> String {
    accepted.answer(&LocalDescription {
        session: 1,
        ufrag: "abcd",
        password: "abcdefghijklmnopqrstuvwx",
        fingerprint: "00",
        video_ssrc: 1,
        rtx_ssrc: 2,
        audio_ssrc,
        sctp_port: 5_000,
        max_message_size: 65_536,
    })
}

#[test]
fn a_browsers_offer_is_accepted() {
    let accepted = accept(&offer("recvonly", "H264", "packetization-mode=1"));
    assert!(accepted.audio.is_none() && accepted.data.is_none() && !accepted.offerer_is_dtls_client);
    assert_eq!(accepted.format.profile, Profile::CONSTRAINED_BASELINE);
}

#[test]
fn data_channels_and_the_dtls_role_are_parsed() {
    let data =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n";
    let sdp = offer("recvonly", "H264", "packetization-mode=1").replace("BUNDLE 0", "BUNDLE 0 1") + data;
    let read = |sdp: &str| {
        let accepted = accept(sdp);
        (accepted.data.is_some(), accepted.offerer_is_dtls_client)
    };
    assert_eq!(read(&sdp), (true, false));
    assert_eq!(read(&sdp.replace("actpass", "active")), (true, true));
    let old = sdp.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000");
    assert_eq!(read(&old), (true, true), "their SCTP waits for ours otherwise");
}

#[test]
fn audio_is_taken_from_whoever_offers_and_may_send_it() {
    let video = offer("recvonly", "H264", "packetization-mode=1").replace("BUNDLE 0", "BUNDLE 0 1");
    let audio = |direction: &str| {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:1\r\na=rtcp-mux\r\n{direction}a=rtpmap:111 opus/48000/2\r\n\
             a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
        )
    };
    let answered = |accepted: &AcceptedOffer, audio_ssrc: Option<u32>| {
        let answer = answer(accepted, audio_ssrc);
        let section = answer.split("m=").find(|section| section.starts_with("audio")).expect("audio").to_owned();
        let direction = section.lines().find(|line| ["a=send", "a=recv", "a=inac"].iter().any(|a| line.starts_with(a)));
        (direction.map(str::to_owned), section.contains("a=ssrc:3"))
    };
    let is = |direction: &str| Some(format!("a={direction}"));
    for direction in ["a=sendrecv\r\n", ""] {
        let mut accepted = accept(&(video.clone() + &audio(direction)));
        assert_eq!(accepted.talk, Some(TalkFormat { payload_type: 111, red: Some(63) }));
        assert_eq!(answered(&accepted, Some(3)), (is("sendrecv"), true));
        assert_eq!(answered(&accepted, None), (is("recvonly"), false), "there is no microphone");
        // Whoever may not talk.
        accepted.talk = None;
        assert_eq!(answered(&accepted, Some(3)), (is("sendonly"), true));
        assert_eq!(answered(&accepted, None), (is("inactive"), false));
    }
    let accepted = accept(&(video + &audio("a=recvonly\r\n")));
    assert_eq!((accepted.talk, answered(&accepted, Some(3))), (None, (is("sendonly"), true)));
}

/// A section on which a viewer sends its own picture, in a group with that of the video.
const OWN: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 100\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n\
                   a=rtcp-rsize\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 goog-remb\r\n\
                   a=rtpmap:100 H264/90000\r\na=fmtp:100 profile-level-id=42001f;packetization-mode=1\r\n\
                   a=rtcp-fb:100 nack\r\na=rtcp-fb:100 nack pli\r\na=rtcp-fb:100 transport-cc\r\n";

#[test]
fn a_picture_is_taken_on_a_section_of_its_own() {
    let video = offer("recvonly", "H264", "packetization-mode=1").replace("BUNDLE 0", "BUNDLE 0 1");
    let own = |accepted: &AcceptedOffer| {
        let answer = answer(accepted, None);
        let [_, first, second] = answer.split("m=").collect::<Vec<_>>()[..] else { panic!("{answer}") };
        assert!(first.contains("a=sendonly") && first.contains("a=ssrc:1 "), "{first}");
        second.to_owned()
    };
    let mut accepted = accept(&(video.clone() + OWN));
    assert_eq!(accepted.screen, Some(ScreenFormat { payload_type: 100, rtx: None, codec: ScreenCodec::H264 }));
    let section = own(&accepted);
    assert!(section.starts_with("video 9 UDP/TLS/RTP/SAVPF 100\r\n"), "{section}");
    for line in [
        "mid:1",
        "recvonly",
        "rtcp-rsize",
        "rtpmap:100 H264/90000",
        "fmtp:100 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
        "rtcp-fb:100 nack",
        "rtcp-fb:100 nack pli",
    ] {
        assert!(section.contains(&format!("\r\na={line}\r\n")), "{line}: {section}");
    }
    assert!(!["a=ssrc", "transport-cc", "a=extmap"].iter().any(|unwanted| section.contains(unwanted)), "{section}");
    // Whoever may not be seen.
    accepted.screen = None;
    assert!(own(&accepted).contains("a=inactive"));

    let accepted = accept(&(video.clone() + &OWN.replace("H264/90000", "H265/90000")));
    assert_eq!(accepted.screen, Some(ScreenFormat { payload_type: 96, rtx: None, codec: ScreenCodec::Vp8 }));
    let section = own(&accepted);
    assert!(section.contains("a=rtpmap:96 VP8/90000\r\n") && section.contains("a=rtcp-fb:96 nack\r\n"), "{section}");
    assert!(!section.contains("a=fmtp") && !section.contains("goog-remb"), "{section}");
    for other in
        [OWN.replace("sendonly", "recvonly"), OWN.replace("/90000", "/48000"), OWN.replace("video 9", "video 0")]
    {
        assert_eq!(accept(&(video.clone() + &other)).screen, None, "{other}");
    }
    // Why the board's video cannot be sent is not hidden by it.
    let refused = parse(&(video.replace("H264", "VP9") + OWN)).expect_err("nothing to send").to_string();
    assert!(refused.contains("no H.264"), "{refused}");
}

#[test]
fn a_picture_is_taken_on_the_section_of_the_video() {
    let sdp = offer("sendrecv", "H264", "packetization-mode=1") + "a=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\n";
    let mut accepted = accept(&sdp);
    assert_eq!(accepted.screen, Some(ScreenFormat { payload_type: 97, rtx: Some(98), codec: ScreenCodec::H264 }));
    let shared = answer(&accepted, None);
    assert!(shared.contains("a=sendrecv\r\n") && shared.contains("m=video 9 UDP/TLS/RTP/SAVPF 97 98\r\n"), "{shared}");
    accepted.screen = None;
    assert_eq!(answer(&accepted, None), shared.replace("a=sendrecv", "a=sendonly"), "nothing else differs");
    // A section of its own goes first.
    let accepted = accept(&(sdp.replace("BUNDLE 0", "BUNDLE 0 1") + OWN));
    assert_eq!(accepted.screen.map(|screen| screen.payload_type), Some(100));
    assert!(!answer(&accepted, None).contains("a=sendrecv"));
    assert_eq!(accept(&sdp.replace("sendrecv", "recvonly")).screen, None);
}

#[test]
fn candidates_are_those_of_the_transport_that_is_used() {
    let candidate = |address: &str| format!("a=candidate:1 1 udp 1 {address} 5000 typ host\r\n");
    let video = offer("recvonly", "H264", "packetization-mode=1") + &candidate("192.0.2.1");
    let audio = |ufrag: &str, address: &str| {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=ice-ufrag:{ufrag}\r\na=rtcp-mux\r\n{}",
            candidate(address)
        )
    };
    let read = |sdp: &str| {
        let accepted = accept(sdp);
        accepted.candidates.into_iter().map(|candidate| candidate.candidate).collect::<Vec<_>>()
    };
    let [first, second] = ["192.0.2.1", "192.0.2.2"].map(|address| candidate(address).trim()[2..].to_owned());
    assert_eq!(read(&(video.clone() + &audio("efgh", "192.0.2.2"))), std::slice::from_ref(&first), "it is not bundled");
    let video = video.replace("BUNDLE 0", "BUNDLE 0 1");
    assert_eq!(
        read(&(video.clone() + &audio("efgh", "192.0.2.2"))),
        std::slice::from_ref(&first),
        "it is another transport"
    );
    assert_eq!(read(&(video.clone() + &audio("abcd", "192.0.2.2"))), [first.clone(), second]);
    assert_eq!(read(&(video + &audio("abcd", "192.0.2.1"))), [first], "it is the same candidate");
}

#[test]
fn the_first_section_of_the_group_has_the_transport_of_all() {
    let video = offer("recvonly", "H264", "packetization-mode=1");
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=ice-ufrag:efgh\r\na=ice-pwd:of-efgh\r\n\
                 a=fingerprint:sha-256 11\r\na=setup:active\r\na=rtcp-mux\r\n";
    let accepted = accept(&(video.clone().replace("BUNDLE 0", "BUNDLE 1 0") + audio));
    let SectionTransport { ufrag, password, fingerprint, setup } = accepted.transport;
    assert_eq!((&*ufrag, &*password, &*fingerprint, setup), ("efgh", "of-efgh", "11", Setup::Active));
    // The group's first section is rejected, so the next one has it (RFC 9143 section 7.3.2).
    let accepted = accept(&(video.replace("BUNDLE 0", "BUNDLE 1 0") + &audio.replace("m=audio 9", "m=audio 0")));
    assert_eq!(accepted.transport.ufrag, "abcd");
}

#[test]
fn a_stream_takes_the_first_section_that_can_carry_it() {
    let second = "m=video 9 UDP/TLS/RTP/SAVPF 100\r\na=mid:1\r\na=rtcp-mux\r\na=rtpmap:100 H264/90000\r\n\
                  a=fmtp:100 profile-level-id=64001f;packetization-mode=1\r\n";
    let sdp = offer("recvonly", "H264", "packetization-mode=1").replace("BUNDLE 0", "BUNDLE 0 1") + second;
    let offer = parse(&sdp).expect("offer");
    let chosen = |stream: &str| {
        let accepted = offer.accept(Profile::parse(stream).expect("profile"));
        accepted.map(|accepted| accepted.format.profile.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(chosen("42e01f").as_deref(), Ok("42e01f"));
    assert_eq!(chosen("640028").as_deref(), Ok("64001f"));
    let refusal = chosen("f40028").expect_err("nobody decodes it");
    assert!(refusal.contains("42e01f") && refusal.contains("64001f"), "{refusal}");
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_reason() {
    let reason = |sdp: &str| parse(sdp).expect_err("should be refused").to_string();
    assert!(reason("hello").contains("does not begin with v=0"));
    assert!(reason("v=0\r\nnonsense").contains("not an SDP offer"));
    assert!(reason("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n").contains("no video section"));
    assert!(reason(&offer("sendonly", "H264", "packetization-mode=1")).contains("recvonly"));
    assert!(reason(&offer("recvonly", "VP8", "packetization-mode=1")).contains("no H.264"));
    assert!(reason(&offer("recvonly", "H264", "packetization-mode=2")).contains("no H.264"));
}

#[test]
fn a_format_in_which_nal_units_are_cut_is_preferred() {
    use PacketizationMode::{NonInterleaved, SingleNalUnit};
    let section = |number: u8, profile: &str, mode: &str| {
        format!(
            "m=video 9 UDP/TLS/RTP/SAVPF {number}\r\na=mid:{number}\r\na=rtcp-mux\r\na=rtpmap:{number} H264/90000\r\n\
             a=fmtp:{number} profile-level-id={profile}{mode}\r\n"
        )
    };
    let session = "v=0\r\na=group:BUNDLE 100 101\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
                   a=fingerprint:sha-256 00\r\n";
    for ([first, second], expected) in [
        ([("42e01f", ";packetization-mode=0"), ("42e01f", ";packetization-mode=1")], (101, NonInterleaved)),
        ([("42e01f", ""), ("64001f", ";packetization-mode=1")], (101, NonInterleaved)),
        ([("42e01f", ""), ("f4001f", ";packetization-mode=2")], (100, SingleNalUnit)),
        ([("640c1f", ";packetization-mode=0"), ("42e01f", ";packetization-mode=0")], (100, SingleNalUnit)),
    ] {
        let sdp = session.to_owned() + &section(100, first.0, first.1) + &section(101, second.0, second.1);
        let format = accept(&sdp).format;
        assert_eq!((format.payload_type, format.mode), expected, "{sdp}");
    }
    let both = section(100, "640c1f", ";packetization-mode=0") + &section(101, "640c1f", ";packetization-mode=1");
    let refusal =
        parse(&(session.to_owned() + &both)).and_then(|offer| offer.accept(Profile::parse("f40028").expect("profile")));
    let refusal = refusal.expect_err("nobody decodes it").to_string();
    assert_eq!(refusal.matches("640c1f").count(), 1, "{refusal}");
}

#[test]
fn feedback_on_each_packet_is_agreed_together_with_its_extension_only() {
    let number = "a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    let (feedback, estimate) = ("a=rtcp-fb:97 transport-cc\r\n", "a=rtcp-fb:97 goog-remb\r\n");
    let video = |lines: &[&str]| {
        let accepted = accept(&(offer("recvonly", "H264", "packetization-mode=1") + &lines.concat()));
        (accepted.video.transport_number_id, accepted.video.feedback.join(", "))
    };
    assert_eq!(video(&[number, estimate, feedback]), (Some(4), "transport-cc".into()));
    assert_eq!(video(&[estimate, feedback]), (None, "goog-remb".into()));
    assert_eq!(video(&[number, estimate]), (None, "goog-remb".into()));
    assert_eq!(video(&[number]), (None, String::new()), "there would be no feedback on the number");
    assert_eq!(video(&[feedback]), (None, String::new()));
    let audio =
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtcp-mux\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n";
    let bundled = offer("recvonly", "H264", "packetization-mode=1").replace("BUNDLE 0", "BUNDLE 0 1");
    let read = |video: &[&str], lines: &[&str]| {
        let audio = accept(&(bundled.clone() + &video.concat() + audio + &lines.concat())).audio.expect("audio");
        (audio.transport_number_id, audio.feedback.join(", "))
    };
    let numbered = [number, "a=rtcp-fb:111 transport-cc\r\n"];
    assert_eq!(read(&[number, feedback], &numbered), (Some(4), "transport-cc".into()));
    assert_eq!(read(&[], &numbered), (None, String::new()), "the video has no numbers");
    assert_eq!(read(&[number, feedback], &["a=rtcp-fb:111 goog-remb\r\n"]), (None, String::new()));
}
