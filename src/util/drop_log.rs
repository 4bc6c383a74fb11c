//! A rate limit for log lines.

use std::time::{Duration, Instant};

use super::lock::Mutex;

/// Rate limit for log lines about a repeated fault: at most one per interval, with the number of faults since the last.
#[derive(Debug)]
pub struct DropLog {
    interval: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl DropLog {
    /// At most one line per `interval`.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, state: Mutex::new((None, 0)) }
    }

    /// Counts `count` faults at `now`; returns the number since the last line when a line is due.
    pub fn note(&self, count: u64, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        state.1 += count;
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_due_once_per_interval_with_the_number_of_faults() {
        let log = DropLog::every(Duration::from_secs(1));
        let start = Instant::now();
        assert_eq!(log.note(1, start), Some(1));
        assert_eq!(log.note(2, start + Duration::from_millis(500)), None);
        assert_eq!(log.note(3, start + Duration::from_millis(1000)), Some(5));
    }
}
