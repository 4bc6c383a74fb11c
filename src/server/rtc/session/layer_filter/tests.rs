//! Tests of the layers of one viewer, down to its packets and its decoder.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp::header::Header;
use rtc::rtp::packetizer::Depacketizer as _;
use rtc::shared::marshal::{MarshalSize as _, Unmarshal as _};

use super::super::history::OutgoingFrame;
use super::super::packet_sink::PacketSink;
use super::super::packets::Packets;
use super::super::rtp_sender::{RtpStream, VideoSender};
use super::*;
use crate::media::encoder::{self, StreamDecoder};
use crate::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::server::rtc::peer::Srtp;
use crate::server::rtc::rate::pacer::{PacedPacket, SendPacer};
use crate::server::rtc::rtp_clock::{RtpClock, VIDEO_RATE};
use crate::server::rtc::sdp::accepted::RtpFormat;
use crate::server::rtc::sdp::formats::PacketizationMode;
use crate::server::sessions::PlayoutDelay;

const FORMAT: VideoFormat =
    VideoFormat { pixel: PixelFormat::I420, width: 320, height: 180, stride: 320, fps: 30.0, color: Colorimetry::SRGB };

/// A picture that moves, and is bright by its number.
fn picture(number: u64) -> RawFrame {
    let luma = (0..320 * 180).map(|at: u64| (40 + number * 2 + (at % 320 + number * 3) / 4 % 64) as u8);
    let data: Vec<u8> = luma.chain(std::iter::repeat_n(128, 320 * 90)).collect();
    RawFrame::new(Timestamp::from_start(Duration::from_millis(number * 33)), FORMAT, data.into())
}

/// What the software encoder makes of `count` pictures, the first of them a key frame.
fn stream(count: u64) -> Vec<EncodedFrame> {
    let config = encoder::Config { bitrate: 3_000_000, threads: 1, ..encoder::Config::default() };
    let mut encoder = encoder::open(&config, &FORMAT).expect("open");
    encoder.set_layers(true);
    (0..count).map(|number| encoder.encode(&picture(number), number == 0).expect("encode").expect("a frame")).collect()
}

/// A viewer and what is sent to it.
struct Sender {
    filter: LayerFilter,
    pacer: SendPacer<(Arc<OutgoingFrame>, usize)>,
    video: VideoSender,
    srtp: Srtp,
}

impl Sender {
    fn new() -> Self {
        let now = Instant::now();
        let mut pacer = SendPacer::new(3_000_000, now);
        pacer.set_free(true);
        let stream = RtpStream::new(RtpClock::random(VIDEO_RATE), RtpFormat::default());
        let video = VideoSender::new(stream, 1, 3_000_000);
        Self { filter: LayerFilter::default(), pacer, video, srtp: Srtp::for_tests() }
    }

    /// The packets of a frame as the viewer decrypts them.
    fn send(&mut self, frame: &EncodedFrame) -> Vec<(Header, Bytes)> {
        let now = Instant::now();
        let Some(kind) = self.filter.pass(frame) else { return Vec::new() };
        let frame = self.video.prepare(frame, PacketizationMode::NonInterleaved, PlayoutDelay::default());
        let packets = (0..frame.payloads.len()).map(|at| ((frame.clone(), at), 1_200));
        self.pacer.push_frame(packets, kind, now);
        let (mut leaving, mut packets) = (Vec::new(), Packets::default());
        self.pacer.take(now, true, &mut leaving);
        let mut sink = PacketSink { srtp: &mut self.srtp, packets: &mut packets, sent: None, now, probe: None };
        for paced in leaving {
            let PacedPacket::Pushed { packet: (frame, at), .. } = paced else { panic!("there is no padding") };
            self.video.packet(&frame, at, &mut sink).expect("encrypt");
        }
        let open = |datagram: &[u8]| {
            let plain = self.srtp.open_rtp(datagram).expect("decrypt").freeze();
            let header = Header::unmarshal(&mut &plain[..]).expect("a header");
            let payload = plain.slice(header.marshal_size()..);
            (header, payload)
        };
        packets.datagrams().each().map(open).collect()
    }
}

#[test]
fn the_base_layer_is_decoded_from_packets_without_gaps() {
    let frames = stream(60);
    let (mut sender, mut decoder, mut depacketizer) = (Sender::new(), StreamDecoder::default(), H264Packet::default());
    let (mut last, mut shown) = (None, Vec::new());
    for (number, frame) in frames.iter().enumerate() {
        match number {
            20 => sender.filter.set(Layers::Base),
            40 => sender.filter.set(Layers::All),
            _ => {}
        }
        let packets = sender.send(frame);
        if packets.is_empty() {
            continue;
        }
        let mut unit = Vec::new();
        for (at, (header, payload)) in packets.iter().enumerate() {
            let expected = last.map_or(header.sequence_number, |last: u16| last.wrapping_add(1));
            assert_eq!(header.sequence_number, expected, "frame {number}");
            assert_eq!(header.timestamp, sender.video.stream().clock().timestamp(frame.captured), "frame {number}");
            assert_eq!(header.marker, at + 1 == packets.len(), "frame {number}");
            last = Some(header.sequence_number);
            unit.extend_from_slice(&depacketizer.depacketize(payload).expect("a payload"));
        }
        let received = EncodedFrame::new(frame.captured, frame.key, unit.into());
        let decoded = decoder.decode(&received).expect("no error").expect("a picture");
        let (luma, drawn) = (320 * 180, picture(number as u64));
        let errors = decoded.data[..luma].iter().zip(&drawn.data[..luma]).map(|(a, b)| a.abs_diff(*b));
        let error = errors.map(u64::from).sum::<u64>() as f64 / luma as f64;
        assert!(error < 4.0, "frame {number} is off by {error} steps of luma");
        shown.push(number);
    }
    let base_only = |number: &usize| !(20..40).contains(number) || number.is_multiple_of(2);
    assert_eq!(shown, (0..60).filter(base_only).collect::<Vec<_>>());
    assert_eq!((sender.filter.take_left_out(), sender.filter.take_left_out()), (10, 0));
    // What was sent last can be sent again under its number.
    let last = last.expect("packets");
    assert!(sender.video.bytes_of(last).is_some() && sender.video.bytes_of(last.wrapping_add(1)).is_none());
}

#[test]
fn the_share_of_the_base_layer_is_what_is_sent() {
    let mut filter = LayerFilter::default();
    let mut sent = 0;
    for second in 0..4 {
        for frame in stream(30) {
            sent += if filter.pass(&frame).is_some() { frame.data.len() } else { 0 };
        }
        filter.tick(1.0);
        filter.set(Layers::Base);
        if second == 0 {
            sent = 0;
        }
    }
    let rates = filter.rates().expect("measured");
    assert!((0.4..0.98).contains(&rates.base_share), "{rates:?}");
    let share = sent as f64 * 8.0 / 3.0 / f64::from(rates.all);
    assert!((share - filter.sent_share()).abs() < 0.02, "{share}, {}", filter.sent_share());
    filter.set(Layers::All);
    assert_eq!(filter.sent_share(), 1.0);
    filter.begin_stream();
    assert_eq!(filter.rates(), None);
}

#[test]
fn layers_are_known_after_a_second_and_followed_within_a_few() {
    let mut meter = LayerMeter::default();
    // At 20 frames a second.
    let half_second = |meter: &mut LayerMeter, base, other| {
        for _ in 0..5 {
            meter.add(base, false);
            meter.add(other, true);
        }
        meter.tick(0.5);
    };
    half_second(&mut meter, 6_000, 4_000);
    assert_eq!(meter.rates(), None);
    half_second(&mut meter, 6_000, 4_000);
    let rates = meter.rates().expect("measured");
    assert_eq!((rates.all, (rates.base_share * 1e3).round()), (800_000, 600.0));
    (0..20).for_each(|_| half_second(&mut meter, 3_000, 0));
    let rates = meter.rates().expect("measured");
    assert!((240_000..245_000).contains(&rates.all) && rates.base_share > 0.99, "{rates:?}");
    (0..4).for_each(|_| meter.tick(0.5));
    assert!(meter.rates().is_some_and(|rates| rates.all < 100_000), "nothing comes");
}

#[test]
fn a_stream_without_frames_has_no_layers() {
    let mut meter = LayerMeter::default();
    (0..10).for_each(|_| meter.tick(0.5));
    assert_eq!(meter.rates(), None);
}
