//! Probes: short clusters of packets that are sent faster than the estimate, to see whether the path carries more.
//!
//! When to probe is decided in the estimator's `mod.rs`; the pacer sends the cluster and fills it with padding.

use crate::server::rtc::rate::history::AckedPacket;

/// The time that a cluster takes, in seconds: long enough to measure its rate against the jitter of arrivals, short enough
/// that a path that does not carry it queues for a few tens of milliseconds only.
const LENGTH: f64 = 0.03;

/// The packets of a cluster at least.
const MIN_PACKETS: usize = 6;

/// The size of a full packet, in bytes.
const PACKET: usize = 1_200;

/// Without feedback for this long after its begin, a probe has failed, in seconds.
const TIMEOUT: f64 = 1.0;

/// A cluster that arrives this much faster than it was sent has waited somewhere. If its end was still late by this many
/// seconds, that was a stall, of the viewer's machine perhaps, after which all arrives at once: it proves nothing.
const BUNCHED: f64 = 1.3;
const LATE: f64 = 0.01;

/// The share of a cluster's packets that must be reported.
const REPORTED: f64 = 0.75;

/// A cluster to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeCluster {
    /// Marks its packets in the history.
    pub id: u32,
    /// The rate at which it is sent, in bit/s.
    pub bitrate: u32,
    /// Its size.
    pub bytes: usize,
}

/// What a probe has shown, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ProbeResult {
    pub sent: f64,
    pub received: f64,
    /// How long its end has waited on the path, in seconds.
    pub waited: f64,
}

impl ProbeResult {
    /// Whether the path carried it without queueing.
    pub fn carried(&self) -> bool {
        self.received >= 0.88 * self.sent
    }

    /// Whether it tells nothing about the path.
    pub fn is_void(&self) -> bool {
        self.received > BUNCHED * self.sent && self.waited > LATE
    }

    /// The rate that is proven.
    pub fn proven(&self) -> f64 {
        self.received.min(self.sent)
    }
}

#[derive(Debug, Clone, Copy)]
struct Running {
    cluster: ProbeCluster,
    begun: f64,
    packets: usize,
    bytes: usize,
    first: (f64, usize, f64),
    last: (f64, usize, f64),
}

#[derive(Debug, Default)]
pub(super) struct Prober {
    next: u32,
    running: Option<Running>,
}

impl Prober {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Begins a probe of `bitrate` at `now`, in seconds.
    pub fn begin(&mut self, bitrate: f64, now: f64) -> ProbeCluster {
        let bytes = ((bitrate * LENGTH / 8.0) as usize).max(MIN_PACKETS * PACKET);
        let cluster = ProbeCluster { id: self.next, bitrate: bitrate as u32, bytes };
        self.next = self.next.wrapping_add(1);
        let none = (0.0, 0, 0.0);
        self.running = Some(Running { cluster, begun: now, packets: 0, bytes: 0, first: none, last: none });
        cluster
    }

    /// Notes an arrived packet with its times in seconds, and how long it has waited on the path; the result once enough have
    /// arrived.
    pub fn on_acked(&mut self, acked: &AckedPacket, sent: f64, arrival: f64, waited: f64) -> Option<ProbeResult> {
        let running = self.running.as_mut().filter(|running| acked.packet.probe == Some(running.cluster.id))?;
        let bytes = acked.packet.bytes;
        let point = (sent, bytes, arrival);
        if running.packets == 0 {
            (running.first, running.last) = (point, point);
        }
        // In the order of sending; an overtaken arrival does not shorten the cluster.
        running.last = (sent.max(running.last.0), bytes, arrival.max(running.last.2));
        running.packets += 1;
        running.bytes += bytes;
        let enough =
            running.bytes as f64 >= running.cluster.bytes as f64 * REPORTED && running.packets >= MIN_PACKETS - 1;
        if !enough {
            return None;
        }
        let running = self.running.take()?;
        let rate = |bytes: usize, time: f64| if time > 0.0 { bytes as f64 * 8.0 / time } else { f64::INFINITY };
        let sent = rate(running.bytes - running.last.1, running.last.0 - running.first.0);
        let received = rate(running.bytes - running.first.1, running.last.2 - running.first.2);
        // Packets that arrive in one burst, such as the aggregates of Wi-Fi, prove the rate at which they were sent.
        let sent = sent.min(f64::from(running.cluster.bitrate) * 1.2);
        Some(ProbeResult { sent, received, waited })
    }

    /// Whether the probe has just failed for lack of feedback.
    pub fn timed_out(&mut self, now: f64) -> bool {
        self.running.take_if(|running| now - running.begun > TIMEOUT).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::server::rtc::rate::history::{PacketKind, SentPacket};

    /// Sends a probe of 2 Mbit/s through a path of `path` bit/s to a viewer who reads nothing before the time `stalled`.
    fn probe(path: f64, stalled: f64) -> ProbeResult {
        let read = |arrival: f64| arrival.max(stalled);
        let mut prober = Prober::default();
        let cluster = prober.begin(2_000_000.0, 0.0);
        let mut free = 0.0_f64;
        for packet in 0..20 {
            let sent = f64::from(packet) * 1_200.0 * 8.0 / 2_000_000.0;
            free = free.max(sent) + 1_200.0 * 8.0 / path;
            let packet =
                SentPacket { sent: Instant::now(), bytes: 1_200, kind: PacketKind::Padding, probe: Some(cluster.id) };
            if let Some(result) =
                prober.on_acked(&AckedPacket { packet, arrival: 0 }, sent, read(free) + 7.0, read(free) - sent)
            {
                return result;
            }
        }
        panic!("there should be a result");
    }

    #[test]
    fn it_measures_the_path_or_the_probe_whichever_is_slower() {
        let wide = probe(10_000_000.0, 0.0);
        assert!(!wide.is_void() && wide.carried() && (wide.proven() - 2_000_000.0).abs() < 10_000.0, "{wide:?}");
        let narrow = probe(1_200_000.0, 0.0);
        assert!(
            !narrow.is_void() && !narrow.carried() && (narrow.proven() - 1_200_000.0).abs() < 10_000.0,
            "{narrow:?}"
        );
    }

    #[test]
    fn what_waited_for_a_stalled_viewer_proves_nothing() {
        assert!(probe(1_200_000.0, 0.2).is_void());
        // The aggregates of a wireless link are short.
        assert!(!probe(10_000_000.0, 0.005).is_void());
    }

    #[test]
    fn without_feedback_it_ends() {
        let mut prober = Prober::default();
        prober.begin(1_000_000.0, 3.0);
        assert!(!prober.timed_out(3.5) && prober.is_running());
        assert!(prober.timed_out(4.1) && !prober.is_running());
    }
}
