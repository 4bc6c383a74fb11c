//! A token bucket for rate limits. Pure: time is an argument.
//!
//! What is limited, and what happens above the limit, does not belong here.

use std::time::{Duration, Instant};

/// A burst, and a sustained rate per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    burst: f64,
    per_second: f64,
}

impl Rate {
    /// At most `burst` at once, refilled by `per_second`.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst as f64, per_second: per_second as f64 }
    }

    /// At most `burst` at once, and then one in each `interval`.
    pub const fn every(burst: u32, interval: Duration) -> Self {
        Self { burst: burst as f64, per_second: 1.0 / interval.as_secs_f64() }
    }

    /// So many times this rate.
    pub const fn times(self, factor: u32) -> Self {
        Self { burst: self.burst * factor as f64, per_second: self.per_second * factor as f64 }
    }
}

/// The tokens left of a [`Rate`].
#[derive(Debug, Clone)]
pub struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket at `now`.
    pub const fn new(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, filled: now }
    }

    /// Takes one token at `now`.
    ///
    /// # Errors
    ///
    /// The time until the next token, when the bucket is empty.
    pub fn try_acquire(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.tokens = self.tokens(rate, now);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate.per_second))
    }

    /// Puts back one token.
    pub fn refund(&mut self, rate: Rate) {
        self.tokens = (self.tokens + 1.0).min(rate.burst);
    }

    /// Whether the bucket is full at `now`.
    pub fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.tokens(rate, now) >= rate.burst
    }

    /// The tokens left at `now`.
    pub fn tokens(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        (self.tokens + passed * rate.per_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_sustained_rate() {
        let rate = Rate::new(3, 2);
        let start = Instant::now();
        let mut bucket = Bucket::new(rate, start);
        assert!(bucket.is_full(rate, start));
        assert!((0..3).all(|_| bucket.try_acquire(rate, start).is_ok()));
        assert_eq!(bucket.try_acquire(rate, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert!(bucket.try_acquire(rate, later).is_ok() && bucket.try_acquire(rate, later).is_err());
        let rested = start + Duration::from_secs(60);
        assert!(bucket.is_full(rate, rested));
        assert_eq!((0..10).filter(|_| bucket.try_acquire(rate, rested).is_ok()).count(), 3);
    }
}
