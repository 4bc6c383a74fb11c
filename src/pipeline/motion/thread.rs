//! The thread that looks for motion in the frames of one camera. It sleeps while none is due.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Job, MotionHandle};
use crate::media::convert::LumaReader;
use crate::media::encoder;
use crate::media::encoder::StreamDecoder;
use crate::media::motion::{Config, LumaPlane, Motion, MotionDetector, MovingRegion};
use crate::media::{RawFrame, Timestamp};
use crate::model::protocol::{MotionBox, MotionEvent, MotionPhase};
use crate::model::status::StatusPublisher;
use crate::pipeline::mjpeg::Source;
use crate::util::drop_log::DropLog;
use crate::util::heartbeat::Heartbeat;
use crate::util::thread::set_nice;

/// The nice value of the thread: what people watch and hear comes first. With the lowest priority it would miss too much on a
/// board that is busy otherwise.
const NICE: i32 = 10;

/// The minimum interval between two lines about frames that could not be looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The thread's state.
pub struct MotionThread {
    handle: MotionHandle,
    source: Source,
    publisher: StatusPublisher,
    /// The camera's index in the status.
    index: usize,
    heartbeat: Heartbeat,
    detector: MotionDetector,
    reader: LumaReader,
    plane: LumaPlane,
    decoder: StreamDecoder,
    log: DropLog,
}

impl MotionThread {
    /// For the camera at `index` of the status.
    pub fn new(
        handle: MotionHandle,
        config: &Config,
        source: Source,
        publisher: StatusPublisher,
        index: usize,
        heartbeat: Heartbeat,
    ) -> Self {
        if config.enabled {
            // Counters are there from the start, and those of other cameras not at all.
            source.metrics.motion_frames.get_or_create(&source.label).inc_by(0);
            source.metrics.motion_events.get_or_create(&source.label).inc_by(0);
        }
        Self {
            handle,
            source,
            publisher,
            index,
            heartbeat,
            detector: MotionDetector::new(config),
            reader: LumaReader::default(),
            plane: LumaPlane::default(),
            decoder: StreamDecoder::default(),
            log: DropLog::every(LOG_INTERVAL),
        }
    }

    pub fn run(&mut self) {
        set_nice(NICE);
        let (heartbeat, handle) = (self.heartbeat.clone(), self.handle.clone());
        while let Some((job, config)) = heartbeat.wait(|| handle.next_job()) {
            if let Some(config) = config {
                self.detector.reconfigure(&config);
            }
            let looked = match job {
                Job::Frame(frame) => self.look(frame),
                Job::KeyFrame(frame) => match self.decoder.decode(&frame) {
                    Ok(Some(frame)) => self.look(frame),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
                Job::Forget => {
                    self.forget();
                    Ok(())
                }
            };
            if let Err(error) = looked
                && let Some(count) = self.log.note(1, Instant::now())
            {
                let camera = &self.source.label.camera;
                tracing::warn!(camera, count, "no motion detection in a frame: {error}");
            }
        }
    }

    /// Looks at a frame, whose buffer is given back to the camera as soon as its luma is read.
    fn look(&mut self, frame: RawFrame) -> Result<(), encoder::Error> {
        let captured = frame.captured;
        self.reader.read(&frame, &mut self.plane)?;
        drop(frame);
        self.source.metrics.motion_frames.get_or_create(&self.source.label).inc();
        let motion = self.detector.frame(&self.plane, captured.since_start());
        self.report(motion, captured);
        Ok(())
    }

    fn forget(&mut self) {
        // It holds some pictures.
        self.decoder.reset();
        let motion = self.detector.reset();
        self.report(motion, Timestamp::now());
    }

    fn report(&mut self, motion: Motion, at: Timestamp) {
        let time = unix(at);
        match motion {
            Motion::Begun(region) => {
                let is_private = self.source.frames.demand().blocked_since().is_some();
                if is_private || !self.publisher.motion_began(self.index, region.score, time.as_secs()) {
                    // It was captured before the privacy switch was turned on, and nobody is told after it.
                    self.detector.reset();
                    return;
                }
                self.source.metrics.motion_events.get_or_create(&self.source.label).inc();
                self.tell(MotionPhase::Begun, region, time);
            }
            Motion::Ended(region) => {
                self.publisher.motion_ended(self.index, region.score);
                self.tell(MotionPhase::Ended, region, time);
            }
            Motion::None | Motion::GoesOn(_) => {}
        }
    }

    fn tell(&self, state: MotionPhase, region: MovingRegion, time: Duration) {
        let camera = self.source.label.camera.clone();
        let MovingRegion { score, rect } = region;
        tracing::debug!(camera, score, "motion has {}", if state == MotionPhase::Begun { "begun" } else { "ended" });
        let [x, y, width, height] = [rect.x, rect.y, rect.width, rect.height].map(rounded);
        let area = MotionBox { x, y, width, height };
        let time = time.as_millis() as u64;
        self.handle.events().publish(MotionEvent { camera, state, score, area, time });
    }
}

/// The time since the Unix epoch by the wall clock as it is now: a board without a clock of its own may have got the time since
/// the program started.
fn unix(at: Timestamp) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Timestamp::now().saturating_since(at))
}

/// A fraction of the picture, to a thousandth.
fn rounded(fraction: f32) -> f64 {
    (f64::from(fraction) * 1e3).round() / 1e3
}
