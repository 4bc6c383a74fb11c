//! The placeholder while it is shown: its image, and when its next frame is due.
//!
//! Encoding it belongs to `encode`. What it looks like is in `capture::camera::placeholder`; when it is shown is decided in `capture` and `stream_fault`.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::CameraUnavailable;
use crate::capture::camera::placeholder;
use crate::media::{RawFrame, Timestamp};

/// The frame interval of the placeholder.
const INTERVAL: Duration = Duration::from_millis(1000 / placeholder::FPS as u64);

/// How far a placeholder's timestamp lies in the past. A frame carries its capture time and arrives here later; the first
/// frame of a camera that recovers must not be older than the last placeholder, because players drop frames whose
/// timestamps go backwards.
const TIMESTAMP_OFFSET: Duration = Duration::from_millis(250);

/// Who says that the camera's video is not to be shown, and who ends that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There are no frames: until there is one.
    NoFrames,
    /// The frames cannot be shown: until one can.
    Stream,
}

/// What is shown while there is no video of the camera.
pub(super) struct Placeholder {
    pub cause: Cause,
    unavailable: CameraUnavailable,
    due: Instant,
    /// The image with its lines of text; redrawn only when these change.
    drawn: Option<([String; 2], Bytes)>,
}

impl Placeholder {
    pub fn new(cause: Cause, unavailable: CameraUnavailable) -> Self {
        Self { cause, due: unavailable.from, unavailable, drawn: None }
    }

    /// The time until the next frame is due.
    pub fn due_in(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// The next frame comes one interval from `now`.
    pub fn reschedule(&mut self, now: Instant) {
        self.due = now + INTERVAL;
    }

    /// The frame to show now.
    pub fn draw(&mut self, name: &str) -> RawFrame {
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
        RawFrame::new(Timestamp::now().saturating_sub(TIMESTAMP_OFFSET), format, data)
    }
}
