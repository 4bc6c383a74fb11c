//! What was sent of a session's video, and which packets may be resent when the viewer reports them lost (NACK). Pure: time
//! is an argument.
//!
//! On a link slower than the stream, each resent packet is lost or late too and is asked for again, until resends are
//! most of the traffic. So each packet is resent now and then only, and all together are bounded. Payloads are not
//! copied: they are shared with all other sessions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::media::h264::payload::Payload;

/// The packets remembered: those of some seconds. A viewer asks for nothing older.
const HISTORY: usize = 1024;

/// The shortest time between two resends of the same packet. A viewer repeats its NACK until the packet arrives, which
/// takes a round trip, and more where the resend waits in the link's queue.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A longer round trip than this is not believed; the viewer itself reports it.
const MAX_RTT: Duration = Duration::from_secs(2);

/// Resends may take one byte for this many bytes of the stream: half of its rate, enough for 20 % random loss of packets
/// and of their resends.
const STREAM_BYTES_PER_RESENT_BYTE: usize = 2;

/// The most bytes that may be resent at once: a lost key frame.
const MAX_BURST: usize = 128 * 1024;

/// What a packet carries besides its payload.
#[derive(Debug, Clone)]
pub struct PacketHead {
    /// The RTP timestamp.
    pub timestamp: u32,
    /// Whether it ends a frame, or begins a talkspurt.
    pub marker: bool,
    /// The capture time (NTP), with the first packet of a frame.
    pub captured: Option<u64>,
    /// The playout delay, with the first packet of a video frame.
    pub playout_delay: Option<u32>,
}

/// A frame that was sent.
#[derive(Debug, Clone)]
pub struct SentFrame {
    /// The number of its first packet; the others follow.
    pub first: u16,
    /// The payload of each packet.
    pub payloads: Arc<[Payload]>,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its capture time (NTP).
    pub captured: u64,
    /// The playout delay that went with it.
    pub playout_delay: u32,
}

impl SentFrame {
    /// What the packet at this place carries besides its payload.
    pub fn head(&self, at: usize) -> PacketHead {
        let is_first = at == 0;
        PacketHead {
            timestamp: self.timestamp,
            marker: at + 1 == self.payloads.len(),
            captured: is_first.then_some(self.captured),
            playout_delay: is_first.then_some(self.playout_delay),
        }
    }

    /// The place of the packet with this number.
    fn find(&self, number: u16) -> Option<usize> {
        let at = usize::from(number.wrapping_sub(self.first));
        (at < self.payloads.len()).then_some(at)
    }
}

/// A packet that is sent again.
#[derive(Debug, Clone)]
pub struct SentPacket {
    /// What it carries besides its payload.
    pub head: PacketHead,
    /// Its payload.
    pub payload: Payload,
}

/// What was sent to one viewer, and what may be sent again.
#[derive(Debug)]
pub struct History {
    /// The oldest first.
    frames: VecDeque<SentFrame>,
    /// The packets of all of them.
    packets: usize,
    /// Packets that were resent, and when.
    resent: VecDeque<(u16, Instant)>,
    rtt: Duration,
    /// Stream bytes not yet spent on resends.
    credit: usize,
}

impl Default for History {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            packets: 0,
            resent: VecDeque::new(),
            rtt: Duration::ZERO,
            credit: MAX_BURST * STREAM_BYTES_PER_RESENT_BYTE,
        }
    }
}

impl History {
    /// Adds a frame that is sent, and forgets the oldest ones.
    pub fn push(&mut self, frame: SentFrame) {
        let bytes: usize = frame.payloads.iter().map(Payload::byte_count).sum();
        self.credit = (self.credit + bytes).min(MAX_BURST * STREAM_BYTES_PER_RESENT_BYTE);
        self.packets += frame.payloads.len();
        self.frames.push_back(frame);
        while self.packets > HISTORY
            && self.frames.len() > 1
            && let Some(oldest) = self.frames.pop_front()
        {
            self.packets -= oldest.payloads.len();
        }
    }

    /// Notes the round trip time that a receiver report shows.
    pub fn note_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt.min(MAX_RTT);
    }

    /// The packet with this number, if it may be sent again at `now`; it counts as resent then.
    pub fn admit(&mut self, number: u16, now: Instant) -> Option<SentPacket> {
        let interval = self.rtt.max(MIN_INTERVAL);
        while self.resent.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) >= interval) {
            self.resent.pop_front();
        }
        let too_soon = self.resent.iter().any(|(resent, _)| *resent == number);
        let (frame, at) = self.frames.iter().rev().find_map(|frame| Some((frame, frame.find(number)?)))?;
        let payload = frame.payloads.get(at)?.clone();
        let cost = payload.byte_count() * STREAM_BYTES_PER_RESENT_BYTE;
        if too_soon || self.credit < cost {
            return None;
        }
        self.resent.push_back((number, now));
        self.credit -= cost;
        Some(SentPacket { head: frame.head(at), payload })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::h264::payload::SharedPayloads;

    const BYTES: usize = 1_100;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// A frame with packets from `first` on; `bytes` are those of each.
    fn frame(first: u16, count: usize, bytes: usize) -> SentFrame {
        let nal = [&[0, 0, 0, 1, 0x41][..], &vec![7; bytes - 1]].concat();
        let one = SharedPayloads::default().single_nal_units(&Bytes::from(nal));
        let payloads = std::iter::repeat_n(one.iter().cloned(), count).flatten().collect();
        SentFrame { first, payloads, timestamp: 9, captured: 5, playout_delay: 3 }
    }

    #[test]
    fn a_packet_is_resent_at_once_and_then_once_an_interval() {
        let mut history = History::default();
        let start = Instant::now();
        history.push(frame(7, 1, BYTES));
        assert!(history.admit(7, start).is_some(), "the first request should be served at once");
        assert!(history.admit(7, after(start, 99)).is_none());
        assert!(history.admit(7, after(start, 100)).is_some());
        history.note_rtt(Duration::from_millis(300));
        assert!(history.admit(7, after(start, 399)).is_none());
        assert!(history.admit(7, after(start, 400)).is_some());
        history.note_rtt(Duration::from_secs(3_600));
        assert!(history.admit(7, after(start, 2_400)).is_some(), "an absurd round trip time should not end repair");
    }

    #[test]
    fn packets_never_sent_or_long_gone_are_not_resent() {
        let mut history = History::default();
        let now = Instant::now();
        assert!(history.admit(7, now).is_none());
        history.push(frame(7, 1, BYTES));
        for first in 0..HISTORY as u16 / 2 {
            history.push(frame(8 + 2 * first, 2, BYTES));
        }
        assert!(history.admit(7, now).is_none(), "newer ones took its place");
        assert!(history.admit(8, now).is_some());
        assert!(history.admit(8 + HISTORY as u16, now).is_none(), "not sent yet");
        assert!(history.frames.len() <= HISTORY);
    }

    #[test]
    fn a_resent_packet_is_as_it_was_also_where_the_numbers_wrap() {
        let mut history = History::default();
        history.push(frame(u16::MAX, 3, BYTES));
        let sent = |number, history: &mut History| history.admit(number, Instant::now()).expect("sent").head;
        let (first, last) = (sent(u16::MAX, &mut history), sent(1, &mut history));
        assert_eq!((first.timestamp, first.marker, first.captured, first.playout_delay), (9, false, Some(5), Some(3)));
        assert_eq!((last.timestamp, last.marker, last.captured, last.playout_delay), (9, true, None, None));
    }

    #[test]
    fn resends_take_at_most_half_of_the_streams_rate_after_the_burst() {
        let mut history = History::default();
        let start = Instant::now();
        // 200 packets a second for 30 s; every packet of the last second is reported lost every 20 ms.
        let (mut sent, mut resent) = (0, 0);
        for number in 0..6_000u16 {
            let now = after(start, u64::from(number) * 5);
            history.push(frame(number, 1, BYTES));
            sent += BYTES;
            if number % 4 == 0 {
                let lost = (number.saturating_sub(200)..=number).filter(|lost| history.admit(*lost, now).is_some());
                resent += lost.count() * BYTES;
            }
        }
        assert!(resent <= sent / 2 + MAX_BURST, "{resent} bytes resent of {sent}");
        assert!(resent >= sent / 2, "{resent} bytes resent of {sent}: the share should be used");
    }
}
