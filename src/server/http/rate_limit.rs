//! Rate limit per address: a token bucket for each. Time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::util::lock::Mutex;
use crate::util::token_bucket::{Bucket, Rate};

/// Maximum number of buckets, at about 60 bytes each. When all are in use, further addresses share one: somebody is
/// using very many addresses then.
const MAX_ADDRESSES: usize = 4096;

/// The bucket that is shared when the table is full.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A rate limit per address.
pub struct PerAddressRateLimiter {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl PerAddressRateLimiter {
    /// Allows a burst, and then so many per second.
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { rate: Rate::new(burst, per_second), buckets: Mutex::default() }
    }

    /// Counts one request of `address` at `now`.
    ///
    /// # Errors
    ///
    /// When the limit is exceeded; the time until the next request is allowed.
    pub fn try_acquire(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
        }
        let full = buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&address);
        let bucket = buckets.entry(if full { OTHERS } else { address }).or_insert(Bucket::new(self.rate, now));
        bucket.try_acquire(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let limit = PerAddressRateLimiter::new(3, 2);
        let start = Instant::now();
        assert!((0..3).all(|_| limit.try_acquire(ip(1), start).is_ok()));
        assert_eq!(limit.try_acquire(ip(1), start), Err(Duration::from_millis(500)));
        assert!(limit.try_acquire(ip(2), start).is_ok());
        let later = start + Duration::from_millis(500);
        assert!(limit.try_acquire(ip(1), later).is_ok() && limit.try_acquire(ip(1), later).is_err());
        let rested = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| limit.try_acquire(ip(1), rested).is_ok()).count(), 3);
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let limit = PerAddressRateLimiter::new(2, 1);
        let start = Instant::now();
        let let_in = (1..=10_000).filter(|number| limit.try_acquire(ip(*number), start).is_ok()).count();
        assert_eq!(let_in, MAX_ADDRESSES + 2);
        assert!(limit.buckets.lock().len() <= MAX_ADDRESSES + 1);
        // Known addresses are not affected by the many.
        assert!(limit.try_acquire(ip(1), start).is_ok());
        let rested = start + Duration::from_secs(10);
        assert!(limit.try_acquire(ip(20_000), rested).is_ok());
        assert_eq!(limit.buckets.lock().len(), 1);
    }
}
