//! Schedules key frames: coalesces viewers' requests, and bounds the interval between two. Pure; time is an argument.

use std::time::Duration;

use crate::media::Timestamp;

/// The minimum interval between two key frames. A key frame is twenty times the size of another frame, so a burst of
/// requests (ten phones that lose packets together) must not turn every frame into one.
pub const MIN_DISTANCE: Duration = Duration::from_millis(250);

/// Decides when to encode a key frame.
#[derive(Debug)]
pub struct KeyframeScheduler {
    longest: Duration,
    last: Option<Timestamp>,
}

impl KeyframeScheduler {
    /// A scheduler with at most `longest` between two key frames, even without requests.
    pub const fn new(longest: Duration) -> Self {
        Self { longest, last: None }
    }

    /// Whether to encode the frame captured at `now` as a key frame; `requested` is whether a viewer waits for one. A
    /// request that is declined here stays pending.
    pub fn should_force(&mut self, now: Timestamp, requested: bool) -> bool {
        let due = match self.last.map(|last| now.saturating_since(last)) {
            None => true,
            Some(since) => since >= self.longest || (requested && since >= MIN_DISTANCE),
        };
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_gives_one_key_frame_in_250_ms() {
        let mut keys = KeyframeScheduler::new(Duration::from_secs(60));
        let granted = (0..60u64)
            .map(|frame| Timestamp::from_start(Duration::from_micros(frame * 33_333)))
            .filter(|now| keys.should_force(*now, true))
            .count();
        // Two seconds hold the first one and then one in eight frames (266 ms).
        assert_eq!(granted, 8);
    }

    #[test]
    fn key_frame_interval_is_bounded_without_requests() {
        let mut keys = KeyframeScheduler::new(Duration::from_secs(2));
        let granted: Vec<u64> = (0..50u64)
            .filter(|tenth| keys.should_force(Timestamp::from_start(Duration::from_millis(tenth * 100)), false))
            .collect();
        assert_eq!(granted, [0, 20, 40]);
    }
}
