//! Exponential backoff of a retry loop, such as a device's, from 0.5 s to 10 s, and when a failure is worth a log line. Pure: time
//! is an argument.

use std::time::{Duration, Instant};

/// The first pause: short enough that a replugged camera is back at once.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause: long enough that a missing camera costs nothing.
const LONGEST: Duration = Duration::from_secs(10);
/// While a device keeps failing, at most one log line in this interval.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The state of one device's retry loop.
#[derive(Debug)]
pub struct Backoff {
    pause: Duration,
    longest: Duration,
    logged: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// One whose pauses grow to `longest` instead.
    pub fn up_to(longest: Duration) -> Self {
        Self { pause: FIRST, longest, logged: None }
    }

    /// A failure at `now`: how long to pause, and whether to log it.
    pub fn failed(&mut self, now: Instant) -> (Duration, bool) {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.longest);
        let log = self.logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
        if log {
            self.logged = Some(now);
        }
        (pause, log)
    }

    /// Starts over with the shortest pause: something was plugged in, and if it is this device, it may take a few attempts
    /// until its permissions are set. Log lines stay rate limited.
    pub fn reset(&mut self) {
        self.pause = FIRST;
    }

    /// The device works; `true` when it was failing before.
    pub fn recovered(&mut self) -> bool {
        let was_failing = self.logged.is_some();
        *self = Self::up_to(self.longest);
        was_failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_ten_seconds_and_log_lines_are_limited() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        let pauses: Vec<u64> = (0..7).map(|_| backoff.failed(start).0.as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert!(!backoff.failed(start + Duration::from_secs(59)).1);
        assert!(backoff.failed(start + Duration::from_secs(60)).1);
        assert!(backoff.recovered());
        assert!(!backoff.recovered());
        assert_eq!(backoff.failed(start), (FIRST, true));
    }

    #[test]
    fn the_longest_pause_can_be_another() {
        let (mut backoff, start) = (Backoff::up_to(Duration::from_secs(3)), Instant::now());
        let pauses: Vec<u64> = (0..5).map(|_| backoff.failed(start).0.as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1000, 2000, 3000, 3000]);
        assert!(backoff.recovered());
        assert_eq!((0..5).map(|_| backoff.failed(start).0).max(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_reset_shortens_the_pauses_and_keeps_the_log_limit() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        for _ in 0..7 {
            backoff.failed(start);
        }
        backoff.reset();
        assert_eq!(backoff.failed(start), (FIRST, false));
        assert_eq!(backoff.failed(start), (FIRST * 2, false));
        assert!(backoff.recovered(), "it was failing all along");
    }
}
