//! Shows from outside whether a thread's loop turns. What follows from it does not belong here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The heartbeat of one thread; a cheap handle for the thread and for those who check it.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<HeartbeatState>);

#[derive(Debug, Default)]
struct HeartbeatState {
    turns: AtomicU64,
    waiting: AtomicBool,
}

impl Heartbeat {
    /// Counts a turn of the loop. The thread calls it at least every few hundred milliseconds, or waits with
    /// [`wait`](Self::wait).
    pub fn beat(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a wait that may last for ever because there is nothing to do.
    pub fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.waiting.store(true, Ordering::Relaxed);
        let done = wait();
        self.beat();
        self.0.waiting.store(false, Ordering::Relaxed);
        done
    }

    /// The turns so far.
    pub fn turns(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// Whether the thread waits for something to do.
    pub fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_visible_while_it_lasts_and_counts_as_a_turn() {
        let heart = Heartbeat::default();
        let seen = heart.wait(|| (heart.is_waiting(), heart.turns()));
        assert_eq!((seen, heart.is_waiting(), heart.turns()), ((true, 0), false, 1));
        heart.beat();
        assert_eq!(heart.turns(), 2);
    }
}
