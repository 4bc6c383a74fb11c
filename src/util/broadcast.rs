//! A broadcast channel from one media thread to many subscribers that never waits for any of them.
//!
//! Values go down through [`Broadcast::publish`] to each [`Subscriber`]. Four things go back up on the same handle: whether
//! there is any demand ([`Demand`]), whether a subscriber needs a value that decoding can start with
//! ([`Broadcast::request_refresh`]; for video a key frame), whether one can use only values made of small parts
//! ([`Broadcast::small_parts`]; for video NAL units), and whether values get lost on the way to one
//! ([`Broadcast::loss_protection`]). What the values mean does not belong here.

mod demand;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::broadcast;

pub use demand::{Demand, DemandGuard, Linger, Wake};

use crate::util::lock::Mutex;

/// The channel; a cheap handle for the producer and for those who subscribe.
#[derive(Debug)]
pub struct Broadcast<T> {
    ring: broadcast::Sender<T>,
    demand: Demand,
    small_parts: Demand,
    loss_protection: Demand,
    refresh: Arc<AtomicBool>,
    /// The values that a late subscriber starts with.
    kept: Arc<Mutex<VecDeque<T>>>,
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        let (demand, small_parts) = (self.demand.clone(), self.small_parts.clone());
        let loss_protection = self.loss_protection.clone();
        let (refresh, kept) = (self.refresh.clone(), self.kept.clone());
        Self { ring: self.ring.clone(), demand, small_parts, loss_protection, refresh, kept }
    }
}

impl<T: Clone> Broadcast<T> {
    /// A channel that keeps `depth` values (rounded up to a power of two) for a subscriber that lags.
    pub fn new(depth: usize) -> Self {
        let ring = broadcast::Sender::new(depth);
        let [demand, small_parts, loss_protection] = [(); 3].map(|()| Demand::default());
        Self { ring, demand, small_parts, loss_protection, refresh: Arc::default(), kept: Arc::default() }
    }

    /// Another channel of the same producer: whoever subscribes to it is demand for the producer as those of this one are.
    pub fn sibling(&self, depth: usize) -> Self {
        Self { demand: self.demand.clone(), ..Self::new(depth) }
    }

    /// Sends a value to every subscriber; never blocks.
    pub fn publish(&self, value: T) {
        self.send(value, Keep::Nothing);
    }

    /// Sends a value to every subscriber, and keeps it or not for those to come; never blocks.
    pub fn send(&self, value: T, keep: Keep) {
        // Held while sending: a new subscriber gets each value once, from here or from there.
        let mut kept = self.kept.lock();
        match keep {
            Keep::Nothing => kept.clear(),
            Keep::From => {
                kept.clear();
                kept.push_back(value.clone());
            }
            // Without its beginning it is of no use.
            Keep::Too if !kept.is_empty() => kept.push_back(value.clone()),
            Keep::Too => {}
        }
        // An error only means that there are no subscribers.
        let _ = self.ring.send(value);
    }

    /// Forgets what is kept for subscribers to come.
    pub fn forget(&self) {
        self.kept.lock().clear();
    }

    /// Receives all values from now on. A subscriber is demand for as long as it lives.
    pub fn subscribe(&self) -> Subscriber<T> {
        Subscriber { backlog: VecDeque::new(), ring: self.ring.subscribe(), _interest: self.demand.register() }
    }

    /// As [`subscribe`](Self::subscribe), but the values kept come first.
    pub fn subscribe_with_backlog(&self) -> Subscriber<T> {
        let kept = self.kept.lock();
        Subscriber { backlog: kept.clone(), ..self.subscribe() }
    }

    /// The number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.ring.receiver_count()
    }

    /// The demand, subscribers included.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The demand for values made of small parts, which the producer serves if it can. It does not keep the producer running.
    pub fn small_parts(&self) -> &Demand {
        &self.small_parts
    }

    /// The demand for values that say enough of those before them to make up for lost ones, which the producer serves if it
    /// can. It does not keep the producer running.
    pub fn loss_protection(&self) -> &Demand {
        &self.loss_protection
    }

    /// Asks the producer for a value that a new subscriber can start with (a key frame). Concurrent requests are merged.
    pub fn request_refresh(&self) {
        self.refresh.store(true, Ordering::Release);
    }

    /// Clears a pending request and returns whether there was one; the producer calls it when it serves the request.
    pub fn take_refresh_request(&self) -> bool {
        self.refresh.swap(false, Ordering::AcqRel)
    }

    /// Whether a request is pending.
    pub fn refresh_requested(&self) -> bool {
        self.refresh.load(Ordering::Acquire)
    }
}

/// Whether a [`Broadcast`] keeps a value for subscribers to come. The producer bounds how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Neither this value nor those before it.
    Nothing,
    /// This value and not those before it: a subscriber can start with it.
    From,
    /// This value too, if those are kept that it depends on.
    Too,
}

/// The reading end of a [`Broadcast`].
#[derive(Debug)]
pub struct Subscriber<T> {
    backlog: VecDeque<T>,
    ring: broadcast::Receiver<T>,
    _interest: DemandGuard,
}

/// Why [`Subscriber::recv`] returned no value.
#[derive(Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The subscriber was too slow and missed this many values.
    Lagged(u64),
    /// The producer is gone.
    Closed,
}

impl<T: Clone> Subscriber<T> {
    /// Whether values come first that were kept.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Forgets the values that were kept if the first of them is as `is_unwanted` says; whether it has.
    pub fn forget_backlog_if(&mut self, is_unwanted: impl FnOnce(&T) -> bool) -> bool {
        let forgets = self.backlog.front().is_some_and(is_unwanted);
        if forgets {
            self.backlog.clear();
        }
        forgets
    }

    /// Waits for the next value. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] once after falling behind; the next call returns the oldest value still kept.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        if let Some(value) = self.backlog.pop_front() {
            return Ok(value);
        }
        self.ring.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(count) => RecvError::Lagged(count),
            broadcast::error::RecvError::Closed => RecvError::Closed,
        })
    }

    /// The next value if there is one already, for threads; never waits.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<T>, RecvError> {
        if let Some(value) = self.backlog.pop_front() {
            return Ok(Some(value));
        }
        match self.ring.try_recv() {
            Ok(value) => Ok(Some(value)),
            Err(broadcast::error::TryRecvError::Empty) => Ok(None),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
            Err(broadcast::error::TryRecvError::Closed) => Err(RecvError::Closed),
        }
    }
}

#[cfg(test)]
mod tests;
