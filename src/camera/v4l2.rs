//! A camera by V4L2: open, negotiate, and the newest good picture of those that the driver holds.
//!
//! The kernel's calls are in `crate::v4l2`, the choice of the format in `negotiate`. Retrying after an error does not
//! belong here, nor does looking into the pictures beyond telling whole from broken ones.

pub mod controls;
mod describe;
mod discover;
mod negotiate;
mod settings;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use describe::list;
pub use discover::first_capture_device;

use self::controls::{Followed, set_at_opening};
use self::negotiate::{Choice, pixel_format};
use super::{Config, Dropped, Error, VideoSource};
use crate::convert::{is_whole_jpeg, min_len, row_bytes};
use crate::inventory::Control;
use crate::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::v4l2::{Dequeued, Device, FieldOrder, PictureFormat, Queue, Readiness};

/// Buffers in the driver's ring. One is being filled, one waits to be fetched, one waits for the encoder and one is being
/// encoded.
const BUFFERS: u32 = 4;

/// A camera that streams.
#[derive(Debug)]
pub struct Capture {
    path: String,
    label: String,
    format: VideoFormat,
    /// Bytes that a picture has at least.
    min_len: usize,
    queue: Queue,
    device: Arc<Device>,
    losses: Losses,
    controls: Followed,
}

impl Capture {
    /// Opens the node at `path`, sets what `config` asks for or the nearest to it, and starts the stream.
    ///
    /// # Errors
    ///
    /// As [`Error`] says.
    pub fn open(config: &Config, path: &str) -> Result<Self, Error> {
        let device = Device::open(path).map_err(|error| open_error(path, error))?;
        let capability = device.capability().map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EINVAL) => unsupported(path, "capture", "it is no V4L2 device"),
            _ => call_error(path, "VIDIOC_QUERYCAP", error),
        })?;
        if !capability.captures() {
            return Err(unsupported(
                path,
                "capture",
                &format!("{} is {}; `porthole devices` lists the cameras", capability.card, capability.kind()),
            ));
        }
        let offers = negotiate::offers(&device, config.width.target(), config.height.target())
            .map_err(|error| call_error(path, "VIDIOC_ENUM_FMT", error))?;
        let choice = negotiate::choose(&offers, config).map_err(|(wish, offer)| unsupported(path, &wish, &offer))?;
        let format = set(&device, path, config, &choice)?;
        // Before the stream, which some drivers let nothing change in, so that the first picture is right already.
        for told in set_at_opening(&device, &config.controls) {
            tracing::warn!(camera = config.name, "control {told}");
        }
        let min_len = min_len(&format)
            .ok_or_else(|| unsupported(path, "the picture format", &format!("the driver answered {format:?}")))?;
        let label = format!("{} ({path})", capability.card);
        let device = Arc::new(device);
        let queue = Queue::start(Arc::clone(&device), BUFFERS).map_err(|(call, error)| match error.raw_os_error() {
            // The USB bus has no bandwidth left for this much.
            Some(libc::ENOSPC) => unsupported(
                path,
                &describe(&format),
                "the USB bus has no room for it; choose MJPEG, a smaller size, or another USB port",
            ),
            _ => call_error(path, call, error),
        })?;
        tracing::info!("{label}: {} with {} buffers: {}", describe(&format), queue.len(), choice.reason);
        let controls = Followed::new(Arc::clone(&device));
        Ok(Self { path: path.into(), label, format, min_len, queue, device, losses: Losses::default(), controls })
    }

    /// Takes out all that the driver has, and keeps the newest good picture. The others go back at once.
    fn newest(&mut self) -> Result<Option<Dequeued>, Error> {
        let mut newest = None;
        // A ring's worth and no more: a driver that is faster than this loop must not hold it for ever.
        for _ in 0..self.queue.len() {
            let dequeued = self.queue.dequeue().map_err(|error| call_error(&self.path, "VIDIOC_DQBUF", error))?;
            let Some(buffer) = dequeued else { break };
            let whole = !buffer.damaged && self.is_whole(buffer.lease.as_ref());
            self.losses.see(buffer.sequence, whole);
            if whole && newest.replace(buffer).is_some() {
                self.losses.dropped.stale += 1;
            }
        }
        Ok(newest)
    }

    fn is_whole(&self, data: &[u8]) -> bool {
        data.len() >= self.min_len && (self.format.pixel != PixelFormat::Mjpeg || is_whole_jpeg(data))
    }
}

impl VideoSource for Capture {
    fn format(&self) -> VideoFormat {
        self.format
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
                if let Some(buffer) = self.newest()? {
                    let captured = moment(buffer.monotonic, Timestamp::now());
                    let data = Bytes::from_owner(buffer.lease);
                    return Ok(Some(RawFrame::new(captured, self.format, data)));
                }
                if readiness == Readiness::Fault {
                    // The driver neither waits nor gives a buffer nor says why: only a new opening helps.
                    return Err(call_error(&self.path, "poll", io::Error::from_raw_os_error(libc::EIO)));
                }
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    fn request_key(&mut self) {}

    fn controls(&mut self) -> Vec<Control> {
        self.controls.all()
    }

    fn changed_controls(&mut self) -> Vec<Control> {
        self.controls.changed()
    }

    fn dropped(&self) -> Dropped {
        self.losses.dropped
    }
}

/// When a picture was taken that is fetched `now`: at the driver's stamp, where it has one. A stamp of the future is that
/// of a driver that stamps the end of the frame before it has come, and would make the latency negative.
fn moment(stamp: Option<Duration>, now: Timestamp) -> Timestamp {
    stamp.map_or(now, |stamp| Timestamp::from_monotonic(stamp).min(now))
}

/// The count of pictures that did not arrive.
#[derive(Debug, Default)]
struct Losses {
    dropped: Dropped,
    last: Option<u32>,
}

impl Losses {
    /// Accounts for a buffer of the driver.
    fn see(&mut self, sequence: u32, whole: bool) {
        if let Some(last) = self.last.replace(sequence) {
            // A step back is a driver that counts anew or not at all, and no loss.
            let step = sequence.wrapping_sub(last);
            if step < u32::MAX / 2 {
                self.dropped.driver += u64::from(step.saturating_sub(1));
            }
        }
        if !whole {
            self.dropped.damaged += 1;
        }
    }
}

/// Sets format and rate, and judges what the driver made of them.
fn set(device: &Device, path: &str, config: &Config, choice: &Choice) -> Result<VideoFormat, Error> {
    let answer = device
        .set_format(choice.fourcc, choice.width, choice.height)
        .map_err(|error| call_error(path, "VIDIOC_S_FMT", error))?;
    let format = picture_format(&answer, config.format)
        .map_err(|offer| unsupported(path, &format!("{} {}x{}", choice.fourcc, choice.width, choice.height), &offer))?;
    // The rate is a wish: a driver that cannot set or tell one streams nevertheless.
    let interval = device.set_frame_interval(choice.interval).or_else(|_| device.frame_interval()).ok().flatten();
    let fps = interval.and_then(|interval| interval.rate()).unwrap_or_else(|| f64::from(config.fps.target()));
    Ok(VideoFormat { fps, ..format })
}

/// What the driver answered, as a format of ours; otherwise what is wrong with it.
fn picture_format(answer: &PictureFormat, wish: Option<PixelFormat>) -> Result<VideoFormat, String> {
    let pixel = pixel_format(answer.fourcc)
        .filter(|pixel| wish.is_none_or(|wish| wish == *pixel))
        .ok_or_else(|| format!("the driver insists on {}", answer.fourcc))?;
    if let FieldOrder::Split(order) = answer.field {
        return Err(format!("the driver gives half pictures (field order {order}); choose a progressive input"));
    }
    if answer.width == 0 || answer.height == 0 {
        return Err(format!("the driver answered {}x{}; is the input connected?", answer.width, answer.height));
    }
    let row = row_bytes(pixel, answer.width);
    // Some drivers leave the stride empty and mean that there is no padding.
    let stride = if pixel == PixelFormat::Mjpeg { 0 } else { answer.bytes_per_line.max(row) };
    Ok(VideoFormat { pixel, width: answer.width, height: answer.height, stride, fps: 0.0 })
}

fn describe(format: &VideoFormat) -> String {
    format!("{} {}x{} at {:.4} frames/s", format.pixel.name(), format.width, format.height, format.fps)
        .replace(".0000", "")
}

fn unsupported(device: &str, wish: &str, offer: &str) -> Error {
    Error::Unsupported { device: device.into(), wish: wish.into(), offer: offer.into() }
}

fn open_error(path: &str, error: io::Error) -> Error {
    let device = path.into();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ENOTDIR) => Error::NotFound { device },
        Some(libc::EBUSY) => Error::Busy { device },
        Some(libc::EACCES | libc::EPERM) => Error::Io {
            device,
            call: "open",
            source: io::Error::new(
                io::ErrorKind::PermissionDenied,
                "permission denied; add the user to the group that owns it (usually `video`)",
            ),
        },
        _ => Error::Io { device, call: "open", source: error },
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
    use crate::v4l2::FourCc;

    fn config() -> Config {
        Config::default()
    }

    fn answer(fourcc: &[u8; 4]) -> PictureFormat {
        PictureFormat {
            fourcc: FourCc::new(fourcc),
            width: 641,
            height: 480,
            bytes_per_line: 0,
            size: 0,
            field: FieldOrder::Progressive,
        }
    }

    #[test]
    fn a_path_that_is_no_camera_is_told_so() {
        let missing = Capture::open(&config(), "/dev/video-that-is-not-there").expect_err("should refuse");
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        let null = Capture::open(&config(), "/dev/null").expect_err("should refuse");
        assert_eq!(null.to_string(), "/dev/null: capture is not supported; it is no V4L2 device");
    }

    #[test]
    fn a_picture_is_never_taken_later_than_it_is_fetched() {
        let now = Timestamp::now();
        assert_eq!(moment(None, now), now);
        assert_eq!(moment(Some(Duration::MAX), now), now);
        assert_eq!(moment(Some(Duration::from_nanos(1)), now), Timestamp::default());
    }

    #[test]
    fn gaps_in_the_count_of_the_driver_are_losses() {
        let mut losses = Losses::default();
        for (sequence, whole) in [(7, true), (8, false), (11, true), (11, true), (0, true), (1, true)] {
            losses.see(sequence, whole);
        }
        assert_eq!(losses.dropped, Dropped { driver: 2, stale: 0, damaged: 1 });
        losses.last = Some(u32::MAX);
        losses.see(1, true);
        assert_eq!(losses.dropped.driver, 3);
    }

    #[test]
    fn what_the_driver_answers_is_taken_or_refused() {
        let taken = picture_format(&answer(b"YUYV"), None).expect("should take");
        assert_eq!((taken.pixel, taken.width, taken.stride), (PixelFormat::Yuyv, 641, 642 * 2));
        let padded = PictureFormat { bytes_per_line: 704, ..answer(b"NV12") };
        assert_eq!(picture_format(&padded, None).expect("should take").stride, 704);
        let jpeg = PictureFormat { bytes_per_line: 641, ..answer(b"MJPG") };
        assert_eq!(picture_format(&jpeg, None).expect("should take").stride, 0);

        assert!(picture_format(&answer(b"H264"), None).is_err());
        assert!(picture_format(&answer(b"YUYV"), Some(PixelFormat::Mjpeg)).is_err());
        assert!(picture_format(&PictureFormat { height: 0, ..answer(b"YUYV") }, None).is_err());
        assert!(picture_format(&PictureFormat { field: FieldOrder::Split(7), ..answer(b"YUYV") }, None).is_err());
    }

    #[test]
    fn the_kernels_numbers_become_errors_that_a_caller_can_branch_on() {
        let error = |number| io::Error::from_raw_os_error(number);
        assert!(matches!(open_error("/dev/video0", error(libc::ENODEV)), Error::NotFound { .. }));
        assert!(matches!(open_error("/dev/video0", error(libc::EBUSY)), Error::Busy { .. }));
        assert!(matches!(call_error("/dev/video0", "poll", error(libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(call_error("/dev/video0", "VIDIOC_S_FMT", error(libc::EBUSY)), Error::Busy { .. }));
        let denied = open_error("/dev/video0", error(libc::EACCES)).to_string();
        assert!(denied.contains("group"), "{denied}");
    }

    #[test]
    fn a_format_is_described_without_needless_digits() {
        let format = VideoFormat { pixel: PixelFormat::Nv12, width: 640, height: 480, stride: 640, fps: 30.0 };
        assert_eq!(describe(&format), "NV12 640x480 at 30 frames/s");
    }
}
