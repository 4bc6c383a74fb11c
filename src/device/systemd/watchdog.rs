//! Decides whether to feed systemd's watchdog: only as long as every camera that is being watched publishes frames. A
//! timer alone would report a live process even if the encode thread had been stuck in a driver for an hour.
//!
//! Notifying systemd does not belong here. Time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

/// The health of a camera's stream at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHealth {
    /// Whether anybody is watching it.
    pub watched: bool,
    /// The number of frames published since the start, including placeholders.
    pub published: u64,
}

/// A camera stream under supervision.
pub struct WatchedStream {
    /// The camera's name.
    pub name: String,
    /// Returns its current health.
    pub health: Box<dyn Fn() -> StreamHealth + Send>,
}

/// Checks that frames are published.
pub(super) struct Watchdog {
    sources: Vec<Watched>,
    limit: Duration,
}

struct Watched {
    source: WatchedStream,
    published: u64,
    /// When a frame was last published, or nobody was watching.
    last_progress: Instant,
}

/// A camera that is being watched and publishes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stalled {
    name: String,
    stalled_for: Duration,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stalled_for } = self;
        write!(
            f,
            "the camera {name} has viewers, but neither a frame nor the placeholder was sent for {} s; the watchdog is not \
             fed any more, so systemd will restart porthole",
            stalled_for.as_secs()
        )
    }
}

impl Watchdog {
    /// A source that is watched from `now` on has to publish a frame at least every `limit`.
    pub(super) fn new(sources: Vec<WatchedStream>, limit: Duration, now: Instant) -> Self {
        let watched = |source| Watched { source, published: 0, last_progress: now };
        Self { sources: sources.into_iter().map(watched).collect(), limit }
    }

    /// Whether all streams are healthy at `now`.
    ///
    /// # Errors
    ///
    /// The source that has been stalled the longest.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Stalled> {
        for watched in &mut self.sources {
            let health = (watched.source.health)();
            if !health.watched || health.published != watched.published {
                watched.last_progress = now;
            }
            watched.published = health.published;
        }
        let stalled_for = |watched: &Watched| now.saturating_duration_since(watched.last_progress);
        match self.sources.iter().max_by_key(|watched| stalled_for(watched)) {
            Some(worst) if stalled_for(worst) >= self.limit => {
                Err(Stalled { name: worst.source.name.clone(), stalled_for: stalled_for(worst) })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::util::lock::Mutex;
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(name: &str, health: &Arc<Mutex<StreamHealth>>) -> WatchedStream {
        let health = health.clone();
        WatchedStream { name: name.into(), health: Box::new(move || *health.lock()) }
    }

    #[test]
    fn watched_camera_without_frames_stops_the_watchdog() {
        let [door, yard] = [0; 2].map(|_| Arc::new(Mutex::new(StreamHealth { watched: false, published: 0 })));
        let start = Instant::now();
        let mut watchdog = Watchdog::new(vec![source("door", &door), source("yard", &yard)], 15 * SECOND, start);
        // Nobody watches: it need not give anything.
        assert_eq!(watchdog.check(start + 100 * SECOND), Ok(()));

        yard.lock().watched = true;
        assert_eq!(watchdog.check(start + 114 * SECOND), Ok(()));
        let stalled = Err(Stalled { name: "yard".into(), stalled_for: 15 * SECOND });
        assert_eq!(watchdog.check(start + 115 * SECOND), stalled);

        // One frame is life.
        yard.lock().published = 1;
        assert_eq!(watchdog.check(start + 116 * SECOND), Ok(()));
        assert_eq!(watchdog.check(start + 130 * SECOND), Ok(()));
        let Err(stalled) = watchdog.check(start + 131 * SECOND) else { panic!("it gives nothing again") };
        assert!(
            stalled.to_string().starts_with("the camera yard is watched, and for 15 s there was neither"),
            "{stalled}"
        );

        // The other one does not help it, and its viewer's leaving does.
        *door.lock() = StreamHealth { watched: true, published: 7 };
        assert!(watchdog.check(start + 132 * SECOND).is_err());
        yard.lock().watched = false;
        assert_eq!(watchdog.check(start + 133 * SECOND), Ok(()));
    }

    #[test]
    fn watchdog_is_fed_without_cameras() {
        let start = Instant::now();
        assert_eq!(Watchdog::new(Vec::new(), SECOND, start).check(start + 100 * SECOND), Ok(()));
    }
}
