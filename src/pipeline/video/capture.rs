//! The capture thread of a camera: opens it while somebody is interested, hands its pictures on, and tries again after a
//! fault.
//!
//! Encoding, and drawing what viewers see meanwhile, belong to `encode`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::requests::CaptureRequests;
use super::{CameraUnavailable, EncodeInput, Open, PipelineContext};
use crate::capture::camera;
use crate::capture::camera::{VideoSource, placeholder};
use crate::media::encoder::keyframe;
use crate::media::h264::Profile;
use crate::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::model::metrics::{DropPoint, GaugeGuard};
use crate::model::status::PipelineState;
use crate::util::backoff::Retry;
use crate::util::broadcast::{Demand, Linger};
use crate::util::malloc;

/// How long the camera stays open when the last viewer has left: a page that reloads finds it warm.
const LINGER: Duration = Duration::from_secs(1);

/// The longest wait for a picture before the thread looks whether it shall end; bounds the time of a stop.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A camera that gives no picture for this long is reopened. Drivers that lost their device without a word do this.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A camera that has worked for this long and fails is opened again at once: most faults of a driver are over with that.
/// One that fails sooner would be opened without end.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// How long a camera that may work again may take to its first picture before the placeholder takes its place: longer than
/// the opening of a USB camera, so that a short fault is a still picture and no flash of another one.
const PLACEHOLDER_DELAY: Duration = Duration::from_secs(1);

/// Pictures that wait in order for the encode thread, which only passes them through: a second of them, as viewers' tasks
/// are kept.
const PASSTHROUGH_QUEUE: usize = super::RING;

/// New viewers wait for a key frame; longer than this is worth telling.
const KEYFRAME_WARN_AFTER: Duration = Duration::from_secs(5);

/// The retry loop of one camera; nothing above it retries.
pub(super) struct Capture<F> {
    part: PipelineContext,
    demand: Demand,
    config: camera::Config,
    open: F,
    retry: Retry,
    /// Why the camera gives no picture; `None` when it works, or was not tried yet.
    fault: Option<Fault>,
    /// The shape of the placeholder: as the camera's pictures were, or shall be.
    shape: VideoFormat,
    /// Whether the camera encodes by itself; `None` until that is known.
    own: Option<bool>,
    /// What others ask of the camera.
    service: CaptureRequests,
}

/// How an opening ended without an error.
enum End {
    /// Nobody is interested any more.
    Unwanted,
    /// Something is wished for that the camera must be opened anew for.
    Wishes,
}

/// Why a camera gives no picture, and since when.
struct Fault {
    reason: placeholder::PlaceholderText,
    since: Instant,
}

impl<F: Open> Capture<F> {
    pub(super) fn new(part: PipelineContext, config: camera::Config, open: F) -> Self {
        let shape = placeholder::format(config.width.target(), config.height.target());
        let demand = part.frames.demand().clone();
        let own = config.format.map(|format| format == PixelFormat::H264);
        let service = CaptureRequests::new(part.questions.clone());
        let retry = Retry::default();
        let mut capture = Self { part, demand, config, open, retry, fault: None, shape, own, service };
        if let Err(error) = capture.open.probe() {
            // Told now, and not once more when somebody watches; the first pause is still to come.
            let (_, log) = capture.retry.failed(Instant::now());
            capture.retry.begin_anew();
            capture.failed(&error, log);
        }
        capture
    }

    pub(super) fn run(&mut self) {
        while self.demand.wait() {
            // A camera that was away when the last viewer left may be back.
            self.show_fault(PLACEHOLDER_DELAY);
            while self.demand.is_wanted() {
                self.attempt();
            }
            if let Some(since) = self.demand.barred() {
                self.show_away(placeholder::PlaceholderText::privacy(), since, Duration::ZERO);
                self.service.away(super::handle::PRIVACY_MESSAGE);
                self.demand.wait_while_barred(None);
                if self.demand.is_wanted() {
                    // Until the first picture is there, viewers see what they saw.
                    continue;
                }
            }
            // The last viewer has left: the encoder goes too.
            self.put(EncodeInput::Idle);
            malloc::give_back();
        }
    }

    fn attempt(&mut self) {
        let mut live = None;
        let error = match self.once(&mut live) {
            Ok(End::Wishes) => return,
            Ok(End::Unwanted) => {
                self.part.status(|camera| {
                    // One that was left before it gave a picture is in fault still.
                    if camera.state != PipelineState::Fault {
                        camera.state = PipelineState::Idle;
                    }
                });
                return;
            }
            // The test pattern ends where a camera can be opened instead.
            Err(camera::Error::Replaced) => return,
            Err(error) => error,
        };
        let (pause, log) = self.retry.failed(Instant::now());
        self.failed(&error, log);
        self.service.away(&error.to_string());
        let may_heal =
            matches!(error, camera::Error::Io { .. } | camera::Error::Busy { .. } | camera::Error::Ended { .. });
        if may_heal && live.is_some_and(|since: Instant| since.elapsed() >= STABLE_AFTER) {
            self.show_fault(PLACEHOLDER_DELAY);
        } else {
            self.show_fault(Duration::ZERO);
            if self.demand.pause(pause) {
                self.retry.begin_anew();
            }
        }
    }

    /// Notes a fault, and tells of it.
    fn failed(&mut self, error: &camera::Error, log: bool) {
        if log {
            tracing::warn!(camera = self.part.label.camera, "no picture: {error}");
        }
        let since = self.fault.as_ref().map_or_else(Instant::now, |fault| fault.since);
        self.fault = Some(Fault { reason: placeholder::PlaceholderText::of(error), since });
        self.part.status(|camera| {
            camera.state = PipelineState::Fault;
            camera.fault = Some(error.to_string());
            camera.trouble = Some(error.fault_kind());
            camera.since.get_or_insert_with(unix_now);
        });
    }

    /// Lets the placeholder begin after `grace`, if the camera is in fault.
    fn show_fault(&self, grace: Duration) {
        if let Some(Fault { reason, since }) = &self.fault {
            self.show_away(reason.clone(), *since, grace);
        }
    }

    /// Lets the placeholder begin after `grace`.
    fn show_away(&self, reason: placeholder::PlaceholderText, since: Instant, grace: Duration) {
        self.put(EncodeInput::Away(CameraUnavailable {
            reason,
            since,
            from: Instant::now() + grace,
            format: self.shape,
        }));
    }

    /// Opens the camera and captures until nobody is interested any more. `live` becomes the moment of the first picture.
    fn once(&mut self, live: &mut Option<Instant>) -> Result<End, camera::Error> {
        if self.service.heed(&mut self.config) {
            self.shape = placeholder::format(self.config.width.target(), self.config.height.target());
        }
        // Controls that were set are set again.
        self.open.reconfigure(&self.config);
        self.part.status(|camera| {
            // A camera in fault stays so until it works: a page that looks now shall see the reason.
            if camera.state != PipelineState::Fault {
                camera.state = PipelineState::Starting;
            }
        });
        let mut source = self.open.open()?;
        self.part.status(|camera| camera.identity = self.open.identity());
        let _open = GaugeGuard::new(&self.part.metrics.captures);
        self.expect_profile(source.format().pixel);
        let captured = self.part.metrics.captured.get_or_create(&self.part.label).clone();
        let mut dropped = camera::Dropped::default();
        let mut heard = Instant::now();
        let mut stall = Stall::new(Timestamp::now());
        let mut keys = KeyRequests::default();
        // The first picture follows none.
        let mut gap = true;
        let demand = self.demand.clone();
        let mut linger = Linger::new(&demand, LINGER, heard);
        while !linger.is_over(Instant::now()) {
            if self.service.must_reopen(source.as_mut(), &mut self.config) {
                return Ok(End::Wishes);
            }
            if live.is_some() {
                self.service.answer(source.as_mut(), &self.part, &mut self.config);
            }
            keys.pass_on(&self.part, source.as_mut(), Instant::now());
            let next = source.next(POLL_INTERVAL);
            self.part.board.controls(self.part.index, source.changed_controls());
            self.count_drops(source.dropped(), &mut dropped);
            let Some(frame) = next? else {
                stall.looked(Timestamp::now());
                if heard.elapsed() >= STALL_TIMEOUT {
                    return Err(camera::Error::Silent {
                        device: source.label().into(),
                        seconds: STALL_TIMEOUT.as_secs(),
                    });
                }
                continue;
            };
            heard = Instant::now();
            if demand.barred().is_some() {
                // Taken after the privacy switch was thrown.
                break;
            }
            if stall.is_old(&frame, Timestamp::now()) {
                self.part.metrics.drop_at(DropPoint::Stale, 1);
                continue;
            }
            if live.is_none() {
                *live = Some(heard);
                self.announce(source.as_ref());
                let controls = source.controls();
                self.part.status(|camera| camera.controls = controls);
            }
            captured.inc();
            self.service.show(&frame);
            self.hand_over(frame, &mut gap);
        }
        Ok(End::Unwanted)
    }

    fn hand_over(&self, mut frame: RawFrame, gap: &mut bool) {
        if frame.format.pixel == PixelFormat::H264 {
            frame.gap |= std::mem::take(gap);
            if self.part.input.append(EncodeInput::Frame(frame), PASSTHROUGH_QUEUE).is_some() {
                *gap = true;
                self.part.metrics.drop_at(DropPoint::Replaced, 1);
            }
        } else {
            self.put(EncodeInput::Frame(frame));
        }
    }

    fn put(&self, input: EncodeInput) {
        let replaced = self.part.input.put(input);
        let pictures = replaced.iter().filter(|input| matches!(input, EncodeInput::Frame(_))).count();
        self.part.metrics.drop_at(DropPoint::Replaced, pictures as u64);
    }

    /// Tells what is known of the stream at the opening, before the first picture.
    fn expect_profile(&self, pixel: PixelFormat) {
        let own = match self.config.device {
            _ if pixel == PixelFormat::H264 => Some(true),
            // What a program writes is known once it has written something.
            camera::Device::Exec(_) | camera::Device::Libcamera => self.own,
            _ => Some(false),
        };
        if own == Some(false) {
            self.part.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        } else if *self.part.profile.borrow() == Some(Profile::CONSTRAINED_BASELINE) {
            // It may be that of the placeholder. Another one is what this camera gave before.
            self.part.set_profile(None);
        }
    }

    fn announce(&mut self, source: &dyn VideoSource) {
        let (name, label, format) = (&self.config.name, source.label(), source.format());
        let VideoFormat { width, height, fps, .. } = format;
        let pixel = format.pixel.name();
        let is = if self.retry.recovered() { "is back" } else { "is open" };
        tracing::info!(camera = name, "camera {is}: {label}, {pixel} {width}x{height} at {fps} frames a second");
        if source.is_pattern() && self.config.device == camera::Device::Auto {
            tracing::warn!(camera = name, "no camera found; showing the built-in test pattern");
        }
        self.fault = None;
        self.shape = placeholder::format(width, height);
        self.own = Some(format.pixel == PixelFormat::H264);
        if format.pixel != PixelFormat::H264 {
            self.part.set_profile(Some(Profile::CONSTRAINED_BASELINE));
        }
        self.part.status(|camera| {
            camera.source = Some(label.into());
            camera.pattern = source.is_pattern();
            camera.state = PipelineState::Live;
            camera.width = Some(width);
            camera.height = Some(height);
            camera.fps = Some(fps);
            camera.format = Some(pixel);
            (camera.fault, camera.trouble) = (None, None);
            camera.since = None;
        });
    }

    fn count_drops(&self, now: camera::Dropped, before: &mut camera::Dropped) {
        let metrics = &self.part.metrics;
        metrics.drop_at(DropPoint::Driver, now.driver.saturating_sub(before.driver));
        metrics.drop_at(DropPoint::Stale, now.stale.saturating_sub(before.stale));
        metrics.drop_at(DropPoint::Damaged, now.damaged.saturating_sub(before.damaged));
        *before = now;
    }
}

/// Passes viewers' requests for a key frame on to a camera that encodes by itself.
#[derive(Default)]
struct KeyRequests {
    asked: Option<Instant>,
    waiting: Option<Instant>,
    told: bool,
}

impl KeyRequests {
    fn pass_on(&mut self, part: &PipelineContext, source: &mut dyn VideoSource, now: Instant) {
        let wanted = source.format().pixel == PixelFormat::H264
            && part.frames.subscribers() > 0
            && part.frames.refresh_requested();
        if !wanted {
            // The encode thread has seen one go by, or nobody waits.
            self.waiting = None;
            return;
        }
        let waits = now.saturating_duration_since(*self.waiting.get_or_insert(now));
        if waits >= KEYFRAME_WARN_AFTER && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                camera = part.label.camera,
                "the camera gave no key frame for {} s although it was asked; new viewers wait that long: shorten its key \
                 frame interval, or choose another format (format = \"MJPEG\")",
                waits.as_secs()
            );
        }
        if self.asked.is_none_or(|last| now.saturating_duration_since(last) >= keyframe::MIN_DISTANCE) {
            self.asked = Some(now);
            source.request_keyframe();
        }
    }
}

/// After the thread was kept from looking (a stopped process, a machine that was busy with something else), the driver's
/// ring is full of old pictures, while the new ones found no place. They are not shown: what moved meanwhile would jump
/// back.
struct Stall {
    looked: Timestamp,
    /// Pictures that may still be old.
    suspects: u32,
}

impl Stall {
    /// Between two looks is a picture's time or [`POLL_INTERVAL`]; this much more is a stall.
    const LONG: Duration = Duration::from_secs(1);

    /// A source's ring holds no more. A camera whose clock is wrong loses no more pictures than these.
    const RING: u32 = 8;

    const fn new(now: Timestamp) -> Self {
        Self { looked: now, suspects: 0 }
    }

    fn looked(&mut self, now: Timestamp) {
        if now.saturating_since(self.looked) >= Self::LONG + POLL_INTERVAL {
            self.suspects = Self::RING;
        }
        self.looked = now;
    }

    /// Whether a picture that comes in `now` is one of those from before a stall.
    fn is_old(&mut self, frame: &RawFrame, now: Timestamp) -> bool {
        self.looked(now);
        self.suspects = self.suspects.saturating_sub(1);
        // Where a picture needs those before it, leaving one out would cost all up to the next key frame.
        let alone = frame.format.pixel != PixelFormat::H264;
        let old = alone && self.suspects > 0 && now.saturating_since(frame.captured) >= Self::LONG;
        if !old {
            self.suspects = 0;
        }
        old
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_stall_old_pictures_are_left_out_and_no_more_than_a_ring_of_them() {
        let at = |tenths: u64| Timestamp::from_start(Duration::from_millis(tenths * 100));
        let frame = |captured, pixel| {
            let format = VideoFormat { pixel, width: 2, height: 2, stride: 2, fps: 10.0 };
            RawFrame::new(captured, format, bytes::Bytes::new())
        };
        let raw = |captured| frame(captured, PixelFormat::I420);
        let mut stall = Stall::new(at(100));
        assert!(!stall.is_old(&raw(at(80)), at(101)), "a late picture without a stall");
        assert!(stall.is_old(&raw(at(102)), at(130)));
        assert!(!stall.is_old(&raw(at(130)), at(131)));
        assert!(!stall.is_old(&raw(at(110)), at(132)), "the stall is over");
        assert!(!stall.is_old(&frame(at(133), PixelFormat::H264), at(160)));
        let wrong_clock = (0..100).filter(|n| stall.is_old(&raw(at(1)), at(200 + n))).count();
        assert_eq!(wrong_clock, 7);
    }
}
