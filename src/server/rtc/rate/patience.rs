//! How long a reason has to last until a viewer is sent less, or more again. Pure: time is an argument.
//!
//! Whoever has to be sent less soon after it was sent more has got that in vain, and waits twice as long for the next
//! attempt. What the reasons are is decided in `layers` and `rendition`.

use std::time::{Duration, Instant};

/// A network that leaves less than this share of a bitrate does not carry it: the encoder follows the estimates in steps.
pub const COVERED: f64 = 0.8;

/// And one that leaves this share of it does.
pub const CARRIED: f64 = 0.95;

/// How long a reason for more has to last, at first and at most.
const UP_TIME: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(80));

/// Whoever is sent more for a shorter time has got it in vain: the time until the next attempt doubles.
const IN_VAIN: Duration = Duration::from_secs(30);

/// The patience with one viewer.
#[derive(Debug)]
pub struct Patience {
    /// Since when there has been a reason for a change.
    since: Option<Instant>,
    /// When the viewer was sent more again.
    raised: Option<Instant>,
    up_time: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { since: None, raised: None, up_time: UP_TIME.0 }
    }
}

impl Patience {
    /// There is a reason for a change; returns how long it has lasted.
    pub fn lasting(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.since.get_or_insert(now))
    }

    /// There is no reason for a change.
    pub fn interrupt(&mut self) {
        self.since = None;
    }

    /// How long a reason for more has to last.
    pub fn up_time(&self) -> Duration {
        self.up_time
    }

    /// How long ago the viewer was sent more again.
    pub fn since_raise(&self, now: Instant) -> Option<Duration> {
        self.raised.map(|raised| now.saturating_duration_since(raised))
    }

    /// The viewer is sent less from now on.
    pub fn lower(&mut self, now: Instant) {
        let is_in_vain = self.since_raise(now).is_some_and(|since| since < IN_VAIN);
        self.up_time = if is_in_vain { (self.up_time * 2).min(UP_TIME.1) } else { UP_TIME.0 };
        self.since = None;
    }

    /// The viewer is sent more from now on.
    pub fn raise(&mut self, now: Instant) {
        (self.since, self.raised) = (None, Some(now));
    }

    /// Forgets what came of attempts before.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}
