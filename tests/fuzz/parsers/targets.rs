//! The bodies of the parser fuzz targets: invariants on arbitrary bytes. The test suite runs them, too.

use porthole::config::Config;
use porthole::media::h264::Profile;
use porthole::model::protocol;
use porthole::model::protocol::{Code, Error, METHODS, ParseError, Reply, Request, limits};
use porthole::server::auth::cookie;
use porthole::server::rtc::SdpFragment;
use porthole::server::rtc::sdp::accepted::AcceptedOffer;
use porthole::server::rtc::sdp::answer::LocalDescription;
use porthole::server::rtc::sdp::offer;

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
#[cfg_attr(fuzzing, allow(dead_code))]
pub const TARGETS: [Target; 5] =
    [("offer", offer), ("fragment", fragment), ("cookie", cookie), ("command", command), ("config", config)];

/// An SDP offer: accepted, with a negotiated format or the reason why none fits, or rejected with a one-line reason.
pub fn offer(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match offer::parse(text) {
        Ok(offer) => {
            for profile in ["42e01f", "4d0028", "640033"] {
                let stream = Profile::parse(profile).expect("a good profile should be read");
                match offer.accept(stream) {
                    Ok(accepted) => check_accepted(text, &accepted),
                    Err(refused) => check_message(&refused.to_string()),
                }
            }
        }
        Err(refused) => check_message(&refused.to_string()),
    }
}

/// An accepted offer: the format and the candidates stand in the text, and the answer has as many sections.
fn check_accepted(text: &str, accepted: &AcceptedOffer) {
    assert!(text.to_ascii_lowercase().contains("h264"), "{:?} out of nothing", accepted.format);
    for candidate in &accepted.candidates {
        let value = candidate.candidate.trim_start_matches("candidate:");
        assert!(text.contains(value), "{candidate:?} does not stand in the offer");
    }
    let sections = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).count();
    let offered = sections(text.trim_start());
    for audio_ssrc in [None, Some(3)] {
        let answer = accepted.answer(&local_description(audio_ssrc));
        assert_eq!(sections(&answer), offered, "{text:?}");
        assert!(answer.lines().all(|line| line.as_bytes().get(1) == Some(&b'=')), "{answer:?}");
    }
}

fn local_description(audio_ssrc: Option<u32>) -> LocalDescription<'static> {
    LocalDescription {
        session: 9,
        ufrag: "ours",
        password: "a password of ours that is long",
        fingerprint: "00:11",
        video_ssrc: 1,
        rtx_ssrc: 2,
        audio_ssrc,
        sctp_port: 5_000,
        max_message_size: 65_536,
    }
}

/// A trickle fragment: its candidates and restart credentials appear in the input; or the invalid line is named.
pub fn fragment(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match SdpFragment::parse(text) {
        Ok(fragment) => {
            assert!(fragment.candidates.len() <= text.lines().count(), "more candidates than lines");
            for candidate in &fragment.candidates {
                assert!(text.contains(&candidate.candidate), "{candidate:?} does not stand in the fragment");
            }
            let credentials = fragment.ufrag.is_some() && fragment.pwd.is_some();
            assert_eq!(fragment.into_restart().is_ok(), credentials);
        }
        Err(malformed) => check_message(&malformed.to_string()),
    }
}

/// A `Cookie` header: values found are part of the input, at most one per pair.
pub fn cookie(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let name = cookie::Name::with_id("0123abcd");
    let values: Vec<&str> = name.values(text).collect();
    assert!(values.len() <= text.matches(cookie::PREFIX).count());
    for value in values {
        assert!(text.contains(value) && !value.contains(';'), "{value:?}");
    }
}

/// A control channel message: a request with a known method, or an error of bounded length; the response is one line
/// with the message's id.
pub fn command(input: &[u8]) {
    let (id, outcome) = match Request::parse(input) {
        Ok(request) => {
            assert!(input.len() <= limits::MAX_MESSAGE_LEN, "{} bytes are read", input.len());
            assert!(METHODS.contains(request.method), "{:?}", request.method);
            (request.id, Ok(Reply::Done {}))
        }
        Err(ParseError { id, error }) => {
            check_message(&error.message);
            assert!(error.message.chars().count() < 1000, "{}", error.message);
            let own = [Code::Parse, Code::Request, Code::Method, Code::Params];
            assert!(own.contains(&error.code) && (error.data.is_null() || error.data.is_object()), "{error:?}");
            (id, Err::<Reply, Error>(error))
        }
    };
    let Some(id) = id else { return };
    let answer = protocol::answer(&id, &outcome);
    check_message(&answer);
    let text = std::str::from_utf8(input).unwrap_or_default();
    assert!(answer.len() < 4 * text.len() + 4000, "{} bytes for {}", answer.len(), text.len());
}

/// A configuration file: accepted, or rejected with at least one message, each on one line that starts with the file
/// name.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(errors) = Config::parse(text, "porthole.toml") {
        let words = errors.to_string();
        assert!(!words.is_empty(), "refused without a word");
        for line in words.lines() {
            assert!(line.starts_with("porthole.toml"), "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}

/// A message is one non-empty line.
fn check_message(reason: &str) {
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
}
