//! From RTP packets to video and audio: reordering, access units, decoding. No signalling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;
use porthole::capture::camera::timecode;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp::header::Header;
use rtc::rtp::packetizer::Depacketizer as _;
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::{Audio, Event, Frame, Image};

/// How many later packets may arrive before one is given up: 0.5 s of a 2 Mbit/s stream, enough for a retransmission.
const REORDER: usize = 120;

/// Receives the video of a track. A thread of its own decodes, so that packets are taken from the socket meanwhile.
pub async fn video(track: Arc<dyn TrackRemote>, events: mpsc::UnboundedSender<Event>, decode: bool) {
    let (packets, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || assemble(&received, &events, decode));
    while let Some(event) = track.poll().await {
        if let TrackRemoteEvent::OnRtpPacket(packet) = event {
            let _ = packets.send((packet, Instant::now()));
        }
    }
}

/// Makes frames of packets, each with when it arrived.
fn assemble(received: &Receiver<(rtc::rtp::Packet, Instant)>, events: &mpsc::UnboundedSender<Event>, decode: bool) {
    let mut decoder = decode.then(|| Decoder::new().expect("decoder"));
    let mut waiting: BTreeMap<u64, (rtc::rtp::Packet, Instant)> = BTreeMap::new();
    let mut next: Option<u64> = None;
    let mut unit = Unit::default();
    while let Ok((packet, arrived)) = received.recv() {
        let sequence = extend(packet.header.sequence_number, next.unwrap_or(0x1_0000));
        let expected = *next.get_or_insert(sequence);
        if sequence < expected {
            continue;
        }
        waiting.insert(sequence, (packet, arrived));
        if waiting.len() > REORDER {
            let first = *waiting.keys().next().expect("packets wait");
            let lost = (first - next.expect("a packet came in")) as usize;
            let _ = events.send(Event::Lost(lost));
            unit = Unit { broken: true, ..Default::default() };
            next = Some(first);
        }
        while let Some((packet, arrived)) = next.and_then(|at| waiting.remove(&at)) {
            next = next.map(|at| at + 1);
            if let Some(frame) = unit.add(&packet, arrived, decoder.as_mut()) {
                let _ = events.send(Event::Frame(frame));
            }
        }
    }
}

/// Extends a 16-bit sequence number to the 64-bit value nearest to `near`.
fn extend(sequence: u16, near: u64) -> u64 {
    let delta = sequence.wrapping_sub(near as u16) as i16;
    near.saturating_add_signed(delta.into())
}

/// An access unit being assembled.
#[derive(Default)]
struct Unit {
    data: Vec<u8>,
    packets: H264Packet,
    capture_ntp: Option<u64>,
    playout_delay: Option<Bytes>,
    /// Its start was lost.
    broken: bool,
    /// The timestamp of its packets.
    timestamp: Option<u32>,
    /// NAL units were cut, or shared a packet.
    packed: bool,
    /// When the last of its packets arrived.
    arrived: Option<Instant>,
}

impl Unit {
    fn add(&mut self, packet: &rtc::rtp::Packet, arrived: Instant, decoder: Option<&mut Decoder>) -> Option<Frame> {
        if self.timestamp.replace(packet.header.timestamp).is_some_and(|timestamp| timestamp != packet.header.timestamp)
        {
            // The one before has no end: its rest was not sent.
            *self = Self { timestamp: self.timestamp, ..Self::default() };
        }
        for extension in &packet.header.extensions {
            match extension.payload.len() {
                8 | 16 => {
                    let first = extension.payload.first_chunk().copied();
                    self.capture_ntp = self.capture_ntp.or(first.map(u64::from_be_bytes));
                }
                3 if packet.header.timestamp != 0 => self.playout_delay = Some(extension.payload.clone()),
                _ => {}
            }
        }
        self.arrived = self.arrived.max(Some(arrived));
        // Types above 23 are those of aggregates and fragments (RFC 6184 table 1).
        self.packed |= packet.payload.first().is_some_and(|header| header & 0x1f > 23);
        match self.packets.depacketize(&packet.payload) {
            Ok(part) => self.data.extend_from_slice(&part),
            Err(_) => self.broken = true,
        }
        if !packet.header.marker {
            return None;
        }
        let unit = std::mem::take(self);
        if unit.broken || unit.data.is_empty() {
            return None;
        }
        let key = unit.data.windows(4).any(|window| window[..3] == [0, 0, 1] && window[3] & 0x1f == 5);
        let image = decoder.and_then(|decoder| decode_image(decoder, &unit.data));
        Some(Frame {
            ssrc: packet.header.ssrc,
            timestamp: packet.header.timestamp,
            key,
            arrived: unit.arrived?,
            capture_ntp: unit.capture_ntp,
            playout_delay: unit.playout_delay,
            single_nal_units: !unit.packed,
            image,
        })
    }
}

fn decode_image(decoder: &mut Decoder, access_unit: &[u8]) -> Option<Image> {
    let yuv = decoder.decode(access_unit).ok()??;
    let (width, height) = yuv.dimensions();
    let (y_stride, u_stride, v_stride) = yuv.strides();
    let tight = |plane: &[u8], stride: usize, width: usize, height: usize| -> Vec<u8> {
        let mut tight = Vec::with_capacity(width * height);
        // A line at a time: byte by byte takes longer than decoding, as this is not optimised.
        plane.chunks(stride).take(height).for_each(|line| tight.extend_from_slice(&line[..width]));
        tight
    };
    let y = tight(yuv.y(), y_stride, width, height);
    let code = timecode::read(&y, width, height, width);
    Some(Image {
        width,
        height,
        code,
        u: tight(yuv.u(), u_stride, width / 2, height / 2),
        v: tight(yuv.v(), v_stride, width / 2, height / 2),
        y,
        decoded: unix_tenths(),
    })
}

/// Tenths of a millisecond since the Unix epoch, as in the timecode.
pub fn unix_tenths() -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_micros() / 100) as u64
}

pub async fn audio(track: Arc<dyn TrackRemote>, events: mpsc::UnboundedSender<Event>, decode: bool) {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).expect("decoder");
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        if packet.payload.is_empty() {
            continue;
        }
        let arrived = Instant::now();
        let mut samples = vec![0i16; 5_760 * 2];
        let count = if decode { decoder.decode(&packet.payload, &mut samples, false).unwrap_or(0) } else { 0 };
        samples.truncate(count * 2);
        // By the configuration in the first five bits (RFC 6716 section 3.1).
        let speech = packet.payload[0] >> 3 < 16;
        let Header { ssrc, timestamp, sequence_number, marker, .. } = packet.header;
        let _ = events.send(Event::Audio(Audio { ssrc, timestamp, sequence_number, marker, arrived, speech, samples }));
    }
}
