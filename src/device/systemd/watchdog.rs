//! Decides whether to feed systemd's watchdog: only as long as the threads of every camera that is being watched loop. A
//! timer alone would report a live process even if the encode thread had been stuck in a driver for an hour. Whether a
//! camera delivers frames that can be shown does not matter here: that is the camera's fault, and a restart would
//! interrupt all others.
//!
//! Notifying systemd does not belong here. Time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

/// The health of a thread at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadHealth {
    /// Whether its loop has to turn: it has something to do that somebody waits for.
    pub busy: bool,
    /// The turns of its loop since the start.
    pub turns: u64,
}

/// A thread under supervision.
pub struct WatchedThread {
    /// Its name.
    pub name: String,
    /// Returns its current health.
    pub health: Box<dyn Fn() -> ThreadHealth + Send>,
}

/// Checks that threads loop.
pub(super) struct Watchdog {
    threads: Vec<Watched>,
    limit: Duration,
}

struct Watched {
    thread: WatchedThread,
    turns: u64,
    /// When its loop last turned, or had no need to.
    last_progress: Instant,
}

/// A thread whose loop does not turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stalled {
    name: String,
    stalled_for: Duration,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stalled_for } = self;
        write!(
            f,
            "the thread {name} has been stuck for {} s, probably in a driver; the watchdog is not fed any more, so systemd \
             will restart porthole",
            stalled_for.as_secs()
        )
    }
}

impl Watchdog {
    /// A thread that is busy from `now` on has to turn its loop at least every `limit`.
    pub(super) fn new(threads: Vec<WatchedThread>, limit: Duration, now: Instant) -> Self {
        let watched = |thread| Watched { thread, turns: 0, last_progress: now };
        Self { threads: threads.into_iter().map(watched).collect(), limit }
    }

    /// Whether all threads are healthy at `now`.
    ///
    /// # Errors
    ///
    /// The thread that has been stalled the longest.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Stalled> {
        for watched in &mut self.threads {
            let health = (watched.thread.health)();
            if !health.busy || health.turns != watched.turns {
                watched.last_progress = now;
            }
            watched.turns = health.turns;
        }
        let stalled_for = |watched: &Watched| now.saturating_duration_since(watched.last_progress);
        match self.threads.iter().max_by_key(|watched| stalled_for(watched)) {
            Some(worst) if stalled_for(worst) >= self.limit => {
                Err(Stalled { name: worst.thread.name.clone(), stalled_for: stalled_for(worst) })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::util::lock::Mutex;
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn thread(name: &str, health: &Arc<Mutex<ThreadHealth>>) -> WatchedThread {
        let health = health.clone();
        WatchedThread { name: name.into(), health: Box::new(move || *health.lock()) }
    }

    #[test]
    fn busy_thread_that_does_not_loop_stops_the_watchdog() {
        let [door, yard] = [0; 2].map(|_| Arc::new(Mutex::new(ThreadHealth { busy: false, turns: 0 })));
        let start = Instant::now();
        let threads = vec![thread("cap-door", &door), thread("cap-yard", &yard)];
        let mut watchdog = Watchdog::new(threads, 15 * SECOND, start);
        // They have nothing to do.
        assert_eq!(watchdog.check(start + 100 * SECOND), Ok(()));

        yard.lock().busy = true;
        assert_eq!(watchdog.check(start + 114 * SECOND), Ok(()));
        let stalled = Err(Stalled { name: "cap-yard".into(), stalled_for: 15 * SECOND });
        assert_eq!(watchdog.check(start + 115 * SECOND), stalled);

        // One turn is life.
        yard.lock().turns = 1;
        assert_eq!(watchdog.check(start + 116 * SECOND), Ok(()));
        assert_eq!(watchdog.check(start + 130 * SECOND), Ok(()));
        let Err(stalled) = watchdog.check(start + 131 * SECOND) else { panic!("it does not turn again") };
        assert!(stalled.to_string().starts_with("the thread cap-yard has been stuck for 15 s"), "{stalled}");

        // The other one does not help it; having nothing to do does.
        *door.lock() = ThreadHealth { busy: true, turns: 7 };
        assert!(watchdog.check(start + 132 * SECOND).is_err());
        yard.lock().busy = false;
        assert_eq!(watchdog.check(start + 133 * SECOND), Ok(()));
    }

    #[test]
    fn watchdog_is_fed_without_cameras() {
        let start = Instant::now();
        assert_eq!(Watchdog::new(Vec::new(), SECOND, start).check(start + 100 * SECOND), Ok(()));
    }
}
