//! The pipeline of one camera: a capture thread with its retry loop, an encode thread, and the fan-out to viewers.
//!
//! Both threads sleep while nobody is interested: an [`Interest`] opens the camera, a
//! subscription starts the encoder. Sending belongs to `rtc`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broadcast::{Broadcast, Demand, Interest, Linger};
use crate::camera::{self, VideoSource};
use crate::encoder::{self, Encoder, keyframe::KeyFrames};
use crate::latest::Latest;
use crate::media::{EncodedFrame, RawFrame, VideoFormat};
use crate::memory;
use crate::metrics::{self, Counted, Drop as At, Metrics};
use crate::retry::Retry;
use crate::status::{self, State};
use crate::thread::MediaThread;

/// Frames kept for a viewer's task that lags: about a second. Further behind, the picture is better resumed at a key
/// frame than caught up with.
const RING: usize = 32;

/// How long the camera stays open when the last viewer has left: a page that reloads finds it warm.
const LINGER: Duration = Duration::from_secs(1);

/// The longest wait for a picture before the thread looks whether it shall end; bounds the time of a stop.
const LOOK_UP: Duration = Duration::from_millis(200);

/// A camera that gives no picture for this long is reopened. Drivers that lost their device without a word do this.
const SILENCE: Duration = Duration::from_secs(5);

/// One camera with its encoder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The source of the pictures.
    pub camera: camera::Config,
    /// How they are encoded.
    pub encoder: encoder::Config,
    /// Whether the camera stays open and encoded while nobody watches.
    pub keep_open: bool,
}

/// Ends the threads when dropped.
#[derive(Debug)]
pub struct Guard {
    frames: Broadcast<EncodedFrame>,
    raw: Arc<Latest<RawFrame>>,
    _keep_open: Option<Interest>,
    _threads: [MediaThread; 2],
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.frames.demand().stop();
        self.raw.close();
    }
}

/// Starts the pipeline of the camera at `index` of the status, which `finder` opens. The fan-out is its handle: subscribe, ask for a key
/// frame, show interest.
///
/// # Errors
///
/// When the kernel gives no thread.
pub fn start(
    config: Config,
    mut finder: camera::Finder,
    index: usize,
    metrics: &Metrics,
    board: &status::Board,
) -> std::io::Result<(Broadcast<EncodedFrame>, Guard)> {
    let frames = Broadcast::new(RING);
    let raw = Arc::new(Latest::default());
    let keep_open = config.keep_open.then(|| frames.demand().register());
    let label = metrics::Camera { camera: config.camera.name.clone() };
    let part = Part { index, label, metrics: metrics.clone(), board: board.clone(), raw: raw.clone() };
    if let Err(fault) = finder.probe() {
        part.fault(&fault, true);
    }
    let capture = MediaThread::spawn(format!("cap-{}", config.camera.name), {
        let (part, demand, camera) = (part.clone(), frames.demand().clone(), config.camera.clone());
        move || capture(&part, &demand, &camera, finder)
    })?;
    let encode = MediaThread::spawn(format!("enc-{}", config.camera.name), {
        let frames = frames.clone();
        move || encode(&part, &frames, &config)
    })?;
    Ok((frames.clone(), Guard { frames, raw, _keep_open: keep_open, _threads: [capture, encode] }))
}

/// What both threads share.
#[derive(Clone)]
struct Part {
    index: usize,
    label: metrics::Camera,
    metrics: Metrics,
    board: status::Board,
    raw: Arc<Latest<RawFrame>>,
}

impl Part {
    fn fault(&self, error: &camera::Error, log: bool) {
        if log {
            tracing::warn!(camera = self.label.camera, "no picture: {error}");
        }
        self.board.camera(self.index, |camera| {
            camera.state = State::Fault;
            camera.fault = Some(error.to_string());
        });
    }
}

/// The retry loop of the camera; nothing above it retries.
fn capture(part: &Part, demand: &Demand, config: &camera::Config, mut finder: camera::Finder) {
    let mut retry = Retry::default();
    while demand.wait() {
        match capture_once(part, demand, config, &mut finder, &mut retry) {
            Ok(()) => {
                // The last viewer has left: pictures, encoder and connections are free by now.
                memory::give_back();
                part.board.camera(part.index, |camera| camera.state = State::Idle);
            }
            // The test pattern ends where a camera can be opened instead.
            Err(camera::Error::Replaced) => {}
            Err(error) => {
                let (pause, log) = retry.failed(Instant::now());
                part.fault(&error, log);
                if demand.pause(pause) {
                    retry.begin_anew();
                }
            }
        }
        part.raw.clear();
    }
}

/// Opens the camera and captures until nobody is interested any more.
fn capture_once(
    part: &Part,
    demand: &Demand,
    config: &camera::Config,
    finder: &mut camera::Finder,
    retry: &mut Retry,
) -> Result<(), camera::Error> {
    part.board.camera(part.index, |camera| {
        // A camera in fault stays so until it works: a page that looks now shall see the reason.
        if camera.state != State::Fault {
            camera.state = State::Starting;
        }
    });
    let mut source = finder.open()?;
    part.board.camera(part.index, |camera| camera.identity = finder.identity());
    let _open = Counted::new(&part.metrics.captures);
    let captured = part.metrics.captured.get_or_create(&part.label).clone();
    let mut dropped = camera::Dropped::default();
    let mut heard = Instant::now();
    let mut live = false;
    let mut linger = Linger::new(demand, LINGER, heard);
    while !linger.is_over(Instant::now()) {
        let next = source.next(LOOK_UP);
        count_drops(part, source.dropped(), &mut dropped);
        part.board.controls(part.index, source.changed_controls());
        if let Some(frame) = next? {
            heard = Instant::now();
            if !live {
                live = true;
                announce(part, config, source.as_ref(), retry.recovered());
                let controls = source.controls();
                part.board.camera(part.index, |camera| camera.controls = controls);
            }
            captured.inc();
            if part.raw.put(frame) {
                part.metrics.drop_at(At::Replaced, 1);
            }
        } else if heard.elapsed() >= SILENCE {
            return Err(camera::Error::Silent { device: source.label().into(), seconds: SILENCE.as_secs() });
        }
    }
    Ok(())
}

fn announce(part: &Part, config: &camera::Config, source: &dyn VideoSource, recovered: bool) {
    let (name, label, format) = (&config.name, source.label(), source.format());
    let VideoFormat { width, height, fps, .. } = format;
    let pixel = format.pixel.name();
    let is = if recovered { "is back" } else { "is open" };
    tracing::info!(camera = name, "camera {is}: {label}, {pixel} {width}x{height} at {fps} frames a second");
    if source.is_pattern() && config.device == camera::Device::Auto {
        tracing::warn!(camera = name, "no camera found; showing the built-in test pattern");
    }
    part.board.camera(part.index, |camera| {
        camera.source = Some(label.into());
        camera.pattern = source.is_pattern();
        camera.state = State::Live;
        camera.width = Some(width);
        camera.height = Some(height);
        camera.fps = Some(fps);
        camera.format = Some(pixel);
        camera.fault = None;
    });
}

fn count_drops(part: &Part, now: camera::Dropped, before: &mut camera::Dropped) {
    part.metrics.drop_at(At::Driver, now.driver.saturating_sub(before.driver));
    part.metrics.drop_at(At::Stale, now.stale.saturating_sub(before.stale));
    part.metrics.drop_at(At::Damaged, now.damaged.saturating_sub(before.damaged));
    *before = now;
}

/// Takes the newest picture, encodes it while somebody subscribes, and publishes it.
fn encode(part: &Part, frames: &Broadcast<EncodedFrame>, config: &Config) {
    let mut encoding: Option<Encoding> = None;
    let mut faults = Faults { log: metrics::DropLog::every(Duration::from_secs(1)), shown: false };
    while let Some(frame) = part.raw.take() {
        if frames.subscribers() == 0 && !config.keep_open {
            // The encoder is kept only as long as it is used: it holds tens of megabytes.
            encoding = None;
            part.metrics.drop_at(At::Unwatched, 1);
            continue;
        }
        let usable = encoding.take().filter(|encoding| encoding.format == frame.format);
        let opened = usable.map_or_else(|| Encoding::open(part, config, &frame), Ok);
        let encoded = opened.and_then(|mut usable| {
            let encoded = usable.encode(part, frames, &frame);
            // A damaged picture says nothing of the codec; one that the codec refused may leave it in any state.
            if !matches!(encoded, Err(encoder::Error::Codec { .. })) {
                encoding = Some(usable);
            }
            encoded
        });
        match encoded {
            Ok(()) => faults.over(part),
            Err(error) => faults.note(part, &error),
        }
    }
}

/// What is told of pictures that were not encoded.
struct Faults {
    log: metrics::DropLog,
    /// Whether the status tells that the codec refuses.
    shown: bool,
}

impl Faults {
    fn note(&mut self, part: &Part, error: &encoder::Error) {
        part.metrics.encode_errors.get_or_create(&part.label).inc();
        if let Some(count) = self.log.note(1, Instant::now()) {
            tracing::warn!(camera = part.label.camera, count, "picture not encoded: {error}");
        }
        if matches!(error, encoder::Error::Picture(_)) {
            part.metrics.drop_at(At::Damaged, 1);
        } else if !self.shown {
            self.shown = true;
            part.board.camera(part.index, |camera| camera.fault = Some(error.to_string()));
        }
    }

    fn over(&mut self, part: &Part) {
        if std::mem::take(&mut self.shown) {
            part.board.camera(part.index, |camera| camera.fault = None);
        }
    }
}

/// An encoder for pictures of one shape.
struct Encoding {
    encoder: Box<dyn Encoder>,
    keys: KeyFrames,
    format: VideoFormat,
    _alive: Counted,
}

impl Encoding {
    fn open(part: &Part, config: &Config, frame: &RawFrame) -> Result<Self, encoder::Error> {
        let encoder = encoder::open(&config.encoder, &frame.format)?;
        let name = encoder.name();
        part.board.camera(part.index, |camera| camera.encoder = Some(name));
        Ok(Self {
            encoder,
            keys: KeyFrames::new(Duration::from_secs(config.encoder.keyframe_interval.into())),
            format: frame.format,
            _alive: Counted::new(&part.metrics.encoders),
        })
    }

    /// Encodes and publishes one picture.
    fn encode(
        &mut self,
        part: &Part,
        frames: &Broadcast<EncodedFrame>,
        frame: &RawFrame,
    ) -> Result<(), encoder::Error> {
        let started = Instant::now();
        let key = self.keys.due(frame.captured, frames.refresh_requested());
        if key {
            // Taken before the encoding: a request that comes in meanwhile is for the next key frame.
            frames.take_refresh_request();
        }
        let encoded = self.encoder.encode(frame, key).inspect_err(|_| {
            if key {
                frames.request_refresh();
            }
        })?;
        part.metrics.encode_seconds.observe(started.elapsed().as_secs_f64());
        part.metrics.encoded.get_or_create(&part.label).inc();
        if encoded.key {
            part.metrics.key_frames.get_or_create(&part.label).inc();
        }
        frames.publish(encoded);
        Ok(())
    }
}
