//! RTCP of a session (RFC 3550, RFC 4585): what the viewer's packets ask for, and our sender reports. Pure: time is an
//! argument.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::rtcp::packet::unmarshal;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use rtc::shared::error::Error;
use rtc::shared::marshal::Marshal as _;

use crate::media::Timestamp;
use crate::model::metrics::Metrics;
use crate::server::rtc::rate::feedback;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::server::rtc::sdp::answer::STREAM_ID;

/// A sender report that was received this long before a receiver report shows that what we send arrives: in units of 1/65536
/// s, two of its intervals.
const MAX_REPORT_AGE: u32 = 2 * 65_536;

/// What a viewer asks for and reports.
#[derive(Debug, Default, PartialEq)]
pub struct Feedback {
    /// How often it asks for a key frame.
    pub key_requests: u64,
    /// The packets of the video that it has not received.
    pub lost: Vec<u16>,
    /// How many packets of audio it has not received: these are never sent again.
    pub lost_audio: u64,
    /// The round trip time that it reports.
    pub rtt: Option<Duration>,
    /// Whether it has received a sender report of the last seconds: what we send arrives.
    pub hears_us: bool,
    /// The share of the video's packets that it lost since its last report, in 256ths.
    pub fraction_lost: Option<u8>,
    /// What its network carries in bit/s, by its own estimate.
    pub viewers_estimate: Option<f64>,
    /// The source of its own sender report, and the middle 32 bits of the report's NTP timestamp.
    pub sender_report: Option<(u32, u32)>,
    /// Congestion control feedback, which `rate::feedback` reads: one RTCP packet each.
    pub congestion: Vec<Bytes>,
}

impl Feedback {
    /// Reads a compound of packets about the video with this source. What is malformed asks for nothing.
    pub fn read(compound: &Bytes, video_ssrc: u32, now: Timestamp) -> Self {
        let mut feedback = Self::default();
        let (congestion, mut others): (Vec<_>, Vec<_>) =
            split(compound).partition(|packet| feedback::is_congestion_feedback(packet));
        feedback.congestion = congestion;
        for packet in others.iter_mut().filter_map(|packet| unmarshal(packet).ok()).flatten() {
            let packet = packet.as_any();
            if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
                feedback.key_requests += 1;
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                feedback.read_reports(&report.reports, video_ssrc, now);
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                feedback.sender_report = Some((report.ssrc, (report.ntp_time >> 16) as u32));
                feedback.read_reports(&report.reports, video_ssrc, now);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                feedback.read_nack(nack, video_ssrc);
            } else if let Some(estimate) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                feedback.viewers_estimate = Some(f64::from(estimate.bitrate));
            }
        }
        feedback
    }

    /// Takes the round trip time and the loss from the reports on the video.
    fn read_reports(&mut self, reports: &[ReceptionReport], video_ssrc: u32, now: Timestamp) {
        for report in reports.iter().filter(|report| report.ssrc == video_ssrc) {
            self.rtt = rtt(report, now).or(self.rtt);
            self.fraction_lost = Some(report.fraction_lost);
            self.hears_us |= report.last_sender_report != 0 && report.delay < MAX_REPORT_AGE;
        }
    }

    fn read_nack(&mut self, nack: &TransportLayerNack, video_ssrc: u32) {
        // A NACK pair names one packet and a bit mask of the 16 after it (RFC 4585 section 6.2.1).
        let lost = nack.nacks.iter().flat_map(|pair| pair.packet_list());
        if nack.media_ssrc == video_ssrc {
            self.lost.extend(lost);
        } else {
            self.lost_audio += lost.count() as u64;
        }
    }

    /// Counts the requests.
    pub fn count(&self, metrics: &Metrics) {
        metrics.key_requests.inc_by(self.key_requests);
        metrics.nacked_packets.inc_by(self.lost.len() as u64 + self.lost_audio);
        metrics.resends_refused.inc_by(self.lost_audio);
    }
}

/// The packets of a compound, up to one whose length is wrong.
fn split(compound: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = compound.clone();
    std::iter::from_fn(move || {
        let words = rest.get(2..4).and_then(|words| words.try_into().ok()).map(u16::from_be_bytes)?;
        let length = (usize::from(words) + 1) * 4;
        (length <= rest.len()).then(|| rest.split_to(length))
    })
}

/// The round trip time that a reception report shows (RFC 3550 section 6.4.1): since the sender report that it names,
/// less the time that the receiver held it. `None` if it names none, or one from the future.
fn rtt(report: &ReceptionReport, now: Timestamp) -> Option<Duration> {
    if report.last_sender_report == 0 {
        return None;
    }
    let now = (now.ntp() >> 16) as u32;
    let units = now.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
    (units < u32::MAX / 2).then(|| Duration::from_secs_f64(f64::from(units) / 65_536.0))
}

/// A sender report of a stream with this clock, of which so many packets and bytes of payload were `sent`, with its name. It
/// gives the RTP timestamp that a frame captured now would have: audio and
/// video share the capture clock, so the browser can synchronise them no matter how long each took to encode.
///
/// # Errors
///
/// If the library can't write it.
pub fn sender_report(clock: &RtpClock, sent: (u32, u32), now: Timestamp) -> Result<BytesMut, Error> {
    let (packet_count, octet_count) = sent;
    let report = SenderReport {
        ssrc: clock.ssrc,
        ntp_time: now.ntp(),
        rtp_time: clock.timestamp(now),
        packet_count,
        octet_count,
        ..Default::default()
    };
    named(clock.ssrc, report.marshal()?)
}

/// A receiver report of our source `ssrc` on a viewer's own stream, with our name.
///
/// # Errors
///
/// If the library can't write it.
pub fn receiver_report(ssrc: u32, report: ReceptionReport) -> Result<BytesMut, Error> {
    named(ssrc, ReceiverReport { ssrc, reports: vec![report], ..Default::default() }.marshal()?)
}

/// Asks whoever sends the stream `media_ssrc` for a key frame, from our source `ssrc`.
///
/// # Errors
///
/// If the library can't write it.
pub fn key_frame_request(ssrc: u32, media_ssrc: u32) -> Result<BytesMut, Error> {
    request(ssrc, &PictureLossIndication { sender_ssrc: ssrc, media_ssrc }.marshal()?)
}

/// Asks whoever sends the stream `media_ssrc` for packets that were lost, from our source `ssrc`.
///
/// # Errors
///
/// If the library can't write it.
pub fn packet_request(ssrc: u32, media_ssrc: u32, numbers: &[u16]) -> Result<BytesMut, Error> {
    let nacks = nack_pairs_from_sequence_numbers(numbers);
    request(ssrc, &TransportLayerNack { sender_ssrc: ssrc, media_ssrc, nacks }.marshal()?)
}

/// A request after a report without content, which has to stand first (RFC 4585 section 3.1).
fn request(ssrc: u32, request: &[u8]) -> Result<BytesMut, Error> {
    let mut compound = named(ssrc, ReceiverReport { ssrc, ..Default::default() }.marshal()?)?;
    compound.extend_from_slice(request);
    Ok(compound)
}

/// A report with the name of its source, without which it may not be (RFC 3550 section 6.1).
fn named(source: u32, mut report: BytesMut) -> Result<BytesMut, Error> {
    let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: Bytes::from_static(STREAM_ID.as_bytes()) };
    let chunks = vec![SourceDescriptionChunk { source, items: vec![name] }];
    report.extend_from_slice(&SourceDescription { chunks }.marshal()?);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
    use rtc::shared::marshal::Unmarshal as _;

    use super::*;

    const VIDEO: u32 = 5;

    fn read(packet: &impl rtc::shared::marshal::Marshal) -> Feedback {
        let compound = packet.marshal().expect("written").freeze();
        Feedback::read(&compound, VIDEO, Timestamp::now())
    }

    #[test]
    fn a_pli_asks_for_a_key_frame_and_a_nack_for_packets() {
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: VIDEO };
        assert_eq!(read(&pli), Feedback { key_requests: 1, ..Feedback::default() });
        // 65,535, 0, 1 and 2.
        let nacks = vec![NackPair { packet_id: 65_535, lost_packets: 0b111 }];
        let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: VIDEO, nacks };
        assert_eq!(read(&nack), Feedback { lost: vec![65_535, 0, 1, 2], ..Feedback::default() });
        let other = TransportLayerNack { media_ssrc: VIDEO + 1, ..nack.clone() };
        assert_eq!(read(&other), Feedback { lost_audio: 4, ..Feedback::default() });
        let metrics = Metrics::new();
        [read(&pli), read(&nack), read(&other)].iter().for_each(|feedback| feedback.count(&metrics));
        let counts = [&metrics.key_requests, &metrics.nacked_packets, &metrics.resends_refused];
        assert_eq!(counts.map(|count| count.get()), [1, 8, 4]);
    }

    #[test]
    fn requests_stand_after_a_report() {
        let read = |compound: BytesMut| {
            assert_eq!(unmarshal(&mut &compound[..]).expect("a compound").len(), 3);
            assert_eq!(compound[1], 201, "a receiver report");
            Feedback::read(&compound.freeze(), VIDEO, Timestamp::now())
        };
        let key = read(key_frame_request(1, VIDEO).expect("written"));
        assert_eq!(key, Feedback { key_requests: 1, ..Feedback::default() });
        let lost = read(packet_request(1, VIDEO, &[65_535, 0, 40]).expect("written"));
        assert_eq!(lost, Feedback { lost: vec![65_535, 0, 40], ..Feedback::default() });
    }

    #[test]
    fn the_loss_is_that_of_the_video() {
        let report = |ssrc, fraction_lost| ReceptionReport { ssrc, fraction_lost, ..Default::default() };
        let reports = vec![report(VIDEO + 1, 200), report(VIDEO, 7)];
        let feedback = read(&ReceiverReport { reports, ..Default::default() });
        assert_eq!(feedback, Feedback { fraction_lost: Some(7), ..Feedback::default() });
    }

    #[test]
    fn a_recent_sender_report_shows_that_packets_arrive() {
        let hears = |last_sender_report, delay| {
            let report = ReceptionReport { ssrc: VIDEO, last_sender_report, delay, ..Default::default() };
            read(&ReceiverReport { reports: vec![report], ..Default::default() }).hears_us
        };
        assert_eq!([hears(0, 0), hears(7, 65_536), hears(7, 3 * 65_536)], [false, true, false]);
    }

    #[test]
    fn congestion_feedback_is_kept_apart_wherever_it_stands() {
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: VIDEO }.marshal().expect("written");
        // A transport-wide feedback on one packet, with a status that the library does not know.
        let congestion = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 5, 0, 7, 0, 1, 0, 0, 9, 0, 0x60, 1, 4, 0];
        let compound = Bytes::from([&congestion[..], &pli, &congestion].concat());
        let feedback = Feedback::read(&compound, VIDEO, Timestamp::now());
        assert_eq!(feedback.key_requests, 1);
        assert_eq!(feedback.congestion, [&congestion[..]; 2]);
        let remb = ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate: 1_000_000.0, ssrcs: vec![VIDEO] };
        let estimate = read(&remb).viewers_estimate.expect("an estimate");
        assert!((estimate - 1_000_000.0).abs() < 10_000.0, "{estimate}");
    }

    #[test]
    fn what_is_malformed_asks_for_nothing() {
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: VIDEO }.marshal().expect("written").freeze();
        for len in 0..pli.len() {
            let feedback = Feedback::read(&pli.slice(..len), VIDEO, Timestamp::now());
            assert_eq!(feedback, Feedback::default(), "{len}");
        }
    }

    #[test]
    fn the_round_trip_time_is_that_of_the_report_less_the_receivers_delay() {
        let now = Timestamp::from_start(Duration::from_secs(10));
        let sent = (Timestamp::from_start(Duration::from_secs(9)).ntp() >> 16) as u32;
        let report =
            |last_sender_report, delay| rtt(&ReceptionReport { last_sender_report, delay, ..Default::default() }, now);
        let shown = report(sent, 49_152).expect("should have a round trip time");
        assert!(shown.abs_diff(Duration::from_millis(250)) < Duration::from_millis(1), "{shown:?}");
        assert_eq!(report(0, 0), None, "no sender report was received yet");
        assert_eq!(report(sent, 131_072), None, "the delay is longer than the time since the report");
    }

    #[test]
    fn sender_reports_of_both_streams_agree_on_the_capture_clock() {
        for rate in [90_000, 48_000] {
            let clock = RtpClock::random(rate);
            let compound = sender_report(&clock, (0, 0), Timestamp::now()).expect("report");
            let report = SenderReport::unmarshal(&mut &compound[..]).expect("a report first");
            assert_eq!(unmarshal(&mut &compound[..]).expect("a compound").len(), 2);
            let ticks = clock.timestamp(Timestamp::now()).wrapping_sub(report.rtp_time);
            let age = Duration::from_secs_f64(f64::from(ticks) / f64::from(rate));
            assert!(age < Duration::from_secs(5), "{age:?}");
            let behind = (Timestamp::now().ntp() - report.ntp_time) as f64 / 4_294_967_296.0;
            assert!((behind - age.as_secs_f64()).abs() < 0.05, "{behind} {age:?}");
        }
    }
}
