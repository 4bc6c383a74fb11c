//! When a key frame is due: viewers' requests, coalesced, and the longest time without one. Pure; time is an argument.

use std::time::Duration;

use crate::media::Timestamp;

/// The least time from one key frame to the next. A key frame has twenty times the size of another frame, so a storm
/// of requests (ten phones that lose packets together) must not make every frame one.
pub const MIN_DISTANCE: Duration = Duration::from_millis(250);

/// Remembers the last key frame.
#[derive(Debug)]
pub struct KeyframeScheduler {
    longest: Duration,
    last: Option<Timestamp>,
}

impl KeyframeScheduler {
    /// A key frame is due after `longest` even when nobody asks.
    pub const fn new(longest: Duration) -> Self {
        Self { longest, last: None }
    }

    /// Whether the picture captured at `now` shall be a key frame; `requested` tells whether a viewer waits for one. A
    /// request that is refused here stands until it is granted.
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
    fn without_requests_the_longest_distance_rules() {
        let mut keys = KeyframeScheduler::new(Duration::from_secs(2));
        let granted: Vec<u64> = (0..50u64)
            .filter(|tenth| keys.should_force(Timestamp::from_start(Duration::from_millis(tenth * 100)), false))
            .collect();
        assert_eq!(granted, [0, 20, 40]);
    }
}
