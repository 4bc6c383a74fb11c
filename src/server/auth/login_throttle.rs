//! Rate limit of sign-in attempts per address. Time is an argument, so that tests need no waiting.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How many attempts an address has at once: somebody who mistypes a password on a phone gets it right by then.
const BURST: u32 = 5;

/// The interval after which an address has one more attempt: 8,640 a day. At that rate a list of the ten thousand most
/// common passwords takes more than a day and a random password forever; nobody who forgot theirs types much faster.
const REFILL_INTERVAL: Duration = Duration::from_secs(10);

/// How many addresses are remembered, 80 KiB. With more attackers than that the cost of hashing is the limit, and the
/// address with the fewest attempts is forgotten.
const MAX_ADDRESSES: usize = 1024;

/// The recent attempts of each address.
#[derive(Debug, Default)]
pub struct LoginThrottle {
    /// When an address will have all its attempts again.
    full_at: HashMap<IpAddr, Instant>,
}

impl LoginThrottle {
    /// Uses up one attempt of an address.
    ///
    /// # Errors
    ///
    /// When it has none left; how long it has to wait.
    pub fn try_acquire(&mut self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = rate_limit_prefix(from);
        let full = self.full_at.get(&key).copied().filter(|full| *full > now).unwrap_or(now) + REFILL_INTERVAL;
        let wait = full.duration_since(now).saturating_sub(REFILL_INTERVAL * BURST);
        if !wait.is_zero() {
            return Err(wait);
        }
        if self.full_at.len() >= MAX_ADDRESSES && !self.full_at.contains_key(&key) {
            self.evict(now);
        }
        self.full_at.insert(key, full);
        Ok(())
    }

    /// Refunds one attempt, which was not a guess.
    pub fn refund(&mut self, from: IpAddr) {
        if let Some(full) = self.full_at.get_mut(&rate_limit_prefix(from)) {
            *full -= REFILL_INTERVAL;
        }
    }

    /// Refunds all attempts of an address.
    pub fn reset(&mut self, from: IpAddr) {
        self.full_at.remove(&rate_limit_prefix(from));
    }

    /// Removes addresses that have all their attempts again; if there are none, the address with the fewest attempts
    /// used.
    fn evict(&mut self, now: Instant) {
        self.full_at.retain(|_, full| *full > now);
        if self.full_at.len() >= MAX_ADDRESSES {
            let least = self.full_at.iter().min_by_key(|(_, full)| **full).map(|(key, _)| *key);
            least.map(|least| self.full_at.remove(&least));
        }
    }
}

/// The prefix that rate limits apply to: for IPv6 the /64 network, because every host has more addresses than it could
/// use.
pub fn rate_limit_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many attempts are left.
    fn left(attempts: &mut LoginThrottle, from: &str, now: Instant) -> u32 {
        (0..100).take_while(|_| attempts.try_acquire(address(from), now).is_ok()).count() as u32
    }

    #[test]
    fn allows_a_burst_and_then_one_per_interval() {
        let (mut attempts, start) = (LoginThrottle::default(), Instant::now());
        assert_eq!(left(&mut attempts, "192.0.2.1", start), BURST);
        assert_eq!(attempts.try_acquire(address("192.0.2.1"), start + SECOND), Err(9 * SECOND));
        assert_eq!(left(&mut attempts, "192.0.2.1", start + REFILL_INTERVAL), 1);
        // A rejected attempt costs nothing.
        assert_eq!(left(&mut attempts, "192.0.2.1", start + 2 * REFILL_INTERVAL), 1);
        assert_eq!(left(&mut attempts, "192.0.2.1", start + 100 * REFILL_INTERVAL), BURST);
    }

    #[test]
    fn limits_are_per_ipv4_address_and_ipv6_network() {
        let (mut attempts, now) = (LoginThrottle::default(), Instant::now());
        assert_eq!(left(&mut attempts, "192.0.2.1", now), BURST);
        assert_eq!(left(&mut attempts, "::ffff:192.0.2.1", now), 0);
        assert_eq!(left(&mut attempts, "192.0.2.2", now), BURST);
        assert_eq!(left(&mut attempts, "2001:db8::1", now), BURST);
        assert_eq!(left(&mut attempts, "2001:db8::ffff:2", now), 0);
        assert_eq!(left(&mut attempts, "2001:db8:0:1::1", now), BURST);
    }

    #[test]
    fn attempts_are_refunded() {
        let (mut attempts, now) = (LoginThrottle::default(), Instant::now());
        left(&mut attempts, "192.0.2.1", now);
        attempts.refund(address("192.0.2.1"));
        assert_eq!(left(&mut attempts, "192.0.2.1", now), 1);
        attempts.reset(address("192.0.2.1"));
        assert_eq!(left(&mut attempts, "192.0.2.1", now), BURST);
    }

    #[test]
    fn the_table_is_bounded_and_evicts_the_fewest_attempts() {
        let (mut attempts, now) = (LoginThrottle::default(), Instant::now());
        left(&mut attempts, "192.0.2.1", now);
        for number in 0..3 * MAX_ADDRESSES as u32 {
            attempts.try_acquire(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), now).unwrap();
        }
        assert_eq!(attempts.full_at.len(), MAX_ADDRESSES);
        assert_eq!(left(&mut attempts, "192.0.2.1", now), 0, "the one that tried most should be remembered");
        attempts.try_acquire(address("192.0.2.3"), now + 100 * REFILL_INTERVAL).unwrap();
        assert_eq!(attempts.full_at.len(), 1);
    }

    #[test]
    fn ipv6_is_counted_by_its_network() {
        assert_eq!(rate_limit_prefix(address("2001:db8:1:2:3::4")), address("2001:db8:1:2::"));
        assert_eq!(rate_limit_prefix(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
