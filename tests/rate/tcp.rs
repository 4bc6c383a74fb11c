//! A long TCP flow that fills the queue: window, slow start, additive increase, one halving for each window with a loss.

use std::collections::BTreeSet;

pub const SEGMENT: usize = 1_500;

#[derive(Debug)]
pub struct Tcp {
    window: f64,
    threshold: f64,
    next: u64,
    outstanding: BTreeSet<u64>,
    /// Losses of packets before this one belong to the last halving.
    recover: u64,
    last_ack: f64,
    pub acked: Vec<(f64, usize)>,
}

impl Tcp {
    pub fn new() -> Self {
        Self {
            window: 10.0,
            threshold: f64::INFINITY,
            next: 0,
            outstanding: BTreeSet::new(),
            recover: 0,
            last_ack: 0.0,
            acked: Vec::new(),
        }
    }

    /// The segments that leave at `now`.
    pub fn send(&mut self, now: f64) -> Vec<u64> {
        if now - self.last_ack > 1.0 {
            // A timeout.
            self.outstanding.clear();
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = 2.0;
            self.last_ack = now;
        }
        let mut out = Vec::new();
        while (self.outstanding.len() as f64) < self.window {
            self.outstanding.insert(self.next);
            out.push(self.next);
            self.next += 1;
        }
        out
    }

    pub fn on_ack(&mut self, segment: u64, now: f64) {
        self.last_ack = now;
        if !self.outstanding.remove(&segment) {
            return;
        }
        self.acked.push((now, SEGMENT));
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        // Three later acknowledgements mean a loss.
        let lost: Vec<u64> = self.outstanding.range(..segment.saturating_sub(3)).copied().collect();
        for lost in lost {
            self.outstanding.remove(&lost);
            if lost >= self.recover {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.recover = self.next;
            }
        }
    }
}
