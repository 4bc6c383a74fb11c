//! The pauses of a device's retry loop: 0.5 s doubling to 10 s, and when a failure is worth a line in the log. Pure;
//! time is an argument.

use std::time::{Duration, Instant};

/// The first pause: short enough that a replugged camera is back at once.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause: long enough that a missing camera costs nothing.
const LONGEST: Duration = Duration::from_secs(10);
/// Between the first failure and the recovery there is at most one line in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The state of one device's retry loop.
#[derive(Debug)]
pub struct Retry {
    pause: Duration,
    logged: Option<Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { pause: FIRST, logged: None }
    }
}

impl Retry {
    /// A failure at `now`: how long to pause, and whether to log it.
    pub fn failed(&mut self, now: Instant) -> (Duration, bool) {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        let log = self.logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
        if log {
            self.logged = Some(now);
        }
        (pause, log)
    }

    /// Something was plugged in, which may be the device: the pauses begin anew, because it may need some tries until its
    /// permissions are set. The log stays as quiet as it was.
    pub fn reset(&mut self) {
        self.pause = FIRST;
    }

    /// The device works; `true` when it did not before.
    pub fn recovered(&mut self) -> bool {
        let was_failing = self.logged.is_some();
        *self = Self::default();
        was_failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_ten_seconds_and_the_log_stays_quiet() {
        let mut retry = Retry::default();
        let start = Instant::now();
        let pauses: Vec<u64> = (0..7).map(|_| retry.failed(start).0.as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert!(!retry.failed(start + Duration::from_secs(59)).1);
        assert!(retry.failed(start + Duration::from_secs(60)).1);
        assert!(retry.recovered());
        assert!(!retry.recovered());
        assert_eq!(retry.failed(start), (FIRST, true));
    }

    #[test]
    fn after_something_was_plugged_in_the_pauses_are_short_again_and_the_log_as_quiet() {
        let mut retry = Retry::default();
        let start = Instant::now();
        for _ in 0..7 {
            retry.failed(start);
        }
        retry.reset();
        assert_eq!(retry.failed(start), (FIRST, false));
        assert_eq!(retry.failed(start), (FIRST * 2, false));
        assert!(retry.recovered(), "it was failing all the time");
    }
}
