//! How many threads an encoder uses if the configuration leaves it open: one, and more only while one is too slow. Pure;
//! time is an argument.
//!
//! A single thread takes the least CPU time and makes the best use of the bits, because each thread encodes a slice of
//! its own. Each change costs a key frame.

use std::time::Duration;

/// The share of the frame interval that encoding may take before there is another thread. The rest is for capture,
/// conversion and the network, and for frames that take longer.
const BUSY: f64 = 0.7;

/// The share of the frame interval below which half of the threads are enough: with twice of it they would still be below
/// [`BUSY`].
const IDLE: f64 = 0.25;

/// The time constant of the smoothed share, in seconds.
const SMOOTHING: f64 = 2.0;

/// How long a number of threads is kept before there are more.
const KEEP_BUSY: f64 = 2.0;

/// How long a number of threads is kept before there are fewer. Changing costs a key frame, so a scene that is easy for a
/// few seconds changes nothing.
const KEEP_IDLE: f64 = 20.0;

/// More threads no longer speed up a 720p frame, and the codec takes no more.
const MOST: u16 = 4;

/// Chooses the number of threads.
#[derive(Debug)]
pub struct ThreadPolicy {
    count: u16,
    most: u16,
    /// The smoothed share of the frame interval that encoding takes.
    share: f64,
    /// How long the share has been above [`BUSY`] or below [`IDLE`], in seconds; not both.
    busy: f64,
    idle: f64,
}

impl ThreadPolicy {
    /// The configured number of threads; with 0 it begins with one and ends with `cores`.
    pub fn new(configured: u16, cores: usize) -> Self {
        let (count, most) = match configured {
            0 => (1, cores.clamp(1, MOST.into()) as u16),
            fixed => (fixed.min(MOST), 0),
        };
        Self { count, most, share: 0.0, busy: 0.0, idle: 0.0 }
    }

    /// The number of threads.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// The share of the frame interval that encoding takes.
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// Notes that a frame, `interval` after the previous one, took `encoding`. Returns whether the number changed.
    pub fn note(&mut self, encoding: Duration, interval: Duration) -> bool {
        let interval = interval.as_secs_f64().clamp(1e-3, 1.0);
        let weight = (interval / SMOOTHING).min(1.0);
        self.share += (encoding.as_secs_f64() / interval - self.share) * weight;
        self.busy = if self.share > BUSY { self.busy + interval } else { 0.0 };
        self.idle = if self.share < IDLE { self.idle + interval } else { 0.0 };
        let next = if self.busy >= KEEP_BUSY {
            (self.count * 2).min(self.most)
        } else if self.idle >= KEEP_IDLE {
            (self.count / 2).max(1)
        } else {
            self.count
        };
        if self.most == 0 || next == self.count {
            return false;
        }
        // What was measured is of another number of threads.
        *self = Self { count: next, share: 0.0, busy: 0.0, idle: 0.0, ..*self };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(33);

    /// Encodes for `seconds`, a frame taking `milliseconds` with one thread, and returns the numbers it went through.
    fn encode(policy: &mut ThreadPolicy, seconds: u64, milliseconds: u64) -> Vec<u16> {
        let frames = seconds * 1000 / 33;
        let work = Duration::from_millis(milliseconds);
        let mut counts = Vec::new();
        for _ in 0..frames {
            if policy.note(work / u32::from(policy.count()), INTERVAL) {
                counts.push(policy.count());
            }
        }
        counts
    }

    #[test]
    fn one_thread_is_enough_below_seventy_percent() {
        let mut policy = ThreadPolicy::new(0, 4);
        assert_eq!(policy.count(), 1);
        assert_eq!(encode(&mut policy, 60, 22), [0_u16; 0]);
    }

    #[test]
    fn a_slow_board_gets_more_threads_and_gives_them_back_later() {
        let mut policy = ThreadPolicy::new(0, 4);
        assert_eq!(encode(&mut policy, 20, 30), [2], "91 %, then 45 %");
        assert_eq!(encode(&mut policy, 60, 24), [0_u16; 0], "73 % of one thread, 36 % of two");
        assert_eq!(encode(&mut policy, 20, 60), [4], "91 % of two");
        assert_eq!(encode(&mut policy, 19, 10), [0_u16; 0], "an easy scene");
        assert_eq!(encode(&mut policy, 60, 10), [2, 1]);
    }

    #[test]
    fn a_single_slow_frame_changes_nothing() {
        let mut policy = ThreadPolicy::new(0, 4);
        for _ in 0..100 {
            assert!(!policy.note(Duration::from_millis(200), INTERVAL));
            assert_eq!(encode(&mut policy, 3, 10), [0_u16; 0]);
        }
    }

    #[test]
    fn a_configured_number_stays_and_a_single_core_gets_one() {
        for (configured, cores, count) in [(2, 4, 2), (64, 4, 4), (0, 1, 1)] {
            let mut policy = ThreadPolicy::new(configured, cores);
            encode(&mut policy, 30, 200);
            encode(&mut policy, 60, 1);
            assert_eq!(policy.count(), count, "{configured} configured, {cores} cores");
        }
    }
}
