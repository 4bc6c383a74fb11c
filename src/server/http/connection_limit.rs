//! Who holds connections. There is room for so many; when it is full, a newcomer gets a place of the address that holds
//! the most, so that nobody can keep all others out by holding connections and saying nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The places; a cheap handle.
#[derive(Clone)]
pub struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    room: usize,
    /// In the order in which they came.
    held: Mutex<Vec<Arc<Slot>>>,
}

struct Slot {
    owner: IpAddr,
    /// Whether a request is being answered.
    busy: AtomicBool,
    end: CancellationToken,
}

/// A connection's place, given back when it is dropped.
pub struct ConnectionPermit {
    places: ConnectionLimiter,
    held: Arc<Slot>,
}

impl ConnectionLimiter {
    /// Room for so many connections.
    pub fn new(room: usize) -> Self {
        Self(Arc::new(Inner { room, held: Mutex::default() }))
    }

    /// A place for a connection of `owner`; `None` when nobody holds more than that one would.
    pub fn take(&self, owner: IpAddr) -> Option<ConnectionPermit> {
        let mut held = self.lock();
        if held.len() >= self.0.room {
            let mut counts: HashMap<IpAddr, usize> = HashMap::new();
            held.iter().for_each(|one| *counts.entry(one.owner).or_default() += 1);
            let own = counts.get(&owner).copied().unwrap_or(0);
            let most = counts.values().copied().max().filter(|most| *most > own + 1)?;
            // Of several that hold as many, the one that has held its places the longest.
            let most = held.iter().map(|one| one.owner).find(|one| counts.get(one) == Some(&most))?;
            let of_most = |one: &Arc<Slot>| one.owner == most;
            let idle = |one: &Arc<Slot>| of_most(one) && !one.busy.load(Ordering::Relaxed);
            let at = held.iter().position(idle).or_else(|| held.iter().position(of_most))?;
            held.remove(at).end.cancel();
        }
        let one = Arc::new(Slot { owner, busy: AtomicBool::new(false), end: CancellationToken::new() });
        held.push(one.clone());
        Some(ConnectionPermit { places: self.clone(), held: one })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Resolves when the place was given to somebody else.
    pub async fn lost(&self) {
        self.held.end.cancelled().await;
    }

    /// Says whether a request is being answered.
    pub fn set_busy(&self, busy: bool) {
        self.held.busy.store(busy, Ordering::Relaxed);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.places.lock().retain(|one| !Arc::ptr_eq(one, &self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_one_who_holds_the_most_gives_way() {
        let places = ConnectionLimiter::new(4);
        let many: Vec<ConnectionPermit> = (0..4).map(|_| places.take(ip(1)).unwrap()).collect();
        many[0].set_busy(true);
        assert!(places.take(ip(1)).is_none());
        let first = places.take(ip(2)).unwrap();
        let lost: Vec<bool> = many.iter().map(|place| place.held.end.is_cancelled()).collect();
        assert_eq!(lost, [false, true, false, false]);
        let second = places.take(ip(2)).unwrap();
        assert!(many[2].held.end.is_cancelled());
        // Two each: a third would only turn the tables.
        assert!(places.take(ip(2)).is_none());
        assert!(places.take(ip(3)).is_some_and(|_| many[3].held.end.is_cancelled()));
        assert!(!first.held.end.is_cancelled() && !second.held.end.is_cancelled());
    }

    #[test]
    fn busy_ones_go_when_there_are_no_others() {
        let places = ConnectionLimiter::new(2);
        let many: Vec<ConnectionPermit> = (0..2).map(|_| places.take(ip(1)).unwrap()).collect();
        many.iter().for_each(|place| place.set_busy(true));
        assert!(places.take(ip(2)).is_some());
        assert!(many[0].held.end.is_cancelled() && !many[1].held.end.is_cancelled());
    }

    #[test]
    fn a_place_is_given_back() {
        let places = ConnectionLimiter::new(1);
        drop(places.take(ip(1)).unwrap());
        let place = places.take(ip(2));
        assert!(place.is_some() && places.take(ip(3)).is_none());
    }
}
