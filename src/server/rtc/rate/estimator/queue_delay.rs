//! How long packets wait in the path's queues: their delay less the least delay of the last minute.
//!
//! The clocks of both ends differ by an unknown offset, which the subtraction removes, and drift by less than a few
//! milliseconds in a minute.

use std::collections::VecDeque;

/// How long the least delay holds, in seconds. A path whose own delay has grown is believed after that.
const BASE_WINDOW: f64 = 60.0;

/// The least delay is kept for each second.
const BUCKET: f64 = 1.0;

/// The queue is the least waiting time of packets that were sent within this time, in seconds: a single stall of a
/// wireless link delays some packets only, a queue all of them, and also a frame's own burst has passed by then.
const RECENT: f64 = 0.15;

/// And at least so many times of arrival: after a stall of the viewer's machine all that waited for it arrives at once. A
/// queue's packets arrive one after the other.
const ARRIVALS: u64 = 6;

/// Packets that arrive within this time arrive at once, in seconds.
const AT_ONCE: f64 = 0.005;

/// But nothing from before this time of sending, in seconds: after a pause there is no older packet that tells anything.
const OLDEST: f64 = 1.5;

/// What packets usually wait without any queue of ours is the median of the least waits of so many seconds, up to a bound in
/// seconds: on a mobile network the least delay of a moment is above that of the minute.
const USUAL_WINDOW: usize = 10;
const MAX_USUAL: f64 = 0.025;

/// Arrivals remembered: twice what [`RECENT`] holds at 20 Mbit/s.
const MAX_RECENT: usize = 512;

#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    /// The least delay of each second: its begin, and the delay.
    base: VecDeque<(f64, f64)>,
    /// The last packets.
    recent: VecDeque<Recent>,
    /// The times of arrival so far, and the last one of them.
    arrivals: u64,
    last_arrival: f64,
}

/// A packet: when it was sent, its delay, and the count of times of arrival with its own.
#[derive(Debug, Clone, Copy)]
struct Recent {
    sent: f64,
    delay: f64,
    arrivals: u64,
}

impl QueueDelay {
    /// Notes a packet by the times of sending and arrival, in seconds on the clock of each end.
    pub fn on_packet(&mut self, sent: f64, arrival: f64) {
        let delay = arrival - sent;
        match self.base.back_mut() {
            Some((begin, least)) if arrival - *begin < BUCKET => *least = least.min(delay),
            _ => self.base.push_back((arrival, delay)),
        }
        while self.base.len() > (BASE_WINDOW / BUCKET) as usize
            || self.base.front().is_some_and(|(begin, _)| arrival - begin > BASE_WINDOW)
        {
            self.base.pop_front();
        }
        if arrival - self.last_arrival >= AT_ONCE || self.recent.is_empty() {
            (self.arrivals, self.last_arrival) = (self.arrivals + 1, arrival);
        }
        self.recent.push_back(Recent { sent, delay, arrivals: self.arrivals });
        while self.recent.len() > MAX_RECENT || self.is_front_old(sent) {
            self.recent.pop_front();
        }
    }

    /// Whether the oldest packet is not needed for the queue as it was when the one sent at `sent` came.
    fn is_front_old(&self, sent: f64) -> bool {
        let (Some(first), Some(second)) = (self.recent.front(), self.recent.get(1)) else { return false };
        let is_enough = self.arrivals - second.arrivals + 1 >= ARRIVALS;
        sent - first.sent > OLDEST || sent - first.sent > RECENT && is_enough
    }

    /// How long a packet with this delay has waited, in seconds.
    pub fn waited(&self, delay: f64) -> f64 {
        (delay - self.base().unwrap_or(delay)).max(0.0)
    }

    fn base(&self) -> Option<f64> {
        self.base.iter().map(|(_, delay)| *delay).reduce(f64::min)
    }

    /// Takes the delay of the last packets for the path's own: it has become longer.
    pub fn rebase(&mut self) {
        let recent = self.recent.iter().map(|packet| packet.delay).reduce(f64::min);
        self.base = recent.map(|delay| (self.last_arrival, delay)).into_iter().collect();
    }

    /// The wait that has been usual in the last seconds, as far as the path's jitter may be the reason.
    pub fn usual(&self) -> f64 {
        let mut least: Vec<f64> = self.base.iter().rev().take(USUAL_WINDOW).map(|(_, delay)| *delay).collect();
        least.sort_by(f64::total_cmp);
        match (least.get(least.len() / 2), self.base()) {
            (Some(median), Some(base)) => (median - base).clamp(0.0, MAX_USUAL),
            _ => 0.0,
        }
    }

    /// The standing queue in seconds; zero while nothing is known.
    pub fn current(&self) -> f64 {
        let recent = self.recent.iter().map(|packet| packet.delay).reduce(f64::min);
        match (recent, self.base()) {
            (Some(recent), Some(base)) => (recent - base).max(0.0),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_no_queue_but_a_lasting_delay_is() {
        let mut queue = QueueDelay::default();
        assert!(queue.current() < 1e-9);
        for packet in 0..100 {
            let sent = f64::from(packet) * 0.02;
            // The clock of the viewer is an hour ahead.
            queue.on_packet(sent, sent + 3_600.03 + if packet == 99 { 0.2 } else { 0.0 });
        }
        assert!(queue.current() < 1e-6, "{}", queue.current());
        for packet in 100..120 {
            let sent = f64::from(packet) * 0.02;
            queue.on_packet(sent, sent + 3_600.13);
        }
        assert!((queue.current() - 0.1).abs() < 1e-6, "{}", queue.current());
    }

    #[test]
    fn what_waited_for_a_stalled_viewer_is_no_queue_even_if_only_half_of_it_is_reported() {
        let mut queue = QueueDelay::default();
        for packet in 0..100 {
            let sent = f64::from(packet) * 0.02;
            // From 1.6 s on nothing is read for 300 ms.
            let stalled = (80..95).contains(&packet);
            queue.on_packet(sent, if stalled { 1.93 + sent / 1e4 } else { sent + 0.03 });
            assert!(queue.current() < 0.01, "{packet}: {}", queue.current());
        }
    }

    #[test]
    fn a_longer_path_is_believed_at_once_if_it_is_known_to_be_longer() {
        let mut queue = QueueDelay::default();
        queue.rebase();
        for packet in 0..200 {
            let sent = f64::from(packet) * 0.02;
            queue.on_packet(sent, sent + if packet < 100 { 0.03 } else { 0.13 });
        }
        assert!((queue.current() - 0.1).abs() < 1e-6, "{}", queue.current());
        queue.rebase();
        assert!(queue.current() < 1e-6 && queue.usual() < 1e-6);
    }

    #[test]
    fn the_usual_wait_follows_jitter_within_a_bound() {
        let mut queue = QueueDelay::default();
        for packet in 0..1_000 {
            let sent = f64::from(packet) * 0.02;
            let wait = if packet == 500 { 0.0 } else { 0.015 };
            queue.on_packet(sent, sent + 0.03 + wait);
        }
        assert!((queue.usual() - 0.015).abs() < 1e-6, "{}", queue.usual());
        for packet in 1_000..2_000 {
            let sent = f64::from(packet) * 0.02;
            queue.on_packet(sent, sent + 0.3);
        }
        assert!((queue.usual() - MAX_USUAL).abs() < 1e-6, "{}", queue.usual());
    }

    #[test]
    fn a_longer_path_is_believed_after_a_minute() {
        let mut queue = QueueDelay::default();
        for packet in 0..4_000 {
            let sent = f64::from(packet) * 0.02;
            queue.on_packet(sent, sent + if packet < 100 { 0.03 } else { 0.13 });
            let expected = if (100..3_000).contains(&packet) { 0.1 } else { 0.0 };
            if !(100..110).contains(&packet) && !(3_000..3_150).contains(&packet) {
                assert!((queue.current() - expected).abs() < 1e-6, "{packet}: {}", queue.current());
            }
        }
    }
}
