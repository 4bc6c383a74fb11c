//! Recording to files on this machine: one task for each camera, which subscribes to its encoded frames and the audio like any
//! viewer, and to its motion, and one thread that writes for all of them.
//!
//! ```text
//! Broadcast<EncodedFrame>, Broadcast<AudioPacket>, Broadcast<MotionEvent>
//!      | camera (task) -> machine (event) -> pre_roll | media::mp4
//!      v
//! queue (bounded) -> storage (thread) -> library (directory)
//! ```
//!
//! A time-lapse is made of single key frames in the same way: `timelapse` (task) -> `film` -> queue.
//!
//! Nothing waits for the card. Who may see recordings, and HTTP, are in `server`.

mod camera;
mod clock;
mod event;
mod film;
mod keep;
mod library;
mod machine;
mod name;
mod picture;
mod pre_roll;
mod queue;
mod storage;
pub mod timelapse;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use camera::{CameraRecorder, RecordCommand};
use film::{Film, FilmRules};
use keep::{KeepLimits, KeepRules};
pub use library::{Library, RecordingError, StoredRecording};
use machine::{RecordingMachine, RecordingRules};
use name::FileKind;
use queue::StorageQueue;
use storage::{Storage, StorageThread, Writer};
use timelapse::TimelapseTask;

use crate::media::{AudioPacket, EncodedFrame};
use crate::model::metrics::Metrics;
use crate::model::protocol::MotionEvent;
use crate::model::status::{CameraRecording, RecordingStatus, StatusPublisher};
use crate::util::broadcast::Broadcast;
use crate::util::thread::MediaThread;

/// Commands that may wait for a camera's task, which does nothing that takes long.
const MAX_COMMANDS: usize = 8;

/// How long the tasks may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The least that a file has before another one begins because of its size, whatever `keep_bytes` is.
const MIN_FILE: u64 = 1_000_000;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordingMode {
    /// Nothing.
    #[default]
    Off,
    /// Everything.
    Always,
    /// What an operator starts and stops.
    Manual,
    /// The same, and motion.
    Events,
}

impl RecordingMode {
    /// Its name in the configuration and the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Always => "always",
            Self::Manual => "manual",
            Self::Events => "events",
        }
    }

    /// Whether events are recorded, and not everything.
    fn has_events(self) -> bool {
        matches!(self, Self::Manual | Self::Events)
    }
}

/// Recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What is recorded.
    pub mode: RecordingMode,
    /// Where; `None` for a subdirectory of the state directory.
    pub directory: Option<PathBuf>,
    /// Whether the audio is.
    pub audio: bool,
    /// Whether viewers may see recordings, and not operators alone.
    pub viewers_may_see: bool,
    /// After how many minutes another file begins.
    pub file_minutes: u32,
    /// The seconds before an event that are recorded too.
    pub before: u32,
    /// The seconds after it.
    pub after: u32,
    /// How many seconds may pass until what was written is on the card.
    pub sync: u32,
    /// The most bytes of all recordings; zero for as many as there is space for.
    pub keep_bytes: u64,
    /// The most days that a recording is kept; zero for as long as there is space.
    pub keep_days: u32,
    /// Bytes that stay free for others.
    pub min_free: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: RecordingMode::Off,
            directory: None,
            audio: true,
            viewers_may_see: false,
            file_minutes: 60,
            before: 10,
            after: 10,
            sync: 5,
            keep_bytes: 8_000_000_000,
            keep_days: 30,
            min_free: 1_000_000_000,
        }
    }
}

impl Config {
    fn limits(&self) -> KeepLimits {
        KeepLimits {
            bytes: (self.keep_bytes > 0).then_some(self.keep_bytes),
            age: (self.keep_days > 0).then(|| Duration::from_secs(86_400 * u64::from(self.keep_days))),
            min_free: self.min_free,
        }
    }

    fn rules(&self, source: &RecorderSource, cameras: usize) -> RecordingRules {
        RecordingRules {
            camera: source.index,
            always: self.mode == RecordingMode::Always,
            before: if self.mode.has_events() { seconds(self.before) } else { Duration::ZERO },
            after: seconds(self.after),
            max_length: seconds(60 * self.file_minutes),
            max_bytes: max_file(self.keep_bytes, cameras),
            channels: source.audio.is_some().then_some(source.channels),
        }
    }
}

/// The most bytes of a file: so that there are always files that have ended, which can be deleted to make room.
fn max_file(keep_bytes: u64, cameras: usize) -> u64 {
    let part = keep_bytes / (4 * cameras.max(1) as u64);
    if keep_bytes > 0 { part.max(MIN_FILE) } else { u64::MAX }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Something that counts as a viewer who can take the configured bitrate, for as long as it lives.
pub type RateHold = Box<dyn Send + Sync>;

/// What of a camera is recorded.
pub struct RecorderSource {
    /// The camera's index in the status.
    pub index: usize,
    /// The camera's name.
    pub name: String,
    /// The encoded frames.
    pub video: Broadcast<EncodedFrame>,
    /// The audio, if it has any and it shall be recorded.
    pub audio: Option<Broadcast<AudioPacket>>,
    /// Channels of the audio.
    pub channels: u8,
    /// Its motion, if that shall be recorded.
    pub motion: Option<Broadcast<MotionEvent>>,
    /// Keeps the bitrate from following slow viewers while it is recorded.
    pub hold_rate: Box<dyn Fn() -> RateHold + Send + Sync>,
}

/// Starts and stops recordings, and finds them; a cheap handle.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<RecorderInner>);

#[derive(Debug)]
struct RecorderInner {
    mode: RecordingMode,
    viewers_may_see: bool,
    library: Library,
    /// In the order of the status; empty if nothing is recorded on command.
    commands: Vec<mpsc::Sender<RecordCommand>>,
}

/// Why a recording is not started or stopped.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// Recording is off.
    #[error("recording is off; set [recording] mode = \"manual\" or \"events\" in the configuration")]
    Off,
    /// Everything is recorded.
    #[error("everything is recorded ([recording] mode = \"always\")")]
    Always,
    /// Too many commands at once.
    #[error("too many commands; try again in a moment")]
    Busy,
    /// The program is stopping.
    #[error("porthole is stopping")]
    Stopping,
}

impl Recorder {
    /// Finds recordings, and starts none: those that were made while recording was on can be seen when it is off.
    pub fn off(config: &Config, library: Library) -> Self {
        let (mode, viewers_may_see) = (config.mode, config.viewers_may_see);
        Self(Arc::new(RecorderInner { mode, viewers_may_see, library, commands: Vec::new() }))
    }

    /// The recordings.
    pub fn library(&self) -> &Library {
        &self.0.library
    }

    /// Whether viewers may see recordings, and not operators alone.
    pub fn viewers_may_see(&self) -> bool {
        self.0.viewers_may_see
    }

    /// Starts an event of the camera at `index`, or has it go on.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn start(&self, index: usize) -> Result<(), RecordError> {
        self.send(index, RecordCommand::Start)
    }

    /// Stops the event of the camera at `index`, if there is one: after the configured time, or at once if it was stopped
    /// before.
    ///
    /// # Errors
    ///
    /// See [`RecordError`].
    pub fn stop(&self, index: usize) -> Result<(), RecordError> {
        self.send(index, RecordCommand::Stop)
    }

    fn send(&self, index: usize, command: RecordCommand) -> Result<(), RecordError> {
        match self.0.mode {
            RecordingMode::Off => return Err(RecordError::Off),
            RecordingMode::Always => return Err(RecordError::Always),
            RecordingMode::Manual | RecordingMode::Events => {}
        }
        let commands = self.0.commands.get(index).ok_or(RecordError::Stopping)?;
        commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RecordError::Busy,
            mpsc::error::TrySendError::Closed(_) => RecordError::Stopping,
        })
    }
}

/// The status at the start; `None` when nothing is recorded, also no time-lapse, and there are no recordings of before.
pub fn initial_status(
    config: &Config,
    timelapse: &timelapse::Config,
    library: &Library,
    cameras: impl IntoIterator<Item = String>,
) -> Option<RecordingStatus> {
    let camera = |camera| CameraRecording { camera, ..CameraRecording::default() };
    let cameras = match config.mode {
        RecordingMode::Off if timelapse.every.is_none() && library.list().unwrap_or_default().is_empty() => {
            return None;
        }
        RecordingMode::Off => Vec::new(),
        RecordingMode::Always | RecordingMode::Manual | RecordingMode::Events => {
            cameras.into_iter().map(camera).collect()
        }
    };
    let allow = if config.viewers_may_see { "viewer" } else { "operator" };
    Some(RecordingStatus { mode: config.mode.name(), allow, cameras, ..RecordingStatus::default() })
}

/// Ends all recordings when it is stopped.
#[derive(Debug)]
pub struct Guard {
    tasks: TaskTracker,
    stop: CancellationToken,
    queue: StorageQueue,
    storage: Option<MediaThread>,
}

impl Guard {
    /// Ends the recordings; their files are written when the guard is dropped, which blocks.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("recordings did not end within {STOP_TIMEOUT:?}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
        self.queue.close();
        drop(self.storage.take());
    }
}

/// Starts to record these cameras, and their time-lapses, unless both are off.
///
/// # Errors
///
/// When the thread cannot be created.
pub fn start(
    config: &Config,
    timelapse: &timelapse::Config,
    library: Library,
    sources: Vec<RecorderSource>,
    metrics: &Metrics,
    publisher: &StatusPublisher,
) -> std::io::Result<(Recorder, Option<Guard>)> {
    let is_recording = config.mode != RecordingMode::Off;
    if !is_recording && timelapse.every.is_none() {
        return Ok((Recorder::off(config, library), None));
    }
    let count = sources.len();
    let recordings = Storage::new(count, publisher.clone());
    let timelapses = recordings.for_timelapses(count);
    let writers = [FileKind::Recording, FileKind::Timelapse].into_iter().flat_map(|kind| {
        sources.iter().map(move |source| Writer { name: source.name.clone(), camera: source.index, kind })
    });
    let thread = StorageThread::new(
        recordings.clone(),
        timelapses.clone(),
        library.clone(),
        writers.collect(),
        KeepRules { recordings: config.limits(), timelapses: timelapse.limits(config.min_free) },
        seconds(config.sync),
        metrics.clone(),
    );
    let thread = MediaThread::spawn("storage".into(), move || thread.run())?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut senders = Vec::new();
    for source in sources {
        let (status, stop) = (publisher.watch(), stop.clone());
        if let Some(every) = timelapse.every {
            let writer = count + source.index;
            let rules = FilmRules { writer, fps: timelapse.fps, max_bytes: max_file(timelapse.keep_bytes, count) };
            let task = TimelapseTask {
                camera: source.index,
                video: source.video.clone(),
                every,
                film: Film::new(rules, timelapses.clone(), metrics.clone()),
                status: status.clone(),
                health: timelapses.watch(),
                stop: stop.clone(),
                failures: 0,
            };
            tasks.spawn(task.run());
        }
        if is_recording {
            let (sender, commands) = mpsc::channel(MAX_COMMANDS);
            senders.push(sender);
            let machine = RecordingMachine::new(config.rules(&source, count), recordings.clone(), metrics.clone());
            let health = recordings.watch();
            tasks.spawn(CameraRecorder { source, machine, commands, status, health, stop, failures: 0 }.run());
        }
    }
    let inner =
        RecorderInner { mode: config.mode, viewers_may_see: config.viewers_may_see, library, commands: senders };
    let guard = Guard { tasks, stop, queue: recordings.queue, storage: Some(thread) };
    Ok((Recorder(Arc::new(inner)), Some(guard)))
}

#[cfg(test)]
mod tests;
