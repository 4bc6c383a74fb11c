//! What a viewer's own stream has lost on its way, for the reports that its browser adapts to (RFC 3550 section 6.4.1): only when
//! it hears of losses does its Opus carry FEC. Pure; time is an argument.

use std::time::Duration;

use bytes::BytesMut;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::shared::error::Error;

use super::rtcp;
use crate::media::Timestamp;

/// A packet whose number is further off than this belongs to another stream (RFC 3550 appendix A.1).
const MAX_JUMP: i64 = 3_000;

/// Counts the packets of one source.
#[derive(Debug)]
pub struct ReceptionStats {
    ssrc: u32,
    /// The rate of its clock in hertz.
    rate: u32,
    /// The first and the highest number, without wraps.
    first: i64,
    highest: i64,
    received: u64,
    /// Expected and received packets at the last report.
    reported: (i64, u64),
    /// The time from sending to receiving of the last packet, by clocks that differ, and how much it varies, in ticks.
    transit: i64,
    jitter: f64,
    /// The middle of the time stamp of the last sender report, and when it was received.
    sender_report: Option<(u32, Timestamp)>,
}

impl ReceptionStats {
    /// Those of a source with a clock of `rate` hertz whose first packet has this number.
    pub fn new(ssrc: u32, rate: u32, number: u16) -> Self {
        let first = i64::from(number);
        let (highest, received, reported) = (first - 1, 0, (0, 0));
        Self { ssrc, rate, first, highest, received, reported, transit: 0, jitter: 0.0, sender_report: None }
    }

    /// The source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Counts a packet.
    pub fn note_packet(&mut self, number: u16, timestamp: u32, arrived: Timestamp) {
        let ahead = i64::from(number.wrapping_sub(self.highest as u16) as i16);
        if ahead.abs() > MAX_JUMP {
            *self = Self { sender_report: self.sender_report, ..Self::new(self.ssrc, self.rate, number) };
        }
        self.highest = self.highest.max(self.highest + i64::from(number.wrapping_sub(self.highest as u16) as i16));
        let transit = i64::from(arrived.rtp(self.rate).wrapping_sub(timestamp) as i32);
        if self.received > 0 {
            let change = (transit - self.transit).unsigned_abs() as f64;
            self.jitter += (change - self.jitter) / 16.0;
        }
        self.transit = transit;
        self.received += 1;
    }

    /// Notes a sender report of the source, with the middle 32 bits of its NTP timestamp.
    pub fn note_sender_report(&mut self, ntp_middle: u32, arrived: Timestamp) {
        self.sender_report = Some((ntp_middle, arrived));
    }

    /// The report at `now`; `None` if nothing was received since the last one.
    pub fn report(&mut self, now: Timestamp) -> Option<ReceptionReport> {
        let expected = self.highest - self.first + 1;
        let (before, received_before) = std::mem::replace(&mut self.reported, (expected, self.received));
        if self.received == received_before {
            return None;
        }
        let expected_now = (expected - before).max(1);
        let lost_now = expected_now - (self.received - received_before) as i64;
        let total_lost = (expected - self.received as i64).clamp(0, (1 << 23) - 1);
        let (last_sender_report, since) =
            self.sender_report.map_or((0, Duration::ZERO), |(report, at)| (report, now.saturating_since(at)));
        Some(ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: (lost_now * 256 / expected_now).clamp(0, 255) as u8,
            total_lost: total_lost as u32,
            last_sequence_number: self.highest as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            delay: (since.as_secs_f64() * 65_536.0) as u32,
        })
    }
}

/// What was received of the one source that a viewer sends with; another one begins anew.
#[derive(Debug)]
pub struct Reception {
    /// The rate of its clock in hertz.
    rate: u32,
    /// `None` before the first packet.
    stats: Option<ReceptionStats>,
}

impl Reception {
    /// Nothing yet, of a source with a clock of `rate` hertz.
    pub fn new(rate: u32) -> Self {
        Self { rate, stats: None }
    }

    /// The source.
    pub fn ssrc(&self) -> Option<u32> {
        self.stats.as_ref().map(ReceptionStats::ssrc)
    }

    /// Counts a packet of a source that arrived at `arrived`. Returns whether the source is another one than before.
    pub fn note_packet(&mut self, ssrc: u32, number: u16, timestamp: u32, arrived: Timestamp) -> bool {
        let is_other = self.ssrc() != Some(ssrc);
        if is_other {
            self.stats = Some(ReceptionStats::new(ssrc, self.rate, number));
        }
        if let Some(stats) = &mut self.stats {
            stats.note_packet(number, timestamp, arrived);
        }
        is_other
    }

    /// Notes a sender report of the viewer: its source, and the middle of its NTP time.
    pub fn note_sender_report(&mut self, (ssrc, ntp_middle): (u32, u32), arrived: Timestamp) {
        if let Some(stats) = self.stats.as_mut().filter(|stats| stats.ssrc() == ssrc) {
            stats.note_sender_report(ntp_middle, arrived);
        }
    }

    /// A receiver report from our source `ssrc` at `now`; `None` if nothing was received since the last one.
    ///
    /// # Errors
    ///
    /// If the library can't write it.
    pub fn report(&mut self, ssrc: u32, now: Timestamp) -> Result<Option<BytesMut>, Error> {
        let report = self.stats.as_mut().and_then(|stats| stats.report(now));
        report.map(|report| rtcp::receiver_report(ssrc, report)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rtc::rtp_clock::AUDIO_RATE;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(10_000 + millis))
    }

    #[test]
    fn losses_are_reported_across_the_wrap_and_copies_do_not_hide_them() {
        let mut stats = ReceptionStats::new(7, AUDIO_RATE, 65_530);
        let note = |stats: &mut ReceptionStats, step: u64| {
            stats.note_packet(65_530_u16.wrapping_add(step as u16), (step * 960) as u32, at(step * 20));
        };
        (0..20).filter(|step| step % 4 != 1).for_each(|step| note(&mut stats, step));
        let report = stats.report(at(400)).expect("packets have come");
        assert_eq!((report.ssrc, report.total_lost, report.fraction_lost), (7, 5, 64));
        assert_eq!((report.last_sequence_number, report.jitter), (65_549, 0));
        assert!(stats.report(at(500)).is_none(), "nothing has come since");
        (20..40).for_each(|step| note(&mut stats, step));
        let report = stats.report(at(800)).expect("packets have come");
        assert_eq!((report.total_lost, report.fraction_lost), (5, 0));
        (0..30).for_each(|_| note(&mut stats, 39));
        assert_eq!(stats.report(at(900)).expect("packets have come").total_lost, 0, "more than was expected");
    }

    #[test]
    fn jitter_and_the_last_sender_report_are_reported() {
        let mut stats = ReceptionStats::new(7, AUDIO_RATE, 0);
        // Each second packet is 10 ms late: 480 ticks from one to the next.
        for step in 0..200_u64 {
            stats.note_packet(step as u16, (step * 960) as u32, at(step * 20 + step % 2 * 10));
        }
        stats.note_sender_report(0x1234_5678, at(4_000));
        let report = stats.report(at(4_500)).expect("packets have come");
        assert!((470..=480).contains(&report.jitter), "{}", report.jitter);
        assert_eq!((report.last_sender_report, report.delay), (0x1234_5678, 32_768));
        // Another stream.
        stats.note_packet(40_000, 5, at(5_000));
        let report = stats.report(at(5_000)).expect("a packet has come");
        assert_eq!((report.total_lost, report.last_sequence_number), (0, 40_000));
    }
}
