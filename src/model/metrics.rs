//! The Prometheus metrics and their text form.
//!
//! Every place where a frame may be dropped has its label here. The current state, for people, is in `status`.

mod labels;
mod registration;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

pub use labels::{
    CameraLabel, ControlDrop, ControlDropLabels, DropLabels, DropPoint, HookLabels, HookResult, IgnoreLabels,
    IgnoreReason, PublishLabel, RejectLabels, RejectReason, ScreenDrop, ScreenDropLabels, SignIn, SignInOutcome,
    SkipCause, SkipLabels, TalkDrop, TalkDropLabels, ViewerLabel,
};

use crate::util::lock::Mutex;

/// Upper bounds of the latency histograms in seconds: fine below one frame interval at 60 fps, where the targets are,
/// coarse above.
const LATENCY_BUCKETS: [f64; 26] = [
    0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0035, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.010, 0.012, 0.014,
    0.017, 0.020, 0.025, 0.033, 0.050, 0.075, 0.100, 0.200, 0.500, 1.0,
];

/// All counters; a cheap handle.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Counters>);

/// The counters themselves; [`Metrics`] derefs to them.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    /// Frames captured.
    pub captured: Family<CameraLabel, Counter>,
    /// Frames encoded, or passed through as the camera encoded them; placeholders included.
    pub encoded: Family<CameraLabel, Counter>,
    /// Frames of the smaller rendition encoded.
    pub small_encoded: Family<CameraLabel, Counter>,
    /// Key frames among those of the camera's own size.
    pub key_frames: Family<CameraLabel, Counter>,
    /// Frames that the encoder or converter rejected.
    pub encode_errors: Family<CameraLabel, Counter>,
    /// Damaged frames shown all the same, because the camera delivers no others.
    pub damaged_shown: Family<CameraLabel, Counter>,
    /// Frames (at `Socket`: packets) dropped, by place.
    pub dropped: Family<DropLabels, Counter>,
    /// Cameras open now.
    pub cameras_open: Gauge,
    /// Encoders alive now.
    pub encoders: Gauge,
    /// Time from a raw frame to its encoded form, conversion included.
    pub encode_seconds: Histogram,
    /// Time from a frame's capture to its last packet in the socket.
    pub socket_seconds: Histogram,
    /// Key frames requested by viewers (PLI, FIR).
    pub key_requests: Counter,
    /// Packets that viewers requested again (NACK).
    pub nacked_packets: Counter,
    /// Packets among them that were not sent again: too soon after the last time, too old, or beyond the share of resends.
    pub resends_refused: Counter,
    /// Audio packets that viewers were sent once more, together with later ones.
    pub redundant_audio: Counter,
    /// Audio packets encoded.
    pub audio_packets: Counter,
    /// Times that audio was lost between the microphone and the encoder.
    pub audio_gaps: Counter,
    /// Whether somebody talks.
    pub talking: Gauge,
    /// Packets of talkers that were played.
    pub talk_played: Counter,
    /// Lost packets of talkers that the one after them made up for.
    pub talk_recovered: Counter,
    /// Times that a packet of a talker was missing and concealed.
    pub talk_concealed: Counter,
    /// Packets of talkers, or of viewers who may not talk, that were not played, by reason.
    pub talk_dropped: Family<TalkDropLabels, Counter>,
    /// Sounds that were announced on the speaker.
    pub announcements: Counter,
    /// Times that the speaker ran out of sound.
    pub speaker_underruns: Counter,
    /// Frames of talkers' pictures that the screen's program was given.
    pub screen_frames: Counter,
    /// Frames of talkers' pictures that it was not, by reason.
    pub screen_dropped: Family<ScreenDropLabels, Counter>,
    /// Viewers connected or connecting.
    pub viewers: Gauge,
    /// Viewers accepted since the start.
    pub viewers_accepted: Counter,
    /// What each viewer's network carries, in bit/s.
    pub viewer_estimate: Family<ViewerLabel, Gauge>,
    /// Each viewer's round trip time in seconds.
    pub viewer_rtt: Family<ViewerLabel, Gauge<f64, AtomicU64>>,
    /// The share of packets that each viewer lost lately.
    pub viewer_loss: Family<ViewerLabel, Gauge<f64, AtomicU64>>,
    /// How long after its capture each viewer's page shows a frame, in seconds.
    pub viewer_delay: Family<ViewerLabel, Gauge<f64, AtomicU64>>,
    /// Times at which a viewer was skipped to the live edge, by cause.
    pub live_edge_skips: Family<SkipLabels, Counter>,
    /// Sign-in attempts, by outcome.
    pub sign_ins: Family<SignIn, Counter>,
    /// HTTP and RTSP connections and requests rejected, by reason.
    pub http_refused: Family<RejectLabels, Counter>,
    /// Control requests carried out, from viewers, scripts and `porthole ctl`.
    pub commands: Counter,
    /// Messages dropped on control channels, by kind.
    pub control_dropped: Family<ControlDropLabels, Counter>,
    /// Snapshots sent to viewers, scripts and the page.
    pub snapshots: Counter,
    /// MJPEG readers connected.
    pub mjpeg_readers: Gauge,
    /// JPEGs encoded for MJPEG readers: one for all readers of the same size and quality.
    pub mjpeg_encoded: Family<CameraLabel, Counter>,
    /// JPEGs of a camera that were passed on to MJPEG readers as they are.
    pub mjpeg_passed: Family<CameraLabel, Counter>,
    /// JPEGs sent to MJPEG readers.
    pub mjpeg_sent: Family<CameraLabel, Counter>,
    /// Frames that were looked at for motion.
    pub motion_frames: Family<CameraLabel, Counter>,
    /// Motions that began.
    pub motion_events: Family<CameraLabel, Counter>,
    /// Whether the MQTT broker is connected.
    pub mqtt_connected: Gauge,
    /// Connections to the MQTT broker since the start.
    pub mqtt_connections: Counter,
    /// Messages published to the MQTT broker.
    pub mqtt_published: Counter,
    /// Messages from the MQTT broker that were ignored.
    pub mqtt_ignored: Counter,
    /// Pictures that were due and not published: the privacy switch was on, the camera had none, or the broker takes none so
    /// large.
    pub mqtt_pictures_withheld: Counter,
    /// Whether each publication's server is being sent the camera.
    pub publish_live: Family<PublishLabel, Gauge>,
    /// Attempts to publish that failed, and publications that broke.
    pub publish_failures: Family<PublishLabel, Counter>,
    /// Whether each camera is being recorded.
    pub recording: Family<CameraLabel, Gauge>,
    /// Bytes written to recordings.
    pub recorded: Counter,
    /// Recordings that could not be written, or not to their end.
    pub recording_failures: Counter,
    /// Pictures written to time-lapses.
    pub timelapse_pictures: Family<CameraLabel, Counter>,
    /// Events that hooks wait for, by hook and result.
    pub hook_runs: Family<HookLabels, Counter>,
    /// Packets handed to the sockets.
    pub packets_sent: Counter,
    /// Bytes handed to the sockets.
    pub bytes_sent: Counter,
    /// Datagrams and connections ignored, by reason.
    pub ignored: Family<IgnoreLabels, Counter>,
    /// Asynchronous tasks alive.
    pub tasks: Gauge,
    /// Where there are tasks besides the runtime that the text is made in.
    runtimes: Mutex<Vec<Handle>>,
    /// CPU time of the process, user and system.
    pub cpu_seconds: Counter<f64, AtomicU64>,
}

impl std::ops::Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let mut inner = Counters {
            registry: Registry::with_prefix("porthole"),
            captured: Family::default(),
            encoded: Family::default(),
            small_encoded: Family::default(),
            key_frames: Family::default(),
            encode_errors: Family::default(),
            damaged_shown: Family::default(),
            dropped: Family::default(),
            cameras_open: Gauge::default(),
            encoders: Gauge::default(),
            encode_seconds: Histogram::new(LATENCY_BUCKETS),
            socket_seconds: Histogram::new(LATENCY_BUCKETS),
            key_requests: Counter::default(),
            nacked_packets: Counter::default(),
            resends_refused: Counter::default(),
            redundant_audio: Counter::default(),
            audio_packets: Counter::default(),
            audio_gaps: Counter::default(),
            talking: Gauge::default(),
            talk_played: Counter::default(),
            talk_recovered: Counter::default(),
            talk_concealed: Counter::default(),
            talk_dropped: Family::default(),
            announcements: Counter::default(),
            speaker_underruns: Counter::default(),
            screen_frames: Counter::default(),
            screen_dropped: Family::default(),
            viewers: Gauge::default(),
            viewers_accepted: Counter::default(),
            viewer_estimate: Family::default(),
            viewer_rtt: Family::default(),
            viewer_loss: Family::default(),
            viewer_delay: Family::default(),
            live_edge_skips: Family::default(),
            sign_ins: Family::default(),
            http_refused: Family::default(),
            commands: Counter::default(),
            control_dropped: Family::default(),
            snapshots: Counter::default(),
            mjpeg_readers: Gauge::default(),
            mjpeg_encoded: Family::default(),
            mjpeg_passed: Family::default(),
            mjpeg_sent: Family::default(),
            motion_frames: Family::default(),
            motion_events: Family::default(),
            mqtt_connected: Gauge::default(),
            mqtt_connections: Counter::default(),
            mqtt_published: Counter::default(),
            mqtt_ignored: Counter::default(),
            mqtt_pictures_withheld: Counter::default(),
            publish_live: Family::default(),
            publish_failures: Family::default(),
            recording: Family::default(),
            recorded: Counter::default(),
            recording_failures: Counter::default(),
            timelapse_pictures: Family::default(),
            hook_runs: Family::default(),
            packets_sent: Counter::default(),
            bytes_sent: Counter::default(),
            ignored: Family::default(),
            tasks: Gauge::default(),
            runtimes: Mutex::default(),
            cpu_seconds: Counter::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// Counts `count` dropped frames at a place.
    pub fn count_drop(&self, at: DropPoint, count: u64) {
        if count > 0 {
            self.dropped.get_or_create(&DropLabels { at }).inc_by(count);
        }
    }

    /// Counts packets of talkers that were not played.
    pub fn count_talk_drop(&self, why: TalkDrop, count: u64) {
        if count > 0 {
            self.talk_dropped.get_or_create(&TalkDropLabels { why }).inc_by(count);
        }
    }

    /// Counts frames of talkers' pictures that were not shown.
    pub fn count_screen_drop(&self, why: ScreenDrop, count: u64) {
        if count > 0 {
            self.screen_dropped.get_or_create(&ScreenDropLabels { why }).inc_by(count);
        }
    }

    /// Counts that a viewer was skipped to the live edge.
    pub fn count_skips(&self, cause: SkipCause, count: u64) {
        if count > 0 {
            self.live_edge_skips.get_or_create(&SkipLabels { cause }).inc_by(count);
        }
    }

    /// Drops the metrics of a viewer that has left.
    pub fn forget_viewer(&self, label: &ViewerLabel) {
        self.viewer_estimate.remove(label);
        self.viewer_rtt.remove(label);
        self.viewer_loss.remove(label);
        self.viewer_delay.remove(label);
    }

    /// Counts a datagram or connection that was ignored.
    pub fn count_ignored(&self, why: IgnoreReason) {
        self.ignored.get_or_create(&IgnoreLabels { why }).inc();
    }

    /// Counts a rejected HTTP connection or request.
    pub fn count_rejected(&self, reason: RejectReason) {
        self.http_refused.get_or_create(&RejectLabels { reason }).inc();
    }

    /// Counts messages dropped on a control channel.
    pub fn count_control_drop(&self, what: ControlDrop, count: u64) {
        self.control_dropped.get_or_create(&ControlDropLabels { what }).inc_by(count);
    }

    /// Counts the tasks of another runtime too, as long as the program runs.
    pub fn count_tasks_of(&self, runtime: Handle) {
        self.runtimes.lock().push(runtime);
    }

    /// The OpenMetrics text of all counters.
    pub fn text(&self) -> String {
        let alive = |runtime: &Handle| runtime.metrics().num_alive_tasks();
        let here = Handle::try_current().map_or(0, |runtime| alive(&runtime));
        let elsewhere: usize = self.runtimes.lock().iter().map(alive).sum();
        self.tasks.set((here + elsewhere) as i64);
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        self.cpu_seconds.inc_by((cpu - self.cpu_seconds.get()).max(0.0));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string should not fail");
        text
    }
}

/// Keeps a gauge incremented for as long as it lives.
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments `gauge`.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl std::ops::Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_place_of_a_drop() {
        let metrics = Metrics::new();
        metrics.count_drop(DropPoint::ViewerLag, 3);
        assert!(metrics.text().contains("porthole_frames_dropped_total{at=\"ViewerLag\"} 3"), "{}", metrics.text());
    }

    #[test]
    fn renamed_metrics_keep_their_former_names() {
        let metrics = Metrics::new();
        metrics.cameras_open.inc();
        metrics.count_control_drop(ControlDrop::Busy, 2);
        let text = metrics.text();
        for line in [
            "porthole_cameras_open 1",
            "porthole_captures 1",
            "porthole_control_dropped_total{what=\"Busy\"} 2",
            "porthole_untold_total{what=\"Busy\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
