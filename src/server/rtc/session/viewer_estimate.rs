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

/// How long a receiver report tells the loss: several of its intervals.
const RECENT: Duration = Duration::from_secs(5);

/// Until audio was sent, it is taken to be what Opus usually takes, in bit/s.
const USUAL_AUDIO: u32 = 60_000;

/// From this share of the most that an estimate may be packets need no pacing.
const ENOUGH: f64 = 0.9;

/// The estimate of one viewer.
#[derive(Debug)]
pub struct ViewerEstimate {
    transport: Option<TransportEstimate>,
    reports: ReportEstimator,
    /// What the stream can use, in bit/s.
    useful: u32,
    /// The most that the viewer shall be sent, in bit/s.
    limit: Option<u32>,
    /// Whether the viewer has reported anything for `reports`.
    is_reported: bool,
    started: Instant,
    /// The round trip time of the last receiver report on the video, and its loss with the time at which it came.
    rtt: Option<Duration>,
    loss: Option<(f64, Instant)>,
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
        Self {
            transport,
            reports,
            useful: config.max,
            limit: None,
            is_reported: false,
            started: now,
            rtt: None,
            loss: None,
        }
    }

    /// Follows the bitrates of video and audio, in bit/s.
    pub fn set_stream(&mut self, video: u32, audio: u32) {
        self.useful = EstimatorConfig::for_stream(video, audio).max;
        self.set_max();
    }

    /// Has the estimate end at what the stream can use and the viewer shall be sent: no probe goes beyond.
    fn set_max(&mut self) {
        let max = self.limit.map_or(self.useful, |limit| limit.min(self.useful));
        self.reports.set_max(max);
        if let Some(transport) = &mut self.transport {
            transport.estimator.set_max(max);
        }
    }

    /// The most that the viewer shall be sent in bit/s, whatever its network carries.
    pub fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
        self.set_max();
    }

    /// Whether it is to be sent less than the stream can use.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some_and(|limit| limit < self.useful)
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
        self.rtt = feedback.rtt.or(self.rtt);
        self.loss = lost.map(|lost| (lost, now)).or(self.loss);
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

    /// The rate that the viewer's network carries and its limit allows, in bit/s; `None` while neither is known. While feedback
    /// may still come, it is what the stream can use.
    pub fn bitrate(&self, now: Instant) -> Option<u32> {
        let awaited = self.transport.as_ref().filter(|_| self.is_awaited(now));
        let known = awaited.map_or_else(|| self.measured(now), |transport| Some(transport.estimator.target()));
        known.into_iter().chain(self.limit).min()
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
        let estimate = self.bitrate(now)?;
        let is_known = self.limit == Some(estimate) || self.answered().is_some() || self.is_awaited(now);
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

    /// The share of packets lost lately, as far as is known.
    pub fn loss(&self, now: Instant) -> Option<f64> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < RECENT;
        let reported = self.loss.filter(|(_, at)| is_recent(*at)).map(|(loss, _)| loss);
        self.answered().map(|transport| transport.estimator.loss()).or(reported)
    }

    /// What is known of the network.
    pub fn network(&self, now: Instant) -> ViewerNetwork {
        let lost_per_mille = self.loss(now).map(|loss| (loss * 1e3).round() as u16);
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
mod tests;
