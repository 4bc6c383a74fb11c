//! A rate limit for each address: a token bucket for the address and, for IPv6, a far larger one for its network. Pure:
//! time is an argument. How places are shared out is in `fair_share`.
//!
//! With a bucket for the network alone, one host could use up what its whole LAN may do; with buckets for addresses
//! alone there would be no limit, as each IPv6 host has more addresses than it could use.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::fair_share::network;
use super::token_bucket::{Bucket, Rate};

/// How many times the rate of an address an IPv6 network has: more hosts than use one device at the same moment. To get
/// around a limit for each network, an attacker needs no more than a /60, which many providers assign.
const NETWORK_FACTOR: u32 = 16;

/// How many addresses, and how many networks, are remembered: 80 KiB each. When there are more, the one that has used
/// least of its burst is forgotten, so that nobody is locked out by the number of others.
const MAX_REMEMBERED: usize = 1_024;

/// A rate limit for each address.
#[derive(Debug)]
pub struct AddressRateLimit {
    addresses: Buckets,
    networks: Buckets,
}

impl AddressRateLimit {
    /// Allows each address this rate.
    pub fn new(rate: Rate) -> Self {
        Self { addresses: Buckets::new(rate), networks: Buckets::new(rate.times(NETWORK_FACTOR)) }
    }

    /// Counts one request of an address at `now`.
    ///
    /// # Errors
    ///
    /// When the limit is exceeded, and then the request is not counted; the time until the next one is allowed.
    pub fn try_acquire(&mut self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let from = from.to_canonical();
        // Before the address: one that comes with ever new addresses must not displace those that are remembered.
        if from.is_ipv6() {
            self.networks.try_acquire(network(from), now)?;
        }
        let allowed = self.addresses.try_acquire(from, now);
        if allowed.is_err() {
            self.networks.refund(network(from));
        }
        allowed
    }

    /// Takes back one request of an address.
    pub fn refund(&mut self, from: IpAddr) {
        self.addresses.refund(from.to_canonical());
        self.networks.refund(network(from));
    }

    /// Takes back all requests of an address, and the last one of its network.
    pub fn reset(&mut self, from: IpAddr) {
        self.addresses.buckets.remove(&from.to_canonical());
        self.networks.refund(network(from));
    }
}

#[derive(Debug)]
struct Buckets {
    rate: Rate,
    buckets: HashMap<IpAddr, Bucket>,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        Self { rate, buckets: HashMap::new() }
    }

    fn try_acquire(&mut self, key: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() >= MAX_REMEMBERED && !self.buckets.contains_key(&key) {
            self.forget(now);
        }
        self.buckets.entry(key).or_insert(Bucket::new(self.rate, now)).try_acquire(self.rate, now)
    }

    fn refund(&mut self, key: IpAddr) {
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.refund(self.rate);
        }
    }

    /// Forgets all that have their whole burst again; if there are none, the one that has used least of it.
    fn forget(&mut self, now: Instant) {
        let rate = self.rate;
        self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
        if self.buckets.len() >= MAX_REMEMBERED {
            let left = |bucket: &Bucket| bucket.tokens(rate, now);
            let most = self.buckets.iter().max_by(|(_, one), (_, other)| left(one).total_cmp(&left(other)));
            let most = most.map(|(key, _)| *key);
            most.map(|key| self.buckets.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_secs(10);
    const BURST: u32 = 5;

    fn limit() -> AddressRateLimit {
        AddressRateLimit::new(Rate::every(BURST, INTERVAL))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many requests are left.
    fn left(limit: &mut AddressRateLimit, from: &str, now: Instant) -> u32 {
        (0..1_000).take_while(|_| limit.try_acquire(ip(from), now).is_ok()).count() as u32
    }

    #[test]
    fn allows_a_burst_and_then_one_per_interval() {
        let (mut limit, start) = (limit(), Instant::now());
        assert_eq!(left(&mut limit, "192.0.2.1", start), BURST);
        assert_eq!(limit.try_acquire(ip("192.0.2.1"), start + SECOND), Err(9 * SECOND));
        assert_eq!(left(&mut limit, "192.0.2.1", start + INTERVAL), 1);
        // A rejected request costs nothing.
        assert_eq!(left(&mut limit, "192.0.2.1", start + 2 * INTERVAL), 1);
        assert_eq!(left(&mut limit, "192.0.2.1", start + 100 * INTERVAL), BURST);
    }

    #[test]
    fn one_address_leaves_the_others_their_requests() {
        let (mut limit, now) = (limit(), Instant::now());
        assert_eq!(left(&mut limit, "192.0.2.1", now), BURST);
        assert_eq!(left(&mut limit, "::ffff:192.0.2.1", now), 0);
        assert_eq!(left(&mut limit, "192.0.2.2", now), BURST);
        assert_eq!(left(&mut limit, "2001:db8::1", now), BURST);
        for _ in 0..100 * BURST {
            assert!(limit.try_acquire(ip("2001:db8::1"), now).is_err());
        }
        assert_eq!(left(&mut limit, "2001:db8::2", now), BURST, "of the same network");
    }

    #[test]
    fn a_network_has_a_far_larger_limit_than_an_address() {
        let (mut limit, now) = (limit(), Instant::now());
        let allowed: u32 = (0..1_000).map(|host| left(&mut limit, &format!("2001:db8::{host:x}"), now)).sum();
        assert_eq!(allowed, NETWORK_FACTOR * BURST);
        assert_eq!(left(&mut limit, "2001:db8:0:1::1", now), BURST);
        assert_eq!(left(&mut limit, "2001:db8::1", now + INTERVAL), 1);
    }

    #[test]
    fn requests_are_refunded() {
        let (mut limit, now) = (limit(), Instant::now());
        for address in ["192.0.2.1", "2001:db8::1"] {
            left(&mut limit, address, now);
            limit.refund(ip(address));
            assert_eq!(left(&mut limit, address, now), 1);
            limit.reset(ip(address));
            assert_eq!(left(&mut limit, address, now), BURST);
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_used_least() {
        let (mut limit, now) = (limit(), Instant::now());
        left(&mut limit, "192.0.2.1", now);
        for number in 0..3 * MAX_REMEMBERED as u32 {
            limit.try_acquire(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), now).unwrap();
        }
        assert_eq!(limit.addresses.buckets.len(), MAX_REMEMBERED);
        assert_eq!(left(&mut limit, "192.0.2.1", now), 0, "the one that used most should be remembered");
        limit.try_acquire(ip("192.0.2.3"), now + 100 * INTERVAL).unwrap();
        assert_eq!(limit.addresses.buckets.len(), 1);
        for network in 0..3 * MAX_REMEMBERED as u128 {
            limit.try_acquire(IpAddr::from((0x2001_u128 << 112 | network << 64).to_be_bytes()), now).unwrap();
        }
        assert_eq!((limit.addresses.buckets.len(), limit.networks.buckets.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
