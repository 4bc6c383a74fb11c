//! Responses that last, MJPEG streams and events: how many there may be to one address, so that nobody takes all places, and
//! which of them end when somebody may no longer read.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::util::lock::Mutex;

/// The limiter of one kind of response; a cheap handle.
#[derive(Debug, Clone)]
pub struct ReaderLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// To one address.
    max: usize,
    readers: Mutex<Vec<Arc<Reader>>>,
}

#[derive(Debug)]
struct Reader {
    address: IpAddr,
    /// Who reads, as `auth::Principal` names them.
    owner: String,
    end: CancellationToken,
}

/// The permit of a response, released when dropped.
#[derive(Debug)]
pub struct ReaderPermit {
    limiter: ReaderLimiter,
    reader: Arc<Reader>,
}

impl ReaderLimiter {
    /// A limiter for `max` responses to one address.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, readers: Mutex::default() }))
    }

    /// Acquires a permit for a response to `owner` at an address, which ends when `end` is cancelled.
    ///
    /// # Errors
    ///
    /// When there are as many as there may be; their number.
    pub fn try_acquire(&self, address: IpAddr, owner: &str, end: CancellationToken) -> Result<ReaderPermit, usize> {
        let address = address.to_canonical();
        let mut readers = self.0.readers.lock();
        if readers.iter().filter(|reader| reader.address == address).count() >= self.0.max {
            return Err(self.0.max);
        }
        let reader = Arc::new(Reader { address, owner: owner.into(), end });
        readers.push(reader.clone());
        Ok(ReaderPermit { limiter: self.clone(), reader })
    }

    /// Ends the responses to an owner who may no longer read.
    pub fn end_all_of(&self, owner: &str) {
        let readers = self.0.readers.lock().clone();
        readers.iter().filter(|reader| reader.owner == owner).for_each(|reader| reader.end.cancel());
    }
}

impl Drop for ReaderPermit {
    fn drop(&mut self) {
        self.limiter.0.readers.lock().retain(|reader| !Arc::ptr_eq(reader, &self.reader));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_limit_and_nothing_is_kept_of_those_who_left() {
        let limiter = ReaderLimiter::new(3);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let acquire = |address, owner| limiter.try_acquire(address, owner, CancellationToken::new());
        let mut permits: Vec<_> = (0..3).map(|_| acquire(one, "a").expect("a permit")).collect();
        assert_eq!(acquire(one, "b").err(), Some(3));
        assert!(acquire(other, "a").is_ok());
        permits.pop();
        assert!(acquire(one, "b").is_ok());
        drop(permits);
        assert!(limiter.0.readers.lock().is_empty());
    }

    #[test]
    fn responses_of_one_owner_end_together() {
        let limiter = ReaderLimiter::new(3);
        let address = IpAddr::from([192, 0, 2, 1]);
        let ends = [CancellationToken::new(), CancellationToken::new(), CancellationToken::new()];
        let owners = ["a", "b", "a"];
        let _permits: Vec<_> =
            owners.iter().zip(&ends).map(|(owner, end)| limiter.try_acquire(address, owner, end.clone())).collect();
        limiter.end_all_of("a");
        assert_eq!(ends.map(|end| end.is_cancelled()), [true, false, true]);
    }
}
