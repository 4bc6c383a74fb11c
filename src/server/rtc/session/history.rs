//! The frames that were sent of a session's video, of which packets may be resent. Pure.
//!
//! Which of them are resent after a NACK is decided in `rate::repair`. Payloads are not copied: they are shared with all other
//! sessions.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::media::Timestamp;
use crate::media::h264::payload::Payload;

/// The packets remembered, as many as `rate::repair` may ask for.
const HISTORY: usize = 1024;

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

/// A frame that is sent to one viewer.
#[derive(Debug)]
pub struct OutgoingFrame {
    /// The payload of each packet.
    pub payloads: Arc<[Payload]>,
    /// When it was captured.
    pub captured: Timestamp,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// The playout delay that goes with it.
    pub playout_delay: u32,
    /// Whether it is a key frame.
    pub key: bool,
    /// Whether it is shown instead of the camera's video.
    pub placeholder: bool,
}

impl OutgoingFrame {
    /// What the packet at this place carries besides its payload.
    pub fn head(&self, at: usize) -> PacketHead {
        let is_first = at == 0;
        PacketHead {
            timestamp: self.timestamp,
            marker: at + 1 == self.payloads.len(),
            captured: is_first.then_some(self.captured.ntp()),
            playout_delay: is_first.then_some(self.playout_delay),
        }
    }
}

/// A frame that was sent.
#[derive(Debug)]
struct SentFrame {
    /// The number of its first packet; the others follow.
    first: u16,
    frame: Arc<OutgoingFrame>,
}

impl SentFrame {
    /// The place of the packet with this number.
    fn find(&self, number: u16) -> Option<usize> {
        let at = usize::from(number.wrapping_sub(self.first));
        (at < self.frame.payloads.len()).then_some(at)
    }
}

/// A packet that is sent again.
#[derive(Debug, Clone)]
pub struct ResentPacket {
    /// What it carries besides its payload.
    pub head: PacketHead,
    /// Its payload.
    pub payload: Payload,
}

/// The frames sent to one viewer.
#[derive(Debug, Default)]
pub struct SentFrames {
    /// The oldest first.
    frames: VecDeque<SentFrame>,
    /// The packets of all of them.
    packets: usize,
}

impl SentFrames {
    /// Adds a frame that is sent, whose first packet has the number `first`, and forgets the oldest ones.
    pub fn push(&mut self, first: u16, frame: Arc<OutgoingFrame>) {
        self.packets += frame.payloads.len();
        self.frames.push_back(SentFrame { first, frame });
        while self.packets > HISTORY
            && self.frames.len() > 1
            && let Some(oldest) = self.frames.pop_front()
        {
            self.packets -= oldest.frame.payloads.len();
        }
    }

    /// The packet with this number. One of the newest frame with it: of one that was left off in the middle, the numbers
    /// that were not used are those of the next.
    pub fn find(&self, number: u16) -> Option<ResentPacket> {
        let (frame, at) = self.frames.iter().rev().find_map(|sent| Some((&sent.frame, sent.find(number)?)))?;
        Some(ResentPacket { head: frame.head(at), payload: frame.payloads.get(at)?.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::media::h264::payload::SharedPayloads;

    /// A frame of `count` packets with this timestamp.
    fn frame(count: usize, timestamp: u32) -> Arc<OutgoingFrame> {
        let nal = Bytes::from_static(&[0, 0, 0, 1, 0x41, 7, 7]);
        let one = SharedPayloads::default().single_nal_units(&nal);
        let payloads = std::iter::repeat_n(one.iter().cloned(), count).flatten().collect();
        let captured = Timestamp::from_start(Duration::from_secs(5));
        Arc::new(OutgoingFrame { payloads, captured, timestamp, playout_delay: 3, key: false, placeholder: false })
    }

    #[test]
    fn packets_never_sent_or_long_gone_are_not_found() {
        let mut frames = SentFrames::default();
        assert!(frames.find(7).is_none());
        frames.push(7, frame(1, 0));
        assert!(frames.find(7).is_some());
        for first in 0..HISTORY as u16 / 2 {
            frames.push(8 + 2 * first, frame(2, 0));
        }
        assert!(frames.find(7).is_none(), "newer ones took its place");
        assert!(frames.find(8).is_some());
        assert!(frames.find(8 + HISTORY as u16).is_none(), "not sent yet");
        assert!(frames.frames.len() <= HISTORY);
    }

    #[test]
    fn a_resent_packet_is_as_it_was_also_where_the_numbers_wrap() {
        let mut frames = SentFrames::default();
        frames.push(u16::MAX, frame(3, 9));
        let [first, last] = [u16::MAX, 1].map(|number| frames.find(number).expect("sent").head);
        let captured = Timestamp::from_start(Duration::from_secs(5)).ntp();
        assert_eq!((first.timestamp, first.marker), (9, false));
        assert_eq!((first.captured, first.playout_delay), (Some(captured), Some(3)));
        assert_eq!((last.timestamp, last.marker, last.captured, last.playout_delay), (9, true, None, None));
    }

    #[test]
    fn the_numbers_that_a_frame_did_not_use_are_those_of_the_next() {
        let mut frames = SentFrames::default();
        frames.push(1, frame(9, 1));
        frames.push(4, frame(2, 2));
        assert_eq!([3, 4, 5].map(|number| frames.find(number).expect("sent").head.timestamp), [1, 2, 2]);
    }
}
