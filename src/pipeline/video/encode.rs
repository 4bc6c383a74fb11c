//! The encode thread of a camera: takes the newest frame, encodes it while there are subscribers, and publishes it. While
//! the camera is unavailable, or its frames cannot be shown, it encodes the placeholder instead. It is the only publisher,
//! so a viewer's decoder never gets two streams mixed. What it converts goes to the encoder of the smaller rendition too
//! (`small`), which may be the only one that is watched.
//!
//! `capture` decides when a camera is unavailable, `stream_fault` when its frames cannot be shown.

use std::time::Instant;

use super::active_encoder::ActiveEncoder;
use super::placeholder::{Cause, Placeholder};
use super::small::SmallFeed;
use super::stream_fault::StreamFault;
use super::{CameraUnavailable, Config, EncodeInput, PipelineContext, first_profile};
use crate::capture::camera::placeholder;
use crate::capture::camera::placeholder::PlaceholderText;
use crate::media::convert::Planes;
use crate::media::encoder;
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, MonotonicTimestamps, PixelFormat, RawFrame};
use crate::model::metrics::DropPoint;
use crate::util::broadcast::Keep;
use crate::util::heartbeat::Heartbeat;
use crate::util::mailbox::Pop;

/// The limits of what is kept of a camera's own stream for a viewer who joins, who gets it all at once: two seconds at 30
/// frames a second and the default bitrate. Beyond that the viewer had better wait for the next key frame.
const KEPT_FRAMES: usize = 60;
const KEPT_BYTES: usize = 1 << 19;

/// The thread's state.
pub(super) struct EncodeThread {
    ctx: PipelineContext,
    config: Config,
    heartbeat: Heartbeat,
    active: Option<ActiveEncoder>,
    placeholder: Option<Placeholder>,
    /// Whether the camera's last frame was H.264.
    camera_encodes: bool,
    /// The placeholder's own, so that the camera's encoder keeps what it knows of the stream.
    placeholder_encoder: Option<ActiveEncoder>,
    /// Whether viewers saw the placeholder last, so that the camera's stream has to start with a key frame.
    after_placeholder: bool,
    fault: StreamFault,
    small: SmallFeed,
    timestamps: MonotonicTimestamps,
    history: History,
}

impl EncodeThread {
    pub(super) fn new(ctx: PipelineContext, config: Config, heartbeat: Heartbeat) -> Self {
        let small = SmallFeed::new(&ctx);
        Self {
            ctx,
            config,
            heartbeat,
            active: None,
            placeholder: None,
            camera_encodes: false,
            placeholder_encoder: None,
            after_placeholder: false,
            fault: StreamFault::new(),
            small,
            timestamps: MonotonicTimestamps::default(),
            history: History::default(),
        }
    }

    pub(super) fn run(&mut self) {
        let input = self.ctx.input.clone();
        loop {
            self.heartbeat.beat();
            let next = match &self.placeholder {
                Some(shown) => input.pop(Some(shown.due_in(Instant::now()))),
                None => self.heartbeat.wait(|| input.pop(None)),
            };
            match next {
                Pop::Closed => return,
                Pop::Value(EncodeInput::Frame(frame)) => {
                    if self.placeholder.take_if(|shown| shown.cause == Cause::NoFrames).is_some() {
                        self.placeholder_encoder = None;
                    }
                    self.handle_frame(&frame);
                }
                Pop::Value(EncodeInput::Unavailable(unavailable)) => {
                    self.fault.superseded();
                    self.ctx.motion.forget();
                    self.placeholder = Some(Placeholder::new(Cause::NoFrames, unavailable));
                }
                Pop::Value(EncodeInput::Idle) => self.idle(),
                Pop::TimedOut => {}
            }
            // Frames that cannot be shown may arrive all the time.
            if self.placeholder.as_ref().is_some_and(|shown| shown.due_in(Instant::now()).is_zero()) {
                self.show_placeholder();
            }
        }
    }

    fn idle(&mut self) {
        self.ctx.motion.forget();
        (self.active, self.placeholder_encoder) = (None, None);
        self.after_placeholder = false;
        self.ctx.frames.forget();
        self.small.rest();
        if self.placeholder.take().is_some() {
            // It may be a different camera when it is back.
            self.ctx.set_profile(first_profile(&self.config.camera));
        }
    }

    fn show_placeholder(&mut self) {
        let Some(mut shown) = self.placeholder.take() else { return };
        // Also without subscribers: a session that is being set up needs the profile of its first frame.
        self.ctx.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        if shown.cause == Cause::NoFrames {
            self.active = None;
        }
        // Frames that cannot be encoded may still be images.
        if (shown.cause == Cause::NoFrames || self.camera_encodes) && self.ctx.mjpeg.has_readers() {
            self.ctx.mjpeg.offer(&shown.draw(&self.config.camera.name), true);
        }
        let (is_watched, is_small_watched) = (self.ctx.frames.subscribers() > 0, self.small.is_watched());
        if is_watched || is_small_watched {
            match self.encode_placeholder(&mut shown, is_watched) {
                Ok(Some(encoded)) => {
                    self.after_placeholder = true;
                    self.publish(EncodedFrame { placeholder: true, ..encoded });
                }
                Ok(None) => {}
                Err(error) => {
                    self.fault.failed(&self.ctx, &error, Instant::now());
                }
            }
        } else {
            self.placeholder_encoder = None;
        }
        shown.reschedule(Instant::now());
        self.placeholder = Some(shown);
    }

    /// Encodes the placeholder in the camera's size, if that is watched, and for the smaller rendition.
    fn encode_placeholder(
        &mut self,
        shown: &mut Placeholder,
        is_watched: bool,
    ) -> Result<Option<EncodedFrame>, encoder::Error> {
        let frame = shown.draw(&self.config.camera.name);
        let mut encoder = match self.placeholder_encoder.take().filter(|encoder| encoder.accepts(&frame.format)) {
            Some(encoder) => encoder,
            None => self.open(&frame)?,
        };
        let mut tap = |planes: &Planes<'_>| self.small.offer_placeholder(planes, &frame);
        let encoded = if is_watched {
            encoder.encode(&self.ctx, &frame, &mut tap)?
        } else {
            encoder.tap(&frame, &mut tap).map(|()| None)?
        };
        self.placeholder_encoder = Some(encoder);
        Ok(encoded)
    }

    fn open(&self, frame: &RawFrame) -> Result<ActiveEncoder, encoder::Error> {
        ActiveEncoder::open(&self.ctx, &self.ctx.frames, &self.config.encoder, &frame.format)
    }

    /// Handles a frame of the camera.
    fn handle_frame(&mut self, frame: &RawFrame) {
        self.camera_encodes = frame.format.pixel == PixelFormat::H264;
        // First, so that JPEGs are made meanwhile.
        let read = if self.camera_encodes { self.ctx.mjpeg.has_readers() } else { self.ctx.mjpeg.offer(frame, false) };
        if !self.camera_encodes {
            self.ctx.motion.offer(frame);
        }
        self.small.announce(&self.ctx, &frame.format);
        let is_watched = self.ctx.frames.subscribers() > 0 || self.config.keep_open;
        let is_small_watched = self.small.is_watched() && !self.camera_encodes;
        if is_watched || is_small_watched {
            self.encode(frame, is_watched);
        } else {
            self.drop_unwatched(frame, read);
        }
        if self.camera_encodes {
            self.ctx.mjpeg.announce_encoded();
        }
    }

    /// Handles a frame that no viewer is sent; an MJPEG reader may be.
    fn drop_unwatched(&mut self, frame: &RawFrame, read: bool) {
        if !read {
            self.ctx.metrics.count_drop(DropPoint::Unwatched, 1);
        }
        if frame.format.pixel == PixelFormat::H264 {
            // Parsed all the same: parameter sets are rare, and sessions that are being set up need the profile in them. The
            // viewer who started the camera is about to subscribe, and its next key frame may be seconds away.
            if let Ok(Some(encoded)) = self.with_encoder(frame, |active, _, _| active.passthrough(frame)) {
                self.after_placeholder &= !encoded.key;
                if !self.after_placeholder {
                    self.send(encoded);
                }
            }
        } else {
            // An encoder holds tens of megabytes, so it is kept only while it is used.
            self.active = None;
        }
    }

    /// Encodes and publishes a frame; if only the smaller rendition is watched, only for that.
    fn encode(&mut self, frame: &RawFrame, is_watched: bool) {
        let encoded = self.with_encoder(frame, |active, ctx, small| {
            // An encoder at rest takes no time.
            let load = if is_watched { active.load() } else { 0.0 };
            let mut tap = |planes: &Planes<'_>| small.offer(planes, frame, load);
            if !is_watched {
                return active.tap(frame, &mut tap).map(|()| None);
            }
            let started = Instant::now();
            let encoded = active.encode(ctx, frame, &mut tap)?;
            if !active.is_passthrough() {
                ctx.metrics.encode_seconds.observe(started.elapsed().as_secs_f64());
            }
            Ok(encoded)
        });
        let error = match encoded {
            Ok(Some(encoded)) if encoded.key || !self.after_placeholder => {
                self.end_placeholder();
                return self.publish(encoded);
            }
            Ok(None) if !is_watched => return self.end_placeholder(),
            Ok(Some(_)) => {
                self.ctx.frames.request_refresh();
                encoder::Error::AwaitingKey
            }
            // Parameter sets without a frame.
            Ok(None) => return,
            Err(encoder::Error::Backlog) => return self.ctx.metrics.count_drop(DropPoint::Backlog, 1),
            Err(error) => error,
        };
        let Some(since) = self.fault.failed(&self.ctx, &error, Instant::now()) else { return };
        if self.placeholder.is_none() {
            let unavailable = CameraUnavailable {
                reason: PlaceholderText::of_stream(&error.to_string()),
                since,
                from: Instant::now(),
                format: placeholder::format(frame.format.width, frame.format.height),
            };
            self.placeholder = Some(Placeholder::new(Cause::Stream, unavailable));
        }
    }

    /// A frame of the camera can be shown.
    fn end_placeholder(&mut self) {
        (self.placeholder, self.placeholder_encoder, self.after_placeholder) = (None, None, false);
        self.fault.cleared(&self.ctx);
    }

    /// Runs `work` with the encoder for `frame`, opening one if there is none.
    fn with_encoder<T>(
        &mut self,
        frame: &RawFrame,
        work: impl FnOnce(&mut ActiveEncoder, &PipelineContext, &mut SmallFeed) -> Result<T, encoder::Error>,
    ) -> Result<T, encoder::Error> {
        let limit = self.ctx.requests.settings().bitrate;
        self.config.encoder.bitrate = limit;
        self.ctx.bitrate.set_limit(limit);
        let usable = self.active.take().filter(|active| active.accepts(&frame.format));
        let mut active = match usable {
            Some(usable) => usable,
            None => self.open(frame)?,
        };
        let bitrate = self.ctx.bitrate.current();
        if let Err(error) = active.set_bitrate(bitrate) {
            tracing::debug!("{error}; opening a new encoder instead");
            self.config.encoder.bitrate = bitrate;
            active = self.open(frame)?;
        }
        self.ctx.bitrate.set_followed(!active.is_passthrough());
        let done = work(&mut active, &self.ctx, &mut self.small);
        // While viewers see the placeholder, its profile counts.
        if self.placeholder.is_none()
            && let Some(profile) = active.profile()
        {
            self.ctx.set_profile(Some(profile));
        }
        // A damaged frame does not affect the codec; one that the codec rejected may leave it in any state.
        if !matches!(done, Err(encoder::Error::Codec { .. })) {
            self.active = Some(active);
        }
        done
    }

    fn publish(&mut self, encoded: EncodedFrame) {
        self.ctx.metrics.encoded.get_or_create(&self.ctx.label).inc();
        if encoded.key {
            self.ctx.metrics.key_frames.get_or_create(&self.ctx.label).inc();
        }
        self.send(encoded);
    }

    fn send(&mut self, mut encoded: EncodedFrame) {
        // Timestamps fail to increase only between a placeholder and a frame, or when a driver's clock is wrong.
        encoded.captured = self.timestamps.next(encoded.captured);
        // Our own encoder gives a new viewer a key frame at once.
        let from_camera = !encoded.placeholder && self.active.as_ref().is_some_and(ActiveEncoder::is_passthrough);
        if from_camera && encoded.key {
            self.ctx.motion.offer_key_frame(&encoded);
        }
        let keep = self.history.keep(from_camera, &encoded);
        self.ctx.frames.send(encoded, keep);
    }
}

/// The size of what is kept for a viewer who joins.
#[derive(Default)]
struct History {
    frames: usize,
    bytes: usize,
}

impl History {
    fn keep(&mut self, from_camera: bool, frame: &EncodedFrame) -> Keep {
        if frame.key {
            *self = Self::default();
        }
        self.frames += 1;
        self.bytes += frame.data.len();
        match frame.key {
            _ if !from_camera || self.frames > KEPT_FRAMES || self.bytes > KEPT_BYTES => Keep::Nothing,
            true => Keep::From,
            false => Keep::Too,
        }
    }
}
