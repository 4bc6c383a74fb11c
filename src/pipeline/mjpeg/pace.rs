//! The frame rate of one reader. Pure: time is an argument.

use std::time::Duration;

use crate::media::Timestamp;

/// How early a frame may be taken, at most half an interval: frames of a camera come in steps of its own interval, so that
/// a reader who takes none before its time would get half of the rate it asked for.
const EARLY: Duration = Duration::from_millis(50);

/// Decides which frames a reader takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Zero for every frame.
    interval: Duration,
    due: Timestamp,
}

impl Pace {
    /// At most `fps` frames a second; every frame with `None`.
    pub fn new(fps: Option<f64>) -> Self {
        let interval = fps.and_then(|fps| Duration::try_from_secs_f64(1.0 / fps).ok()).unwrap_or_default();
        Self { interval, due: Timestamp::default() }
    }

    /// Whether frames are left out on purpose.
    pub fn is_limited(&self) -> bool {
        !self.interval.is_zero()
    }

    /// Whether a frame would be taken at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.saturating_add((self.interval / 2).min(EARLY)) >= self.due
    }

    /// A frame is taken at `now`.
    pub fn taken(&mut self, now: Timestamp) {
        let next = self.due.saturating_add(self.interval);
        self.due = if next < now { now.saturating_add(self.interval) } else { next };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames taken in ten seconds of a camera with this rate, whose frames come a little early or late.
    fn taken(camera: u64, fps: Option<f64>) -> usize {
        let mut pace = Pace::new(fps);
        let frames = (0..camera * 10).map(|number| {
            let jitter = [0, 3, 1, 4][number as usize % 4];
            Timestamp::from_start(Duration::from_millis(100_000 + number * 1000 / camera + jitter))
        });
        frames.filter(|now| pace.is_due(*now).then(|| pace.taken(*now)).is_some()).count()
    }

    #[test]
    fn reader_gets_the_rate_it_asks_for() {
        assert_eq!(taken(30, None), 300);
        for (camera, fps, expected) in [
            (30, 30.0, 300),
            (30, 60.0, 300),
            (30, 20.0, 200),
            (30, 15.0, 150),
            (30, 10.0, 100),
            (30, 7.0, 70),
            (25, 24.0, 240),
            (30, 1.0, 10),
            (30, 0.2, 2),
        ] {
            let taken = taken(camera, Some(fps));
            assert!(taken.abs_diff(expected) <= 2, "{fps} of {camera}: {taken}");
        }
    }

    #[test]
    fn pause_is_not_made_up_for() {
        let at = |milliseconds| Timestamp::from_start(Duration::from_millis(milliseconds));
        let mut pace = Pace::new(Some(10.0));
        pace.taken(at(1_000));
        assert!(!pace.is_due(at(1_033)) && pace.is_due(at(9_000)));
        pace.taken(at(9_000));
        assert!(!pace.is_due(at(9_033)) && pace.is_due(at(9_067)));
    }
}
