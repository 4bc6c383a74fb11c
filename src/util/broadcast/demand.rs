//! How much demand there is for what a media thread produces, and whether it may run. What is produced goes down through the
//! parent module.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::util::lock::{Condvar, Mutex, MutexGuard};

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
