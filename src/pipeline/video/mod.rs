//! The pipeline of one camera: a capture thread with its retry loop, an encode thread, and the broadcast to sessions. A
//! third thread encodes a smaller rendition (`small`), a fourth one makes JPEGs for MJPEG readers (`pipeline::mjpeg`), and a
//! fifth one looks for motion (`pipeline::motion`).
//!
//! All threads sleep while there is no demand: a [`DemandGuard`] opens the camera, a subscription starts the encoder. While
//! the camera is unavailable, or its frames cannot be shown, and somebody watches, the encode thread sends a placeholder, so
//! that sessions survive the fault. Sending belongs to `server::rtc`.

mod active_encoder;
mod capture;
mod encode;
mod handle;
mod placeholder;
mod request_queue;
mod requests;
mod small;
mod stream_fault;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::capture::camera;
use crate::capture::camera::placeholder::PlaceholderText;
use crate::capture::camera::{CameraSelector, VideoSource};
use crate::media::encoder;
use crate::media::encoder::BitrateTarget;
use crate::media::h264::Profile;
use crate::media::motion;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};
use crate::model::metrics;
use crate::model::metrics::Metrics;
use crate::model::status;
use crate::pipeline::mjpeg;
use crate::pipeline::mjpeg::{MjpegOutput, MjpegThread};
use crate::pipeline::motion::{MotionHandle, MotionThread};
use crate::util::broadcast::{Broadcast, DemandGuard};
use crate::util::heartbeat::Heartbeat;
use crate::util::mailbox::Mailbox;
use crate::util::thread::MediaThread;

pub use handle::{Handle, Jpeg};
use request_queue::RequestQueue;
pub use request_queue::{Error, VideoSettingsPatch};
pub use small::SmallRendition;
use small::{SmallOutput, SmallThread};

/// Frames kept for a session that lags: about a second. One that is further behind does better to resume at a key frame.
const RING: usize = 32;

/// One camera with its encoder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The source of the frames.
    pub camera: camera::Config,
    /// How they are encoded.
    pub encoder: encoder::Config,
    /// Whether the camera stays open and encoded while nobody watches.
    pub keep_open: bool,
    /// What moves in its picture; the camera stays open while that is looked for.
    pub motion: motion::Config,
}

/// What a pipeline offers to its viewers; cheap handles.
#[derive(Debug, Clone)]
pub struct PipelineHandles {
    /// The encoded frames: subscribe, request a key frame, register demand.
    pub frames: Broadcast<EncodedFrame>,
    /// The H.264 profile that a decoder needs; `None` until it is known, which may take opening the camera.
    pub profile: watch::Receiver<Option<Profile>>,
    /// The bitrate of its encoder, for those who send the stream to ask for less than is configured.
    pub bitrate: BitrateTarget,
    /// The smaller rendition.
    pub small: SmallRendition,
    /// Requests to the camera: snapshots, controls, settings.
    pub handle: Handle,
    /// What moves in its picture.
    pub motion: MotionHandle,
    /// Its threads, for the watchdog.
    pub threads: [PipelineThread; 5],
}

/// A thread of the pipeline, for the watchdog.
#[derive(Debug, Clone)]
pub struct PipelineThread {
    /// The thread's name.
    pub name: String,
    /// Whether its loop turns.
    pub heartbeat: Heartbeat,
}

/// Stops the threads when dropped.
#[derive(Debug)]
pub struct Guard {
    frames: Broadcast<EncodedFrame>,
    input: Arc<Mailbox<EncodeInput>>,
    _keep_open: Option<DemandGuard>,
    small: SmallOutput,
    mjpeg: MjpegOutput,
    motion: MotionHandle,
    _threads: [MediaThread; 5],
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.frames.demand().stop();
        self.input.close();
        self.small.close();
        self.mjpeg.close();
        self.motion.close();
    }
}

/// An open camera.
struct OpenedCamera {
    source: Box<dyn VideoSource>,
    /// As [`CameraSelector::identity`] gives it.
    identity: Option<String>,
}

/// Opens the camera with a configuration, each time it is needed. The tests open a fake.
type OpenCamera = Box<dyn FnMut(&camera::Config) -> Result<OpenedCamera, camera::Error> + Send>;

/// Starts the pipeline of the camera at `index` of the status, which `selector` opens.
///
/// # Errors
///
/// When a thread cannot be created.
pub fn start(
    config: Config,
    mut selector: CameraSelector,
    index: usize,
    metrics: &Metrics,
    publisher: &status::StatusPublisher,
) -> std::io::Result<(PipelineHandles, Guard)> {
    let missing = selector.take_missing();
    let open = move |config: &camera::Config| {
        let source = selector.open(config)?;
        Ok(OpenedCamera { source, identity: selector.identity() })
    };
    start_with(config, index, metrics, publisher, missing, Box::new(open))
}

fn start_with(
    config: Config,
    index: usize,
    metrics: &Metrics,
    publisher: &status::StatusPublisher,
    missing: Option<camera::Error>,
    open: OpenCamera,
) -> std::io::Result<(PipelineHandles, Guard)> {
    let frames = Broadcast::new(RING);
    // Before there can be demand.
    frames.demand().set_blocked(publisher.snapshot().privacy);
    let input = Arc::new(Mailbox::default());
    let keep_open = (config.keep_open || config.motion.enabled).then(|| frames.demand().register());
    let ctx = PipelineContext {
        index,
        label: metrics::CameraLabel { camera: config.camera.name.clone() },
        metrics: metrics.clone(),
        publisher: publisher.clone(),
        frames: frames.clone(),
        input: input.clone(),
        profile: watch::Sender::new(first_profile(&config.camera)),
        bitrate: BitrateTarget::new(config.encoder.bitrate),
        small: SmallOutput::new(&frames, config.encoder.bitrate),
        requests: RequestQueue::new(&config),
        mjpeg: MjpegOutput::default(),
        motion: MotionHandle::new(&config.motion),
    };
    let (handle, profile, bitrate) = (Handle::new(&ctx), ctx.profile.subscribe(), ctx.bitrate.clone());
    let threads = ["cap", "enc", "sml", "jpg", "mot"].map(|thread| PipelineThread {
        name: format!("{thread}-{}", config.camera.name),
        heartbeat: Heartbeat::default(),
    });
    let [capture, encode, small, jpeg, motion] = &threads;
    let capture = MediaThread::spawn(capture.name.clone(), {
        let heartbeat = capture.heartbeat.clone();
        let mut capture = capture::CaptureThread::new(ctx.clone(), config.camera.clone(), missing, open, heartbeat);
        move || capture.run()
    })?;
    let small = MediaThread::spawn(small.name.clone(), {
        let mut small = SmallThread::new(ctx.clone(), &config.encoder, small.heartbeat.clone());
        move || small.run()
    })?;
    let motion = MediaThread::spawn(motion.name.clone(), {
        let (source, publisher, heartbeat) = (ctx.source(), publisher.clone(), motion.heartbeat.clone());
        let mut motion = MotionThread::new(ctx.motion.clone(), &config.motion, source, publisher, index, heartbeat);
        move || motion.run()
    })?;
    let encode = MediaThread::spawn(encode.name.clone(), {
        let heartbeat = encode.heartbeat.clone();
        let mut encode = encode::EncodeThread::new(ctx.clone(), config, heartbeat);
        move || encode.run()
    })?;
    let jpeg = MediaThread::spawn(jpeg.name.clone(), {
        let mut jpeg = MjpegThread::new(ctx.mjpeg.clone(), ctx.source(), jpeg.heartbeat.clone());
        move || jpeg.run()
    })?;
    let small_handle = ctx.small.handle();
    let output = PipelineHandles {
        frames: frames.clone(),
        profile,
        bitrate,
        small: small_handle,
        handle,
        motion: ctx.motion.clone(),
        threads,
    };
    let threads = [capture, encode, small, jpeg, motion];
    let PipelineContext { small, mjpeg, motion, .. } = ctx;
    Ok((output, Guard { frames, input, _keep_open: keep_open, small, mjpeg, motion, _threads: threads }))
}

/// The profile as far as it is known before the camera is opened: that of our own encoder, unless the camera may deliver
/// H.264.
fn first_profile(config: &camera::Config) -> Option<Profile> {
    let ours = match (&config.device, config.format) {
        (camera::DeviceSelector::Pattern, _) => true,
        (_, format) => format.is_some_and(|format| format != PixelFormat::H264),
    };
    ours.then_some(Profile::CONSTRAINED_BASELINE)
}

/// What the capture thread sends to the encode thread.
#[derive(Debug)]
enum EncodeInput {
    /// A captured frame.
    Frame(RawFrame),
    /// The camera delivers no frames; viewers get a placeholder.
    Unavailable(CameraUnavailable),
    /// There is no demand; release the encoder.
    Idle,
}

/// Why the camera is unavailable, and since when.
#[derive(Debug, Clone)]
struct CameraUnavailable {
    reason: PlaceholderText,
    since: Instant,
    /// When the placeholder begins: once it is clear that the camera will not be back in a moment.
    from: Instant,
    format: VideoFormat,
}

/// What both threads share.
#[derive(Clone)]
struct PipelineContext {
    index: usize,
    label: metrics::CameraLabel,
    metrics: Metrics,
    publisher: status::StatusPublisher,
    frames: Broadcast<EncodedFrame>,
    input: Arc<Mailbox<EncodeInput>>,
    profile: watch::Sender<Option<Profile>>,
    bitrate: BitrateTarget,
    small: SmallOutput,
    requests: RequestQueue,
    mjpeg: MjpegOutput,
    motion: MotionHandle,
}

impl PipelineContext {
    /// Publishes the H.264 profile of the stream from now on.
    fn set_profile(&self, profile: Option<Profile>) {
        self.profile.send_if_modified(|known| std::mem::replace(known, profile) != profile);
    }

    /// What MJPEG readers and the motion detection are told of the camera.
    fn source(&self) -> mjpeg::Source {
        mjpeg::Source { frames: self.frames.clone(), metrics: self.metrics.clone(), label: self.label.clone() }
    }

    /// Changes this camera's status.
    fn status(&self, change: impl FnOnce(&mut status::CameraStatus)) {
        self.publisher.camera(self.index, change);
    }
}

#[cfg(test)]
mod tests;
