//! The clock of the built-in sources: one tick every `1 / rate` of a second of the wall clock, so that the pattern's
//! flash and the tone's tick begin with the same second and nothing drifts.
//!
//! All but [`wait`] is pure: time is an argument. What is produced at a tick does not belong here.

use std::time::Duration;

use crate::media::Timestamp;

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

/// Ticks of `1 / rate` of a second, aligned with the full seconds of [`Timestamp::unix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameClock {
    rate: u32,
}

impl FrameClock {
    /// A clock with `rate` ticks per second, at least one.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.max(1) }
    }

    /// The number of the tick that contains `at`, counted from the Unix epoch.
    pub fn tick(self, at: Timestamp) -> u64 {
        (at.unix().as_nanos() * u128::from(self.rate) / SECOND) as u64
    }

    /// The start of tick number `tick`; the start of the process if that is later.
    pub fn start(self, tick: u64) -> Timestamp {
        // Rounded up: rounded down, the start would be in the previous tick.
        let unix = (u128::from(tick) * SECOND).div_ceil(u128::from(self.rate));
        let zero = Timestamp::default().unix().as_nanos();
        let elapsed = unix.saturating_sub(zero);
        Timestamp::from_start(Duration::new((elapsed / SECOND) as u64, (elapsed % SECOND) as u32))
    }
}

/// Paces a source by a clock. A late caller gets the ticks of the backlog, and the number of missed ones.
#[derive(Debug)]
pub struct Pacer {
    clock: FrameClock,
    backlog: u64,
    last: Option<u64>,
}

/// The result of [`Pacer::poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceStep {
    /// This tick is due, after `missed` ticks.
    Due {
        /// The number of the tick.
        tick: u64,
        /// When it began.
        start: Timestamp,
        /// Ticks between the previous one returned and this one.
        missed: u64,
    },
    /// Nothing is due for this long.
    Wait(Duration),
}

impl Pacer {
    /// Starts with the first tick after the first call. Besides the current tick, `backlog` earlier ones are kept for a
    /// late consumer, like in a device's ring of buffers.
    pub fn new(clock: FrameClock, backlog: u64) -> Self {
        Self { clock, backlog, last: None }
    }

    /// What is due at `now`.
    pub fn poll(&mut self, now: Timestamp) -> PaceStep {
        let current = self.clock.tick(now);
        let last = *self.last.get_or_insert(current);
        if current <= last {
            return PaceStep::Wait(self.clock.start(last.saturating_add(1)).saturating_since(now));
        }
        let tick = current.saturating_sub(self.backlog).max(last + 1);
        self.last = Some(tick);
        PaceStep::Due { tick, start: self.clock.start(tick), missed: tick - last - 1 }
    }
}

/// Blocks until `poll`, which gets the current time, returns a value; `None` after `limit`. An `Err` is the time until
/// the next one is due.
pub fn wait<T>(limit: Duration, mut poll: impl FnMut(Timestamp) -> Result<T, Duration>) -> Option<T> {
    let deadline = Timestamp::now().saturating_add(limit);
    loop {
        let now = Timestamp::now();
        match poll(now) {
            Ok(value) => return Some(value),
            Err(_) if now >= deadline => return None,
            Err(due) => std::thread::sleep(due.min(deadline.saturating_since(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment `nanos` after a full second of the wall clock.
    fn after_second(nanos: u64) -> Timestamp {
        let begun = Timestamp::default().unix().as_nanos() as u64 % 1_000_000_000;
        Timestamp::from_start(Duration::from_nanos(2_000_000_000 - begun + nanos))
    }

    #[test]
    fn every_tick_contains_its_start_and_each_second_has_rate_ticks() {
        for rate in [1, 7, 25, 30, 50, 60] {
            let clock = FrameClock::new(rate);
            let second = after_second(0);
            let first = clock.tick(second);
            assert_eq!(clock.start(first), second, "tick 0 of {rate} begins with the second");
            assert_eq!(clock.tick(second.saturating_sub(Duration::from_nanos(1))), first - 1);
            for tick in first..first + 200 {
                assert_eq!(clock.tick(clock.start(tick)), tick, "rate {rate}");
            }
            assert_eq!(clock.tick(after_second(1_000_000_000)), first + u64::from(rate));
        }
    }

    #[test]
    fn punctual_consumer_misses_nothing() {
        let (clock, mut now) = (FrameClock::new(30), after_second(5));
        let mut pace = Pacer::new(clock, 0);
        let mut ticks = Vec::new();
        while ticks.len() < 90 {
            match pace.poll(now) {
                PaceStep::Wait(wait) => now = now.saturating_add(wait),
                PaceStep::Due { tick, start, missed } => {
                    assert_eq!((missed, start), (0, now));
                    ticks.push(tick);
                }
            }
        }
        assert_eq!(ticks[0], clock.tick(after_second(5)) + 1);
        assert!(ticks.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }

    #[test]
    fn late_consumer_gets_the_current_tick_once() {
        let mut pace = Pacer::new(FrameClock::new(10), 0);
        assert_eq!(pace.poll(after_second(0)), PaceStep::Wait(Duration::from_millis(100)));
        let PaceStep::Due { tick, missed: 0, .. } = pace.poll(after_second(100_000_000)) else { panic!("not due") };
        let late = after_second(450_000_000);
        let expected = PaceStep::Due { tick: tick + 3, start: after_second(400_000_000), missed: 2 };
        assert_eq!(pace.poll(late), expected);
        assert_eq!(pace.poll(late), PaceStep::Wait(Duration::from_millis(50)));
    }

    #[test]
    fn backlog_is_delivered_late_and_older_ticks_are_missed() {
        let mut pace = Pacer::new(FrameClock::new(10), 2);
        let PaceStep::Wait(_) = pace.poll(after_second(0)) else { panic!("nothing is due yet") };
        let late = after_second(510_000_000);
        let starts = std::iter::from_fn(|| match pace.poll(late) {
            PaceStep::Due { start, missed, .. } => Some((start, missed)),
            PaceStep::Wait(_) => None,
        });
        let at = |tenth: u64| after_second(tenth * 100_000_000);
        assert_eq!(starts.collect::<Vec<_>>(), [(at(3), 2), (at(4), 0), (at(5), 0)]);
    }
}
