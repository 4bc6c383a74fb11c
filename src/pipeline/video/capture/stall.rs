//! Frames that were captured before the thread stood still.

use std::time::Duration;

use super::POLL_INTERVAL;
use crate::media::{PixelFormat, RawFrame, Timestamp};

/// Detects frames from before a stall. When the thread could not run (a stopped process, a busy machine), the driver's ring
/// is full of old frames and new ones were dropped. The old ones are discarded: showing them would make motion jump back.
pub struct Stall {
    polled: Timestamp,
    /// Frames that may still be from before the stall.
    suspects: u32,
}

impl Stall {
    /// Two polls are a frame interval or [`POLL_INTERVAL`] apart; this much more is a stall.
    const THRESHOLD: Duration = Duration::from_secs(1);

    /// The most buffers in a source's ring. A camera with a wrong clock loses no more frames than these.
    const RING: u32 = 8;

    /// A thread that begins to poll.
    pub const fn new(now: Timestamp) -> Self {
        Self { polled: now, suspects: 0 }
    }

    /// Notes that the camera was polled.
    pub fn polled(&mut self, now: Timestamp) {
        if now.saturating_since(self.polled) >= Self::THRESHOLD + POLL_INTERVAL {
            self.suspects = Self::RING;
        }
        self.polled = now;
    }

    /// Whether a frame that arrives `now` is from before a stall.
    pub fn is_stale(&mut self, frame: &RawFrame, now: Timestamp) -> bool {
        self.polled(now);
        self.suspects = self.suspects.saturating_sub(1);
        // Dropping an H.264 frame would cost all frames up to the next key frame.
        let alone = frame.format.pixel != PixelFormat::H264;
        let stale = alone && self.suspects > 0 && now.saturating_since(frame.captured) >= Self::THRESHOLD;
        if !stale {
            self.suspects = 0;
        }
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Colorimetry, VideoFormat};

    #[test]
    fn stale_frames_after_a_stall_are_dropped_up_to_the_queue_size() {
        let at = |tenths: u64| Timestamp::from_start(Duration::from_millis(tenths * 100));
        let frame = |captured, pixel| {
            let format = VideoFormat { pixel, width: 2, height: 2, stride: 2, fps: 10.0, color: Colorimetry::SRGB };
            RawFrame::new(captured, format, bytes::Bytes::new())
        };
        let raw = |captured| frame(captured, PixelFormat::I420);
        let mut stall = Stall::new(at(100));
        assert!(!stall.is_stale(&raw(at(80)), at(101)), "a late frame without a stall");
        assert!(stall.is_stale(&raw(at(102)), at(130)));
        assert!(!stall.is_stale(&raw(at(130)), at(131)));
        assert!(!stall.is_stale(&raw(at(110)), at(132)), "the stall is over");
        assert!(!stall.is_stale(&frame(at(133), PixelFormat::H264), at(160)));
        let wrong_clock = (0..100).filter(|n| stall.is_stale(&raw(at(1)), at(200 + n))).count();
        assert_eq!(wrong_clock, 7);
    }
}
