//! How long a reason has to last until a viewer is sent less, or more again. Pure: time is an argument.
//!
//! Whoever has to be sent less soon after it was sent more has got that in vain, and waits twice as long for the next
//! attempt. What the reasons are is decided in `layers` and `rendition`.

use std::time::{Duration, Instant};

/// The patience with one viewer.
#[derive(Debug)]
pub struct Patience {
    /// How long a reason for more has to last, at first and at most.
    limits: (Duration, Duration),
    /// Whoever is sent more for a shorter time has got it in vain.
    in_vain: Duration,
    /// Since when there has been a reason for a change.
    since: Option<Instant>,
    /// When the viewer was sent more again.
    raised: Option<Instant>,
    up_time: Duration,
}

impl Patience {
    /// A reason for more has to last for the first of `limits`, and after attempts of less than `in_vain` for up to the second.
    pub fn new(limits: (Duration, Duration), in_vain: Duration) -> Self {
        Self { limits, in_vain, since: None, raised: None, up_time: limits.0 }
    }

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
        let is_in_vain = self.since_raise(now).is_some_and(|since| since < self.in_vain);
        self.up_time = if is_in_vain { (self.up_time * 2).min(self.limits.1) } else { self.limits.0 };
        self.since = None;
    }

    /// The viewer is sent more from now on.
    pub fn raise(&mut self, now: Instant) {
        (self.since, self.raised) = (None, Some(now));
    }

    /// Forgets what came of attempts before.
    pub fn forget(&mut self) {
        *self = Self::new(self.limits, self.in_vain);
    }
}
