//! The rate at which packets arrive at the viewer, by its clock.

use std::collections::VecDeque;

/// Packets remembered: half a second of 40 Mbit/s.
const MAX_PACKETS: usize = 2_048;

/// The longest window, in seconds.
const LONGEST: f64 = 0.5;

#[derive(Debug, Default)]
pub(super) struct Throughput {
    /// Arrival and bytes, in the order of arrival as far as the feedback has it.
    packets: VecDeque<(f64, f64)>,
    /// When the first packet of all arrived.
    first: Option<f64>,
    newest: f64,
}

impl Throughput {
    /// Notes a packet that arrived at `arrival` seconds.
    pub fn on_packet(&mut self, arrival: f64, bytes: usize) {
        self.first.get_or_insert(arrival);
        self.newest = if self.packets.is_empty() { arrival } else { self.newest.max(arrival) };
        self.packets.push_back((arrival, bytes as f64));
        while self.packets.len() > MAX_PACKETS || self.packets.front().is_some_and(|(at, _)| self.newest - at > LONGEST)
        {
            self.packets.pop_front();
        }
    }

    /// Bits per second over the last `window` seconds until the newest packet; `None` until half of the window is over.
    pub fn rate(&self, window: f64) -> Option<f64> {
        let window = window.min(LONGEST).min(self.newest - self.first?).max(window / 2.0);
        if self.newest - self.first? < window {
            return None;
        }
        let bytes: f64 = self.packets.iter().filter(|(at, _)| self.newest - at < window).map(|(_, bytes)| bytes).sum();
        Some(bytes * 8.0 / window)
    }

    /// Like [`Self::rate`], but without the longest time between two packets: nothing arrives while the viewer's machine or
    /// a wireless link stalls, whatever the path carries.
    pub fn rate_without_stall(&self, window: f64) -> Option<f64> {
        self.rate(window)?;
        let mut last = None;
        let (mut bytes, mut time, mut longest) = (0.0, 0.0, (0.0, 0.0));
        for (at, size) in self.packets.iter().filter(|(at, _)| self.newest - at < window) {
            if let Some(gap) = last.replace(*at).map(|last| (*at - last).max(0.0)) {
                (bytes, time) = (bytes + size, time + gap);
                longest = if gap > longest.0 { (gap, *size) } else { longest };
            }
        }
        let (bytes, time) = (bytes - longest.1, time - longest.0);
        // Packets that arrive all at once tell nothing.
        (time > 0.0).then(|| bytes * 8.0 / time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_window() {
        let mut throughput = Throughput::default();
        assert_eq!(throughput.rate(0.5), None);
        for packet in 0..200 {
            throughput.on_packet(f64::from(packet) * 0.01, 1_250);
        }
        let rate = throughput.rate(0.5).expect("known");
        assert!((rate - 1_000_000.0).abs() < 50_000.0, "{rate}");
        for packet in 0..20 {
            throughput.on_packet(2.0 + f64::from(packet) * 0.02, 625);
        }
        let (short, long) = (throughput.rate(0.2).expect("known"), throughput.rate(0.5).expect("known"));
        assert!(short < 300_000.0 && long > short, "{short} {long}");
    }

    #[test]
    fn a_stall_does_not_lower_the_rate_without_it() {
        let mut throughput = Throughput::default();
        for packet in 0..200 {
            // After 1.9 s nothing comes for 120 ms.
            let at = f64::from(packet) * 0.01;
            throughput.on_packet(if at > 1.9 { at + 0.12 } else { at }, 1_250);
        }
        let rate = throughput.rate_without_stall(0.2).expect("known");
        assert!((rate - 1_000_000.0).abs() < 50_000.0, "{rate}");
        assert!(throughput.rate(0.2).is_some_and(|rate| rate < 600_000.0));
    }
}
