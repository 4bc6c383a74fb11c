//! Whether the path carries much less than the stream, by the first packets: the first key frame leaves as one burst, and
//! behind a slow link its packets arrive one by one.
//!
//! It decides only the clear cases, so that the start of nobody else suffers; the queue tells the others soon. Times are in
//! seconds.

/// How long the beginning is, from the first packet of the video on, by the times of sending.
const BEGINNING: f64 = 1.5;

/// A packet that would have arrived this long before the one before it has waited behind that one.
const WAITED: f64 = 0.004;

/// The arrivals that a measurement needs, and the share of them that does not count: the longest gaps may be stalls of the
/// viewer's machine or of a wireless link.
const MIN_GAPS: usize = 6;
const STALLS: f64 = 0.3;

/// The measurement covers the last arrivals: a busy path may get worse.
const MAX_GAPS: usize = 24;

/// Less than this share of what is needed, and of the rate at which the packets were sent, is clear.
const CLEAR: f64 = 0.6;

#[derive(Debug, Clone, Copy)]
struct Packet {
    sent: f64,
    arrival: f64,
}

/// The time between two packets when they were sent and when they arrived, and the bits of the second.
#[derive(Debug, Clone, Copy)]
struct Gap {
    sent: f64,
    arrival: f64,
    bits: f64,
}

#[derive(Debug)]
pub(super) struct Start {
    /// The rate that the stream needs, in bit/s.
    needed: f64,
    first: Option<f64>,
    least_delay: f64,
    last: Option<Packet>,
    gaps: Vec<Gap>,
    is_over: bool,
}

impl Start {
    /// Of a stream that needs this rate, in bit/s.
    pub fn new(needed: f64) -> Self {
        Self { needed, first: None, least_delay: f64::INFINITY, last: None, gaps: Vec::new(), is_over: false }
    }

    /// Notes a packet, in the order of sending. Audio often begins long before the video, and fills no path.
    pub fn on_packet(&mut self, sent: f64, arrival: f64, bytes: usize, is_audio: bool) {
        if self.is_over {
            return;
        }
        self.least_delay = self.least_delay.min(arrival - sent);
        if is_audio && self.first.is_none() {
            return;
        }
        self.is_over = sent - *self.first.get_or_insert(sent) > BEGINNING;
        if let Some(last) = self.last.replace(Packet { sent, arrival }) {
            if sent + self.least_delay + WAITED > last.arrival || sent < last.sent {
                // The path may have been idle.
                self.gaps.clear();
                return;
            }
            if self.gaps.len() >= MAX_GAPS {
                self.gaps.remove(0);
            }
            let arrival = (arrival - last.arrival).max(0.0);
            self.gaps.push(Gap { sent: sent - last.sent, arrival, bits: bytes as f64 * 8.0 });
        }
    }

    /// The rate of the path in bit/s, once it is clear that it carries much less than the stream needs. Once only.
    pub fn take_verdict(&mut self) -> Option<f64> {
        if self.is_over || self.gaps.len() < MIN_GAPS {
            return None;
        }
        let sum = |gaps: &[Gap], value: fn(&Gap) -> f64| gaps.iter().map(value).sum::<f64>();
        if sum(&self.gaps, |gap| gap.sent) > CLEAR * sum(&self.gaps, |gap| gap.arrival) {
            return None;
        }
        let mut gaps = self.gaps.clone();
        gaps.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        gaps.truncate((gaps.len() as f64 * (1.0 - STALLS)).ceil() as usize);
        let (time, bits) = (sum(&gaps, |gap| gap.arrival), sum(&gaps, |gap| gap.bits));
        self.is_over = bits < time * self.needed * CLEAR;
        self.is_over.then_some(bits / time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: f64 = 2_000_000.0;

    /// Sends a key frame of 20 packets and then 8 packets each 33 ms over a path of `rate`, whose viewer reads nothing in
    /// the time `stall`; returns the verdict after `packets`.
    fn verdict(rate: f64, stall: (f64, f64), packets: usize) -> Option<f64> {
        let mut start = Start::new(NEEDED);
        let mut free = 0.0_f64;
        for packet in 0..packets {
            let frame = if packet < 20 { 0 } else { 1 + (packet - 20) / 8 };
            let sent = frame as f64 * 0.033;
            free = free.max(sent) + 1_000.0 * 8.0 / rate;
            let arrival = if free > stall.0 && free < stall.1 { stall.1 } else { free };
            start.on_packet(sent, arrival + 3_600.0, 1_000, false);
        }
        start.take_verdict()
    }

    #[test]
    fn a_slow_path_shows_with_the_first_packets() {
        for rate in [80_000.0, 500_000.0, 1_000_000.0] {
            let measured = verdict(rate, (0.0, 0.0), 8).expect("clear");
            assert!((measured / rate - 1.0).abs() < 0.01, "{rate}: {measured}");
        }
        let stalled = verdict(500_000.0, (0.02, 0.1), 20).expect("clear in spite of a stall");
        assert!((400_000.0..900_000.0).contains(&stalled), "{stalled}");
    }

    #[test]
    fn audio_alone_says_nothing() {
        let mut start = Start::new(NEEDED);
        for packet in 0..60 {
            let sent = f64::from(packet) * 0.02;
            // One packet was faster than all others.
            start.on_packet(sent, sent + if packet == 10 { 0.01 } else { 0.06 }, 140, packet % 2 == 0);
            assert_eq!(start.take_verdict(), None);
        }
    }

    #[test]
    fn the_beginning_is_that_of_the_video() {
        let mut start = Start::new(NEEDED);
        (0..500).for_each(|packet| start.on_packet(f64::from(packet) * 0.02, f64::from(packet) * 0.02, 140, true));
        (0..9).for_each(|packet| start.on_packet(10.0, 10.0 + f64::from(packet) * 0.02, 1_200, false));
        assert!(start.take_verdict().is_some_and(|rate| rate < 500_000.0));
    }

    #[test]
    fn a_path_that_carries_the_stream_does_not_look_slow() {
        for rate in [2_000_000.0, 100_000_000.0] {
            for packets in 1..100 {
                assert_eq!(verdict(rate, (0.0, 0.0), packets), None);
                // The viewer's machine is busy.
                assert_eq!(verdict(rate, (0.01, 0.3), packets), None);
            }
        }
    }
}
