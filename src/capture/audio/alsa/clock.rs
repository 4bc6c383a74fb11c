//! Converts an ALSA timestamp to a reading of the monotonic clock.

use std::time::Duration;

/// A reading of `CLOCK_MONOTONIC`; `None` for a stamp that a driver left empty or that is no time.
pub(super) fn monotonic(stamp: libc::timespec) -> Option<Duration> {
    let seconds = u64::try_from(stamp.tv_sec).ok()?;
    let nanoseconds = u32::try_from(stamp.tv_nsec).ok().filter(|&part| part < 1_000_000_000)?;
    let reading = Duration::new(seconds, nanoseconds);
    (!reading.is_zero()).then_some(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_timestamp_is_none() {
        assert_eq!(monotonic(libc::timespec { tv_sec: 0, tv_nsec: 0 }), None);
        assert_eq!(monotonic(libc::timespec { tv_sec: -1, tv_nsec: 0 }), None);
        assert_eq!(monotonic(libc::timespec { tv_sec: 1, tv_nsec: 2 }), Some(Duration::new(1, 2)));
    }
}
