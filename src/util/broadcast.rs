//! A fan-out from one media thread to many viewers that never waits for any of them.
//!
//! Frames go down through [`Broadcast::publish`] to each [`Subscriber`]; what viewers want goes back up on the same
//! handle: whether anybody is interested ([`Demand`]), and whether somebody needs a frame that decoding can begin with
//! ([`Broadcast::request_refresh`]). What the values mean does not belong here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

/// One end of the fan-out; a cheap handle for both sides.
#[derive(Debug)]
pub struct Broadcast<T> {
    ring: broadcast::Sender<T>,
    demand: Demand,
    refresh: Arc<AtomicBool>,
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone(), demand: self.demand.clone(), refresh: self.refresh.clone() }
    }
}

impl<T: Clone> Broadcast<T> {
    /// A fan-out that keeps `depth` values (rounded up to a power of two) for a subscriber that lags.
    pub fn new(depth: usize) -> Self {
        Self { ring: broadcast::Sender::new(depth), demand: Demand::default(), refresh: Arc::default() }
    }

    /// Hands a value to every subscriber; returns at once.
    pub fn publish(&self, value: T) {
        // An error says only that nobody listens.
        let _ = self.ring.send(value);
    }

    /// All values from now on. A subscriber is interested as long as it lives.
    pub fn subscribe(&self) -> Subscriber<T> {
        Subscriber { ring: self.ring.subscribe(), _interest: self.demand.register() }
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.ring.receiver_count()
    }

    /// Who is interested, subscribers included.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Asks the producer for a value that a new reader can begin with (a key frame). Many requests become one.
    pub fn request_refresh(&self) {
        self.refresh.store(true, Ordering::Release);
    }

    /// Whether such a value was asked for; the producer calls it when it honours the request.
    pub fn take_refresh_request(&self) -> bool {
        self.refresh.swap(false, Ordering::AcqRel)
    }

    /// Whether such a value is asked for.
    pub fn refresh_requested(&self) -> bool {
        self.refresh.load(Ordering::Acquire)
    }
}

/// The reading end of a [`Broadcast`].
#[derive(Debug)]
pub struct Subscriber<T> {
    ring: broadcast::Receiver<T>,
    _interest: DemandGuard,
}

/// Why [`Subscriber::recv`] has no value.
#[derive(Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The subscriber was too slow; so many values are gone for it.
    Lagged(u64),
    /// The producer is gone.
    Closed,
}

impl<T: Clone> Subscriber<T> {
    /// Waits for the next value. Cancelling loses nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] once after falling behind, then the oldest value still kept.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        self.ring.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(count) => RecvError::Lagged(count),
            broadcast::error::RecvError::Closed => RecvError::Closed,
        })
    }
}

/// How many are interested in a producer's output, and whether the producer shall end. The producer's thread waits on
/// it while nobody is.
#[derive(Debug, Clone, Default)]
pub struct Demand(Arc<DemandInner>);

#[derive(Debug, Default)]
struct DemandInner {
    state: Mutex<DemandState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DemandState {
    guards: usize,
    /// Counts registrations, so that a retry loop sees that somebody new came.
    generation: u64,
    /// Counts the nudges.
    wakeups: u64,
    /// The nudges that came before the producer's last attempt began, which has made use of them.
    wakeups_seen: u64,
    /// Since when the producer is to keep its device closed, whoever is interested.
    blocked_since: Option<Instant>,
    stopped: bool,
}

impl Demand {
    /// Registers an interest, before a subscription or instead of one, so that the producer can warm up.
    pub fn register(&self) -> DemandGuard {
        let mut state = self.lock();
        state.guards += 1;
        state.generation += 1;
        drop(state);
        self.0.changed.notify_all();
        DemandGuard(self.clone())
    }

    /// How many interests are alive.
    pub fn guards(&self) -> usize {
        self.lock().guards
    }

    /// Ends the producer: each wait returns at once from now on.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.0.changed.notify_all();
    }

    /// Bars the producer from its device, whoever is interested, or lets it go on.
    pub fn set_blocked(&self, blocked: bool) {
        let mut state = self.lock();
        state.blocked_since = blocked.then(|| state.blocked_since.unwrap_or_else(Instant::now));
        drop(state);
        self.0.changed.notify_all();
    }

    /// Since when the producer is barred; `None` when it is not.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.lock().blocked_since
    }

    /// Blocks while the producer is barred, somebody is interested and it shall not end; for `limit` at most: `true` when that
    /// is still so then.
    pub fn wait_while_blocked(&self, limit: Option<Duration>) -> bool {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        while state.blocked_since.is_some() && state.guards > 0 && !state.stopped {
            let Some(deadline) = deadline else {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Tells the producer that a device was plugged in: a pause ends at once, and so does the next one where the producer
    /// is not pausing yet, because the attempt that it makes now may have come too early.
    pub fn wake(&self) {
        self.lock().wakeups += 1;
        self.0.changed.notify_all();
    }

    /// Whether somebody is interested, and the producer is not barred and shall go on. An attempt follows, which makes use of
    /// all nudges until now.
    pub fn is_needed(&self) -> bool {
        let mut state = self.lock();
        state.wakeups_seen = state.wakeups;
        state.guards > 0 && state.blocked_since.is_none() && !state.stopped
    }

    /// Blocks until somebody is interested (`true`), barred or not, or the producer shall end (`false`). An attempt follows, which makes
    /// use of all nudges until now.
    pub fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.guards == 0 && !state.stopped {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wakeups_seen = state.wakeups;
        !state.stopped
    }

    /// Blocks for `pause`, or until somebody new is interested, or the producer is barred or shall end; or for no longer than to a nudge
    /// since the last [`wait`](Self::wait), which is `true`.
    pub fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut state = self.lock();
        let generation = state.generation;
        while state.wakeups == state.wakeups_seen
            && state.generation == generation
            && state.blocked_since.is_none()
            && !state.stopped
        {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wakeups != state.wakeups_seen
    }

    fn lock(&self) -> MutexGuard<'_, DemandState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a producer when to close its device: some time after the last interest is gone, so that a page that reloads
/// finds it warm, and at once when the producer is barred or shall end. Pure; time is an argument.
#[derive(Debug)]
pub struct Linger<'a> {
    demand: &'a Demand,
    span: Duration,
    wanted: Instant,
}

impl<'a> Linger<'a> {
    /// Begins at `now`.
    pub fn new(demand: &'a Demand, span: Duration, now: Instant) -> Self {
        Self { demand, span, wanted: now }
    }

    /// Whether the device shall be closed.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let state = self.demand.lock();
        if state.guards > 0 {
            self.wanted = now;
        }
        state.stopped || state.blocked_since.is_some() || now.saturating_duration_since(self.wanted) >= self.span
    }
}

/// Somebody's interest; dropping it takes it back.
#[derive(Debug)]
pub struct DemandGuard(Demand);

impl Drop for DemandGuard {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.guards = state.guards.saturating_sub(1);
        drop(state);
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_subscriber_is_told_what_it_missed_and_the_producer_never_waits() {
        let fan_out = Broadcast::new(4);
        let mut slow = fan_out.subscribe();
        for value in 0..10 {
            fan_out.publish(value);
        }
        assert_eq!(slow.recv().await, Err(RecvError::Lagged(6)));
        assert_eq!(slow.recv().await, Ok(6));
    }

    #[test]
    fn interest_is_counted_and_taken_back() {
        let fan_out = Broadcast::<u8>::new(4);
        let early = fan_out.demand().register();
        let subscriber = fan_out.subscribe();
        assert_eq!((fan_out.demand().guards(), fan_out.subscribers()), (2, 1));
        drop((early, subscriber));
        assert_eq!((fan_out.demand().guards(), fan_out.subscribers()), (0, 0));
    }

    #[test]
    fn a_waiting_producer_wakes_for_interest_and_for_the_end() {
        let demand = Demand::default();
        let producer = std::thread::spawn({
            let demand = demand.clone();
            move || (demand.wait(), demand.pause(Duration::from_secs(3600)))
        });
        let _interest = demand.register();
        demand.stop();
        producer.join().expect("producer should not panic");
        assert!(!demand.wait());
    }

    #[test]
    fn a_blocked_producer_is_not_needed_whatever_the_demand() {
        let (demand, hour) = (Demand::default(), Duration::from_secs(3600));
        let interest = demand.register();
        let mut linger = Linger::new(&demand, hour, Instant::now());
        assert!(demand.wait() && demand.is_needed() && demand.blocked_since().is_none());
        // In the middle of a pause, too.
        let producer = std::thread::spawn({
            let demand = demand.clone();
            move || demand.pause(hour)
        });
        demand.set_blocked(true);
        assert!(!producer.join().expect("producer should not panic"));
        let since = demand.blocked_since();
        demand.set_blocked(true);
        assert_eq!(demand.blocked_since(), since, "it is barred since the first time");
        assert!(since.is_some() && !demand.is_needed() && linger.is_over(Instant::now()));
        assert!(demand.wait(), "somebody is interested in what takes its place");
        assert!(demand.wait_while_blocked(Some(Duration::from_millis(1))));

        let waiting = || {
            let demand = demand.clone();
            std::thread::spawn(move || demand.wait_while_blocked(None))
        };
        let ended = |producer: std::thread::JoinHandle<bool>| {
            assert!(!producer.join().expect("producer should not panic"));
        };
        let producer = waiting();
        demand.set_blocked(false);
        ended(producer);
        demand.set_blocked(true);
        let producer = waiting();
        drop(interest);
        ended(producer);
        let _interest = demand.register();
        let producer = waiting();
        demand.stop();
        ended(producer);
    }

    #[test]
    fn a_wakeup_ends_the_pause_that_it_comes_before_or_in() {
        let (demand, hour) = (Demand::default(), Duration::from_secs(3600));
        let _interest = demand.register();
        demand.wake();
        assert!(demand.wait());
        assert!(!demand.pause(Duration::from_millis(1)), "the attempt after a nudge has made use of it");

        // Between the attempt's beginning and the pause.
        demand.wake();
        assert!(demand.pause(hour));

        assert!(demand.wait());
        let producer = std::thread::spawn({
            let demand = demand.clone();
            move || demand.pause(hour)
        });
        demand.wake();
        assert!(producer.join().expect("producer should not panic"));
    }

    #[test]
    fn a_device_stays_open_for_a_while_after_the_last_interest() {
        let demand = Demand::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut linger = Linger::new(&demand, second, start);
        let interest = demand.register();
        assert!(!linger.is_over(start + second * 10));
        drop(interest);
        assert!(!linger.is_over(start + second * 10 + second / 2));
        assert!(linger.is_over(start + second * 11));
        let _interest = demand.register();
        demand.stop();
        assert!(linger.is_over(start + second * 11));
    }

    #[test]
    fn requests_for_a_refresh_become_one() {
        let fan_out = Broadcast::<u8>::new(4);
        fan_out.request_refresh();
        fan_out.request_refresh();
        assert!(fan_out.refresh_requested());
        assert!(fan_out.take_refresh_request());
        assert!(!fan_out.take_refresh_request());
    }
}
