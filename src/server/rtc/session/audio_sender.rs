//! The RTP stream of a session's audio: Opus packets, which also carry earlier ones while the viewer's network loses packets
//! (RFC 2198).
//!
//! Pure: packets go into a [`PacketSink`], and time is an argument. How many earlier ones there are is decided in
//! `rate::redundancy`.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rtc::shared::error::Error;

use super::history::PacketHead;
use super::packet_sink::PacketSink;
use super::rtp_sender::{OVERHEAD, RtpStream};
use crate::media::AudioPacket;
use crate::media::h264::payload::MAX_PAYLOAD;
use crate::server::rtc::rate::history::PacketKind;
use crate::server::rtc::rate::redundancy::{MAX_REDUNDANCY, RedundancyPolicy};

/// The header of an earlier packet (RFC 2198 section 3).
const BLOCK_HEADER: usize = 4;

/// An earlier packet has this many bytes at most: the length has ten bits.
const MAX_BLOCK: usize = (1 << 10) - 1;

/// It is at most this much older, in RTP time: the offset has 14 bits.
const MAX_OFFSET: u32 = (1 << 14) - 1;

/// Set in the header of a block that is followed by another.
const FOLLOWED: u8 = 0x80;

/// The bitrate of one byte in each packet of 20 ms, in bit/s.
const BITRATE_OF_A_BYTE: f64 = 8.0 * 50.0;

/// The weight of a packet in what packets usually take: that of the last second or so.
const WEIGHT: f64 = 0.02;

/// A packet that may go along with later ones.
#[derive(Debug, Clone)]
struct Block {
    timestamp: u32,
    data: Bytes,
}

/// The stream of a session's audio.
#[derive(Debug)]
pub struct AudioSender {
    stream: RtpStream,
    redundancy: RedundancyPolicy,
    /// The last packets, the newest at the end.
    last: VecDeque<Block>,
    /// What a packet takes without earlier ones, smoothed, in bytes with its headers.
    usual_bytes: f64,
}

impl AudioSender {
    /// Sends on this stream.
    pub fn new(stream: RtpStream) -> Self {
        let redundancy = RedundancyPolicy::new(stream.format().red.is_some());
        Self { stream, redundancy, last: VecDeque::with_capacity(MAX_REDUNDANCY), usual_bytes: 0.0 }
    }

    /// The stream itself.
    pub fn stream(&self) -> &RtpStream {
        &self.stream
    }

    /// Follows the viewer's network: the share of packets that it loses, and what it carries in bit/s, as far as is known.
    pub fn set_network(&mut self, loss: f64, estimate: Option<u32>, now: Instant) {
        let before = self.redundancy.depth();
        self.redundancy.update(loss, estimate, self.usual_bytes * BITRATE_OF_A_BYTE, now);
        if before != self.redundancy.depth() {
            tracing::debug!(loss, "each audio packet also carries the last {}", self.redundancy.depth());
        }
    }

    /// Whether the viewer loses packets that only the encoder can make up for.
    pub fn needs_fec(&self) -> bool {
        self.redundancy.needs_fec()
    }

    /// The bytes of payload that a packet would have now. While others wait before it, that is an approximation.
    pub fn payload_bytes(&self, packet: &AudioPacket) -> usize {
        let timestamp = self.stream.clock().timestamp(packet.captured);
        let earlier = self.last.range(self.last.len() - self.earlier(timestamp, packet.data.len())..);
        let blocks: usize = earlier.map(|block| BLOCK_HEADER + block.data.len()).sum();
        if blocks > 0 { blocks + 1 + packet.data.len() } else { packet.data.len() }
    }

    /// Sends an Opus packet, with the marker if it is the first one after a gap (RFC 3551 section 4.1). Returns how many
    /// earlier ones it carries.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn packet(&mut self, packet: &AudioPacket, sink: &mut PacketSink<'_>) -> Result<usize, Error> {
        let timestamp = self.stream.clock().timestamp(packet.captured);
        let captured = Some(packet.captured.ntp());
        let head = PacketHead { timestamp, marker: packet.gap, captured, playout_delay: None };
        let (opus, red) = (self.stream.format().payload_type, self.stream.format().red);
        let count = self.earlier(timestamp, packet.data.len());
        let payload_type = red.filter(|_| count > 0).unwrap_or(opus);
        let earlier = self.last.range(self.last.len() - count..);
        let write = |plain: &mut Vec<u8>| {
            write_earlier(earlier, timestamp, opus, plain);
            plain.extend_from_slice(&packet.data);
        };
        self.stream.push(payload_type, &head, write, PacketKind::Audio, sink)?;
        let bytes = (packet.data.len() + OVERHEAD) as f64;
        self.usual_bytes += (bytes - self.usual_bytes) * if self.usual_bytes == 0.0 { 1.0 } else { WEIGHT };
        if red.is_some() {
            self.remember(Block { timestamp, data: packet.data.clone() });
        }
        Ok(count)
    }

    /// Sends nothing again of what was sent so far.
    pub fn forget_sent(&mut self) {
        self.last.clear();
    }

    /// How many of the last packets go along with one of `bytes` and this RTP timestamp.
    fn earlier(&self, timestamp: u32, bytes: usize) -> usize {
        let mut room = MAX_PAYLOAD.saturating_sub(1 + bytes);
        let fits = |block: &&Block| {
            let bytes = BLOCK_HEADER + block.data.len();
            let offset = timestamp.wrapping_sub(block.timestamp);
            let fits = (1..=MAX_OFFSET).contains(&offset) && block.data.len() <= MAX_BLOCK && bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        };
        self.last.iter().rev().take(self.redundancy.depth()).take_while(fits).count()
    }

    fn remember(&mut self, block: Block) {
        if self.last.len() == MAX_REDUNDANCY {
            self.last.pop_front();
        }
        self.last.push_back(block);
    }
}

/// Writes the headers of all packets that one of this RTP timestamp carries, and those that are earlier, if there are any (RFC
/// 2198 section 3).
fn write_earlier<'b>(
    earlier: impl ExactSizeIterator<Item = &'b Block> + Clone,
    timestamp: u32,
    payload_type: u8,
    plain: &mut Vec<u8>,
) {
    if earlier.len() == 0 {
        return;
    }
    for block in earlier.clone() {
        let offset = timestamp.wrapping_sub(block.timestamp) & MAX_OFFSET;
        let [_, fields @ ..] = (offset << 10 | block.data.len() as u32).to_be_bytes();
        plain.push(FOLLOWED | payload_type);
        plain.extend(fields);
    }
    plain.push(payload_type);
    earlier.for_each(|block| plain.extend_from_slice(&block.data));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::Timestamp;
    use crate::server::rtc::rtp_clock::RtpClock;
    use crate::server::rtc::sdp::accepted::RtpFormat;

    const OPUS: u8 = 111;

    fn block(timestamp: u32, data: &'static [u8]) -> Block {
        Block { timestamp, data: Bytes::from_static(data) }
    }

    fn sender(red: Option<u8>) -> AudioSender {
        let format = RtpFormat { payload_type: OPUS, red, ..RtpFormat::default() };
        AudioSender::new(RtpStream::new(RtpClock::random(48_000), format))
    }

    /// After half a minute on a network that loses packets.
    fn lossy(red: Option<u8>, loss: f64) -> AudioSender {
        let (mut sender, now) = (sender(red), Instant::now());
        (0..60).for_each(|tick| sender.set_network(loss, None, now + Duration::from_millis(500 * tick)));
        sender
    }

    #[test]
    fn earlier_packets_stand_before_the_newest_in_the_form_of_the_rfc() {
        let earlier = VecDeque::from([block(u32::MAX - 959, b"old"), block(0, b"newer")]);
        let mut plain = vec![9];
        write_earlier(earlier.iter(), 960, OPUS, &mut plain);
        let headers = [
            // 1 and the payload type, 14 bits of offset (1920 and 960), 10 bits of length.
            [0x80 | OPUS, 0b0001_1110, 0b0000_0000, 3],
            [0x80 | OPUS, 0b0000_1111, 0b0000_0000, 5],
        ];
        assert_eq!(plain, [&[9][..], &headers.concat(), &[OPUS], b"oldnewer"].concat());
        plain.clear();
        write_earlier(VecDeque::new().iter(), 960, OPUS, &mut plain);
        assert!(plain.is_empty(), "a packet alone is plain Opus");
    }

    #[test]
    fn only_packets_that_fit_and_are_young_enough_go_along() {
        let mut sender = lossy(Some(63), 0.2);
        let count = |sender: &AudioSender, bytes| sender.earlier(2 * 960, bytes);
        assert_eq!(count(&sender, 100), 0, "there are none");
        sender.remember(block(0, &[1; 300]));
        sender.remember(block(960, &[2; 200]));
        assert_eq!(count(&sender, 100), 2);
        assert_eq!(count(&sender, MAX_PAYLOAD - 1 - 204), 1, "the newer one fits");
        assert_eq!(count(&sender, MAX_PAYLOAD - 204), 0);
        assert_eq!(sender.earlier(MAX_OFFSET + 960, 100), 1, "the older one is too old");
        sender.remember(block(2 * 960, &[0; MAX_BLOCK + 1]));
        assert_eq!(sender.earlier(3 * 960, 1), 0, "its length cannot be written");
        assert_eq!(sender.last.len(), MAX_REDUNDANCY, "no more are kept");
    }

    #[test]
    fn a_viewer_without_redundancy_gets_none() {
        let packet = AudioPacket {
            captured: Timestamp::from_start(Duration::from_secs(1)),
            gap: false,
            data: Bytes::from_static(&[1; 50]),
        };
        for (red, bytes) in [(None, 50), (Some(63), 4 + 20 + 1 + 50)] {
            let mut sender = lossy(red, 0.05);
            let timestamp = sender.stream.clock().timestamp(packet.captured);
            sender.remember(block(timestamp.wrapping_sub(960), &[1; 20]));
            assert_eq!(sender.payload_bytes(&packet), bytes, "{red:?}");
        }
    }
}
