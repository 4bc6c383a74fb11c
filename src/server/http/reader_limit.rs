//! Limits the MJPEG streams of one address, so that nobody takes all viewers' places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::util::lock::Mutex;

/// Streams of one address at once: the cameras of a household's wall display, or a few browsers behind one router, and
/// fewer than there may be viewers.
pub const MAX_READERS: usize = 12;

/// The limiter; a cheap handle.
#[derive(Clone, Default)]
pub struct ReaderLimiter(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The permit of a stream, released when dropped.
pub struct ReaderPermit {
    limiter: ReaderLimiter,
    address: IpAddr,
}

impl ReaderLimiter {
    /// Acquires a permit for a stream to an address; `None` if it has [`MAX_READERS`].
    pub fn try_acquire(&self, address: IpAddr) -> Option<ReaderPermit> {
        let address = address.to_canonical();
        let mut readers = self.0.lock();
        let count = readers.entry(address).or_default();
        if *count >= MAX_READERS {
            return None;
        }
        *count += 1;
        Some(ReaderPermit { limiter: self.clone(), address })
    }
}

impl Drop for ReaderPermit {
    fn drop(&mut self) {
        let mut readers = self.limiter.0.lock();
        if let Some(count) = readers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_limit_and_nothing_is_kept_of_those_who_left() {
        let limiter = ReaderLimiter::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut permits: Vec<_> = (0..MAX_READERS).map(|_| limiter.try_acquire(one).expect("a permit")).collect();
        assert!(limiter.try_acquire(one).is_none());
        assert!(limiter.try_acquire(other).is_some());
        permits.pop();
        assert!(limiter.try_acquire(one).is_some());
        drop(permits);
        assert!(limiter.0.lock().is_empty());
    }
}
