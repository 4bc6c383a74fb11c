//! Measures how long the machine stalled, so that a time limit on the program is not exceeded because others took the
//! CPU.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// The sampling interval of the monitor thread.
const STEP: Duration = Duration::from_millis(2);

/// A wake-up later than this counts as a stall.
const STALL_THRESHOLD: Duration = Duration::from_millis(10);

/// A thread that needs almost no CPU time and records when it did not get even that.
pub struct StallMonitor {
    end: Sender<()>,
    watching: JoinHandle<Vec<(Instant, Instant)>>,
}

impl StallMonitor {
    pub fn watch() -> Self {
        let (end, ended) = channel();
        Self { end, watching: spawn(move || watch(&ended)) }
    }

    /// The recorded stalls.
    pub fn end(self) -> Stalls {
        drop(self.end);
        Stalls(self.watching.join().expect("the monitor thread should not panic"))
    }
}

fn watch(ended: &Receiver<()>) -> Vec<(Instant, Instant)> {
    let mut stalls = Vec::new();
    let mut last = Instant::now();
    while ended.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        if now - last > STALL_THRESHOLD {
            stalls.push((last + STEP, now));
        }
        last = now;
    }
    stalls
}

/// Stalls, each from its begin to its end.
pub struct Stalls(pub Vec<(Instant, Instant)>);

impl Stalls {
    /// The time between two moments, without stalls.
    pub fn running(&self, from: Instant, to: Instant) -> Duration {
        let still: Duration =
            self.0.iter().map(|(begin, end)| (*end).min(to).saturating_duration_since((*begin).max(from))).sum();
        to.saturating_duration_since(from).saturating_sub(still)
    }
}
