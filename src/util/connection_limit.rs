//! Limits the number of connections. When the limit is reached, a new connection replaces one of the address that holds
//! the most, so that nobody can lock others out by holding idle connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use crate::util::fair_share;
use crate::util::lock::{Mutex, MutexGuard};

/// The limiter; a cheap handle.
#[derive(Clone)]
pub struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    capacity: usize,
    /// In order of arrival.
    slots: Mutex<Vec<Arc<Slot>>>,
}

struct Slot {
    owner: IpAddr,
    /// Requests in progress: one, or a stream that goes on when its request has been answered.
    busy: AtomicUsize,
    end: CancellationToken,
}

/// The permit of a connection, released when dropped.
pub struct ConnectionPermit {
    limiter: ConnectionLimiter,
    slot: Arc<Slot>,
}

/// A request in progress, or a stream.
pub struct BusyGuard(Arc<Slot>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionLimiter {
    /// A limiter for `capacity` connections.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Inner { capacity, slots: Mutex::default() }))
    }

    /// Acquires a permit for a connection of `owner`; `None` if no other address holds more than `owner` would.
    pub fn try_acquire(&self, owner: IpAddr) -> Option<ConnectionPermit> {
        let owner = owner.to_canonical();
        let mut slots = self.lock();
        if slots.len() >= self.0.capacity {
            let owners: Vec<IpAddr> = slots.iter().map(|one| one.owner).collect();
            let most = fair_share::gives_way(&owners, owner)?;
            let of_most = |one: &Arc<Slot>| one.owner == most;
            let idle = |one: &Arc<Slot>| of_most(one) && one.busy.load(Ordering::Relaxed) == 0;
            let at = slots.iter().position(idle).or_else(|| slots.iter().position(of_most))?;
            slots.remove(at).end.cancel();
        }
        let one = Arc::new(Slot { owner, busy: AtomicUsize::new(0), end: CancellationToken::new() });
        slots.push(one.clone());
        Some(ConnectionPermit { limiter: self.clone(), slot: one })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.0.slots.lock()
    }
}

impl ConnectionPermit {
    /// Resolves when the connection was evicted in favour of another.
    pub async fn evicted(&self) {
        self.slot.end.cancelled().await;
    }

    /// Closes the connection.
    pub fn close(&self) {
        self.slot.end.cancel();
    }

    /// A request is in progress for as long as the guard lives.
    pub fn busy(&self) -> BusyGuard {
        self.slot.busy.fetch_add(1, Ordering::Relaxed);
        BusyGuard(self.slot.clone())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.lock().retain(|one| !Arc::ptr_eq(one, &self.slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_largest_holder_loses_a_connection() {
        let limiter = ConnectionLimiter::new(4);
        let many: Vec<ConnectionPermit> = (0..4).map(|_| limiter.try_acquire(ip(1)).unwrap()).collect();
        let _busy = many[0].busy();
        assert!(limiter.try_acquire(ip(1)).is_none());
        let first = limiter.try_acquire(ip(2)).unwrap();
        let evicted: Vec<bool> = many.iter().map(|permit| permit.slot.end.is_cancelled()).collect();
        assert_eq!(evicted, [false, true, false, false]);
        let second = limiter.try_acquire(ip(2)).unwrap();
        assert!(many[2].slot.end.is_cancelled());
        // Two each: a third would only reverse the imbalance.
        assert!(limiter.try_acquire(ip(2)).is_none());
        assert!(limiter.try_acquire(ip(3)).is_some_and(|_| many[3].slot.end.is_cancelled()));
        assert!(!first.slot.end.is_cancelled() && !second.slot.end.is_cancelled());
    }

    #[test]
    fn busy_connections_are_evicted_last() {
        let limiter = ConnectionLimiter::new(2);
        let many: Vec<ConnectionPermit> = (0..2).map(|_| limiter.try_acquire(ip(1)).unwrap()).collect();
        let _busy: Vec<BusyGuard> = many.iter().map(ConnectionPermit::busy).collect();
        assert!(limiter.try_acquire(ip(2)).is_some());
        assert!(many[0].slot.end.is_cancelled() && !many[1].slot.end.is_cancelled());
    }

    #[test]
    fn dropping_a_permit_releases_it() {
        let limiter = ConnectionLimiter::new(1);
        drop(limiter.try_acquire(ip(1)).unwrap());
        let permit = limiter.try_acquire(ip(2));
        assert!(permit.is_some() && limiter.try_acquire(ip(3)).is_none());
    }

    #[test]
    fn a_few_addresses_of_one_network_do_not_hold_all_places() {
        for addresses in [1, 5, 192] {
            let limiter = ConnectionLimiter::new(192);
            let host = |number: usize| IpAddr::from((0x2001_0db8_u128 << 96 | number as u128).to_be_bytes());
            let held: Vec<ConnectionPermit> =
                (0..192).map(|number| limiter.try_acquire(host(number % addresses)).unwrap()).collect();
            // Of another network, and of the same one, unless each has but one.
            let mut newcomers: Vec<IpAddr> = (1..=20).map(ip).collect();
            if addresses < 192 {
                newcomers.extend((1_000..1_020).map(host));
            }
            let permits: Vec<ConnectionPermit> =
                newcomers.iter().map(|newcomer| limiter.try_acquire(*newcomer).expect("a place")).collect();
            assert!(permits.iter().all(|permit| !permit.slot.end.is_cancelled()), "{addresses}");
            assert_eq!(held.iter().filter(|permit| permit.slot.end.is_cancelled()).count(), newcomers.len());
        }
    }
}
