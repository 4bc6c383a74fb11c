//! The bodies of the fuzz targets of what a viewer sends as datagrams: invariants of the protocols that read them. The test
//! suite runs them, too.
//!
//! Most of what a stranger sends is refused by a signature, a key or a checksum. Here the input says what an admitted viewer
//! sends behind those: it is signed, sealed or summed up as a viewer would.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use crc::{CRC_32_ISCSI, Crc};
use porthole::media::playout::{Playout, TalkPacket};
use porthole::media::{ScreenCodec, Timestamp};
use porthole::server::rtc::peer::{
    Consent, DataChannels, DataDescription, DtlsIdentity, InboundMedia, MAX_MESSAGE_SIZE, Peer, PeerDescription,
    PeerEvent, SCTP_PORT,
};
use porthole::server::rtc::rate::estimator::{Estimator, EstimatorConfig};
use porthole::server::rtc::rate::feedback::FeedbackReader;
use porthole::server::rtc::rate::history::{PacketKind, SentHistory, SentPacket};
use porthole::server::rtc::sdp::accepted::TalkFormat;
use porthole::server::rtc::{
    Credentials, Feedback, FrameAssembler, MAX_FRAME, PacketWindow, PicturePacket, TalkRtp, WindowItem,
};
use rtc::stun::attributes::AttrType;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message, MessageType, Setter as _, TransactionId};

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
#[cfg_attr(fuzzing, allow(dead_code))]
pub const TARGETS: [Target; 6] =
    [("stun", stun), ("dtls", dtls), ("sctp", sctp), ("rtcp", rtcp), ("talk", talk), ("screen", screen)];

/// Datagrams that a connection may send for one that it received, or for one timeout.
const MOST_ANSWERS: usize = 100;

/// Takes numbers and bytes from the front of the input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A length, and as many bytes of what is left.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(bytes)
    }
}

fn identity() -> &'static DtlsIdentity {
    static IDENTITY: OnceLock<DtlsIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let crypto = rtc::crypto::default_provider().expect("the library should have cryptography");
        DtlsIdentity::generate(crypto).expect("a certificate should be made")
    })
}

fn credentials(name: &str) -> Credentials {
    Credentials { ufrag: name.to_owned(), password: format!("the password of {name}") }
}

fn peer(ours: &str, theirs: &str, is_client: bool) -> Peer {
    let description = PeerDescription {
        ours: credentials(ours),
        theirs: credentials(theirs),
        is_controlling: is_client,
        consent: Consent::VIEWER,
        fingerprint: identity().fingerprint.to_string(),
        is_dtls_client: is_client,
        data: Some(DataDescription { max_message_size: MAX_MESSAGE_SIZE, negotiated: Some(0) }),
        inbound: InboundMedia::Picture,
    };
    Peer::new(identity(), description).expect("a connection should be made")
}

/// One of eight addresses of the viewer.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5_000 + u16::from(number % 8)))
}

/// Takes what a connection sends; how many datagrams that are.
fn drain(peer: &mut Peer) -> usize {
    std::iter::from_fn(|| peer.poll_transmit()).count()
}

/// STUN messages of an admitted viewer and of strangers: nothing is sent to an address before something signed came from
/// it, and nothing sends without end.
pub fn stun(input: &[u8]) {
    let mut input = Input(input);
    let mut server = peer("server", "client", false);
    let mut now = Instant::now();
    let mut signed = false;
    while let Some(kind) = input.byte() {
        let from = address(kind >> 4);
        match kind % 4 {
            0 => {
                let Some(datagram) = input.bytes() else { break };
                server.handle(datagram, from, now);
            }
            1 | 2 => {
                let Some(datagram) = message(&mut input) else { break };
                signed = true;
                server.handle(&datagram, from, now);
            }
            _ => {
                now += Duration::from_millis(10 * u64::from(kind));
                server.handle_timeout(now);
            }
        }
        let sent = drain(&mut server);
        assert!(sent <= MOST_ANSWERS && (signed || sent == 0), "{sent} datagrams, {signed}");
        assert!(signed || server.path().is_none(), "a path to {:?} without a signature", server.path());
        assert!(server.poll_timeout().is_none_or(|due| due + Duration::from_secs(60) > now));
        while server.poll_event().is_some() {}
    }
}

/// A STUN message with the attributes of the input, signed as the viewer's.
fn message(input: &mut Input) -> Option<Vec<u8>> {
    let mut typ = MessageType::default();
    typ.read_value(u16::from_be_bytes([input.byte()?, input.byte()?]));
    let id = TransactionId([input.byte()?; 12]);
    let mut message = Message { typ, transaction_id: id, ..Message::new() };
    message.write_header();
    for _ in 0..input.byte()? % 16 {
        let attribute = AttrType(u16::from_be_bytes([input.byte()?, input.byte()?]));
        message.add(attribute, input.bytes()?);
    }
    let crypto = identity().crypto().crypto();
    let password = credentials("server").password;
    MessageIntegrity::new_short_term_integrity_with_provider(password, crypto).add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}

/// Datagrams of a handshake that are lost, repeated, cut or damaged on their way, or come from somebody else: it ends, or it
/// stays open, but it neither fails the program nor sends without end. Undamaged it succeeds.
pub fn dtls(input: &[u8]) {
    let undamaged = input.iter().all(|byte| *byte < 128);
    let mut input = Input(input);
    let (mut server, mut client) = (peer("server", "client", false), peer("client", "server", true));
    let mut now = Instant::now();
    server.add_candidate(address(1), now);
    client.add_candidate(address(0), now);
    let mut connected = [false; 2];
    for _ in 0..40 {
        let mut sent = 0;
        while let Some((_, datagram)) = client.poll_transmit() {
            sent += 1;
            for datagram in tampered(datagram.to_vec(), &mut input) {
                server.handle(&datagram, address(1), now);
            }
        }
        while let Some((_, datagram)) = server.poll_transmit() {
            sent += 1;
            client.handle(&datagram, address(0), now);
        }
        assert!(sent <= 2 * MOST_ANSWERS, "{sent} datagrams at a time");
        for (peer, connected) in [&mut server, &mut client].into_iter().zip(&mut connected) {
            while let Some(event) = peer.poll_event() {
                *connected |= matches!(event, PeerEvent::Connected);
            }
        }
        now += Duration::from_millis(100);
        server.handle_timeout(now);
        client.handle_timeout(now);
    }
    assert!(!undamaged || connected == [true; 2], "connected: {connected:?}");
}

/// What becomes of a datagram on its way; the input decides, and lets pass what comes after its end.
fn tampered(mut datagram: Vec<u8>, input: &mut Input) -> Vec<Vec<u8>> {
    let Some(change) = input.byte() else { return vec![datagram] };
    let at = usize::from(input.0.first().copied().unwrap_or(0)) * datagram.len() / 256;
    match change {
        0..128 => return vec![datagram],
        128..144 => return Vec::new(),
        144..160 => return vec![datagram.clone(), datagram],
        160..184 => datagram.truncate(at),
        184..232 => {
            if let Some(byte) = datagram.get_mut(at) {
                *byte ^= change - 183;
            }
        }
        232.. => {
            let stranger = input.bytes().unwrap_or_default().to_vec();
            return vec![stranger, datagram];
        }
    }
    input.byte();
    vec![datagram]
}

/// Packets in an association that is open, with the right tag and checksum: what they make the program keep and send is
/// bounded, and messages are not longer than allowed.
pub fn sctp(input: &[u8]) {
    let mut input = Input(input);
    let Some((mut server, header, viewer, ours, mut now)) = association() else { panic!("no association") };
    while let Some(kind) = input.byte() {
        let outcome = match kind % 8 {
            0 => {
                let Some(packet) = input.bytes() else { break };
                server.handle(packet.into(), now)
            }
            1 => {
                now += Duration::from_millis(50 * u64::from(kind));
                server.handle_timeout(now);
                Ok(())
            }
            2 => {
                while let Some(message) = server.read(u16::from(kind >> 4), now) {
                    assert!(message.data.len() <= MAX_MESSAGE_SIZE as usize, "{} bytes", message.data.len());
                }
                Ok(())
            }
            _ => {
                let mut packet = header.to_vec();
                for _ in 0..=kind >> 6 {
                    let (Some(kind), Some(flags), Some(body)) = (input.byte(), input.byte(), input.bytes()) else {
                        break;
                    };
                    chunk(&mut packet, kind, flags, body, viewer, ours);
                }
                server.handle(summed(packet), now)
            }
        };
        let sent = server.poll_transmit(now).len();
        assert!(sent <= MOST_ANSWERS, "{sent} packets");
        let events = std::iter::from_fn(|| server.poll_event()).count();
        assert!(events <= 1_000, "{events} events");
        if let Err(violation) = outcome {
            assert!(!violation.to_string().is_empty());
            return;
        }
    }
}

/// The program's end of an association that is open, the header of the viewer's packets, the first sequence numbers of the
/// viewer and of the program, and the time.
fn association() -> Option<(DataChannels, [u8; 12], u32, u32, Instant)> {
    let now = Instant::now();
    let mut server = DataChannels::new(MAX_MESSAGE_SIZE, Some(0), false);
    let mut client = DataChannels::new(MAX_MESSAGE_SIZE, Some(0), true);
    client.connect(now);
    let (mut header, mut viewer, mut ours) = ([0; 12], None, None);
    header[..4].copy_from_slice(&[SCTP_PORT.to_be_bytes(); 2].concat());
    for _ in 0..8 {
        for packet in client.poll_transmit(now) {
            header[4..8].copy_from_slice(packet.get(4..8)?);
            viewer = viewer.or(word(&packet, 28));
            server.handle(packet.as_ref().into(), now).ok()?;
        }
        for packet in server.poll_transmit(now) {
            ours = ours.or(word(&packet, 28));
            client.handle(packet.as_ref().into(), now).ok()?;
        }
    }
    Some((server, header, viewer?, ours?, now))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Appends a chunk. Its sequence number, if it has one, is relative to the first one of whoever counts it.
fn chunk(packet: &mut Vec<u8>, kind: u8, flags: u8, body: &[u8], viewer: u32, ours: u32) {
    let mut body = body.to_vec();
    // DATA and FORWARD-TSN count the viewer's chunks, SACK ours.
    let base = match kind {
        0 | 192 => Some(viewer),
        3 => Some(ours),
        _ => None,
    };
    if let (Some(base), Some(relative)) = (base, word(&body, 0)) {
        body[..4].copy_from_slice(&base.wrapping_add(relative).to_be_bytes());
    }
    packet.extend([kind, flags]);
    packet.extend((body.len() as u16 + 4).to_be_bytes());
    packet.extend(&body);
    packet.resize(packet.len().next_multiple_of(4), 0);
}

/// A packet with its checksum (RFC 9260 appendix A).
fn summed(mut packet: Vec<u8>) -> BytesMut {
    let sum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(&packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet.as_slice().into()
}

/// A compound of RTCP, after decryption: what it asks for is bounded by its length, and the estimate stays in its bounds.
pub fn rtcp(input: &[u8]) {
    const VIDEO: u32 = 1;
    let mut now = Instant::now();
    let feedback = Feedback::read(&Bytes::copy_from_slice(input), VIDEO, Timestamp::now());
    assert!(feedback.lost.len() <= input.len() / 4 * 17, "{} lost packets", feedback.lost.len());
    assert!(feedback.congestion.iter().map(Bytes::len).sum::<usize>() <= input.len());
    let config = EstimatorConfig::for_stream(2_000_000, 64_000);
    let (mut estimator, mut history, mut reader) =
        (Estimator::new(config, now), SentHistory::new(), FeedbackReader::new());
    feedback.rtt.into_iter().for_each(|rtt| estimator.on_rtt(rtt));
    for packet in &feedback.congestion {
        for _ in 0..50 {
            history.note_sent(SentPacket { sent: now, bytes: 1_200, kind: PacketKind::Video, probe: None });
            now += Duration::from_millis(3);
        }
        match reader.read(packet) {
            Ok(statuses) => {
                let statuses = statuses.unwrap_or_default();
                // A run of equal statuses takes two bytes for up to 8,191 packets.
                assert!(statuses.len() <= 8_192, "{} statuses", statuses.len());
                estimator.on_feedback(&history.on_feedback(&statuses), now);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        estimator.on_tick(history.in_flight(now), now);
        let _ = (estimator.poll_probe(now), estimator.poll_keepalive(now));
        let target = estimator.target();
        assert!((config.min..=config.max).contains(&target), "{target} bit/s");
        assert!(estimator.loss().is_finite() && estimator.queue_delay() < Duration::from_secs(1 << 20));
    }
}

/// RTP packets of somebody who talks, after decryption, in any order and at any time, and Opus that is none: what is held is
/// bounded, and what is played are as many samples as were asked for.
pub fn talk(input: &[u8]) {
    const FORMAT: TalkFormat = TalkFormat { payload_type: 111, red: Some(63) };
    let mut input = Input(input);
    let mut playout = Playout::new().expect("libopus should have memory");
    let (mut now, mut samples, mut inserted) = (Duration::from_secs(9), Vec::new(), 0);
    let (mut sequence, mut timestamp) = (u16::MAX - 3, u32::MAX - 3_000);
    while let Some(kind) = input.byte() {
        let arrived = Timestamp::from_start(now);
        match kind % 4 {
            // A packet as it comes.
            0 => {
                let Some(packet) = input.bytes() else { break };
                let read = TalkRtp::read(&Bytes::copy_from_slice(packet), FORMAT, arrived);
                for packet in read.map(|read| read.packets).unwrap_or_default() {
                    assert!(!packet.payload.is_empty());
                    inserted += 1;
                    playout.insert(packet);
                }
            }
            // The next one, or one near it, with any payload.
            1 | 2 => {
                let (Some(step), Some(payload)) = (input.byte(), input.bytes()) else { break };
                let step = if step < 128 { 1 } else { i16::from(step as i8) };
                sequence = sequence.wrapping_add_signed(step);
                timestamp = timestamp.wrapping_add_signed(i32::from(step) * 120 * i32::from(kind >> 4));
                let payload = Bytes::copy_from_slice(payload);
                playout.insert(TalkPacket { sequence, timestamp, arrived, is_redundant: kind & 8 > 0, payload });
                inserted += 1;
            }
            _ => {
                let count = usize::from(kind) * 10;
                samples.clear();
                let stretch = playout.stretch(arrived);
                assert!((stretch - 1.0).abs() < 0.01, "{stretch}");
                playout.fill(&mut samples, count, arrived);
                assert_eq!(samples.len(), count);
                assert!(samples.iter().all(|sample| sample.is_finite()));
                now += Duration::from_millis(u64::from(kind) / 4);
            }
        }
        let counts = playout.counts();
        assert!(
            counts.played + counts.late + counts.skipped + counts.malformed <= inserted,
            "{counts:?} of {inserted}"
        );
    }
}

/// Packets of a talker's picture, after decryption, in any order and at any time: what is asked for and what comes out is bounded,
/// and nothing comes out before a key frame.
pub fn screen(input: &[u8]) {
    let mut input = Input(input);
    let Some(codec) = input.byte() else { return };
    let codec = if codec & 1 == 0 { ScreenCodec::H264 } else { ScreenCodec::Vp8 };
    let (mut window, mut assembler) = (PacketWindow::default(), FrameAssembler::new(codec));
    let (mut now, mut number, mut timestamp) = (Duration::from_secs(9), u16::MAX - 3, u32::MAX - 3_000);
    let (mut frames, mut has_begun, mut last) = (Vec::new(), false, 0);
    while let (Some(kind), Some(payload)) = (input.byte(), input.bytes()) {
        // One after the other, or with a jump.
        number = number.wrapping_add_signed(if kind & 0x0c == 0x0c { i16::from(kind as i8) * 5 } else { 1 });
        now += Duration::from_millis(u64::from(kind & 3) * 40);
        let arrived = Timestamp::from_start(now);
        let payload = Bytes::copy_from_slice(payload);
        let missing = window.insert(number, arrived, PicturePacket { timestamp, marker: kind & 0x10 != 0, payload });
        assert!(missing.len() <= 64, "{} packets are asked for", missing.len());
        timestamp = timestamp.wrapping_add(u32::from(kind >> 4) * 1_500);
        while let Some(item) = window.pop(arrived) {
            match item {
                WindowItem::Packet(packet) => assembler.push(&packet, &mut frames),
                WindowItem::Gap => assembler.note_gap(),
            }
        }
        if kind == 0xff {
            assembler.restart();
        }
        for frame in frames.drain(..) {
            assert!(frame.data.len() <= MAX_FRAME && frame.codec == codec);
            assert!((frame.key || has_begun) && frame.ticks >= last, "{frame:?}");
            (has_begun, last) = (true, frame.ticks);
        }
    }
}
