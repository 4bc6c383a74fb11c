//! The capture thread of a camera: keeps it open while there is demand, passes its frames on, and retries after a fault.
//!
//! Encoding frames and drawing the placeholder belong to `encode`.

mod key_requests;
mod stall;

use std::time::{Duration, Instant};

use key_requests::KeyRequests;
use stall::Stall;

use super::requests::CaptureRequests;
use super::stream_fault::unix_now;
use super::{CameraUnavailable, EncodeInput, OpenCamera, OpenedCamera, PipelineContext};
use crate::capture::camera;
use crate::capture::camera::placeholder::PlaceholderText;
use crate::capture::camera::{VideoSource, placeholder};
use crate::media::h264::Profile;
use crate::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::model::metrics::{DropPoint, GaugeGuard};
use crate::model::status::{FaultKind, PipelineState};
use crate::util::backoff::Backoff;
use crate::util::broadcast::{Demand, Linger};
use crate::util::heartbeat::Heartbeat;
use crate::util::malloc;

/// How long the camera stays open after the last viewer has left: a page that reloads finds it open.
const LINGER: Duration = Duration::from_secs(1);

/// The longest wait for a frame before the thread checks whether it should stop; bounds the time of a shutdown.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A camera that delivers no frame for this long is reopened. Some drivers lose their device without an error. Only the
/// first frame may take longer, if its source says so.
const STALL_TIMEOUT: Duration = camera::STALL_TIMEOUT;

/// A camera whose first frame takes longer than this is worth a placeholder that says so: most cameras are faster.
const SLOW_START: Duration = Duration::from_secs(3);

/// A camera that has worked for this long and fails is reopened at once, which clears most driver faults. For one that
/// fails sooner that would be a busy loop.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// How long a camera that may recover may take to its first frame before the placeholder is shown: longer than opening a
/// USB camera takes, so that a short fault freezes the video and does not flash the placeholder.
const PLACEHOLDER_DELAY: Duration = Duration::from_secs(1);

/// H.264 frames of the camera that are queued for the encode thread, which only passes them through: a second of them, as
/// for a session that lags.
const PASSTHROUGH_QUEUE: usize = super::RING;

/// The retry loop of one camera; nothing above it retries.
pub(super) struct CaptureThread {
    ctx: PipelineContext,
    demand: Demand,
    config: camera::Config,
    open: OpenCamera,
    backoff: Backoff,
    /// Why the camera delivers no frames; `None` when it works, or was not tried yet.
    fault: Option<Fault>,
    /// The format of the placeholder: that of the camera's last frames, or the configured one.
    shape: VideoFormat,
    /// Whether the camera delivers H.264 itself; `None` until that is known.
    camera_encodes: Option<bool>,
    /// Requests from the handles.
    requests: CaptureRequests,
    heartbeat: Heartbeat,
}

/// Why capturing ended without an error.
enum End {
    /// There is no demand any more.
    NoDemand,
    /// The settings changed in a way that needs the camera to be reopened.
    Reconfigured,
}

/// Why a camera delivers no frames, and since when.
struct Fault {
    reason: PlaceholderText,
    since: Instant,
}

impl CaptureThread {
    /// `missing` says why the camera is unavailable at the start.
    pub(super) fn new(
        ctx: PipelineContext,
        config: camera::Config,
        missing: Option<camera::Error>,
        open: OpenCamera,
        heartbeat: Heartbeat,
    ) -> Self {
        let shape = placeholder::format(config.width.target(), config.height.target());
        let demand = ctx.frames.demand().clone();
        let camera_encodes = config.format.map(|format| format == PixelFormat::H264);
        let requests = CaptureRequests::new(ctx.requests.clone());
        let backoff = Backoff::default();
        let fault = None;
        let mut capture =
            Self { ctx, demand, config, open, backoff, fault, shape, camera_encodes, requests, heartbeat };
        if let Some(error) = missing {
            // Logged now, and not again when somebody watches; the backoff starts with the first attempt.
            let (_, log) = capture.backoff.failed(Instant::now());
            capture.backoff.reset();
            capture.note_failure(&error, log);
        }
        capture
    }

    pub(super) fn run(&mut self) {
        while self.heartbeat.wait(|| self.demand.wait()) {
            // A camera that was unavailable when the last viewer left may be back.
            self.show_fault_placeholder(PLACEHOLDER_DELAY);
            while self.demand.is_needed() {
                self.heartbeat.beat();
                self.retry_once();
            }
            if let Some(since) = self.demand.blocked_since() {
                self.show_placeholder(PlaceholderText::privacy(), since, Duration::ZERO);
                self.requests.fail_pending(super::handle::PRIVACY_MESSAGE);
                self.heartbeat.wait(|| self.demand.wait_while_blocked(None));
                if self.demand.is_needed() {
                    // Viewers keep the last frame until the first new one.
                    continue;
                }
            }
            // The last viewer has left: release the encoder too.
            self.send_to_encoder(EncodeInput::Idle);
            malloc::trim();
        }
    }

    fn retry_once(&mut self) {
        let mut first_frame_at = None;
        let error = match self.capture_once(&mut first_frame_at) {
            Ok(End::Reconfigured) => return,
            Ok(End::NoDemand) => {
                self.ctx.status(|camera| {
                    // A camera without a frame so far is still in fault.
                    if camera.state != PipelineState::Fault {
                        camera.state = PipelineState::Idle;
                    }
                });
                return;
            }
            // The test pattern ends when a camera can be opened instead.
            Err(camera::Error::Replaced) => return,
            Err(error) => error,
        };
        let (pause, log) = self.backoff.failed(Instant::now());
        self.note_failure(&error, log);
        self.requests.fail_pending(&error.to_string());
        let may_heal =
            matches!(error, camera::Error::Io { .. } | camera::Error::Busy { .. } | camera::Error::Ended { .. });
        if may_heal && first_frame_at.is_some_and(|since: Instant| since.elapsed() >= STABLE_AFTER) {
            self.show_fault_placeholder(PLACEHOLDER_DELAY);
        } else {
            self.show_fault_placeholder(Duration::ZERO);
            if self.heartbeat.wait(|| self.demand.pause(pause)) {
                self.backoff.reset();
            }
        }
    }

    /// Records a fault in the log and the status.
    fn note_failure(&mut self, error: &camera::Error, log: bool) {
        if log {
            tracing::warn!(camera = self.ctx.label.camera, "no video: {error}");
        }
        let since = self.fault.as_ref().map_or_else(Instant::now, |fault| fault.since);
        self.fault = Some(Fault { reason: PlaceholderText::of(error), since });
        self.ctx.status(|camera| {
            camera.state = PipelineState::Fault;
            camera.fault = Some(error.to_string());
            camera.trouble = Some(error.fault_kind());
            camera.since.get_or_insert_with(unix_now);
        });
    }

    /// Shows the placeholder after `delay`, if the camera is in fault.
    fn show_fault_placeholder(&self, delay: Duration) {
        if let Some(Fault { reason, since }) = &self.fault {
            self.show_placeholder(reason.clone(), *since, delay);
        }
    }

    /// Shows the placeholder after `delay`.
    fn show_placeholder(&self, reason: PlaceholderText, since: Instant, delay: Duration) {
        self.send_to_encoder(EncodeInput::Unavailable(CameraUnavailable {
            reason,
            since,
            from: Instant::now() + delay,
            format: self.shape,
        }));
    }

    /// Opens the camera and captures until there is no demand any more. Sets `first_frame_at` at the first frame.
    fn capture_once(&mut self, first_frame_at: &mut Option<Instant>) -> Result<End, camera::Error> {
        if self.requests.apply_target(&mut self.config) {
            self.shape = placeholder::format(self.config.width.target(), self.config.height.target());
        }
        self.ctx.status(|camera| {
            // A camera in fault stays so until it works, so that the page shows the reason meanwhile.
            if camera.state != PipelineState::Fault {
                camera.state = PipelineState::Starting;
            }
        });
        // The configuration has the controls that were set since, so they are set again.
        let OpenedCamera { mut source, identity } = (self.open)(&self.config)?;
        self.ctx.status(|camera| camera.identity = identity);
        let _open = GaugeGuard::new(&self.ctx.metrics.cameras_open);
        self.expect_profile(source.format().pixel);
        let captured = self.ctx.metrics.captured.get_or_create(&self.ctx.label).clone();
        let mut dropped = camera::Dropped::default();
        let mut last_frame_at = Instant::now();
        let mut stall = Stall::new(Timestamp::now());
        let mut keys = KeyRequests::default();
        // The placeholder of a fault says more.
        let mut announced = self.fault.is_some();
        // No frame precedes the first one.
        let mut gap = true;
        let demand = self.demand.clone();
        let mut linger = Linger::new(&demand, LINGER, last_frame_at);
        while !linger.is_over(Instant::now()) {
            self.heartbeat.beat();
            if self.requests.needs_reopen(source.as_mut(), &mut self.config) {
                return Ok(End::Reconfigured);
            }
            if first_frame_at.is_some() {
                self.requests.serve_pending(source.as_mut(), &self.ctx, &mut self.config);
            }
            keys.forward(&self.ctx, source.as_mut(), Instant::now());
            let next = source.next(POLL_INTERVAL);
            self.ctx.publisher.controls(self.ctx.index, source.changed_controls());
            self.count_drops(source.dropped(), &mut dropped);
            let Some(frame) = next? else {
                stall.polled(Timestamp::now());
                let silent = last_frame_at.elapsed();
                let limit = if first_frame_at.is_some() { STALL_TIMEOUT } else { source.start_timeout() };
                if silent >= limit {
                    return Err(camera::Error::Silent { device: source.label().into(), seconds: limit.as_secs() });
                }
                if first_frame_at.is_none() && silent >= SLOW_START && !std::mem::replace(&mut announced, true) {
                    self.show_placeholder(PlaceholderText::starting(), last_frame_at, Duration::ZERO);
                }
                continue;
            };
            last_frame_at = Instant::now();
            if demand.blocked_since().is_some() {
                // Captured after the privacy switch was turned on.
                break;
            }
            if stall.is_stale(&frame, Timestamp::now()) {
                self.ctx.metrics.count_drop(DropPoint::Stale, 1);
                continue;
            }
            if first_frame_at.is_none() {
                *first_frame_at = Some(last_frame_at);
                self.report_live(source.as_ref(), frame.format);
                let controls = source.controls();
                self.ctx.status(|camera| camera.controls = controls);
            }
            captured.inc();
            self.requests.offer_frame(&frame);
            self.forward_frame(frame, &mut gap);
        }
        Ok(End::NoDemand)
    }

    fn forward_frame(&self, mut frame: RawFrame, gap: &mut bool) {
        if frame.format.pixel == PixelFormat::H264 {
            frame.gap |= std::mem::take(gap);
            if self.ctx.input.push_bounded(EncodeInput::Frame(frame), PASSTHROUGH_QUEUE).is_some() {
                *gap = true;
                self.ctx.metrics.count_drop(DropPoint::Replaced, 1);
            }
        } else {
            self.send_to_encoder(EncodeInput::Frame(frame));
        }
    }

    fn send_to_encoder(&self, input: EncodeInput) {
        let replaced = self.ctx.input.replace(input);
        let pictures = replaced.iter().filter(|input| matches!(input, EncodeInput::Frame(_))).count();
        self.ctx.metrics.count_drop(DropPoint::Replaced, pictures as u64);
    }

    /// Publishes the profile as far as it is known when the camera is opened, before the first frame.
    fn expect_profile(&self, pixel: PixelFormat) {
        let camera_encodes = match self.config.device {
            _ if pixel == PixelFormat::H264 => Some(true),
            // The output of a program is unknown until it has written something.
            camera::DeviceSelector::Exec(_) | camera::DeviceSelector::Libcamera => self.camera_encodes,
            _ => Some(false),
        };
        if camera_encodes == Some(false) {
            self.ctx.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        } else if *self.ctx.profile.borrow() == Some(Profile::CONSTRAINED_BASELINE) {
            // It may be the placeholder's. Any other profile is the one that this camera had before.
            self.ctx.set_profile(None);
        }
    }

    /// Publishes that the camera delivers frames, the first of them in `format`.
    fn report_live(&mut self, source: &dyn VideoSource, format: VideoFormat) {
        let (name, label) = (&self.config.name, source.label());
        let VideoFormat { width, height, fps, .. } = format;
        let pixel = format.pixel.name();
        let is = if self.backoff.recovered() { "is back" } else { "is open" };
        tracing::info!(camera = name, "camera {is}: {label}, {pixel} {width}x{height} at {fps} frames a second");
        if source.is_pattern() && self.config.device == camera::DeviceSelector::Auto {
            tracing::warn!(camera = name, "no camera found; showing the built-in test pattern");
        }
        self.fault = None;
        self.shape = placeholder::format(width, height);
        self.camera_encodes = Some(format.pixel == PixelFormat::H264);
        if format.pixel != PixelFormat::H264 {
            self.ctx.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        }
        self.ctx.status(|camera| {
            camera.source = Some(label.into());
            camera.pattern = source.is_pattern();
            camera.width = Some(width);
            camera.height = Some(height);
            camera.fps = Some(fps);
            camera.format = Some(pixel);
            // Whether its frames can be shown is seen later.
            if camera.trouble != Some(FaultKind::Encoder) {
                camera.state = PipelineState::Live;
                (camera.fault, camera.trouble, camera.since) = (None, None, None);
            }
        });
    }

    fn count_drops(&self, now: camera::Dropped, before: &mut camera::Dropped) {
        let metrics = &self.ctx.metrics;
        metrics.count_drop(DropPoint::Driver, now.driver.saturating_sub(before.driver));
        metrics.count_drop(DropPoint::Stale, now.stale.saturating_sub(before.stale));
        metrics.count_drop(DropPoint::Damaged, now.damaged.saturating_sub(before.damaged));
        *before = now;
    }
}
