//! What a viewer's network carries: an estimate of the rate from the feedback on what was sent.
//!
//! It begins with what the stream needs, and `start` notices with the first packets when that is far too much. Then delay
//! counts first (`trendline`, `queue_delay`), loss where no queue shows (`loss`), and probes find more (`probe`); `control`
//! makes one target of them. Players without such feedback are judged by `fallback`.

mod config;
mod control;
mod fallback;
mod least;
mod loss;
mod probe;
mod queue_delay;
mod start;
mod throughput;
mod trendline;

use std::time::{Duration, Instant};

pub use config::EstimatorConfig;
use control::{Observation, RateController};
pub use fallback::ReportEstimator;
use least::RecentLeast;
use loss::{LossControl, LossVerdict};
pub use probe::ProbeCluster;
use probe::{ProbeResult, Prober};
use queue_delay::QueueDelay;
use start::Start;
use throughput::Throughput;
use trendline::{Trendline, Usage};

use super::history::{AckedPacket, FeedbackResult, PacketKind};

/// The rate that arrives is measured over these times, in seconds: the short one where the path is full, so that a drop
/// shows at once.
const SHORT: f64 = 0.15;
const LONG: f64 = 0.5;

/// Loss without a longer queue than this is judged by `loss`.
const NO_QUEUE: f64 = 0.03;

/// A probe sends this multiple of the target; less after one that the path did not carry. After a silence it sends most of
/// what was the target before.
const PROBE: f64 = 2.0;
const CAREFUL_PROBE: f64 = 1.5;
const RETURN_PROBE: f64 = 0.8;

/// The time between probes, and after a decrease, in seconds.
const PROBE_INTERVAL: f64 = 4.0;

/// After a proof of more, the next probe follows at once.
const NEXT_PROBE: f64 = 0.15;

/// The share of a probe's rate that becomes the target: all of it where it was carried, less where it filled the path.
const CARRIED_SHARE: f64 = 0.95;
const FULL_SHARE: f64 = 0.9;

/// Without any feedback for this long, in seconds and round trips, the path is taken to be cut. Feedback comes each 100 ms at
/// most; a busy machine of either end delays it by some hundred milliseconds more, which says nothing about the path.
const SILENCE: f64 = 1.2;
const SILENCE_RTTS: f64 = 4.0;

/// The most that the time since the last look counts into it, in seconds: while this machine itself stalls, feedback waits for
/// it.
const OWN_STALL: f64 = 0.2;

/// What is left of the target after each such silence.
const SILENCE_BACK_OFF: f64 = 0.6;

/// During a silence a packet of padding asks for feedback this often, in seconds: nothing else may be sent.
const KEEPALIVE: f64 = 0.2;

/// How long the shortest round trip holds, in seconds.
const RTT_WINDOW: f64 = 10.0;

/// The round trip while nothing is known, in seconds, and the longest that is believed.
const DEFAULT_RTT: f64 = 0.1;
const MAX_RTT: f64 = 2.0;

/// What may be in flight: the target for a round trip and this time, in seconds. It bounds the queue when the path is cut,
/// before any feedback can say so. Longer than feedback is late for when a machine is busy.
const WINDOW: f64 = 0.75;

/// And at least this many bytes: a few packets.
const MIN_WINDOW: f64 = 12_000.0;

/// The estimate of one viewer's network.
#[derive(Debug)]
pub struct Estimator {
    start: Instant,
    control: RateController,
    trendline: Trendline,
    queue: QueueDelay,
    throughput: Throughput,
    /// The rate at which what arrives was sent.
    sending: Throughput,
    loss: LossControl,
    beginning: Start,
    prober: Prober,
    /// The last feedback as the controller saw it.
    input: Observation,
    /// The round trip that RTCP reports show, and the shortest time from sending to feedback.
    reported_rtt: Option<f64>,
    rtts: RecentLeast,
    next_probe: f64,
    probe_factor: f64,
    last_feedback: Option<f64>,
    /// How long there has been no feedback, and until when that is counted.
    silence: f64,
    ticked: f64,
    /// The target before the feedback fell silent.
    before_silence: Option<f64>,
    /// When to ask for feedback next, during a silence.
    next_keepalive: f64,
    /// What was sent before this time may have taken another path.
    path_since: f64,
}

impl Estimator {
    /// An estimate that starts at `now`.
    pub fn new(config: EstimatorConfig, now: Instant) -> Self {
        let (start, min, max) = (f64::from(config.start), f64::from(config.min), f64::from(config.max));
        Self {
            start: now,
            control: RateController::new(start, min, max),
            trendline: Trendline::new(),
            queue: QueueDelay::default(),
            throughput: Throughput::default(),
            sending: Throughput::default(),
            loss: LossControl::default(),
            beginning: Start::new(f64::from(config.needed)),
            prober: Prober::default(),
            input: Observation {
                now: 0.0,
                elapsed: 0.0,
                rtt: DEFAULT_RTT,
                queue: 0.0,
                usual: 0.0,
                usage: Usage::Normal,
                arriving_short: None,
                arriving: None,
                sending: None,
                lost: 0.0,
            },
            reported_rtt: None,
            rtts: RecentLeast::new(RTT_WINDOW),
            next_probe: 0.0,
            probe_factor: PROBE,
            last_feedback: None,
            silence: 0.0,
            ticked: 0.0,
            before_silence: None,
            next_keepalive: 0.0,
            path_since: 0.0,
        }
    }

    /// The rate that the viewer's network carries, in bit/s.
    pub fn target(&self) -> u32 {
        self.control.target() as u32
    }

    /// Sets the most that the viewer can use: probes go no further.
    pub fn set_max(&mut self, max: u32) {
        self.control.set_max(f64::from(max));
    }

    /// The round trip time without queues.
    pub fn rtt(&self) -> Duration {
        Duration::from_secs_f64(self.input.rtt)
    }

    /// How long packets wait in the path's queue.
    pub fn queue_delay(&self) -> Duration {
        Duration::from_secs_f64(self.input.queue)
    }

    /// The share of packets lost, of about the last second.
    pub fn loss(&self) -> f64 {
        self.loss.share()
    }

    /// The share of packets that the path loses whatever is sent: loss while there is no queue.
    pub fn random_loss(&self) -> f64 {
        if self.input.queue > NO_QUEUE || self.control.is_draining() { 0.0 } else { self.loss.share() }
    }

    /// The bytes that may be in flight: with more, video waits.
    pub fn window(&self) -> usize {
        (self.control.target() / 8.0 * (self.input.rtt + WINDOW)).max(MIN_WINDOW) as usize
    }

    /// Whether nothing is heard of the viewer's network. Key frames for this viewer alone would be wasted on all others.
    pub fn is_silent(&self) -> bool {
        self.before_silence.is_some()
    }

    /// Whether to send a packet only for the feedback on it: nothing is heard, and nothing else may be sent.
    pub fn poll_keepalive(&mut self, now: Instant) -> bool {
        let at = self.seconds(now);
        let due = self.is_silent() && at >= self.next_keepalive;
        if due {
            self.next_keepalive = at + KEEPALIVE;
        }
        due
    }

    /// When to ask [`Self::poll_keepalive`] next, if it needs asking.
    pub fn keepalive_due(&self) -> Option<Instant> {
        self.is_silent().then(|| self.start + Duration::from_secs_f64(self.next_keepalive))
    }

    /// Forgets the delays of the path: what is sent from `now` on takes another one. The rate is taken to be the same until
    /// feedback says otherwise.
    pub fn on_path_change(&mut self, now: Instant) {
        self.path_since = self.seconds(now);
        self.next_probe = self.path_since;
        self.forget_delays();
    }

    /// Notes the round trip time of an RTCP report.
    pub fn on_rtt(&mut self, rtt: Duration) {
        self.reported_rtt = Some(rtt.as_secs_f64().min(MAX_RTT));
    }

    /// Notes a feedback that arrived at `now`.
    pub fn on_feedback(&mut self, feedback: &FeedbackResult, now: Instant) {
        let (at, acked) = (self.seconds(now), &feedback.acked);
        if acked.is_empty() && feedback.lost == 0 {
            return;
        }
        if self.is_silent() {
            // The path may be another one after a silence.
            self.forget_delays();
        }
        let result = acked.iter().filter_map(|acked| self.on_acked(acked)).last();
        let newest = acked.last().map(|newest| self.seconds(newest.packet.sent));
        if let Some(sent) = newest.filter(|sent| *sent >= self.path_since) {
            self.rtts.note((at - sent).clamp(0.0, MAX_RTT), at);
        }
        let packets = acked.len() + feedback.lost;
        self.input = Observation {
            now: at,
            elapsed: (at - self.last_feedback.unwrap_or(at)).clamp(0.0, SILENCE),
            rtt: self.round_trip(),
            queue: self.queue.current(),
            usual: self.queue.usual(),
            usage: self.trendline.usage(),
            arriving_short: self.throughput.rate_without_stall(SHORT),
            arriving: self.throughput.rate(LONG),
            sending: self.sending.rate(LONG),
            lost: feedback.lost as f64 / packets as f64,
        };
        self.last_feedback = Some(at);
        self.silence = 0.0;
        if let Some(before) = self.before_silence.take() {
            self.resume(before);
        }
        self.control.on_feedback(&self.input);
        if self.control.take_longer_path() {
            self.queue.rebase();
            self.input.queue = 0.0;
        }
        if let Some(rate) = self.beginning.take_verdict() {
            self.control.fall_to(rate, at);
        }
        self.judge_loss(feedback);
        if let Some(result) = result {
            self.on_probe_result(result);
        }
    }

    /// The probe to send now, if there is one. It is marked in the history with its number.
    pub fn poll_probe(&mut self, now: Instant) -> Option<ProbeCluster> {
        let at = self.seconds(now);
        if self.prober.timed_out(at) {
            self.probe_factor = CAREFUL_PROBE;
        }
        let due = at >= self.next_probe && self.last_feedback.is_some() && self.before_silence.is_none();
        if !due || self.prober.is_running() || !self.control.may_probe(&self.input, PROBE_INTERVAL / 2.0) {
            return None;
        }
        self.next_probe = at + PROBE_INTERVAL;
        let bitrate = (self.control.target() * self.probe_factor).min(self.control.max() / CARRIED_SHARE);
        Some(self.prober.begin(bitrate, at))
    }

    /// Notices that feedback fails to come while `in_flight` bytes wait for it. To be called a few times a second.
    pub fn on_tick(&mut self, in_flight: usize, now: Instant) {
        let at = self.seconds(now);
        let elapsed = (at - std::mem::replace(&mut self.ticked, at)).clamp(0.0, OWN_STALL);
        if in_flight == 0 || self.last_feedback.is_none() {
            self.silence = 0.0;
            return;
        }
        self.silence += elapsed;
        if self.silence < SILENCE.max(self.input.rtt * SILENCE_RTTS) {
            return;
        }
        // The next step follows after another silence.
        self.silence = 0.0;
        self.before_silence.get_or_insert(self.control.target());
        self.control.set(self.control.target() * SILENCE_BACK_OFF);
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    fn on_acked(&mut self, acked: &AckedPacket) -> Option<ProbeResult> {
        let arrival = acked.arrival as f64 / 1e6;
        let sent = self.seconds(acked.packet.sent);
        if sent < self.path_since {
            return None;
        }
        self.trendline.on_packet(sent * 1e3, arrival * 1e3);
        self.queue.on_packet(sent, arrival);
        self.throughput.on_packet(arrival, acked.packet.bytes);
        self.sending.on_packet(sent, acked.packet.bytes);
        self.beginning.on_packet(sent, arrival, acked.packet.bytes, acked.packet.kind == PacketKind::Audio);
        let waited = if acked.packet.probe.is_some() { self.queue.waited(arrival - sent) } else { 0.0 };
        self.prober.on_acked(acked, sent, arrival, waited)
    }

    /// The shortest round trip of the last seconds. A reported one includes the queue as it was then.
    fn round_trip(&self) -> f64 {
        match (self.rtts.least(), self.reported_rtt) {
            (Some(measured), Some(reported)) => measured.min(reported),
            (measured, reported) => measured.or(reported).unwrap_or(DEFAULT_RTT),
        }
    }

    fn forget_delays(&mut self) {
        (self.trendline, self.queue) = (Trendline::new(), QueueDelay::default());
        self.rtts.clear();
        self.reported_rtt = None;
        (self.input.queue, self.input.usual, self.input.usage) = (0.0, 0.0, Usage::Normal);
        self.control.forget_queue();
    }

    /// After a silence the path may be what it was: one probe tells.
    fn resume(&mut self, before: f64) {
        self.control.set_capacity(None);
        self.probe_factor = (before * RETURN_PROBE / self.control.target()).max(CAREFUL_PROBE);
        self.next_probe = self.input.now;
    }

    fn judge_loss(&mut self, feedback: &FeedbackResult) {
        if self.input.queue > NO_QUEUE || self.control.is_draining() || self.control.is_competing() {
            self.loss.abandon_test();
        }
        let (arrived, lost) = (feedback.acked.len(), feedback.lost.saturating_sub(feedback.recovered));
        let Observation { now, rtt, queue, .. } = self.input;
        let verdict = self.loss.on_feedback(arrived, lost, now, rtt, self.control.target());
        if queue > NO_QUEUE || self.control.is_competing() {
            // Whatever it says, the delay says it better.
            self.loss.abandon_test();
            return;
        }
        match verdict {
            LossVerdict::Keep => {}
            LossVerdict::Cut(target) => {
                self.control.set(target);
                self.control.set_capacity(Some(target));
            }
            LossVerdict::Restore(target) => {
                self.control.set_capacity(None);
                self.control.set(self.control.target().max(target));
            }
        }
    }

    fn on_probe_result(&mut self, result: ProbeResult) {
        let target = self.control.target();
        if self.control.is_draining() || self.control.is_competing() || result.is_void() {
            return;
        }
        if result.carried() {
            let proven = result.proven() * CARRIED_SHARE;
            self.control.set(target.max(proven));
            if proven > target {
                self.control.set_capacity(None);
                self.next_probe = self.input.now + NEXT_PROBE;
            }
            self.probe_factor = PROBE;
        } else {
            let full = result.proven();
            self.control.set(target.max(full * FULL_SHARE));
            self.control.set_capacity(Some(full));
            self.probe_factor = CAREFUL_PROBE;
        }
    }
}

#[cfg(test)]
mod tests;
