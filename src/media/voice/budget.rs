//! Whether the processor is fast enough for echo cancellation: the share of the time that it takes, on average.
//!
//! Pure; times are arguments.

use std::time::Duration;

/// The time of a frame.
const FRAME: Duration = Duration::from_millis(20);

/// The most of the time that may be spent. Above it the microphone's thread, which also encodes and waits for other threads, soon
/// comes too late, and sound is lost.
const MOST: f64 = 0.5;

/// Over how many frames it is averaged: one second, so that it is no single delay of the thread.
const FRAMES: f64 = 50.0;

/// The average of the last second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    share: f64,
}

impl Budget {
    /// Records that a frame took so long; `in_vain` if it could not come out right, because the speaker's thread was behind.
    /// Returns whether it is too much.
    pub fn note(&mut self, spent: Duration, in_vain: bool) -> bool {
        // One hour is as bad as one frame.
        let share = if in_vain { 1.0 } else { (spent.as_secs_f64() / FRAME.as_secs_f64()).min(1.0) };
        self.share += (share - self.share) / FRAMES;
        self.share > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame at which it was too much.
    fn until_too_much(spent: impl Fn(u32) -> (u64, bool)) -> Option<u32> {
        let mut budget = Budget::default();
        (0..1_000).find(|number| {
            let (millis, in_vain) = spent(*number);
            budget.note(Duration::from_millis(millis), in_vain)
        })
    }

    #[test]
    fn what_takes_most_of_the_time_is_too_much_and_single_delays_are_not() {
        assert_eq!(until_too_much(|_| (9, false)), None);
        assert_eq!(until_too_much(|number| (if number % 10 == 0 { 60 } else { 2 }, false)), None);
        assert!(until_too_much(|_| (19, false)).is_some_and(|frame| (25..60).contains(&frame)));
        // A second at a standstill.
        assert_eq!(until_too_much(|number| (if number == 500 { 1_000 } else { 1 }, false)), None);
        assert!(until_too_much(|_| (1, true)).is_some_and(|frame| frame < 50));
    }
}
