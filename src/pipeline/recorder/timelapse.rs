//! The task of a camera's time-lapse: takes a picture now and then, which is a key frame of its stream.
//!
//! A key frame that comes anyway is taken if one comes soon; otherwise one is requested. While nobody watches, the camera is
//! encoded only for the moment in which a picture is taken. What becomes of the pictures is in `film`.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::film::Film;
use super::keep::KeepLimits;
use super::storage::StorageHealth;
use crate::media::{EncodedFrame, Timestamp};
use crate::model::status::{CameraTimelapse, Status, TimelapseStatus};
use crate::util::broadcast::{Broadcast, DemandGuard, RecvError, Subscriber};
use crate::util::pending::{or_pending, reached};

/// Up to this interval the camera stays open between two pictures: its exposure stays settled, and its light does not blink.
const KEEP_OPEN: Duration = Duration::from_secs(60);

/// How long before a picture a camera is opened that was closed: most need a second or two for their exposure.
const WARM_UP: Duration = Duration::from_secs(3);

/// The longest wait for a key frame that comes anyway. While something is recorded, there is one every five seconds.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// Which part of the interval a picture may be late for that.
const PATIENCE_SHARE: u32 = 4;

/// Time-lapses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long it is from one picture to the next; `None` for no time-lapse.
    pub every: Option<Duration>,
    /// How many pictures are shown in a second.
    pub fps: u32,
    /// The most bytes of all time-lapses; zero for as many as there is space for.
    pub keep_bytes: u64,
    /// The most days that one is kept; zero for as long as there is space.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { every: None, fps: 25, keep_bytes: 4_000_000_000, keep_days: 365 }
    }
}

impl Config {
    /// What is kept of time-lapses, while so many bytes stay free for others.
    pub(super) fn limits(&self, min_free: u64) -> KeepLimits {
        KeepLimits {
            bytes: (self.keep_bytes > 0).then_some(self.keep_bytes),
            age: (self.keep_days > 0).then(|| Duration::from_secs(86_400 * u64::from(self.keep_days))),
            min_free,
        }
    }
}

/// The status at the start; `None` when there is no time-lapse.
pub fn initial_status(config: &Config, cameras: impl IntoIterator<Item = String>) -> Option<TimelapseStatus> {
    let camera = |camera| CameraTimelapse { camera, ..CameraTimelapse::default() };
    config
        .every
        .map(|_| TimelapseStatus { cameras: cameras.into_iter().map(camera).collect(), ..TimelapseStatus::default() })
}

/// The task's state.
pub struct TimelapseTask {
    /// The camera's index.
    pub camera: usize,
    pub video: Broadcast<EncodedFrame>,
    pub every: Duration,
    pub film: Film,
    pub status: watch::Receiver<Status>,
    pub health: watch::Receiver<StorageHealth>,
    pub stop: CancellationToken,
    /// How often this camera's films could not be written.
    pub failures: u64,
}

/// A picture that is due.
struct DuePicture {
    frames: Subscriber<EncodedFrame>,
    /// When a key frame is requested, unless that was done.
    request_at: Option<Instant>,
}

/// What the task has waited for.
enum TimelapseEvent {
    Stop,
    Status,
    Health,
    Video(Result<EncodedFrame, RecvError>),
    /// Something is due.
    Time,
}

impl TimelapseTask {
    /// Takes pictures until it is stopped.
    pub async fn run(mut self) {
        let mut open: Option<DemandGuard> = None;
        let mut picture: Option<DuePicture> = None;
        let mut due = Instant::now();
        loop {
            let is_private = self.status.borrow_and_update().privacy;
            if is_private {
                picture = None;
                self.film.end();
            }
            let now = Instant::now();
            let is_near = self.every <= KEEP_OPEN || now + WARM_UP >= due;
            if !is_near {
                open = None;
            } else if open.is_none() {
                open = Some(self.video.demand().register());
            }
            if picture.is_none() && !is_private && now >= due {
                // One that could not be stored is not taken.
                picture = (!self.film.is_paused(now)).then(|| self.begin(now));
                due = next_due(due, self.every, now);
            }
            let wake = match &picture {
                Some(picture) => picture.request_at,
                None if is_private => None,
                None if is_near => Some(due),
                None => Some(due - WARM_UP),
            };
            match self.next(&mut picture, wake).await {
                TimelapseEvent::Stop | TimelapseEvent::Video(Err(RecvError::Closed)) => break,
                TimelapseEvent::Status => {}
                TimelapseEvent::Health => self.check_health(),
                TimelapseEvent::Video(Ok(frame)) => {
                    if self.take(&frame) {
                        picture = None;
                        due = next_due(due, self.every, Instant::now());
                    }
                }
                TimelapseEvent::Video(Err(RecvError::Lagged(_))) => {}
                TimelapseEvent::Time => {
                    if let Some(picture) = &mut picture
                        && picture.request_at.take().is_some()
                    {
                        self.video.request_refresh();
                    }
                }
            }
        }
        self.film.end();
    }

    /// A picture is due.
    fn begin(&self, now: Instant) -> DuePicture {
        let is_encoded = self.video.subscribers() > 0;
        let frames = self.video.subscribe();
        // Whoever watches pays for each key frame; if nobody does, the encoder should rest again soon.
        let patience = if is_encoded { (self.every / PATIENCE_SHARE).min(MAX_PATIENCE) } else { Duration::ZERO };
        DuePicture { frames, request_at: Some(now + patience) }
    }

    async fn next(&mut self, picture: &mut Option<DuePicture>, wake: Option<Instant>) -> TimelapseEvent {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => TimelapseEvent::Stop,
            Ok(()) = self.status.changed() => TimelapseEvent::Status,
            Ok(()) = self.health.changed() => TimelapseEvent::Health,
            frame = or_pending(picture.as_mut().map(|picture| picture.frames.recv())) => TimelapseEvent::Video(frame),
            () = reached(wake) => TimelapseEvent::Time,
        }
    }

    /// Handles a frame while a picture is due; whether the picture is done with.
    fn take(&mut self, frame: &EncodedFrame) -> bool {
        // The camera is away: there is no picture this time, and no placeholder is encoded for it.
        if frame.placeholder {
            return true;
        }
        // The switch was turned on, and the status has not told so yet.
        if !frame.key || self.video.demand().blocked_since().is_some() {
            return false;
        }
        let age = Timestamp::now().saturating_since(frame.captured);
        let now = SystemTime::now();
        self.film.add(frame, now.checked_sub(age).unwrap_or(now));
        true
    }

    fn check_health(&mut self) {
        let health = self.health.borrow_and_update();
        let failures = health.failures.get(self.camera).copied().unwrap_or(0);
        if failures != std::mem::replace(&mut self.failures, failures) {
            self.film.failed(Instant::now());
        } else if health.fault.is_none() {
            self.film.recovered();
        }
    }
}

/// When the next picture is due after one that was due at `due`: in the same rhythm, and after `now`.
fn next_due(due: Instant, every: Duration, now: Instant) -> Instant {
    if now < due {
        return due;
    }
    let late = now.duration_since(due).as_nanos() % every.as_nanos().max(1);
    now + every.saturating_sub(Duration::from_nanos(late as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Metrics;
    use crate::model::status::StatusPublisher;
    use crate::pipeline::recorder::film::FilmRules;
    use crate::pipeline::recorder::queue::{NextJob, StorageJob};
    use crate::pipeline::recorder::storage::Storage;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A task with an interval, and what it works with.
    struct Rig {
        video: Broadcast<EncodedFrame>,
        publisher: StatusPublisher,
        storage: Storage,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Rig {
        fn start(every: Duration) -> Self {
            Self::start_with(Broadcast::new(32), every)
        }

        fn start_with(video: Broadcast<EncodedFrame>, every: Duration) -> Self {
            let publisher = StatusPublisher::new(Status::default());
            let storage = Storage::new(1, publisher.clone()).for_timelapses(1);
            let rules = FilmRules { writer: 1, fps: 25, max_bytes: u64::MAX };
            let stop = CancellationToken::new();
            let task = TimelapseTask {
                camera: 0,
                video: video.clone(),
                every,
                film: Film::new(rules, storage.clone(), Metrics::new()),
                status: publisher.watch(),
                health: storage.watch(),
                stop: stop.clone(),
                failures: 0,
            };
            Self { video, publisher, storage, stop, task: tokio::spawn(task.run()) }
        }

        /// The next job of the storage thread; sends frames of the camera until there is one.
        async fn next(&self, frame: &EncodedFrame) -> StorageJob {
            let deadline = Instant::now() + LIMIT;
            loop {
                match self.storage.queue.pop(Duration::ZERO) {
                    NextJob::Job(job) => return job,
                    _ => assert!(Instant::now() < deadline, "nothing is stored"),
                }
                self.video.publish(EncodedFrame { captured: Timestamp::now(), ..frame.clone() });
                tokio::task::yield_now().await;
            }
        }

        async fn until(&self, what: &str, met: impl Fn(&Self) -> bool) {
            let deadline = Instant::now() + LIMIT;
            while !met(self) {
                assert!(Instant::now() < deadline, "{what}");
                tokio::task::yield_now().await;
            }
        }
    }

    fn frame(key: bool, placeholder: bool) -> EncodedFrame {
        let sps = [0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80];
        let data = [&sps[..], &[0, 0, 1, 0x68, 0xce, 0x3c, 0x80], &[0, 0, 1, 0x65, 1, 1]].concat().into();
        EncodedFrame { placeholder, ..EncodedFrame::new(Timestamp::now(), key, data) }
    }

    #[test]
    fn pictures_keep_their_rhythm() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let every = 10 * second;
        assert_eq!(next_due(start, every, start), start + every);
        assert_eq!(next_due(start, every, start + 3 * second), start + every);
        assert_eq!(next_due(start, every, start + 10 * second), start + 2 * every);
        assert_eq!(next_due(start, every, start + 95 * second), start + 10 * every);
        assert_eq!(next_due(start + every, every, start), start + every);
    }

    #[tokio::test]
    async fn the_camera_is_encoded_only_while_a_picture_is_taken() {
        let rig = Rig::start(Duration::from_secs(60));
        rig.until("a picture is due", |rig| rig.video.subscribers() == 1).await;
        rig.until("a key frame is requested", |rig| rig.video.take_refresh_request()).await;
        // A frame that depends on others is none.
        rig.video.publish(frame(false, false));
        assert!(matches!(rig.next(&frame(true, false)).await, StorageJob::Begin(_)));
        assert!(matches!(rig.next(&frame(true, false)).await, StorageJob::Append(1, _)));
        rig.until("nothing is encoded", |rig| rig.video.subscribers() == 0).await;
        assert_eq!(rig.video.demand().guards(), 1, "the camera stays open");
        rig.stop.cancel();
        rig.task.await.expect("it should end");
        assert!(matches!(rig.storage.queue.pop(Duration::ZERO), NextJob::Job(StorageJob::End(1))));
        let rare = Rig::start(Duration::from_secs(61));
        rare.next(&frame(true, false)).await;
        rare.until("the camera is closed", |rig| rig.video.demand().guards() == 0).await;
    }

    #[tokio::test]
    async fn a_key_frame_that_comes_anyway_is_taken_and_otherwise_one_is_requested() {
        let video = Broadcast::new(32);
        let _watching = video.subscribe();
        let begun = Instant::now();
        let rig = Rig::start_with(video.clone(), Duration::from_secs(3_600));
        rig.until("a picture is due", |rig| rig.video.subscribers() == 2).await;
        rig.next(&frame(true, false)).await;
        rig.until("it is taken", |rig| rig.video.subscribers() == 1).await;
        assert!(!video.refresh_requested() || begun.elapsed() >= MAX_PATIENCE);
        video.take_refresh_request();
        let (every, begun) = (Duration::from_millis(400), Instant::now());
        let rig = Rig::start_with(video, every);
        rig.until("a key frame is requested", |rig| rig.video.take_refresh_request()).await;
        assert!(begun.elapsed() >= every / PATIENCE_SHARE);
    }

    #[tokio::test]
    async fn there_are_no_pictures_of_a_placeholder_nor_with_the_privacy_switch() {
        let rig = Rig::start(Duration::from_millis(20));
        rig.until("a picture is due", |rig| rig.video.subscribers() == 1).await;
        rig.video.publish(frame(true, true));
        assert!(matches!(rig.next(&frame(true, false)).await, StorageJob::Begin(_)));
        rig.publisher.privacy(true);
        let is_end = |rig: &Rig| matches!(rig.storage.queue.pop(Duration::ZERO), NextJob::Job(StorageJob::End(1)));
        rig.until("the film ends", is_end).await;
        assert_eq!(rig.video.subscribers(), 0);
        rig.video.publish(frame(true, false));
        rig.publisher.privacy(false);
        assert!(matches!(rig.next(&frame(true, false)).await, StorageJob::Begin(_)), "another one");
        // The switch is on for the camera, and the status has not told so yet.
        rig.video.demand().set_blocked(true);
        rig.until("a picture is due", |rig| rig.video.subscribers() == 1).await;
        while let NextJob::Job(_) = rig.storage.queue.pop(Duration::ZERO) {}
        rig.video.publish(frame(true, false));
        rig.publisher.privacy(true);
        let deadline = Instant::now() + LIMIT;
        let job = loop {
            assert!(Instant::now() < deadline, "the film does not end");
            match rig.storage.queue.pop(Duration::ZERO) {
                NextJob::Job(job) => break job,
                _ => tokio::task::yield_now().await,
            }
        };
        assert!(matches!(job, StorageJob::End(1)), "{job:?}");
    }
}
