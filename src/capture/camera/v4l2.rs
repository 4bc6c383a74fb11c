//! A V4L2 camera: opens it, negotiates the mode, and returns the newest good frame in the driver's queue. From a camera
//! that encodes in hardware, every frame is returned in order.
//!
//! The ioctls are in `crate::device::v4l2`, the choice of the mode in `negotiate`, the layout of the buffers in
//! `layout`. Retrying after an error does not belong here.

mod clock;
mod color;
pub mod controls;
pub mod discover;
mod drops;
mod enumerate;
pub mod identity;
mod layout;
mod negotiate;
mod settings;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use enumerate::{encoders, list};
use negotiate::{CaptureMode, NegotiationError, SelectedMode, choose, offers};

use self::controls::{ControlWatcher, set_at_opening};
use self::layout::{BufferLayout, Known};
use super::{Config, ControlsOutcome, Dropped, Error, VideoSource};
use crate::device::v4l2::{BufferType, Capability, Dequeued, Device, FourCc, Queue, Readiness};
use crate::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::model::inventory::{Control, Setting};
use clock::DriverClock;
use drops::{CutFrames, DropTracker};

/// Buffers in the driver's ring: one is being filled, one waits to be dequeued, one waits for the encoder and one is
/// being encoded.
const BUFFERS: u32 = 4;

/// The maximum interval between key frames, in seconds, that is requested from a camera with its own encoder: if it
/// does not support forcing a key frame, a new viewer waits this long for the first frame, and so does everybody after
/// a loss.
const KEY_FRAME_PERIOD: f64 = 2.0;

/// How long to pause when the driver signalled a frame and had none: far below the frame interval.
const EMPTY_DEQUEUE_PAUSE: Duration = Duration::from_millis(2);

/// The result of dequeuing.
enum DequeueResult {
    /// A good frame.
    Frame(Dequeued),
    /// Only damaged frames.
    Damaged,
    /// No buffer at all.
    Nothing,
}

/// A streaming camera.
#[derive(Debug)]
pub struct V4l2Capture {
    path: String,
    label: String,
    /// The chosen mode, and why.
    mode_description: String,
    layout: BufferLayout,
    queue: Queue,
    device: Arc<Device>,
    drops: DropTracker,
    cut_frames: CutFrames,
    controls: ControlWatcher,
    clock: DriverClock,
    /// Whether the camera supports forcing a key frame, as far as known.
    can_force_key_frame: bool,
}

impl V4l2Capture {
    /// Opens the node at `path`, sets the mode that best meets the constraints of `config`, and starts the stream.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Unsupported`] if no mode of the camera is acceptable.
    pub fn open(config: &Config, path: &str) -> Result<Self, Error> {
        let (device, capability) = open_node(path, "capture")?;
        let Capability { card, .. } = &capability;
        let Some(kind) = capability.capture_kind() else {
            let supported = format!("{card} is {}; `porthole devices` lists the cameras", capability.kind());
            return Err(unsupported(path, "capture", &supported));
        };
        let offers = offers(&device, kind, config).map_err(|error| call_error(path, "VIDIOC_ENUM_FMT", error))?;
        let choice = choose(&offers, config)
            .map_err(|NegotiationError { requested, supported }| unsupported(path, &requested, &supported))?;
        let layout = set_format(&device, kind, path, config, &choice, &offers)?;
        if layout.format.pixel == PixelFormat::H264 {
            device.configure_h264_encoder((layout.format.fps * KEY_FRAME_PERIOD).ceil() as u32, config.bitrate);
        }
        // Before the stream starts, because some drivers allow no changes while streaming, and so that the first frame
        // is right already.
        for warning in set_at_opening(&device, &config.controls) {
            tracing::warn!(camera = config.name, "control {warning}");
        }
        let label = format!("{card} ({path})");
        let device = Arc::new(device);
        let clock = DriverClock::started(Timestamp::now());
        let queue =
            Queue::start(Arc::clone(&device), kind, BUFFERS).map_err(|(call, error)| match error.raw_os_error() {
                // The USB bus has no bandwidth left for this much.
                Some(libc::ENOSPC) => unsupported(
                    path,
                    &describe(&layout.format),
                    "the USB bus has no room for it; choose MJPEG, a smaller size, or another USB port",
                ),
                _ => call_error(path, call, error),
            })?;
        let buffers = queue.len();
        let mode_description =
            format!("{label}: {} ({}, {buffers} buffers): {}", describe(&layout.format), layout.fourcc, choice.reason);
        let controls = ControlWatcher::new(Arc::clone(&device));
        let drops = DropTracker::default();
        Ok(Self {
            path: path.into(),
            label,
            mode_description,
            layout,
            queue,
            device,
            drops,
            cut_frames: CutFrames::default(),
            controls,
            clock,
            can_force_key_frame: true,
        })
    }

    /// The chosen mode, and why; one line for the log.
    pub fn mode_description(&self) -> &str {
        &self.mode_description
    }

    /// Dequeues the driver's filled buffers. If frames are independent, the newest good one is kept and the others are
    /// requeued at once; of an encoded stream it is the next frame.
    fn dequeue_newest(&mut self) -> Result<DequeueResult, Error> {
        let mut newest = None;
        let mut result = DequeueResult::Nothing;
        // At most one ring's worth: a driver that is faster than this loop must not block it forever.
        for _ in 0..self.queue.len() {
            let dequeued = self.queue.dequeue().map_err(|error| call_error(&self.path, "VIDIOC_DQBUF", error))?;
            let Some(buffer) = dequeued else { break };
            result = DequeueResult::Damaged;
            let intact = !buffer.damaged && self.layout.is_complete(&buffer.lease);
            let usable =
                intact || !buffer.damaged && self.cut_frames.is_usable(&self.layout, &buffer.lease, Instant::now());
            if intact {
                self.cut_frames = CutFrames::default();
            }
            self.drops.observe_sequence(buffer.sequence, usable);
            if !usable {
                continue;
            }
            if newest.replace(buffer).is_some() {
                self.drops.count_stale();
            }
            if self.layout.format.pixel == PixelFormat::H264 {
                break;
            }
        }
        Ok(newest.map_or(result, DequeueResult::Frame))
    }

    fn frame(&mut self, buffer: Dequeued) -> RawFrame {
        let stamp = buffer.monotonic.map(Timestamp::from_monotonic);
        let captured = self.clock.capture_timestamp(stamp, Timestamp::now());
        self.layout.frame(buffer.lease, captured, self.drops.take_gap())
    }
}

impl VideoSource for V4l2Capture {
    fn format(&self) -> VideoFormat {
        self.layout.format
    }

    fn label(&self) -> &str {
        &self.label
    }

    fn is_pattern(&self) -> bool {
        false
    }

    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let readiness = self.device.wait(left).map_err(|error| call_error(&self.path, "poll", error))?;
            if readiness != Readiness::Nothing {
                match self.dequeue_newest()? {
                    DequeueResult::Frame(buffer) => return Ok(Some(self.frame(buffer))),
                    // A driver that keeps signalling frames it does not have must not take up a whole core.
                    DequeueResult::Nothing => std::thread::sleep(EMPTY_DEQUEUE_PAUSE.min(left)),
                    DequeueResult::Damaged => {}
                }
                if readiness == Readiness::Fault {
                    // The driver neither waits nor returns a buffer nor reports an error: only reopening helps.
                    return Err(call_error(&self.path, "poll", io::Error::from_raw_os_error(libc::EIO)));
                }
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    fn request_keyframe(&mut self) {
        if self.layout.format.pixel == PixelFormat::H264
            && self.can_force_key_frame
            && let Err(error) = self.device.force_key_frame()
        {
            self.can_force_key_frame = false;
            tracing::info!(
                "{}: the camera cannot force key frames and sends them at its own interval: {error}",
                self.label
            );
        }
    }

    fn controls(&mut self) -> Vec<Control> {
        self.controls.read_all()
    }

    fn changed_controls(&mut self) -> Vec<Control> {
        self.controls.changed_controls()
    }

    fn set_controls(&mut self, settings: &[Setting]) -> ControlsOutcome {
        self.controls.set(settings)
    }

    fn set_bitrate(&mut self, bitrate: u32) -> bool {
        self.layout.format.pixel != PixelFormat::H264 || self.device.set_h264_bitrate(bitrate).is_ok()
    }

    fn dropped(&self) -> Dropped {
        self.drops.dropped()
    }
}

/// Our pixel format for one of the kernel's.
pub fn pixel_format(fourcc: FourCc) -> Option<PixelFormat> {
    Known::of(fourcc).map(|known| known.pixel)
}

/// Sets format and rate, and checks what the driver made of them.
fn set_format(
    device: &Device,
    kind: BufferType,
    path: &str,
    config: &Config,
    choice: &SelectedMode,
    offers: &[CaptureMode],
) -> Result<BufferLayout, Error> {
    let answer = device
        .set_format(kind, choice.fourcc, choice.width, choice.height)
        .map_err(|error| call_error(path, "VIDIOC_S_FMT", error))?;
    let mut layout = BufferLayout::of(&answer, config.format).map_err(|supported| {
        unsupported(path, &format!("{} {}x{}", choice.fourcc, choice.width, choice.height), &supported)
    })?;
    // A driver that cannot set or report a rate can stream nevertheless.
    let interval = device.set_frame_interval(kind, choice.interval).or_else(|_| device.frame_interval(kind));
    let fps = interval.ok().flatten().and_then(|interval| interval.rate());
    layout.format.fps = fps.unwrap_or_else(|| f64::from(config.fps.target().max(1)));
    let format = &layout.format;
    negotiate::is_acceptable(format.width, format.height, fps, config).then_some(()).ok_or_else(|| {
        let NegotiationError { requested, supported } = NegotiationError::new(offers, config);
        unsupported(path, &requested, &format!("the driver insists on {}; {supported}", describe(format)))
    })?;
    Ok(layout)
}

fn describe(format: &VideoFormat) -> String {
    let VideoFormat { pixel, width, height, fps, .. } = format;
    format!("{} {width}x{height} at {} frames/s", pixel.name(), negotiate::short(*fps))
}

fn unsupported(device: &str, requested: &str, supported: &str) -> Error {
    Error::Unsupported { device: device.into(), requested: requested.into(), supported: supported.into() }
}

/// Opens a node for `what`, and queries its capabilities.
fn open_node(path: &str, what: &str) -> Result<(Device, Capability), Error> {
    let device = Device::open(path).map_err(|error| open_error(path, error))?;
    let capability = device.capability().map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTTY | libc::EINVAL) => unsupported(path, what, "it is no V4L2 device"),
        _ => call_error(path, "VIDIOC_QUERYCAP", error),
    })?;
    Ok((device, capability))
}

/// The error of opening a node. Only here can a missing device mean that it was never there.
fn open_error(path: &str, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ENOTDIR) => Error::NotFound { device: path.into() },
        Some(libc::EACCES | libc::EPERM) => {
            let hint = "permission denied; add the user to the group that owns it (usually `video`)";
            call_error(path, "open", io::Error::new(io::ErrorKind::PermissionDenied, hint))
        }
        _ => call_error(path, "open", error),
    }
}

/// The error of a call on an open device.
fn call_error(path: &str, call: &'static str, source: io::Error) -> Error {
    let device = path.into();
    match source.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => Error::Unplugged { device },
        Some(libc::EBUSY) => Error::Busy { device },
        _ => Error::Io { device, call, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Colorimetry;

    fn config() -> Config {
        Config::default()
    }

    #[test]
    fn path_that_is_not_a_camera_is_an_error() {
        let missing = V4l2Capture::open(&config(), "/dev/video-that-is-not-there").expect_err("should refuse");
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        let null = V4l2Capture::open(&config(), "/dev/null").expect_err("should refuse");
        assert_eq!(null.to_string(), "/dev/null: capture is not supported; it is no V4L2 device");
    }

    #[test]
    fn errno_maps_to_error_variants() {
        let error = |number| io::Error::from_raw_os_error(number);
        assert!(matches!(open_error("/dev/video0", error(libc::ENODEV)), Error::NotFound { .. }));
        assert!(matches!(open_error("/dev/video0", error(libc::EBUSY)), Error::Busy { .. }));
        assert!(matches!(call_error("/dev/video0", "poll", error(libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(call_error("/dev/video0", "VIDIOC_S_FMT", error(libc::EBUSY)), Error::Busy { .. }));
        let denied = open_error("/dev/video0", error(libc::EACCES)).to_string();
        assert!(denied.contains("group"), "{denied}");
    }

    #[test]
    fn mode_is_described_without_needless_digits() {
        let format = VideoFormat {
            pixel: PixelFormat::Nv12,
            width: 640,
            height: 480,
            stride: 640,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        assert_eq!(describe(&format), "NV12 640x480 at 30 frames/s");
    }
}
