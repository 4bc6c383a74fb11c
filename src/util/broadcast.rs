//! A broadcast channel from one media thread to many subscribers that never waits for any of them.
//!
//! Values go down through [`Broadcast::publish`] to each [`Subscriber`]. Four things go back up on the same handle: whether
//! there is any demand ([`Demand`]), whether a subscriber needs a value that decoding can start with
//! ([`Broadcast::request_refresh`]; for video a key frame), whether one can use only values made of small parts
//! ([`Broadcast::small_parts`]; for video NAL units), and whether values get lost on the way to one
//! ([`Broadcast::loss_protection`]). What the values mean does not belong here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use crate::util::lock::{Condvar, Mutex, MutexGuard};

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

/// How much demand there is for a producer's output, and whether the producer may run. The producer's thread, one for
/// each, waits here while there is none.
#[derive(Debug, Clone, Default)]
pub struct Demand(Arc<DemandInner>);

#[derive(Debug, Default)]
struct DemandInner {
    state: Mutex<DemandState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DemandState {
    /// The number of guards alive.
    guards: usize,
    permission: Permission,
    /// Somebody registered since the producer's last pause began.
    registered: bool,
    /// A device was plugged in since the producer's last attempt began.
    woken: bool,
}

/// Whether the producer may have its device open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Permission {
    /// It may while there is demand.
    #[default]
    Granted,
    /// It may not for now, whatever the demand.
    BlockedSince(Instant),
    /// It may not any more; final.
    Stopped,
}

/// Why [`Demand::wait_or_wake`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There is demand, blocked or not. The caller makes an attempt next, which serves all wakeups so far.
    Demand,
    /// A device was plugged in, and there is no demand.
    Device,
    /// The producer is stopped.
    Stopped,
}

impl DemandState {
    /// Whether the producer should have its device open.
    fn is_needed(&self) -> bool {
        self.guards > 0 && self.permission == Permission::Granted
    }

    fn is_stopped(&self) -> bool {
        self.permission == Permission::Stopped
    }

    fn blocked_since(&self) -> Option<Instant> {
        match self.permission {
            Permission::BlockedSince(since) => Some(since),
            Permission::Granted | Permission::Stopped => None,
        }
    }
}

impl Demand {
    /// Adds demand ahead of a subscription, or without one, so that the producer can warm up.
    pub fn register(&self) -> DemandGuard {
        self.change(|state| {
            state.guards += 1;
            state.registered = true;
        });
        DemandGuard(self.clone())
    }

    /// The number of guards alive.
    pub fn guards(&self) -> usize {
        self.lock().guards
    }

    /// Stops the producer: from now on every wait returns at once.
    pub fn stop(&self) {
        self.change(|state| state.permission = Permission::Stopped);
    }

    /// Makes the producer close its device whatever the demand, or lets it go on. A producer that was stopped stays so.
    pub fn set_blocked(&self, blocked: bool) {
        self.change(|state| {
            state.permission = match (blocked, state.permission) {
                (_, Permission::Stopped) => Permission::Stopped,
                (true, Permission::Granted) => Permission::BlockedSince(Instant::now()),
                (true, since @ Permission::BlockedSince(_)) => since,
                (false, _) => Permission::Granted,
            };
        });
    }

    /// Since when the producer is blocked; `None` when it is not.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.lock().blocked_since()
    }

    /// Waits while the producer is blocked, there is demand and it is not stopped, for `limit` at most. Returns `true` when
    /// `limit` has passed.
    pub fn wait_while_blocked(&self, limit: Option<Duration>) -> bool {
        let over = |state: &DemandState| state.blocked_since().is_none() || state.guards == 0;
        !over(&self.wait_until(self.lock(), limit, over))
    }

    /// Wakes the producer because a device was plugged in. A pause ends at once. If the producer is in the middle of an
    /// attempt, which may have come too early, its next pause ends at once.
    pub fn wake(&self) {
        self.change(|state| state.woken = true);
    }

    /// Whether there is demand, and the producer is neither blocked nor stopped. The caller makes an attempt next, which
    /// serves all wakeups so far.
    pub fn is_needed(&self) -> bool {
        let mut state = self.lock();
        state.woken = false;
        state.is_needed()
    }

    /// Waits until there is demand (`true`), blocked or not, or the producer is stopped (`false`). The caller makes an attempt
    /// next, which serves all wakeups so far.
    pub fn wait(&self) -> bool {
        let mut state = self.wait_until(self.lock(), None, |state| state.guards > 0 || state.is_stopped());
        state.woken = false;
        !state.is_stopped()
    }

    /// As [`wait`](Self::wait), but also returns when the producer is woken.
    pub fn wait_or_wake(&self) -> Wake {
        let over = |state: &DemandState| state.guards > 0 || state.woken || state.is_stopped();
        let mut state = self.wait_until(self.lock(), None, over);
        state.woken = false;
        match state.is_stopped() {
            true => Wake::Stopped,
            false if state.guards > 0 => Wake::Demand,
            false => Wake::Device,
        }
    }

    /// Waits for `pause`, or until there is new demand or the producer is blocked, stopped or woken. Returns `true` when it was
    /// woken since the last [`wait`](Self::wait).
    pub fn pause(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        state.registered = false;
        let over = |state: &DemandState| state.woken || state.registered || state.permission != Permission::Granted;
        self.wait_until(state, Some(pause), over).woken
    }

    fn lock(&self) -> MutexGuard<'_, DemandState> {
        self.0.state.lock()
    }

    /// Changes the state and has the producer's waits check it.
    fn change(&self, change: impl FnOnce(&mut DemandState)) {
        change(&mut self.lock());
        self.0.changed.notify_all();
    }

    /// Waits until the state meets a condition, for `limit` at most if given.
    fn wait_until<'a>(
        &'a self,
        state: MutexGuard<'a, DemandState>,
        limit: Option<Duration>,
        met: impl Fn(&DemandState) -> bool,
    ) -> MutexGuard<'a, DemandState> {
        self.0.changed.wait_until(state, limit, met)
    }
}

/// Decides when a producer closes its device: some time after the demand is gone, so that a page that reloads finds it
/// open, and at once when the producer is blocked or stopped. Pure: time is an argument.
#[derive(Debug)]
pub struct Linger<'a> {
    demand: &'a Demand,
    span: Duration,
    last_needed: Instant,
}

impl<'a> Linger<'a> {
    /// Begins at `now`.
    pub fn new(demand: &'a Demand, span: Duration, now: Instant) -> Self {
        Self { demand, span, last_needed: now }
    }

    /// Whether the device should be closed.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let state = self.demand.lock();
        if state.guards > 0 {
            self.last_needed = now;
        }
        state.permission != Permission::Granted || now.saturating_duration_since(self.last_needed) >= self.span
    }
}

/// One unit of demand; dropping it ends it.
#[derive(Debug)]
pub struct DemandGuard(Demand);

impl Drop for DemandGuard {
    fn drop(&mut self) {
        self.0.change(|state| state.guards = state.guards.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
