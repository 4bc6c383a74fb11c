//! The storage as recorders know it: where they put what is to be written, and what is told of its faults.
//!
//! What becomes of it is in `thread`, and how old recordings make room in `room`; what to write is decided in `camera` and `timelapse`.

mod room;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::name::FileKind;
use super::queue::StorageQueue;
use crate::model::status::StatusPublisher;
use crate::util::drop_log::DropLog;

pub use thread::{StorageThread, Writer};

/// How often a fault that lasts is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What recorders know of the storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageHealth {
    /// How many files of each camera could not be written to their end, by the camera's index.
    pub failures: Vec<u64>,
    /// Why recordings cannot be stored.
    pub fault: Option<String>,
}

/// The storage, for the recorders of cameras or for their time-lapses; a cheap handle.
#[derive(Debug, Clone)]
pub struct Storage {
    /// What waits to be written.
    pub queue: StorageQueue,
    kind: FileKind,
    health: Arc<watch::Sender<StorageHealth>>,
    status: StatusPublisher,
    log: Arc<FaultLog>,
}

/// What of the faults was logged.
#[derive(Debug)]
struct FaultLog {
    limit: DropLog,
    /// Whether the current fault was.
    is_logged: AtomicBool,
}

impl Storage {
    /// Storage for recordings of so many cameras, which tells its faults in the status.
    pub fn new(cameras: usize, status: StatusPublisher) -> Self {
        Self::with(StorageQueue::default(), FileKind::Recording, cameras, status)
    }

    /// The same storage for time-lapses, whose faults are their own.
    pub fn for_timelapses(&self, cameras: usize) -> Self {
        Self::with(self.queue.clone(), FileKind::Timelapse, cameras, self.status.clone())
    }

    fn with(queue: StorageQueue, kind: FileKind, cameras: usize, status: StatusPublisher) -> Self {
        let health = StorageHealth { failures: vec![0; cameras], fault: None };
        let log = FaultLog { limit: DropLog::every(LOG_INTERVAL), is_logged: AtomicBool::new(false) };
        Self { queue, kind, health: Arc::new(watch::Sender::new(health)), status, log: Arc::new(log) }
    }

    /// Follows its health.
    pub fn watch(&self) -> watch::Receiver<StorageHealth> {
        self.health.subscribe()
    }

    /// Says why recordings cannot be stored, or that they can.
    pub fn report(&self, fault: Option<String>) {
        let changed = self.health.send_if_modified(|health| {
            let changed = health.fault.is_some() != fault.is_some();
            health.fault.clone_from(&fault);
            changed
        });
        match &fault {
            Some(fault) if changed && self.log.limit.note(1, Instant::now()).is_some() => {
                self.log.is_logged.store(true, Ordering::Relaxed);
                tracing::warn!("{} stops, and is tried again: {fault}", self.words().0);
            }
            None if changed && self.log.is_logged.swap(false, Ordering::Relaxed) => {
                tracing::info!("{} can be stored again", self.words().1);
            }
            _ => {}
        }
        match self.kind {
            FileKind::Recording => self.status.recording_fault(fault),
            FileKind::Timelapse => self.status.timelapse_fault(fault),
        }
    }

    /// Says that more comes than the card can take.
    pub fn report_slow(&self) {
        self.report(Some("the card is too slow; a lower bitrate or another card would help".into()));
    }

    /// What is stored, for the log: as an activity, and as things.
    fn words(&self) -> (&'static str, &'static str) {
        match self.kind {
            FileKind::Recording => ("recording", "recordings"),
            FileKind::Timelapse => ("the time-lapse", "time-lapses"),
        }
    }

    /// Counts that a file of a camera was not written to its end.
    fn count_failure(&self, camera: usize) {
        self.health.send_modify(|health| {
            if let Some(count) = health.failures.get_mut(camera) {
                *count += 1;
            }
        });
    }
}
