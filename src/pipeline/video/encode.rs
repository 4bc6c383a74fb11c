//! The encode thread of a camera: takes the newest frame, encodes it while there are subscribers, and publishes it. While
//! the camera is unavailable it draws and encodes the placeholder instead. It is the only publisher, so a viewer's decoder
//! never gets two streams mixed.
//!
//! `capture` decides when a camera is unavailable, `capture::camera::placeholder` what the placeholder looks like.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{CameraUnavailable, Config, EncodeInput, PipelineContext, first_profile};
use crate::capture::camera::placeholder;
use crate::media::encoder;
use crate::media::encoder::Encoder;
use crate::media::encoder::keyframe::KeyframeScheduler;
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::model::metrics;
use crate::model::metrics::{DropPoint, GaugeGuard};
use crate::model::status::{FaultKind, PipelineState};
use crate::util::mailbox::Pop;

/// The frame interval of the placeholder.
const PLACEHOLDER_INTERVAL: Duration = Duration::from_millis(1000 / placeholder::FPS as u64);

/// How far a placeholder's timestamp lies in the past. A frame carries its capture time and arrives here later; the first
/// frame of a camera that recovers must not be older than the last placeholder, because players drop frames whose
/// timestamps go backwards.
const PLACEHOLDER_TIMESTAMP_OFFSET: Duration = Duration::from_millis(250);

/// The smallest step between the timestamps of two frames.
const MIN_TIMESTAMP_STEP: Duration = Duration::from_millis(1);

/// The thread's state.
pub(super) struct EncodeThread {
    ctx: PipelineContext,
    config: Config,
    active: Option<ActiveEncoder>,
    placeholder: Option<Placeholder>,
    faults: Faults,
    /// The timestamp of the last published frame.
    last: Timestamp,
}

impl EncodeThread {
    pub(super) fn new(ctx: PipelineContext, config: Config) -> Self {
        let faults = Faults { log: metrics::DropLog::every(Duration::from_secs(1)), reported: false };
        Self { ctx, config, active: None, placeholder: None, faults, last: Timestamp::default() }
    }

    pub(super) fn run(&mut self) {
        let input = self.ctx.input.clone();
        loop {
            let due = self.placeholder.as_ref().map(|shown| shown.due.saturating_duration_since(Instant::now()));
            match input.pop(due) {
                Pop::Closed => return,
                Pop::Value(EncodeInput::Frame(frame)) => {
                    self.placeholder = None;
                    self.handle_frame(&frame);
                }
                Pop::Value(EncodeInput::Unavailable(unavailable)) => {
                    self.placeholder = Some(Placeholder { due: unavailable.from, unavailable, drawn: None });
                }
                Pop::Value(EncodeInput::Idle) => self.idle(),
                Pop::TimedOut => self.show_placeholder(),
            }
        }
    }

    fn idle(&mut self) {
        self.active = None;
        if self.placeholder.take().is_some() {
            // It may be a different camera when it is back.
            self.ctx.set_profile(first_profile(&self.config.camera));
        }
    }

    fn show_placeholder(&mut self) {
        let Some(mut shown) = self.placeholder.take() else { return };
        // Also without subscribers: a session that is being set up needs the profile of its first frame.
        self.ctx.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        if self.ctx.frames.subscribers() > 0 {
            let now = Timestamp::now().saturating_sub(PLACEHOLDER_TIMESTAMP_OFFSET);
            let frame = shown.draw(&self.config.camera.name, now);
            self.encode(&frame);
        } else {
            self.active = None;
        }
        shown.due = Instant::now() + PLACEHOLDER_INTERVAL;
        self.placeholder = Some(shown);
    }

    /// Handles a frame of the camera.
    fn handle_frame(&mut self, frame: &RawFrame) {
        let watched = self.ctx.frames.subscribers() > 0 || self.config.keep_open;
        if watched {
            self.encode(frame);
            return;
        }
        self.ctx.metrics.count_drop(DropPoint::Unwatched, 1);
        if frame.format.pixel == PixelFormat::H264 {
            // Parsed all the same: parameter sets are rare, and sessions that are being set up need the profile in them.
            let _ = self.with_encoder(frame, |active, ctx| active.passthrough(ctx, frame));
        } else {
            // An encoder holds tens of megabytes, so it is kept only while it is used.
            self.active = None;
        }
    }

    /// Encodes and publishes a frame.
    fn encode(&mut self, frame: &RawFrame) {
        match self.with_encoder(frame, |active, ctx| active.encode(ctx, frame)) {
            Ok(encoded) => {
                self.faults.clear(&self.ctx);
                if let Some(encoded) = encoded {
                    self.publish(encoded);
                }
            }
            Err(encoder::Error::Backlog) => self.ctx.metrics.count_drop(DropPoint::Backlog, 1),
            Err(encoder::Error::AwaitingKey) => self.ctx.metrics.count_drop(DropPoint::AwaitingKey, 1),
            Err(error) => self.faults.report(&self.ctx, &error),
        }
    }

    /// Runs `work` with the encoder for `frame`, opening one if there is none.
    fn with_encoder<T>(
        &mut self,
        frame: &RawFrame,
        work: impl FnOnce(&mut ActiveEncoder, &PipelineContext) -> Result<T, encoder::Error>,
    ) -> Result<T, encoder::Error> {
        let bitrate = self.ctx.requests.settings().bitrate;
        if std::mem::replace(&mut self.config.encoder.bitrate, bitrate) != bitrate
            && let Some(active) = &mut self.active
            && let Err(error) = active.encoder.set_bitrate(bitrate)
        {
            tracing::debug!("{error}; opening a new encoder instead");
            self.active = None;
        }
        let usable = self.active.take().filter(|active| active.accepts(&frame.format));
        let mut active = match usable {
            Some(usable) => usable,
            None => ActiveEncoder::open(&self.ctx, &self.config, frame)?,
        };
        let done = work(&mut active, &self.ctx);
        if let Some(profile) = active.encoder.profile() {
            self.ctx.set_profile(Some(profile));
        }
        // A damaged frame does not affect the codec; one that the codec rejected may leave it in any state.
        if !matches!(done, Err(encoder::Error::Codec { .. })) {
            self.active = Some(active);
        }
        done
    }

    fn publish(&mut self, mut encoded: EncodedFrame) {
        // Timestamps fail to increase only between a placeholder and a frame, or when a driver's clock is wrong.
        encoded.captured = encoded.captured.max(self.last.saturating_add(MIN_TIMESTAMP_STEP));
        self.last = encoded.captured;
        self.ctx.metrics.encoded.get_or_create(&self.ctx.label).inc();
        if encoded.key {
            self.ctx.metrics.key_frames.get_or_create(&self.ctx.label).inc();
        }
        self.ctx.frames.publish(encoded);
    }
}

/// What is shown while the camera is unavailable.
struct Placeholder {
    unavailable: CameraUnavailable,
    due: Instant,
    /// The image with its lines of text; redrawn only when these change.
    drawn: Option<([String; 2], Bytes)>,
}

impl Placeholder {
    fn draw(&mut self, name: &str, at: Timestamp) -> RawFrame {
        // Computed from the elapsed time: a device without a real-time clock gets the time long after the start, and a fault
        // from before that would date from 1970.
        let now = SystemTime::now();
        let since = now.checked_sub(self.unavailable.since.elapsed()).unwrap_or(now);
        let lines = self.unavailable.reason.lines(since, now);
        let format = self.unavailable.format;
        let data = match &self.drawn {
            Some((shown, data)) if *shown == lines => data.clone(),
            _ => {
                let data = Bytes::from(placeholder::draw(&format, name, &lines));
                self.drawn = Some((lines, data.clone()));
                data
            }
        };
        RawFrame::new(at, format, data)
    }
}

/// Reports frames that could not be encoded.
struct Faults {
    log: metrics::DropLog,
    /// Whether the status shows the codec's error.
    reported: bool,
}

impl Faults {
    fn report(&mut self, ctx: &PipelineContext, error: &encoder::Error) {
        ctx.metrics.encode_errors.get_or_create(&ctx.label).inc();
        // Every frame of an unsupported stream fails in the same way; one report is enough.
        let again = self.reported && matches!(error, encoder::Error::Stream { .. });
        if let Some(count) = self.log.note(1, Instant::now()).filter(|_| !again) {
            tracing::warn!(camera = ctx.label.camera, count, "frame not encoded: {error}");
        }
        if matches!(error, encoder::Error::Convert(_)) {
            ctx.metrics.count_drop(DropPoint::Damaged, 1);
        } else if !self.reported {
            self.reported = true;
            ctx.status(|camera| {
                (camera.fault, camera.trouble) = (Some(error.to_string()), Some(FaultKind::Encoder));
            });
        }
    }

    fn clear(&mut self, ctx: &PipelineContext) {
        if std::mem::take(&mut self.reported) {
            ctx.status(|camera| {
                // The error of a camera in fault is not the encoder's to clear.
                if camera.state != PipelineState::Fault {
                    (camera.fault, camera.trouble) = (None, None);
                }
            });
        }
    }
}

/// An encoder for frames of one format.
struct ActiveEncoder {
    encoder: Box<dyn Encoder>,
    /// `None` when the camera encodes and decides on key frames itself.
    keys: Option<KeyframeScheduler>,
    format: VideoFormat,
    _alive: Option<GaugeGuard>,
}

impl ActiveEncoder {
    fn open(ctx: &PipelineContext, config: &Config, frame: &RawFrame) -> Result<Self, encoder::Error> {
        let encoder = encoder::open(&config.encoder, &frame.format)?;
        let name = encoder.name();
        ctx.status(|camera| camera.encoder = Some(name));
        let we_encode = frame.format.pixel != PixelFormat::H264;
        let longest = Duration::from_secs(config.encoder.keyframe_interval.into());
        Ok(Self {
            encoder,
            keys: we_encode.then(|| KeyframeScheduler::new(longest)),
            format: frame.format,
            _alive: we_encode.then(|| GaugeGuard::new(&ctx.metrics.encoders)),
        })
    }

    fn accepts(&self, format: &VideoFormat) -> bool {
        // An H.264 stream signals changes of format in band.
        self.format == *format || (self.keys.is_none() && format.pixel == PixelFormat::H264)
    }

    /// Encodes one frame.
    fn encode(&mut self, ctx: &PipelineContext, frame: &RawFrame) -> Result<Option<EncodedFrame>, encoder::Error> {
        let Some(keys) = &mut self.keys else { return self.passthrough(ctx, frame) };
        let started = Instant::now();
        let key = keys.should_force(frame.captured, ctx.frames.refresh_requested());
        if key {
            // Cleared before encoding: a request that arrives meanwhile is for the next key frame.
            ctx.frames.take_refresh_request();
        }
        let encoded = self.encoder.encode(frame, key).inspect_err(|_| {
            if key {
                ctx.frames.request_refresh();
            }
        })?;
        ctx.metrics.encode_seconds.observe(started.elapsed().as_secs_f64());
        if !key && encoded.as_ref().is_some_and(|encoded| encoded.key) {
            // The encoder inserts key frames of its own, when its number of threads changes or a frame grows too large.
            ctx.frames.take_refresh_request();
        }
        Ok(encoded)
    }

    /// Passes a frame through that the camera encoded.
    fn passthrough(&mut self, ctx: &PipelineContext, frame: &RawFrame) -> Result<Option<EncodedFrame>, encoder::Error> {
        let encoded = self.encoder.encode(frame, false)?;
        if encoded.as_ref().is_some_and(|encoded| encoded.key) {
            ctx.frames.take_refresh_request();
        }
        Ok(encoded)
    }
}
