//! What one viewer's network carries, by the best feedback that the viewer gives: on each packet by its transport-wide
//! number, or its own estimate, or its receiver reports. Pure: time is an argument.
//!
//! How an estimate follows from feedback is in `rate::estimator`; what is done with it is decided in `media_sender`.

use std::time::{Duration, Instant};

use super::rtcp::Feedback;
use crate::server::rtc::rate::estimator::{Estimator, EstimatorConfig, ProbeCluster, ReportEstimator};
use crate::server::rtc::rate::feedback::FeedbackReader;
use crate::server::rtc::rate::history::{RepairFate, SentHistory};
use crate::server::sessions::ViewerNetwork;

/// How long feedback on the first packets is waited for before the viewer counts as one that gives none in spite of what
/// it agreed to.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time after the first feedback in which a slow network shows.
const SETTLING: Duration = Duration::from_millis(1_200);

/// How long receiver reports must show that packets arrive, while there is no feedback on them, until the viewer is judged
/// by its reports. Feedback that was only interrupted comes back sooner: packets that ask for it are sent.
const FEEDBACK_PATIENCE: Duration = Duration::from_secs(3);

/// Until audio was sent, it is taken to be what Opus usually takes, in bit/s.
const USUAL_AUDIO: u32 = 60_000;

/// From this share of the most that an estimate may be packets need no pacing.
const ENOUGH: f64 = 0.9;

/// The estimate of one viewer.
#[derive(Debug)]
pub struct ViewerEstimate {
    transport: Option<TransportEstimate>,
    reports: ReportEstimator,
    /// The most that the estimate may be, in bit/s.
    useful: u32,
    /// Whether the viewer has reported anything for `reports`.
    is_reported: bool,
    started: Instant,
    /// The round trip time and the loss of the last receiver report on the video.
    rtt: Option<Duration>,
    loss: Option<f64>,
}

/// By feedback on each packet.
#[derive(Debug)]
struct TransportEstimate {
    sent: SentHistory,
    reader: FeedbackReader,
    estimator: Estimator,
    /// When the first feedback came.
    answered: Option<Instant>,
    /// Since when receiver reports show that packets arrive, while there is no feedback.
    heard_since: Option<Instant>,
    /// Whether the viewer has stopped to give feedback.
    is_given_up: bool,
    /// What became of packets that were sent again, until it is taken.
    repairs: Vec<RepairFate>,
}

impl ViewerEstimate {
    /// Nothing is known at `now`. `is_numbered` is whether packets have transport-wide numbers, `bitrate` that of the
    /// stream in bit/s.
    pub fn new(is_numbered: bool, bitrate: u32, now: Instant) -> Self {
        let config = EstimatorConfig::for_stream(bitrate, USUAL_AUDIO);
        let transport = is_numbered.then(|| TransportEstimate {
            sent: SentHistory::new(),
            reader: FeedbackReader::new(),
            estimator: Estimator::new(config, now),
            answered: None,
            heard_since: None,
            is_given_up: false,
            repairs: Vec::new(),
        });
        // Until there is bad news, such a viewer is sent all there is.
        let reports = ReportEstimator::new(config.max, config.min, config.max);
        Self { transport, reports, useful: config.max, is_reported: false, started: now, rtt: None, loss: None }
    }

    /// Follows the bitrates of video and audio, in bit/s.
    pub fn set_stream(&mut self, video: u32, audio: u32) {
        let max = EstimatorConfig::for_stream(video, audio).max;
        self.useful = max;
        self.reports.set_max(max);
        if let Some(transport) = &mut self.transport {
            transport.estimator.set_max(max);
        }
    }

    /// Where packets are noted that are sent, if they have transport-wide numbers.
    pub fn sent(&mut self) -> Option<&mut SentHistory> {
        self.transport.as_mut().map(|transport| &mut transport.sent)
    }

    /// The feedback on each packet, if the viewer gives any.
    fn answered(&self) -> Option<&TransportEstimate> {
        self.transport.as_ref().filter(|transport| transport.answered.is_some() && !transport.is_given_up)
    }

    /// Whether feedback on the first packets may still come.
    fn is_awaited(&self, now: Instant) -> bool {
        let is_unanswered = self.transport.as_ref().is_some_and(|transport| transport.answered.is_none());
        is_unanswered && now.saturating_duration_since(self.started) < PATIENCE
    }

    /// Notes what the viewer has sent.
    pub fn on_feedback(&mut self, feedback: &Feedback, now: Instant) {
        let at = now.saturating_duration_since(self.started).as_secs_f64();
        let lost = feedback.fraction_lost.map(|lost| f64::from(lost) / 256.0);
        (self.rtt, self.loss) = (feedback.rtt.or(self.rtt), lost.or(self.loss));
        if let Some(lost) = lost {
            self.reports.on_report(lost, feedback.rtt.map(|rtt| rtt.as_secs_f64()), at);
        }
        if let Some(bitrate) = feedback.viewers_estimate {
            self.reports.on_remb(bitrate, at);
        }
        self.is_reported |= lost.is_some() || feedback.viewers_estimate.is_some();
        if let Some(transport) = &mut self.transport {
            transport.on_feedback(feedback, now);
        }
    }

    /// What became of packets that were sent again, since the last time.
    pub fn take_repairs(&mut self) -> Vec<RepairFate> {
        self.transport.as_mut().map(|transport| std::mem::take(&mut transport.repairs)).unwrap_or_default()
    }

    /// The share of packets that the path loses whatever is sent, as far as is known.
    pub fn random_loss(&self) -> f64 {
        self.answered().map_or(0.0, |transport| transport.estimator.random_loss())
    }

    /// Notes that packets take another path from now on.
    pub fn on_path_change(&mut self, now: Instant) {
        if let Some(transport) = &mut self.transport {
            transport.estimator.on_path_change(now);
        }
    }

    /// Whether to send a packet only for the feedback on it, as nothing is heard of the viewer's network.
    pub fn poll_keepalive(&mut self, now: Instant) -> bool {
        self.transport.as_mut().is_some_and(|transport| transport.estimator.poll_keepalive(now))
    }

    /// When to ask [`Self::poll_keepalive`] next, if it needs asking.
    pub fn keepalive_due(&self) -> Option<Instant> {
        self.transport.as_ref()?.estimator.keepalive_due()
    }

    /// Notices that feedback fails to come. To be called a few times a second.
    pub fn on_tick(&mut self, now: Instant) {
        if let Some(transport) = &mut self.transport {
            let in_flight = transport.sent.in_flight(now);
            transport.estimator.on_tick(in_flight, now);
        }
    }

    /// The rate that the viewer's network carries, in bit/s; `None` while nothing is known. While feedback may still come, it
    /// is what the stream can use.
    pub fn bitrate(&self, now: Instant) -> Option<u32> {
        let awaited = self.transport.as_ref().filter(|_| self.is_awaited(now));
        awaited.map_or_else(|| self.measured(now), |transport| Some(transport.estimator.target()))
    }

    /// The rate that is known from what the viewer has reported, in bit/s.
    fn measured(&self, now: Instant) -> Option<u32> {
        if let Some(transport) = self.answered() {
            return Some(transport.estimator.target());
        }
        let waited = now.saturating_duration_since(self.started);
        self.is_reported.then(|| self.reports.target(waited.as_secs_f64()))
    }

    /// How long a packet and the report on it take, with the queues on the path.
    pub fn rtt(&self) -> Option<Duration> {
        let by_packets = self.answered().map(|transport| transport.estimator.rtt() + transport.estimator.queue_delay());
        by_packets.or(self.rtt)
    }

    /// The rate to pace packets by, in bit/s; `None` if they may leave at once, as the network carries far more than there
    /// is to send, or nothing exact is known of it.
    pub fn pace(&self, now: Instant) -> Option<u32> {
        let is_known = self.answered().is_some() || self.is_awaited(now);
        let estimate = self.bitrate(now)?;
        let is_enough = f64::from(estimate) >= f64::from(self.useful) * ENOUGH;
        (is_known && !is_enough).then_some(estimate)
    }

    /// Whether more video may be sent before there is feedback on what is on its way.
    pub fn has_room(&mut self, now: Instant) -> bool {
        if self.answered().is_none() {
            return true;
        }
        let transport = self.transport.as_mut();
        transport.is_none_or(|transport| transport.sent.in_flight(now) < transport.estimator.window())
    }

    /// The probe to send now, if there is one.
    pub fn poll_probe(&mut self, now: Instant) -> Option<ProbeCluster> {
        self.transport.as_mut()?.estimator.poll_probe(now)
    }

    /// What is known of the network.
    pub fn network(&self, now: Instant) -> ViewerNetwork {
        let loss = self.answered().map(|transport| transport.estimator.loss()).or(self.loss);
        let lost_per_mille = loss.map(|loss| (loss * 1e3).round() as u16);
        ViewerNetwork { estimate: self.measured(now), rtt: self.rtt(), lost_per_mille }
    }

    /// Whether nothing is heard of the viewer's network any more.
    pub fn is_silent(&self) -> bool {
        self.answered().is_some_and(|transport| transport.estimator.is_silent())
    }

    /// Whether the estimate has found its level. That of a viewer that is not heard of says nothing.
    pub fn is_settled(&self, now: Instant) -> bool {
        if self.is_silent() {
            return false;
        }
        let answered = self.transport.as_ref().map(|transport| transport.answered);
        answered.is_none_or(|answered| {
            let (since, time) = answered.map_or((self.started, PATIENCE), |answered| (answered, SETTLING));
            now.saturating_duration_since(since) >= time
        })
    }
}

impl TransportEstimate {
    fn on_feedback(&mut self, feedback: &Feedback, now: Instant) {
        if let Some(rtt) = feedback.rtt {
            self.estimator.on_rtt(rtt);
        }
        if feedback.fraction_lost.is_some() && !feedback.hears_us {
            self.heard_since = None;
        } else if feedback.hears_us && self.estimator.is_silent() {
            let since = *self.heard_since.get_or_insert(now);
            let is_over = now.saturating_duration_since(since) >= FEEDBACK_PATIENCE;
            if is_over && !std::mem::replace(&mut self.is_given_up, true) {
                tracing::debug!("the viewer gives no feedback on packets any more; judged by its receiver reports");
            }
        }
        for packet in &feedback.congestion {
            match self.reader.read(packet) {
                Ok(Some(statuses)) => {
                    let mut result = self.sent.on_feedback(&statuses);
                    self.repairs.append(&mut result.repairs);
                    if !result.acked.is_empty() {
                        self.answered.get_or_insert(now);
                        (self.heard_since, self.is_given_up) = (None, false);
                    }
                    self.estimator.on_feedback(&result, now);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("{error}; ignored"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::server::rtc::rate::history::{PacketKind, SentPacket};

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_viewer_that_reports_nothing_has_no_estimate() {
        let start = Instant::now();
        let mut estimate = ViewerEstimate::new(false, 2_000_000, start);
        assert_eq!((estimate.bitrate(start), estimate.is_settled(start)), (None, true));
        estimate.on_feedback(&Feedback { fraction_lost: Some(0), ..Feedback::default() }, after(start, 1_000));
        assert_eq!(estimate.bitrate(after(start, 1_000)), Some(3_150_000), "there is no bad news");
        estimate
            .on_feedback(&Feedback { viewers_estimate: Some(700_000.0), ..Feedback::default() }, after(start, 2_000));
        assert_eq!(estimate.bitrate(after(start, 2_000)), Some(700_000));
    }

    /// Feedback on one packet that arrived, which `twcc` reads.
    fn acked(number: u16) -> Feedback {
        let [high, low] = number.to_be_bytes();
        let packet = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, high, low, 0, 1, 0, 0, 1, 0, 0x20, 1, 0, 0];
        Feedback { congestion: vec![Bytes::copy_from_slice(&packet)], ..Feedback::default() }
    }

    /// Sends a packet.
    fn send(estimate: &mut ViewerEstimate, now: Instant) -> u16 {
        let packet = SentPacket { sent: now, bytes: 1_000, kind: PacketKind::Video, probe: None };
        estimate.sent().expect("numbered").note_sent(packet)
    }

    /// A viewer of whose network nothing has been heard for 4 s since its first feedback.
    fn silent(start: Instant) -> ViewerEstimate {
        let mut estimate = ViewerEstimate::new(true, 2_000_000, start);
        assert_eq!(estimate.network(start).estimate, None, "nothing is measured yet");
        let number = send(&mut estimate, start);
        estimate.on_feedback(&acked(number), after(start, 100));
        assert!(estimate.network(start).estimate.is_some() && estimate.is_settled(after(start, 1_400)));
        for tenth in 1..40 {
            send(&mut estimate, after(start, tenth * 100));
            estimate.on_tick(after(start, tenth * 100));
        }
        assert!(estimate.is_silent());
        estimate
    }

    #[test]
    fn a_viewer_that_is_not_heard_of_has_no_say_and_is_asked_for_feedback() {
        let start = Instant::now();
        let mut estimate = silent(start);
        assert!(!estimate.is_settled(after(start, 4_000)));
        assert!(estimate.keepalive_due().is_some() && estimate.poll_keepalive(after(start, 4_000)));
        let number = send(&mut estimate, after(start, 4_000));
        estimate.on_feedback(&acked(number), after(start, 4_100));
        assert!(estimate.is_settled(after(start, 4_100)) && !estimate.poll_keepalive(after(start, 4_200)));
    }

    #[test]
    fn a_viewer_that_stops_its_feedback_is_judged_by_its_reports() {
        let start = Instant::now();
        let mut estimate = silent(start);
        let report = Feedback { fraction_lost: Some(0), hears_us: true, ..Feedback::default() };
        for second in 4..8 {
            assert!(estimate.is_silent(), "{second}");
            estimate.on_feedback(&report, after(start, second * 1_000));
        }
        let now = after(start, 7_000);
        assert!(!estimate.is_silent() && estimate.has_room(now) && estimate.is_settled(now));
        assert_eq!(estimate.bitrate(now), Some(3_150_000));
        // Feedback counts again once it comes.
        let number = send(&mut estimate, now);
        estimate.on_feedback(&acked(number), after(start, 7_100));
        assert!(estimate.bitrate(now).is_some_and(|bitrate| bitrate < 3_150_000));
    }

    #[test]
    fn reports_alone_do_not_show_that_packets_arrive() {
        let start = Instant::now();
        let mut estimate = silent(start);
        for second in 4..20 {
            let report = Feedback { fraction_lost: Some(0), ..Feedback::default() };
            estimate.on_feedback(&report, after(start, second * 1_000));
            assert!(estimate.is_silent());
        }
    }

    #[test]
    fn nobody_is_held_back_before_there_is_feedback() {
        let start = Instant::now();
        let estimate = ViewerEstimate::new(true, 2_000_000, start);
        assert!(estimate.bitrate(start).is_some_and(|guess| guess > 2_000_000));
        assert_eq!(estimate.pace(start), None, "the first key frame leaves at once");
        assert!(!estimate.is_settled(after(start, 1_999)));
        assert_eq!((estimate.bitrate(after(start, 2_000)), estimate.is_settled(after(start, 2_000))), (None, true));
    }
}
