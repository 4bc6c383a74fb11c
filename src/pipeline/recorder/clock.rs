//! How the wall clock is set, seen from a clock that nobody sets: the time since the board was started.
//!
//! A board without a battery starts with a clock that is behind until it has asked for the time. What was recorded before is told
//! by the clock as it is then; `library` does that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The least step of the wall clock, in milliseconds, that is followed: names of files have whole seconds, and it takes a moment to
/// read two clocks.
const LEAST_STEP: u64 = 2_000;

/// What the wall clock showed when the board was started, in milliseconds since the Unix epoch: another time only after the clock
/// was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSetting(i64);

impl ClockSetting {
    /// How the clock is set now.
    pub fn now() -> Self {
        let reading = clock_gettime(ClockId::Boottime);
        let since_boot = Duration::new(reading.tv_sec.unsigned_abs(), reading.tv_nsec as u32);
        Self(unix_milliseconds(SystemTime::now()) - since_boot.as_millis() as i64)
    }

    /// Whether the clock was set in between.
    pub fn differs_from(self, before: Self) -> bool {
        self.0.abs_diff(before.0) >= LEAST_STEP
    }

    /// How many milliseconds after the start of the board it was when the clock showed this time.
    pub fn since_boot(self, time: SystemTime) -> i64 {
        unix_milliseconds(time).saturating_sub(self.0)
    }

    /// What the clock showed so many milliseconds after the start of the board, or would have shown.
    pub fn time(self, since_boot: i64) -> SystemTime {
        let unix = self.0.saturating_add(since_boot);
        let distance = Duration::from_millis(unix.unsigned_abs());
        let time = if unix < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.unwrap_or(UNIX_EPOCH)
    }

    /// A clock that is so many seconds ahead of this one.
    #[cfg(test)]
    pub fn ahead(self, seconds: i64) -> Self {
        Self(self.0 + 1_000 * seconds)
    }
}

/// Before 1970 it is negative.
fn unix_milliseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(error) => -(error.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_when_the_clock_is_set_and_not_while_time_passes() {
        let clock = ClockSetting::now();
        assert!(!ClockSetting::now().differs_from(clock));
        assert!(!clock.ahead(1).differs_from(clock));
        for hours in [-1, 1] {
            assert!(clock.ahead(3_600 * hours).differs_from(clock) && clock.differs_from(clock.ahead(3_600 * hours)));
        }
    }

    #[test]
    fn a_time_is_told_by_another_clock() {
        let clock = ClockSetting::now();
        let (hour, second) = (Duration::from_secs(3_600), Duration::from_secs(1));
        for time in [UNIX_EPOCH + 490_000 * hour, UNIX_EPOCH + second, UNIX_EPOCH - second] {
            let since_boot = clock.since_boot(time);
            assert_eq!(clock.time(since_boot), time);
            assert_eq!(clock.ahead(3_600).time(since_boot), time + hour);
            assert_eq!(clock.ahead(-3_600).time(since_boot), time - hour);
        }
    }
}
