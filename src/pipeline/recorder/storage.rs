//! The storage thread: writes what waits in the queue, syncs it to the card, and makes room.
//!
//! It may wait for the card as long as it likes: nobody waits for it. What to write is decided in `camera`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::sync::watch;

use super::keep::{KeepLimits, KeptRecording, MissingRoom};
use super::library::{Library, seal};
use super::picture;
use super::queue::{BeginFile, NextJob, StorageJob, StorageQueue};
use crate::media::mp4::{FileHeader, FileIndex, Fragment};
use crate::model::metrics::{CameraLabel, DropPoint, Metrics};
use crate::model::status::StatusPublisher;
use crate::util::drop_log::DropLog;

/// How often old recordings are looked for although there is room.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// The same while nothing is recorded.
const IDLE_INTERVAL: Duration = Duration::from_secs(3_600);

/// How often a fault that lasts is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// After how many fragments a file shows that recordings can be stored again: on a card that is almost full one may fit.
const ENOUGH: u64 = 3;

/// How long the thread may go on writing what waits when the program stops: systemd kills it after 15 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What recorders know of the storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageHealth {
    /// How many files of each camera could not be written to their end, by the camera's index.
    pub failures: Vec<u64>,
    /// Why recordings cannot be stored.
    pub fault: Option<String>,
}

/// The storage, for the recorders of cameras; a cheap handle.
#[derive(Debug, Clone)]
pub struct Storage {
    /// What waits to be written.
    pub queue: StorageQueue,
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
    /// Storage for so many cameras, which tells its faults in the status.
    pub fn new(cameras: usize, status: StatusPublisher) -> Self {
        let health = StorageHealth { failures: vec![0; cameras], fault: None };
        Self {
            queue: StorageQueue::default(),
            health: Arc::new(watch::Sender::new(health)),
            status,
            log: Arc::new(FaultLog { limit: DropLog::every(LOG_INTERVAL), is_logged: AtomicBool::new(false) }),
        }
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
                tracing::warn!("recording stops, and is tried again: {fault}");
            }
            None if changed && self.log.is_logged.swap(false, Ordering::Relaxed) => {
                tracing::info!("recordings can be stored again");
            }
            _ => {}
        }
        self.status.recording_fault(fault);
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

/// The thread's state.
pub struct StorageThread {
    storage: Storage,
    library: Library,
    /// The cameras' names.
    cameras: Vec<String>,
    limits: KeepLimits,
    sync: Duration,
    metrics: Metrics,
    /// The files that are being written, by the camera's index.
    open: BTreeMap<usize, OpenFile>,
    /// Bytes of all recordings, as far as is known.
    total: u64,
    next_sync: Instant,
    next_cleanup: Instant,
}

/// A file that is being written.
struct OpenFile {
    number: u64,
    file: File,
    header: FileHeader,
    index: FileIndex,
    is_synced: bool,
    /// How many fragments were written.
    fragments: u64,
}

impl StorageThread {
    pub fn new(
        storage: Storage,
        library: Library,
        cameras: Vec<String>,
        limits: KeepLimits,
        sync: Duration,
        metrics: Metrics,
    ) -> Self {
        let now = Instant::now();
        Self {
            storage,
            library,
            cameras,
            limits,
            sync,
            metrics,
            open: BTreeMap::new(),
            total: 0,
            next_sync: now,
            next_cleanup: now,
        }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        self.library.recover();
        self.remove_old();
        loop {
            let limit = if self.open.is_empty() { IDLE_INTERVAL } else { self.sync };
            match self.storage.queue.pop(limit) {
                NextJob::Job(job) => self.handle(job),
                NextJob::TimedOut if self.open.is_empty() => self.remove_old(),
                NextJob::TimedOut => {}
                NextJob::Closed => break,
            }
            if !self.open.is_empty() && Instant::now() >= self.next_sync {
                self.sync();
                self.next_sync = Instant::now() + self.sync;
            }
        }
        let cameras: Vec<usize> = self.open.keys().copied().collect();
        cameras.into_iter().for_each(|camera| self.end(camera));
    }

    fn handle(&mut self, job: StorageJob) {
        let is_late = self.storage.queue.closed_since().is_some_and(|since| since.elapsed() > STOP_TIMEOUT);
        match job {
            StorageJob::Begin(_) | StorageJob::Append(..) if is_late => {
                self.metrics.count_drop(DropPoint::Recorder, 1);
            }
            StorageJob::Begin(begin) => {
                let camera = begin.camera;
                self.end(camera);
                if let Err(error) = self.begin(*begin) {
                    self.failed(camera, &error);
                }
            }
            StorageJob::Append(camera, fragment) => {
                if let Err(error) = self.append(camera, &fragment) {
                    self.failed(camera, &error);
                }
            }
            StorageJob::End(camera) => self.end(camera),
        }
    }

    fn begin(&mut self, begin: BeginFile) -> anyhow::Result<()> {
        let BeginFile { camera, start, cause, header, first } = begin;
        if self.storage.health.borrow().fault.is_some() {
            // The card may have been away, with a file that was not ended.
            self.library.recover();
        }
        let name = self.name(camera).to_owned();
        let (recording, file) = self.library.create(&name, start, cause)?;
        let number = recording.number;
        let index = FileIndex::new(header.data.len() as u64);
        let written = self
            .make_room()
            .and_then(|()| file.write_all_at(&header.data, 0).with_context(|| format!("write recording {number}")));
        if let Err(error) = written {
            self.library.abandon(number, true);
            return Err(error);
        }
        self.wrote(header.data.len());
        self.open.insert(camera, OpenFile { number, file, header, index, is_synced: false, fragments: 0 });
        let picture = picture::of(&first).and_then(|jpeg| self.library.add_picture(number, &jpeg));
        picture.unwrap_or_else(|error| tracing::debug!("no picture of recording {number}: {error:#}"));
        // Whoever is told finds its picture.
        self.storage.status.recording(camera, Some((number, cause.name(), recording.start)));
        self.metrics.recording.get_or_create(&label(&name)).set(1);
        Ok(())
    }

    fn append(&mut self, camera: usize, fragment: &Fragment) -> anyhow::Result<()> {
        // Its file could not be written before.
        let Some(open) = self.open.get_mut(&camera) else {
            self.metrics.count_drop(DropPoint::Recorder, 1);
            return Ok(());
        };
        let written = open.file.write_all_at(&fragment.data, open.index.bytes());
        written.with_context(|| format!("write recording {}", open.number))?;
        open.index.push(fragment);
        open.is_synced = false;
        open.fragments += 1;
        let works = open.fragments >= ENOUGH;
        self.wrote(fragment.data.len());
        if works && self.storage.queue.has_room() {
            self.storage.report(None);
        }
        if self.limits.bytes.is_some_and(|limit| self.total > limit) || Instant::now() >= self.next_cleanup {
            self.make_room()?;
        }
        Ok(())
    }

    fn wrote(&mut self, bytes: usize) {
        self.total += bytes as u64;
        self.metrics.recorded.inc_by(bytes as u64);
    }

    /// Ends a camera's file, if it has one.
    fn end(&mut self, camera: usize) {
        let Some(open) = self.open.remove(&camera) else { return };
        if open.index.is_empty() {
            self.library.abandon(open.number, true);
        } else if let Err(error) = self.close(open) {
            self.storage.report(Some(format!("{error:#}")));
        }
        // Whoever is told finds it in the list as one that has ended.
        self.show_end(camera);
    }

    /// Makes a file one that has ended, as far as it is whole.
    fn close(&self, open: OpenFile) -> anyhow::Result<()> {
        let OpenFile { number, file, header, index, .. } = open;
        // After a failed write, part of a fragment may follow.
        let sealed = file.set_len(index.bytes()).and_then(|()| seal(&file, &header, &index));
        let named = sealed.with_context(|| format!("end recording {number}"));
        named.and_then(|()| self.library.finish(number, index.length())).inspect_err(|_| {
            // It is ended when the card is back, or at the next start.
            self.library.abandon(number, false);
        })
    }

    /// A camera's file cannot be written: it ends, and the recorder is told.
    fn failed(&mut self, camera: usize, error: &anyhow::Error) {
        self.metrics.recording_failures.inc();
        if let Some(open) = self.open.remove(&camera) {
            self.show_end(camera);
            let number = open.number;
            match open.index.is_empty() {
                true => self.library.abandon(number, true),
                false => self.close(open).unwrap_or_else(|error| tracing::debug!("recording {number}: {error:#}")),
            }
        }
        self.storage.report(Some(format!("{error:#}")));
        self.storage.count_failure(camera);
    }

    fn show_end(&self, camera: usize) {
        self.storage.status.recording(camera, None);
        self.metrics.recording.get_or_create(&label(self.name(camera))).set(0);
    }

    fn name(&self, camera: usize) -> &str {
        self.cameras.get(camera).map_or("camera", String::as_str)
    }

    /// Syncs what was written since the last time, and looks whether others need the space.
    fn sync(&mut self) {
        let unsynced = |open: &(&usize, &OpenFile)| !open.1.is_synced;
        let cameras: Vec<usize> = self.open.iter().filter(unsynced).map(|(camera, _)| *camera).collect();
        for camera in cameras {
            let Some(open) = self.open.get_mut(&camera) else { continue };
            open.is_synced = true;
            let synced = open.file.sync_data().with_context(|| format!("write recording {}", open.number));
            if let Err(error) = synced.and_then(|()| self.library.check_file(&open.file)) {
                self.failed(camera, &error);
            }
        }
        let free = self.library.free_bytes().unwrap_or(u64::MAX);
        let is_due = free < self.limits.min_free || Instant::now() >= self.next_cleanup;
        if is_due && let Err(error) = self.make_room() {
            let cameras: Vec<usize> = self.open.keys().copied().collect();
            cameras.into_iter().for_each(|camera| self.failed(camera, &error));
        }
    }

    /// Deletes old recordings while nothing is recorded: whether there is room matters with the next one.
    fn remove_old(&mut self) {
        if let Err(error) = self.make_room() {
            tracing::debug!("old recordings: {error:#}");
        }
    }

    /// Deletes old recordings as the limits ask.
    ///
    /// # Errors
    ///
    /// When there is no room, and nothing else may be deleted.
    fn make_room(&mut self) -> anyhow::Result<()> {
        self.next_cleanup = Instant::now() + CLEANUP_INTERVAL;
        let recordings = self.library.list()?;
        let kept = recordings.iter().map(|recording| KeptRecording {
            number: recording.name.number,
            bytes: recording.bytes,
            end: recording.name.end(),
            stays: recording.is_running || recording.name.protected,
        });
        let kept: Vec<KeptRecording> = kept.collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        self.total = kept.iter().map(|recording| recording.bytes).sum();
        let cleanup = self.limits.cleanup(kept, now, self.library.free_bytes()?);
        for number in cleanup.delete {
            match self.library.delete(number) {
                Ok(()) => {
                    let of = recordings.iter().find(|recording| recording.name.number == number);
                    self.total -= of.map_or(0, |recording| recording.bytes);
                }
                Err(error) => tracing::warn!("recording {number} is not deleted to make room: {error}"),
            }
        }
        match cleanup.missing {
            None => Ok(()),
            Some(MissingRoom::Bytes) => {
                anyhow::bail!("protected recordings take all of [recording] keep_bytes; delete some, or raise it")
            }
            Some(MissingRoom::Free) => {
                let megabytes = self.limits.min_free / 1_000_000;
                anyhow::bail!("less than {megabytes} MB are free; make room, or lower [recording] min_free")
            }
        }
    }
}

fn label(camera: &str) -> CameraLabel {
    CameraLabel { camera: camera.into() }
}
