//! Decides which of the packets that a viewer reports lost (NACK) are sent again. Pure: time is an argument.
//!
//! webrtc-rs resends whatever it is asked for. On a link slower than the stream, each resent packet is lost or late too
//! and is asked for again, until resends are most of the traffic. The RTCP interceptor asks here first.

use std::time::{Duration, Instant};

/// The packets remembered: as many as webrtc-rs keeps to send again (`nack/responder.rs`).
const HISTORY: usize = 1024;

/// The shortest time between two resends of the same packet. A viewer repeats its NACK until the packet arrives, which
/// takes a round trip, and more where the resend waits in the link's queue.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A longer round trip than this is not believed; the viewer itself reports it.
const MAX_RTT: Duration = Duration::from_secs(2);

/// Resends may take one byte for this many bytes of the stream: half of its rate, enough for 20 % random loss of packets
/// and of their resends.
const STREAM_BYTES_PER_RESENT_BYTE: usize = 2;

/// The most bytes that may be resent at once: a lost key frame.
const MAX_BURST: usize = 128 * 1024;

/// What was sent to one viewer, and what may be sent again.
#[derive(Debug)]
pub struct RetransmissionLimit {
    /// By sequence number, modulo the length.
    sent: Vec<Option<SentPacket>>,
    rtt: Duration,
    /// Stream bytes not yet spent on resends.
    credit: usize,
}

#[derive(Debug, Clone, Copy)]
struct SentPacket {
    number: u16,
    bytes: usize,
    resent: Option<Instant>,
}

impl RetransmissionLimit {
    pub fn new() -> Self {
        Self { sent: vec![None; HISTORY], rtt: Duration::ZERO, credit: MAX_BURST * STREAM_BYTES_PER_RESENT_BYTE }
    }

    /// Notes a packet of the stream of `bytes` on its way to the viewer.
    pub fn note_sent(&mut self, number: u16, bytes: usize) {
        let slot = &mut self.sent[usize::from(number) % HISTORY];
        // Where RTX was not negotiated, a resent packet passes with its old number.
        if slot.is_some_and(|packet| packet.number == number) {
            return;
        }
        *slot = Some(SentPacket { number, bytes, resent: None });
        self.credit = (self.credit + bytes).min(MAX_BURST * STREAM_BYTES_PER_RESENT_BYTE);
    }

    /// Notes the round trip time that a receiver report shows.
    pub fn note_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt.min(MAX_RTT);
    }

    /// Whether a packet reported lost at `now` is to be sent again; if so, it counts as resent.
    pub fn admit(&mut self, number: u16, now: Instant) -> bool {
        let Some(packet) = &mut self.sent[usize::from(number) % HISTORY] else { return false };
        let interval = self.rtt.max(MIN_INTERVAL);
        let too_soon = packet.resent.is_some_and(|resent| now.saturating_duration_since(resent) < interval);
        let cost = packet.bytes * STREAM_BYTES_PER_RESENT_BYTE;
        if packet.number != number || too_soon || self.credit < cost {
            return false;
        }
        packet.resent = Some(now);
        self.credit -= cost;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1_100;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_packet_is_resent_at_once_and_then_once_an_interval() {
        let mut limit = RetransmissionLimit::new();
        let start = Instant::now();
        limit.note_sent(7, BYTES);
        assert!(limit.admit(7, start), "the first request should be served at once");
        assert!(!limit.admit(7, after(start, 99)));
        assert!(limit.admit(7, after(start, 100)));
        limit.note_rtt(Duration::from_millis(300));
        assert!(!limit.admit(7, after(start, 399)));
        assert!(limit.admit(7, after(start, 400)));
        limit.note_rtt(Duration::from_secs(3_600));
        assert!(limit.admit(7, after(start, 2_400)), "an absurd round trip time should not end repair");
    }

    #[test]
    fn packets_never_sent_or_long_gone_are_not_resent() {
        let mut limit = RetransmissionLimit::new();
        let now = Instant::now();
        assert!(!limit.admit(7, now));
        limit.note_sent(7, BYTES);
        limit.note_sent(7 + HISTORY as u16, BYTES);
        assert!(!limit.admit(7, now), "its place was taken by a newer packet");
        assert!(limit.admit(7 + HISTORY as u16, now));
    }

    #[test]
    fn resends_take_at_most_half_of_the_streams_rate_after_the_burst() {
        let mut limit = RetransmissionLimit::new();
        let start = Instant::now();
        // 200 packets a second for 30 s; every packet of the last second is reported lost every 20 ms.
        let (mut sent, mut resent) = (0, 0);
        for number in 0..6_000u16 {
            let now = after(start, u64::from(number) * 5);
            limit.note_sent(number, BYTES);
            sent += BYTES;
            if number % 4 == 0 {
                let lost = (number.saturating_sub(200)..=number).filter(|lost| limit.admit(*lost, now)).count();
                resent += lost * BYTES;
            }
        }
        assert!(resent <= sent / 2 + MAX_BURST, "{resent} bytes resent of {sent}");
        assert!(resent >= sent / 2, "{resent} bytes resent of {sent}: the share should be used");
    }

    #[test]
    fn a_packet_resent_under_its_own_number_earns_nothing() {
        let mut limit = RetransmissionLimit::new();
        let start = Instant::now();
        limit.note_sent(1, MAX_BURST);
        assert!(limit.admit(1, start));
        assert_eq!(limit.credit, 0);
        limit.note_sent(1, MAX_BURST);
        assert_eq!(limit.credit, 0);
        assert!(!limit.admit(1, after(start, 1_000)));
    }
}
