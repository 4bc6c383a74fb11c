//! From ALSA's time stamp of a moment to the time of a sample.

use std::time::Duration;

use super::super::SAMPLE_RATE;
use crate::media::Timestamp;

/// A reading of `CLOCK_MONOTONIC`; `None` for a stamp that a driver left empty or that is no time.
pub(super) fn monotonic(stamp: libc::timespec) -> Option<Duration> {
    let seconds = u64::try_from(stamp.tv_sec).ok()?;
    let nanoseconds = u32::try_from(stamp.tv_nsec).ok().filter(|&part| part < 1_000_000_000)?;
    let reading = Duration::new(seconds, nanoseconds);
    (!reading.is_zero()).then_some(reading)
}

/// When the first of `waiting` samples was taken, the last of which was there at `queried`.
pub(super) fn first_sample(queried: Timestamp, waiting: usize) -> Timestamp {
    queried.saturating_sub(Duration::from_nanos(waiting as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_as_old_as_those_that_wait() {
        let queried = Timestamp::from_start(Duration::from_secs(10));
        assert_eq!(first_sample(queried, 0), queried);
        assert_eq!(first_sample(queried, 960), Timestamp::from_start(Duration::from_millis(9_980)));
        assert_eq!(first_sample(Timestamp::default(), 960), Timestamp::default());
    }

    #[test]
    fn an_empty_stamp_is_none() {
        assert_eq!(monotonic(libc::timespec { tv_sec: 0, tv_nsec: 0 }), None);
        assert_eq!(monotonic(libc::timespec { tv_sec: -1, tv_nsec: 0 }), None);
        assert_eq!(monotonic(libc::timespec { tv_sec: 1, tv_nsec: 2 }), Some(Duration::new(1, 2)));
    }
}
