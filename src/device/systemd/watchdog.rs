//! When there is a sign of life: as long as pictures flow from each camera that is watched. A timer alone would tell that
//! the process lives, also when the thread that encodes has hung in a driver for an hour.
//!
//! Telling it to systemd does not belong here. Time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

/// What a camera does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHealth {
    /// Whether somebody is sent its pictures.
    pub watched: bool,
    /// Pictures that were published since the start, placeholders of a camera that is away among them.
    pub published: u64,
}

/// A camera whose pictures shall flow.
pub struct WatchedStream {
    /// The camera's name.
    pub name: String,
    /// What it does.
    pub health: Box<dyn Fn() -> StreamHealth + Send>,
}

/// Looks whether they flow.
pub(super) struct Watchdog {
    sources: Vec<Watched>,
    limit: Duration,
}

struct Watched {
    source: WatchedStream,
    published: u64,
    /// When a picture was published last, or nobody watched.
    last_progress: Instant,
}

/// A camera that is watched and gives nothing.
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
            "the camera {name} is watched, and for {} s there was neither a picture nor a placeholder; systemd gets no sign of \
             life any more and will start porthole again",
            stalled_for.as_secs()
        )
    }
}

impl Watchdog {
    /// A source that is watched from `now` on has to give a picture within `limit`, and again and again.
    pub(super) fn new(sources: Vec<WatchedStream>, limit: Duration, now: Instant) -> Self {
        let watched = |source| Watched { source, published: 0, last_progress: now };
        Self { sources: sources.into_iter().map(watched).collect(), limit }
    }

    /// Whether there is a sign of life at `now`.
    ///
    /// # Errors
    ///
    /// The source that gives none for the longest time.
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
    use std::sync::{Arc, Mutex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(name: &str, health: &Arc<Mutex<StreamHealth>>) -> WatchedStream {
        let health = health.clone();
        WatchedStream { name: name.into(), health: Box::new(move || *health.lock().unwrap()) }
    }

    #[test]
    fn who_is_watched_and_gives_nothing_stops_the_pulse() {
        let [door, yard] = [0; 2].map(|_| Arc::new(Mutex::new(StreamHealth { watched: false, published: 0 })));
        let start = Instant::now();
        let mut watchdog = Watchdog::new(vec![source("door", &door), source("yard", &yard)], 15 * SECOND, start);
        // Nobody watches: it need not give anything.
        assert_eq!(watchdog.check(start + 100 * SECOND), Ok(()));

        yard.lock().unwrap().watched = true;
        assert_eq!(watchdog.check(start + 114 * SECOND), Ok(()));
        let stalled = Err(Stalled { name: "yard".into(), stalled_for: 15 * SECOND });
        assert_eq!(watchdog.check(start + 115 * SECOND), stalled);

        // One picture is life.
        yard.lock().unwrap().published = 1;
        assert_eq!(watchdog.check(start + 116 * SECOND), Ok(()));
        assert_eq!(watchdog.check(start + 130 * SECOND), Ok(()));
        let Err(stalled) = watchdog.check(start + 131 * SECOND) else { panic!("it gives nothing again") };
        assert!(
            stalled.to_string().starts_with("the camera yard is watched, and for 15 s there was neither"),
            "{stalled}"
        );

        // The other one does not help it, and its viewer's leaving does.
        *door.lock().unwrap() = StreamHealth { watched: true, published: 7 };
        assert!(watchdog.check(start + 132 * SECOND).is_err());
        yard.lock().unwrap().watched = false;
        assert_eq!(watchdog.check(start + 133 * SECOND), Ok(()));
    }

    #[test]
    fn without_cameras_there_is_life() {
        let start = Instant::now();
        assert_eq!(Watchdog::new(Vec::new(), SECOND, start).check(start + 100 * SECOND), Ok(()));
    }
}
