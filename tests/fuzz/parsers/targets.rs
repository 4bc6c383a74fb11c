//! The bodies of the parser fuzz targets: invariants on arbitrary bytes. The test suite runs them, too.

use porthole::config::Config;
use porthole::media::h264::Profile;
use porthole::model::protocol;
use porthole::model::protocol::{Code, Error, METHODS, ParseError, Reply, Request, limits};
use porthole::server::auth::{basic, cookie};
use porthole::server::rtc::SdpFragment;
use porthole::server::rtc::sdp::accepted::AcceptedOffer;
use porthole::server::rtc::sdp::answer::LocalDescription;
use porthole::server::rtc::sdp::offer;
use porthole::server::rtsp::reader::{ClientMessage, MessageError, MessageReader};
use porthole::server::rtsp::target::StreamTarget;
use porthole::server::rtsp::transport::{self, AcceptedTransport};

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
#[cfg_attr(fuzzing, allow(dead_code))]
pub const TARGETS: [Target; 6] = [
    ("offer", offer),
    ("fragment", fragment),
    ("cookie", cookie),
    ("command", command),
    ("config", config),
    ("rtsp", rtsp),
];

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

/// What a client of the RTSP server sends: the same messages in whatever pieces they arrive, whose URL, transports and
/// credentials are read or refused.
pub fn rtsp(input: &[u8]) {
    let (messages, error) = rtsp_messages(input, input.len());
    assert_eq!((&messages, error), (&rtsp_messages(input, 5).0, rtsp_messages(input, 5).1));
    if let Some(error) = error {
        check_message(&error.to_string());
    }
    for message in &messages {
        let ClientMessage::Request(request) = message else { continue };
        if let Some(target) = request.request_uri().and_then(StreamTarget::of) {
            assert!(target.camera.is_none_or(|name| !name.is_empty() && !name.contains(['/', '='])));
        }
        for text in request.header_values().map(|value| value.as_str()) {
            assert!(basic::secret(text).len() <= text.len());
            if let Some(delivery) = transport::choose(text, 0) {
                let accepted = AcceptedTransport { delivery, server_ports: Some((2, 3)), ssrc: 1 }.to_string();
                assert_eq!(transport::choose(&accepted, 0), Some(delivery), "{text:?}: {accepted}");
            }
        }
    }
}

/// The messages in what arrives in pieces of this size, and why there are no more.
fn rtsp_messages(input: &[u8], piece: usize) -> (Vec<ClientMessage>, Option<MessageError>) {
    let (mut reader, mut messages, mut rest) = (MessageReader::default(), Vec::new(), input);
    while !rest.is_empty() {
        let (arrived, later) = rest.split_at(piece.min(reader.room()).min(rest.len()));
        assert!(!arrived.is_empty(), "there is no room for what would complete the message");
        reader.add(arrived);
        rest = later;
        loop {
            match reader.take_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// A message is one non-empty line.
fn check_message(reason: &str) {
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
}
