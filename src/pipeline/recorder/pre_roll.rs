//! What was captured in the last seconds, from which an event's recording begins: before what has caused it. Pure, and bounded
//! in time and in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::{AudioPacket, EncodedFrame, Timestamp};

/// The most bytes that are kept for a camera: 15 s at 8 Mbit/s. Of a stream with more, fewer seconds are kept.
const MAX_BYTES: usize = 16 << 20;

/// A frame or a packet.
#[derive(Debug, Clone)]
pub enum MediaItem {
    /// A frame.
    Video(EncodedFrame),
    /// A packet of audio.
    Audio(AudioPacket),
}

impl MediaItem {
    fn byte_count(&self) -> usize {
        match self {
            Self::Video(frame) => frame.data.len(),
            Self::Audio(packet) => packet.data.len(),
        }
    }

    /// When it was captured, if it is a key frame.
    fn key(&self) -> Option<Timestamp> {
        match self {
            Self::Video(frame) if frame.key => Some(frame.captured),
            _ => None,
        }
    }
}

/// The last seconds of a camera.
#[derive(Debug)]
pub struct PreRoll {
    span: Duration,
    max_bytes: usize,
    /// Begins with a key frame.
    items: VecDeque<MediaItem>,
    bytes: usize,
}

impl PreRoll {
    /// Keeps `span`, and what is before it up to a key frame.
    pub fn new(span: Duration) -> Self {
        Self { span, max_bytes: MAX_BYTES, items: VecDeque::new(), bytes: 0 }
    }

    /// Adds what was received.
    pub fn push(&mut self, item: MediaItem) {
        // Without its key frame it is of no use.
        if self.span.is_zero() || (self.items.is_empty() && item.key().is_none()) {
            return;
        }
        let now = match &item {
            MediaItem::Video(frame) => frame.captured,
            MediaItem::Audio(packet) => packet.captured,
        };
        self.bytes += item.byte_count();
        self.items.push_back(item);
        let begin = now.saturating_sub(self.span);
        while let Some((at, key)) = self.second_key() {
            if key > begin && self.bytes <= self.max_bytes {
                return;
            }
            self.drop_first(at);
        }
        if self.bytes > self.max_bytes {
            self.clear();
        }
    }

    /// Forgets everything: frames were missed, or they may not be kept.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    /// Takes what there is.
    pub fn take(&mut self) -> VecDeque<MediaItem> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    /// The second key frame: its place, and when it was captured.
    fn second_key(&self) -> Option<(usize, Timestamp)> {
        self.items.iter().enumerate().skip(1).find_map(|(at, item)| Some((at, item.key()?)))
    }

    fn drop_first(&mut self, count: usize) {
        let dropped: usize = self.items.drain(..count).map(|item| item.byte_count()).sum();
        self.bytes -= dropped;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(second: u64, key: bool) -> MediaItem {
        let captured = Timestamp::from_start(Duration::from_secs(second));
        let data = Bytes::from(vec![1; 1_000]);
        MediaItem::Video(EncodedFrame::new(captured, key, data))
    }

    fn packet(second: u64) -> MediaItem {
        let captured = Timestamp::from_start(Duration::from_secs(second));
        MediaItem::Audio(AudioPacket { captured, gap: false, data: Bytes::from(vec![1; 100]) })
    }

    /// When the first was captured, and how many there are.
    fn taken(pre_roll: &mut PreRoll) -> Option<(u64, usize)> {
        let items = pre_roll.take();
        let first = items.front()?.key().expect("a key frame").since_start().as_secs();
        Some((first, items.len()))
    }

    #[test]
    fn it_begins_with_the_last_key_frame_before_its_span() {
        let mut pre_roll = PreRoll::new(Duration::from_secs(10));
        pre_roll.push(packet(0));
        pre_roll.push(frame(0, false));
        assert_eq!(taken(&mut pre_roll), None);
        for second in 1..=31 {
            pre_roll.push(frame(second, second % 4 == 1));
            pre_roll.push(packet(second));
        }
        // Key frames at 17, 21, 25 and 29; ten seconds begin at 21.
        assert_eq!(taken(&mut pre_roll), Some((21, 22)));
        assert_eq!(taken(&mut pre_roll), None);
        pre_roll.push(frame(32, false));
        assert_eq!(taken(&mut pre_roll), None, "what it depends on was taken");
        let mut without = PreRoll::new(Duration::ZERO);
        without.push(frame(1, true));
        assert_eq!(taken(&mut without), None);
    }

    #[test]
    fn its_bytes_are_bounded() {
        let mut pre_roll = PreRoll { max_bytes: 5_000, ..PreRoll::new(Duration::from_secs(100)) };
        for second in 0..20 {
            pre_roll.push(frame(second, second % 3 == 0));
        }
        assert_eq!(taken(&mut pre_roll), Some((15, 5)));
        // Without another key frame nothing can be kept.
        for second in 20..30 {
            pre_roll.push(frame(second, second == 20));
        }
        assert_eq!(taken(&mut pre_roll), None);
        pre_roll.push(frame(30, true));
        assert_eq!((pre_roll.bytes, taken(&mut pre_roll)), (1_000, Some((30, 1))));
    }
}
