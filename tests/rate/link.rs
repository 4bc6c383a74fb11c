//! A link: a rate, a queue that drops at its end, loss, delay and jitter. Used by the simulation in virtual time and by
//! the emulator in real time.

use std::collections::VecDeque;

use crate::random::Random;

/// What a link is like. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// Bit/s.
    pub rate: f64,
    pub delay: f64,
    /// The largest additional delay. Packets do not overtake each other.
    pub jitter: f64,
    /// The longest wait in the queue.
    pub queue: f64,
    /// The share of packets lost at random.
    pub loss: f64,
    /// Packets lost in a row, on average: 1 for independent losses.
    pub burst: f64,
}

impl Default for LinkConfig {
    /// That of the measurements: a round trip of 50 ms and half a second of queue.
    fn default() -> Self {
        Self { rate: 100e6, delay: 0.025, jitter: 0.0, queue: 0.5, loss: 0.0, burst: 1.0 }
    }
}

#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    random: Random,
    queue: VecDeque<(usize, T)>,
    queued_bytes: usize,
    /// When the packet at the front has left or will leave: the bits of it that are still to send at `served`.
    left: f64,
    served: f64,
    /// On their way: arrival and packet.
    flying: VecDeque<(f64, T)>,
    last_arrival: f64,
    losing: bool,
}

impl<T> Link<T> {
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            random: Random::new(seed),
            queue: VecDeque::new(),
            queued_bytes: 0,
            left: 0.0,
            served: 0.0,
            flying: VecDeque::new(),
            last_arrival: 0.0,
            losing: false,
        }
    }

    /// Changes the link at `now`; what is queued leaves at the new rate.
    pub fn set(&mut self, config: LinkConfig, now: f64) {
        self.serve(now);
        self.config = config;
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flying.is_empty()
    }

    /// How long a packet that comes now would wait.
    pub fn waiting(&self) -> f64 {
        self.queued_bytes as f64 * 8.0 / self.config.rate
    }

    /// Sends a packet; returns whether it was not dropped at the queue.
    pub fn send(&mut self, packet: T, bytes: usize, now: f64) -> bool {
        self.serve(now);
        if self.waiting() > self.config.queue {
            return false;
        }
        if self.queue.is_empty() {
            self.left = bytes as f64 * 8.0;
            self.served = now;
        }
        self.queued_bytes += bytes;
        self.queue.push_back((bytes, packet));
        true
    }

    /// The next packet that has arrived by `now`, with its exact time.
    pub fn receive(&mut self, now: f64) -> Option<(f64, T)> {
        self.serve(now);
        if self.flying.front()?.0 > now { None } else { self.flying.pop_front() }
    }

    /// Lets packets leave the queue.
    fn serve(&mut self, now: f64) {
        while !self.queue.is_empty() {
            let leaves = self.served + self.left / self.config.rate;
            if leaves > now {
                self.left -= (now - self.served).max(0.0) * self.config.rate;
                self.served = self.served.max(now);
                return;
            }
            self.served = leaves;
            if let Some((bytes, packet)) = self.queue.pop_front() {
                self.queued_bytes -= bytes;
                self.fly(packet, leaves);
            }
            self.left = self.queue.front().map_or(0.0, |(bytes, _)| *bytes as f64 * 8.0);
        }
    }

    fn fly(&mut self, packet: T, leaves: f64) {
        if self.loses() {
            return;
        }
        // A normal distribution cut at both ends, as RFC 8868 has it for jitter.
        let jitter = (self.random.normal() / 6.0 + 0.5).clamp(0.0, 1.0) * self.config.jitter;
        let arrival = (leaves + self.config.delay + jitter).max(self.last_arrival);
        self.last_arrival = arrival;
        self.flying.push_back((arrival, packet));
    }

    /// A Gilbert model: losses begin and end with probabilities that give the share and the length of bursts.
    fn loses(&mut self) -> bool {
        let (loss, burst) = (self.config.loss, self.config.burst.max(1.0));
        if loss >= 1.0 {
            return true;
        }
        let chance = if burst <= 1.0 {
            loss
        } else if self.losing {
            1.0 - 1.0 / burst
        } else {
            loss / ((1.0 - loss) * burst)
        };
        self.losing = self.random.unit() < chance;
        self.losing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends 1,250 bytes every 10 ms for `seconds`; returns the arrivals.
    fn run(config: LinkConfig, seconds: u32) -> Vec<f64> {
        let mut link = Link::new(config, 1);
        let mut arrivals = Vec::new();
        for step in 0..seconds * 100 + 200 {
            let now = f64::from(step) / 100.0;
            if step < seconds * 100 {
                link.send((), 1_250, now);
            }
            arrivals.extend(std::iter::from_fn(|| link.receive(now)).map(|(at, ())| at));
        }
        assert!(link.is_idle());
        arrivals
    }

    #[test]
    fn the_rate_and_the_queue_bound_what_gets_through() {
        let arrivals = run(LinkConfig { rate: 500_000.0, ..LinkConfig::default() }, 10);
        // Half of 1,000 packets, and what was queued at the end.
        assert!((520..=530).contains(&arrivals.len()), "{}", arrivals.len());
        assert!((arrivals[100] - arrivals[99] - 0.02).abs() < 1e-9);
    }

    #[test]
    fn losses_have_their_share_also_in_bursts() {
        for burst in [1.0, 4.0] {
            let arrivals = run(LinkConfig { loss: 0.1, burst, ..LinkConfig::default() }, 200);
            assert!((17_300..18_700).contains(&arrivals.len()), "{burst}: {}", arrivals.len());
        }
    }

    #[test]
    fn packets_do_not_overtake_each_other() {
        let arrivals = run(LinkConfig { jitter: 0.05, ..LinkConfig::default() }, 10);
        assert!(arrivals.is_sorted());
        assert_eq!(
            arrivals,
            run(LinkConfig { jitter: 0.05, ..LinkConfig::default() }, 10),
            "the same for the same seed"
        );
    }
}
