//! The JPEG thread of a camera: decodes, scales and encodes a frame once for all readers of the same variant. It sleeps
//! while nobody reads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{Job, Latest, MjpegFrame, MjpegOutput, MjpegVariant, Source};
use crate::capture::camera::placeholder;
use crate::capture::camera::placeholder::PlaceholderText;
use crate::media::convert::{Converter, EncodedJpeg, JpegEncoder, JpegPlanes};
use crate::media::encoder;
use crate::media::encoder::StreamDecoder;
use crate::media::scale::{Scaler, scaled_size};
use crate::media::{EncodedFrame, PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::util::broadcast::{RecvError, Subscriber};
use crate::util::heartbeat::Heartbeat;

/// The quality of readers that ask for none: files of half the size of a snapshot's, without a difference in motion.
const QUALITY: u8 = 80;

/// Frames of a stream that are decoded before one of them is shown: a decoder that cannot keep up shows at least these.
const MAX_DECODED: usize = 32;

/// How long frames may fail before a placeholder says so: a single damaged one is an accident on the bus.
const FAULT_DELAY: Duration = Duration::from_secs(1);

/// The thread's state.
pub struct MjpegThread {
    output: MjpegOutput,
    source: Source,
    heartbeat: Heartbeat,
    tools: Tools,
    /// The frames of a camera that encodes itself.
    stream: Option<Subscriber<EncodedFrame>>,
    decoder: StreamDecoder,
    failing: Option<Failing>,
}

/// What makes JPEGs, with its buffers.
#[derive(Default)]
struct Tools {
    converter: Converter,
    planes: JpegPlanes,
    scaler: Scaler,
    scaled: JpegPlanes,
    encoder: JpegEncoder,
}

/// Frames have failed since then.
struct Failing {
    since: Instant,
    /// When the placeholder was shown last.
    shown: Option<Instant>,
}

impl MjpegThread {
    pub fn new(output: MjpegOutput, source: Source, heartbeat: Heartbeat) -> Self {
        Self {
            output,
            source,
            heartbeat,
            tools: Tools::default(),
            stream: None,
            decoder: StreamDecoder::default(),
            failing: None,
        }
    }

    pub fn run(&mut self) {
        let (heartbeat, output) = (self.heartbeat.clone(), self.output.clone());
        while let Some(job) = heartbeat.wait(|| output.next_job()) {
            match job {
                Job::Frame { frame, placeholder, number } => {
                    self.forget_stream();
                    self.publish(frame, placeholder, number);
                }
                Job::Stream { number } => self.decode_stream(number),
                Job::Idle => {
                    self.forget_stream();
                    self.tools = Tools::default();
                    self.failing = None;
                }
            }
        }
    }

    fn forget_stream(&mut self) {
        self.stream = None;
        self.decoder.reset();
    }

    /// Decodes what the camera has encoded since the last time.
    fn decode_stream(&mut self, number: u64) {
        let frames = self.source.frames.clone();
        let stream = self.stream.get_or_insert_with(|| frames.subscribe_with_backlog());
        let (mut newest, mut error) = (None, None);
        for _ in 0..MAX_DECODED {
            self.heartbeat.beat();
            match stream.try_recv() {
                // The placeholder is offered as an image too.
                Ok(Some(frame)) if frame.placeholder => {}
                Ok(Some(frame)) => match self.decoder.decode(&frame) {
                    Ok(decoded) => newest = decoded.or(newest),
                    Err(failed) => error = Some(failed),
                },
                Ok(None) => break,
                Err(RecvError::Lagged(_)) => self.decoder.reset(),
                Err(RecvError::Closed) => return,
            }
        }
        if self.decoder.awaits_key() {
            frames.request_refresh();
        }
        match (newest, error) {
            (Some(frame), _) => self.publish(frame, false, number),
            (None, Some(error)) => self.failed(&error, None, number),
            (None, None) => {}
        }
    }

    fn publish(&mut self, frame: RawFrame, placeholder: bool, number: u64) {
        let due = self.output.due(Timestamp::now());
        if due.is_empty() {
            return;
        }
        let (captured, format) = (frame.captured, frame.format);
        match self.tools.encode(frame, &due, &self.source) {
            Ok(jpegs) => {
                self.failing = None;
                // Captured before the privacy switch was turned on, but not to be shown after it.
                if placeholder || self.source.frames.demand().blocked_since().is_none() {
                    send(&due, jpegs, |data| MjpegFrame { captured, data, placeholder, number });
                }
            }
            Err(error) => self.failed(&error, Some(format), number),
        }
    }

    /// Shows a placeholder if frames have failed for some time.
    fn failed(&mut self, error: &encoder::Error, format: Option<VideoFormat>, number: u64) {
        self.source.metrics.encode_errors.get_or_create(&self.source.label).inc();
        let now = Instant::now();
        let failing = self.failing.get_or_insert(Failing { since: now, shown: None });
        let since_shown = failing.shown.map_or(Duration::MAX, |shown| now.saturating_duration_since(shown));
        let failed_for = now.saturating_duration_since(failing.since);
        if failed_for < FAULT_DELAY || since_shown < Duration::from_secs(1) / placeholder::FPS {
            return;
        }
        failing.shown = Some(now);
        if since_shown == Duration::MAX {
            tracing::warn!(camera = self.source.label.camera, "no JPEGs for MJPEG readers: {error}");
        }
        let format = format.map_or_else(|| placeholder::format(1280, 720), |f| placeholder::format(f.width, f.height));
        let wall = SystemTime::now();
        let since = wall.checked_sub(failed_for).unwrap_or(wall);
        let lines = PlaceholderText::of_stream(&error.to_string()).lines(since, wall);
        let drawn = placeholder::draw(&format, &self.source.label.camera, &lines);
        let frame = RawFrame::new(Timestamp::now(), format, drawn.into());
        let captured = frame.captured;
        let due = self.output.due(captured);
        if let Ok(jpegs) = self.tools.encode(frame, &due, &self.source) {
            send(&due, jpegs, |data| MjpegFrame { captured, data, placeholder: true, number });
        }
    }
}

/// A variant as it applies to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The camera's own JPEG.
    Own,
    Encoded {
        width: usize,
        height: usize,
        quality: u8,
    },
}

impl Target {
    fn of(variant: MjpegVariant, format: &VideoFormat) -> Self {
        let (width, height) = (format.width as usize, format.height as usize);
        let wanted = variant.width.map_or(width, |width| width as usize);
        if format.pixel == PixelFormat::Mjpeg && variant.quality.is_none() && wanted >= width {
            return Self::Own;
        }
        // Converted frames have even sides.
        let (width, height) = scaled_size(width & !1, height & !1, wanted);
        Self::Encoded { width, height, quality: variant.quality.unwrap_or(QUALITY) }
    }
}

impl Tools {
    /// The JPEGs of a frame for the variants, one for all that come to the same. The frame's buffer is given back to the
    /// camera before it is scaled and encoded.
    fn encode(
        &mut self,
        frame: RawFrame,
        due: &[(MjpegVariant, Latest)],
        source: &Source,
    ) -> Result<Vec<Bytes>, encoder::Error> {
        let targets: Vec<Target> = due.iter().map(|(variant, _)| Target::of(*variant, &frame.format)).collect();
        let mut made: BTreeMap<Target, Bytes> = BTreeMap::new();
        if targets.contains(&Target::Own) {
            made.insert(Target::Own, EncodedJpeg::of_camera(&frame.data)?.data.into());
            source.metrics.mjpeg_passed.get_or_create(&source.label).inc();
        }
        if targets.iter().any(|target| *target != Target::Own) {
            self.planes.fill(&mut self.converter, &frame)?;
        }
        drop(frame);
        for target in &targets {
            if let Target::Encoded { width, height, quality } = *target
                && !made.contains_key(target)
            {
                made.insert(*target, self.scaled_jpeg(width, height, quality)?);
                source.metrics.mjpeg_encoded.get_or_create(&source.label).inc();
            }
        }
        Ok(targets.iter().filter_map(|target| made.get(target).cloned()).collect())
    }

    fn scaled_jpeg(&mut self, width: usize, height: usize, quality: u8) -> Result<Bytes, encoder::Error> {
        let Self { planes, scaler, scaled, encoder, .. } = self;
        if (width, height) == (planes.width, planes.height) {
            return Ok(encoder.encode(planes, quality)?.into());
        }
        (scaled.width, scaled.height) = (width, height);
        scaler.scale(planes, scaled).map_err(|error| encoder::Error::Codec {
            encoder: "scaler",
            reason: format!("scale {}x{} to {width}x{height}: {error}", planes.width, planes.height),
        })?;
        Ok(encoder.encode(scaled, quality)?.into())
    }
}

/// Publishes the JPEGs of the variants.
fn send(due: &[(MjpegVariant, Latest)], jpegs: Vec<Bytes>, frame: impl Fn(Bytes) -> MjpegFrame) {
    for ((_, latest), jpeg) in due.iter().zip(jpegs) {
        latest.send_replace(Some(frame(jpeg)));
    }
}
