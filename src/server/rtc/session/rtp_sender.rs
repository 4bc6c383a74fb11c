//! The RTP streams of a session: packets with capture timestamps and header extensions, and retransmissions (NACK, RTX).
//!
//! Pure: packets go into a [`PacketSink`]. The payloads are shared with all other sessions.

use std::sync::Arc;
use std::time::Instant;

use rtc::shared::error::Error;

use super::history::{OutgoingFrame, PacketHead, ResentPacket, SentFrames};
use super::packet_sink::{PacketSink, PlainPacket};
use super::rtp_header::{HeaderExtensions, PacketCounter, RtpHeader, initial_sequence};
use crate::media::EncodedFrame;
use crate::media::encoder::SMALL_NAL;
use crate::media::h264::payload::{FIRST_EXTENSIONS, MAX_PAYLOAD};
use crate::server::rtc::rate::history::PacketKind;
use crate::server::rtc::rate::repair::RepairBudget;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::server::rtc::sdp::accepted::RtpFormat;
use crate::server::rtc::sdp::formats::PacketizationMode;
use crate::server::sessions::PlayoutDelay;

/// Bytes of a packet besides its payload, at most: header, extensions, and the tag of SRTP.
pub const OVERHEAD: usize = 64;

// With packetization-mode 0 a NAL unit is a payload.
const _: () = assert!(SMALL_NAL <= MAX_PAYLOAD);

/// One RTP stream.
#[derive(Debug)]
pub struct RtpStream {
    clock: RtpClock,
    format: RtpFormat,
    counter: PacketCounter,
    /// The packet that is being written.
    plain: Vec<u8>,
}

impl RtpStream {
    /// A stream with this clock, as it was negotiated.
    pub fn new(clock: RtpClock, format: RtpFormat) -> Self {
        Self { clock, format, counter: PacketCounter::random(), plain: Vec::new() }
    }

    /// Its clock and synchronisation source.
    pub fn clock(&self) -> &RtpClock {
        &self.clock
    }

    /// Packets and bytes of payload sent, modulo 2^32 (RFC 3550 section 6.4.1).
    pub fn sent(&self) -> (u32, u32) {
        self.counter.sent()
    }

    /// Whether its packets have transport-wide numbers.
    pub fn is_numbered(&self) -> bool {
        self.format.transport_number_id.is_some()
    }

    /// What was negotiated for it.
    pub(super) fn format(&self) -> &RtpFormat {
        &self.format
    }

    /// Sends the next packet, and counts it. Returns what it takes on the wire, in bytes.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub(super) fn push(
        &mut self,
        payload_type: u8,
        head: &PacketHead,
        payload: impl FnOnce(&mut Vec<u8>),
        kind: PacketKind,
        sink: &mut PacketSink<'_>,
    ) -> Result<usize, Error> {
        let (number, ssrc) = (self.counter.next_number(), self.clock.ssrc);
        let PacketHead { marker, timestamp, .. } = *head;
        let header = RtpHeader { payload_type, marker, padding: false, number, timestamp, ssrc };
        let (size, payload_bytes) = self.send(header, head, payload, kind, sink)?;
        self.counter.count(payload_bytes);
        Ok(size)
    }

    /// Sends a packet. Returns what it and its payload take, in bytes.
    fn send(
        &mut self,
        header: RtpHeader,
        head: &PacketHead,
        payload: impl FnOnce(&mut Vec<u8>),
        kind: PacketKind,
        sink: &mut PacketSink<'_>,
    ) -> Result<(usize, usize), Error> {
        let (extensions, number_at) = extensions(&self.format, head);
        header.write(&extensions, &mut self.plain);
        payload(&mut self.plain);
        let payload_bytes = self.plain.len() - extensions.header_bytes();
        let packet = PlainPacket { header, extensions, number_at, bytes: &mut self.plain };
        Ok((sink.push(packet, kind)?, payload_bytes))
    }
}

/// The stream of a session's video.
#[derive(Debug)]
pub struct VideoSender {
    stream: RtpStream,
    rtx: Option<Retransmissions>,
    frames: SentFrames,
    repair: RepairBudget,
    /// The timestamp of the last packet.
    last_timestamp: u32,
}

/// The stream that packets are sent again on (RFC 4588).
#[derive(Debug)]
struct Retransmissions {
    ssrc: u32,
    payload_type: u8,
    next: u16,
}

impl VideoSender {
    /// The stream of `bitrate` bit/s, with the synchronisation source of its retransmissions if they were negotiated.
    pub fn new(stream: RtpStream, rtx_ssrc: u32, bitrate: u32) -> Self {
        let rtx = stream.format.rtx.map(|payload_type| Retransmissions {
            ssrc: rtx_ssrc,
            payload_type,
            next: initial_sequence(),
        });
        let repair = RepairBudget::new(bitrate, Instant::now());
        Self { stream, rtx, frames: SentFrames::default(), repair, last_timestamp: 0 }
    }

    /// The stream itself.
    pub fn stream(&self) -> &RtpStream {
        &self.stream
    }

    /// A frame as it is sent, its NAL units in packets as `mode` has it.
    pub fn prepare(&self, frame: &EncodedFrame, mode: PacketizationMode, delay: PlayoutDelay) -> Arc<OutgoingFrame> {
        let payloads = match mode {
            PacketizationMode::SingleNalUnit => frame.payloads.single_nal_units(&frame.data),
            PacketizationMode::NonInterleaved => frame.payloads.non_interleaved(&frame.data),
        };
        let timestamp = self.stream.clock.timestamp(frame.captured);
        Arc::new(OutgoingFrame {
            payloads,
            captured: frame.captured,
            timestamp,
            playout_delay: playout_delay(delay),
            key: frame.key,
            placeholder: frame.placeholder,
        })
    }

    /// Sends a packet of a frame. All of a frame follow each other.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn packet(&mut self, frame: &Arc<OutgoingFrame>, at: usize, sink: &mut PacketSink<'_>) -> Result<(), Error> {
        let Some(payload) = frame.payloads.get(at) else { return Ok(()) };
        if at == 0 {
            self.frames.push(self.stream.counter.next_number(), frame.clone());
        }
        let (head, number) = (frame.head(at), self.stream.counter.next_number());
        let payload_type = self.stream.format.payload_type;
        let bytes = self.stream.push(payload_type, &head, |plain| payload.write(plain), PacketKind::Video, sink)?;
        self.last_timestamp = head.timestamp;
        self.repair.note_sent(number, bytes, at == 0 && frame.key, sink.now);
        if head.marker {
            sink.packets.end_frame(frame.captured);
        }
        Ok(())
    }

    /// Sends a packet again. Returns what it takes on the wire, in bytes.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn resend(&mut self, number: u16, sink: &mut PacketSink<'_>) -> Result<usize, Error> {
        let Some(ResentPacket { head, payload }) = self.frames.find(number) else { return Ok(0) };
        let PacketHead { timestamp, marker, .. } = head;
        let (payload_type, ssrc) = (self.stream.format.payload_type, self.stream.clock.ssrc);
        let original = RtpHeader { payload_type, marker, padding: false, number, timestamp, ssrc };
        let header = match &mut self.rtx {
            Some(rtx) => {
                let next = rtx.next.wrapping_add(1);
                let number = std::mem::replace(&mut rtx.next, next);
                RtpHeader { payload_type: rtx.payload_type, number, ssrc: rtx.ssrc, ..original }
            }
            None => original,
        };
        let prefix = self.rtx.as_ref().map(|_| number.to_be_bytes());
        let write = |plain: &mut Vec<u8>| {
            plain.extend(prefix.into_iter().flatten());
            payload.write(plain);
        };
        let (bytes, _) = self.stream.send(header, &head, write, PacketKind::Repair, sink)?;
        if let Some(sent) = &mut sink.sent {
            sent.note_repeats(number);
        }
        Ok(bytes)
    }

    /// Sends nothing again of what was sent so far.
    pub fn forget_sent(&mut self) {
        self.frames = SentFrames::default();
    }

    /// Whether there is a stream for padding.
    pub fn has_padding(&self) -> bool {
        self.rtx.is_some()
    }

    /// Sends a packet that carries nothing, to fill a probe: as libwebrtc does, on the stream of retransmissions, where it
    /// leaves no gap in the video.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn padding(&mut self, bytes: u8, sink: &mut PacketSink<'_>) -> Result<(), Error> {
        let Some(rtx) = &mut self.rtx else { return Ok(()) };
        let next = rtx.next.wrapping_add(1);
        let number = std::mem::replace(&mut rtx.next, next);
        let header = RtpHeader {
            payload_type: rtx.payload_type,
            marker: false,
            padding: true,
            number,
            timestamp: self.last_timestamp,
            ssrc: rtx.ssrc,
        };
        let head = PacketHead { timestamp: self.last_timestamp, marker: false, captured: None, playout_delay: None };
        let write = |plain: &mut Vec<u8>| {
            // The last byte is the length of the padding (RFC 3550 section 5.1).
            plain.resize(plain.len() + usize::from(bytes.max(1)) - 1, 0);
            plain.push(bytes.max(1));
        };
        self.stream.send(header, &head, write, PacketKind::Padding, sink)?;
        Ok(())
    }

    /// What a packet takes, in bytes, if it can be sent again.
    pub fn bytes_of(&self, number: u16) -> Option<usize> {
        self.frames.find(number).map(|packet| packet.payload.byte_count() + OVERHEAD)
    }

    /// The budget of what is sent again.
    pub fn repair(&mut self) -> &mut RepairBudget {
        &mut self.repair
    }
}

/// The header extensions of a packet, and where its transport-wide number goes.
fn extensions(format: &RtpFormat, head: &PacketHead) -> (HeaderExtensions, Option<usize>) {
    let RtpFormat { capture_time_id, playout_delay_id, transport_number_id, .. } = *format;
    let ids = [capture_time_id, playout_delay_id, transport_number_id];
    let none = HeaderExtensions::new(ids.into_iter().flatten());
    let number = |mut extensions: HeaderExtensions| {
        let number_at = transport_number_id.map(|id| extensions.push(id, [0; 2]));
        (extensions, number_at)
    };
    let others = number(none);
    let mut first = none;
    if let Some((id, time)) = capture_time_id.zip(head.captured) {
        first.push(id, time.to_be_bytes());
    }
    if let Some((id, delay)) = playout_delay_id.zip(head.playout_delay) {
        let [_, delay @ ..] = delay.to_be_bytes();
        first.push(id, delay);
    }
    let (mut first, number_at) = number(first);
    if head.playout_delay.is_some() {
        // All packets of a frame have one length.
        first.pad_to(others.0.header_bytes() + FIRST_EXTENSIONS);
    }
    (first, number_at)
}

/// The value of the `playout-delay` header extension in its last three bytes: 12 bits each for the minimum and the
/// maximum delay, in units of 10 ms.
fn playout_delay(PlayoutDelay { min_ms, max_ms }: PlayoutDelay) -> u32 {
    (u32::from(min_ms / 10) << 12) | u32::from(max_ms / 10) & 0xfff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(ids: [Option<u8>; 3]) -> RtpFormat {
        let [capture_time_id, playout_delay_id, transport_number_id] = ids;
        RtpFormat { capture_time_id, playout_delay_id, transport_number_id, ..RtpFormat::default() }
    }

    fn head(is_first: bool) -> PacketHead {
        let (captured, playout_delay) = (is_first.then_some(5), is_first.then_some(3));
        PacketHead { timestamp: 9, marker: false, captured, playout_delay }
    }

    #[test]
    fn the_first_header_of_a_frame_is_longer_by_what_its_payload_is_shorter() {
        for ids in [[Some(1), Some(2), Some(3)], [Some(1), Some(2), None], [Some(16), Some(2), Some(3)]] {
            let (first, _) = extensions(&format(ids), &head(true));
            let (other, _) = extensions(&format(ids), &head(false));
            assert_eq!(first.header_bytes() - other.header_bytes(), FIRST_EXTENSIONS, "{ids:?}");
        }
        let (none, number_at) = extensions(&format([None; 3]), &head(true));
        assert_eq!((none.header_bytes(), number_at), (12, None));
        let (numbered, number_at) = extensions(&format([None, None, Some(3)]), &head(false));
        assert_eq!((numbered.header_bytes(), number_at), (20, Some(17)));
    }

    #[test]
    fn the_playout_delay_is_two_times_twelve_bits() {
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 0, max_ms: 0 }), 0);
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 100, max_ms: 40_950 }), 0x00_af_ff);
    }
}
