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

use super::keep::{KeepRules, KeptRecording, MissingRoom};
use super::library::{Library, seal};
use super::name::FileKind;
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

/// What writes files, one after another: the recorder of a camera, or its time-lapse.
#[derive(Debug, Clone)]
pub struct Writer {
    /// The camera's name.
    pub name: String,
    /// The camera's index.
    pub camera: usize,
    /// What is in its files.
    pub kind: FileKind,
}

/// The thread's state.
pub struct StorageThread {
    recordings: Storage,
    timelapses: Storage,
    library: Library,
    writers: Vec<Writer>,
    rules: KeepRules,
    sync: Duration,
    metrics: Metrics,
    /// The files that are being written, by the writer's index.
    open: BTreeMap<usize, OpenFile>,
    /// Bytes of all recordings and of all time-lapses, as far as is known.
    totals: [u64; 2],
    /// What is missing for each of them.
    missing: [Option<MissingRoom>; 2],
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
        recordings: Storage,
        timelapses: Storage,
        library: Library,
        writers: Vec<Writer>,
        rules: KeepRules,
        sync: Duration,
        metrics: Metrics,
    ) -> Self {
        let now = Instant::now();
        Self {
            recordings,
            timelapses,
            library,
            writers,
            rules,
            sync,
            metrics,
            open: BTreeMap::new(),
            totals: [0; 2],
            missing: [None; 2],
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
            match self.recordings.queue.pop(limit) {
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
        let writers: Vec<usize> = self.open.keys().copied().collect();
        writers.into_iter().for_each(|writer| self.end(writer));
    }

    fn handle(&mut self, job: StorageJob) {
        let is_late = self.recordings.queue.closed_since().is_some_and(|since| since.elapsed() > STOP_TIMEOUT);
        match job {
            StorageJob::Begin(_) | StorageJob::Append(..) if is_late => {
                self.metrics.count_drop(DropPoint::Recorder, 1);
            }
            StorageJob::Begin(begin) => {
                let writer = begin.writer;
                self.end(writer);
                if let Err(error) = self.begin(*begin) {
                    self.failed(writer, &error);
                }
            }
            StorageJob::Append(writer, fragment) => {
                if let Err(error) = self.append(writer, &fragment) {
                    self.failed(writer, &error);
                }
            }
            StorageJob::End(writer) => self.end(writer),
        }
    }

    fn begin(&mut self, begin: BeginFile) -> anyhow::Result<()> {
        let BeginFile { writer, start, cause, header, first } = begin;
        if self.storage(writer).health.borrow().fault.is_some() {
            // The card may have been away, with a file that was not ended.
            self.library.recover();
        }
        let (recording, file) = self.library.create(self.name(writer), start, cause)?;
        let number = recording.number;
        let index = FileIndex::new(header.data.len() as u64);
        let written = self
            .make_room_for(writer)
            .and_then(|()| file.write_all_at(&header.data, 0).with_context(|| format!("write recording {number}")));
        if let Err(error) = written {
            self.library.abandon(number, true);
            return Err(error);
        }
        self.wrote(writer, header.data.len());
        self.open.insert(writer, OpenFile { number, file, header, index, is_synced: false, fragments: 0 });
        let picture = picture::of(&first).and_then(|jpeg| self.library.add_picture(number, &jpeg));
        picture.unwrap_or_else(|error| tracing::debug!("no picture of recording {number}: {error:#}"));
        // Whoever is told finds its picture.
        self.show(writer, Some((number, cause.name(), recording.start)));
        Ok(())
    }

    fn append(&mut self, writer: usize, fragment: &Fragment) -> anyhow::Result<()> {
        // Its file could not be written before.
        let Some(open) = self.open.get_mut(&writer) else {
            self.metrics.count_drop(DropPoint::Recorder, 1);
            return Ok(());
        };
        let written = open.file.write_all_at(&fragment.data, open.index.bytes());
        written.with_context(|| format!("write recording {}", open.number))?;
        open.index.push(fragment);
        open.is_synced = false;
        open.fragments += 1;
        let works = open.fragments >= ENOUGH;
        self.wrote(writer, fragment.data.len());
        if works && self.recordings.queue.has_room() {
            self.storage(writer).report(None);
        }
        let kind = self.kind(writer);
        if kind == FileKind::Timelapse {
            let label = CameraLabel { camera: self.name(writer).to_owned() };
            self.metrics.timelapse_pictures.get_or_create(&label).inc();
        }
        let is_full = self.rules.of(kind).bytes.is_some_and(|limit| self.totals[kind as usize] > limit);
        if is_full || Instant::now() >= self.next_cleanup {
            self.make_room_for(writer)?;
        }
        Ok(())
    }

    fn wrote(&mut self, writer: usize, bytes: usize) {
        self.totals[self.kind(writer) as usize] += bytes as u64;
        self.metrics.recorded.inc_by(bytes as u64);
    }

    /// Ends a writer's file, if it has one.
    fn end(&mut self, writer: usize) {
        let Some(open) = self.open.remove(&writer) else { return };
        if open.index.is_empty() {
            self.library.abandon(open.number, true);
        } else if let Err(error) = self.close(open) {
            self.storage(writer).report(Some(format!("{error:#}")));
        }
        // Whoever is told of the end finds the whole file.
        self.show(writer, None);
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

    /// A writer's file cannot be written: it ends, and the writer is told.
    fn failed(&mut self, writer: usize, error: &anyhow::Error) {
        self.metrics.recording_failures.inc();
        if let Some(open) = self.open.remove(&writer) {
            let number = open.number;
            match open.index.is_empty() {
                true => self.library.abandon(number, true),
                false => self.close(open).unwrap_or_else(|error| tracing::debug!("recording {number}: {error:#}")),
            }
            self.show(writer, None);
        }
        self.storage(writer).report(Some(format!("{error:#}")));
        if let Some(Writer { camera, .. }) = self.writers.get(writer) {
            self.storage(writer).count_failure(*camera);
        }
    }

    /// Tells which file of a writer is being written: its number, cause and start.
    fn show(&self, writer: usize, file: Option<(u64, &'static str, i64)>) {
        let Some(Writer { name, camera, kind }) = self.writers.get(writer) else { return };
        match kind {
            FileKind::Recording => {
                self.recordings.status.recording(*camera, file);
                let label = CameraLabel { camera: name.clone() };
                self.metrics.recording.get_or_create(&label).set(file.is_some().into());
            }
            FileKind::Timelapse => {
                self.recordings.status.timelapse(*camera, file.map(|(number, _, start)| (number, start)))
            }
        }
    }

    fn name(&self, writer: usize) -> &str {
        self.writers.get(writer).map_or("camera", |writer| &writer.name)
    }

    fn kind(&self, writer: usize) -> FileKind {
        self.writers.get(writer).map_or(FileKind::Recording, |writer| writer.kind)
    }

    /// Where the faults of a writer are told.
    fn storage(&self, writer: usize) -> &Storage {
        match self.kind(writer) {
            FileKind::Recording => &self.recordings,
            FileKind::Timelapse => &self.timelapses,
        }
    }

    /// Syncs what was written since the last time, and looks whether others need the space.
    fn sync(&mut self) {
        let unsynced = |open: &(&usize, &OpenFile)| !open.1.is_synced;
        let writers: Vec<usize> = self.open.iter().filter(unsynced).map(|(writer, _)| *writer).collect();
        for writer in writers {
            let Some(open) = self.open.get_mut(&writer) else { continue };
            open.is_synced = true;
            let synced = open.file.sync_data().with_context(|| format!("write recording {}", open.number));
            if let Err(error) = synced.and_then(|()| self.library.check_file(&open.file)) {
                self.failed(writer, &error);
            }
        }
        let free = self.library.free_bytes().unwrap_or(u64::MAX);
        if free < self.rules.recordings.min_free || Instant::now() >= self.next_cleanup {
            let made = self.make_room();
            let writers: Vec<usize> = self.open.keys().copied().collect();
            for writer in writers {
                let room = made.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"));
                if let Err(error) = room.and_then(|()| self.check_room(writer)) {
                    self.failed(writer, &error);
                }
            }
        }
    }

    /// Deletes old recordings while nothing is recorded: whether there is room matters with the next one.
    fn remove_old(&mut self) {
        if let Err(error) = self.make_room() {
            tracing::debug!("old recordings: {error:#}");
        }
    }

    /// Deletes old recordings as the limits ask, for what this writer adds.
    ///
    /// # Errors
    ///
    /// When there is no room for it, and nothing else may be deleted.
    fn make_room_for(&mut self, writer: usize) -> anyhow::Result<()> {
        self.make_room()?;
        self.check_room(writer)
    }

    /// Deletes old recordings as the limits ask.
    fn make_room(&mut self) -> anyhow::Result<()> {
        self.next_cleanup = Instant::now() + CLEANUP_INTERVAL;
        let recordings = self.library.list()?;
        let kept = recordings.iter().map(|recording| KeptRecording {
            number: recording.name.number,
            kind: recording.name.cause.kind(),
            bytes: recording.bytes,
            end: recording.name.end(),
            stays: recording.is_running || recording.name.protected,
        });
        let kept: Vec<KeptRecording> = kept.collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        self.totals = [0; 2];
        kept.iter().for_each(|recording| self.totals[recording.kind as usize] += recording.bytes);
        let cleanups = self.rules.cleanup(kept.clone(), now, self.library.free_bytes()?);
        self.missing = cleanups.each_ref().map(|cleanup| cleanup.missing);
        for number in cleanups.into_iter().flat_map(|cleanup| cleanup.delete) {
            match self.library.delete(number) {
                Ok(()) => {
                    let deleted = kept.iter().filter(|recording| recording.number == number);
                    deleted.for_each(|recording| self.totals[recording.kind as usize] -= recording.bytes);
                }
                Err(error) => tracing::warn!("recording {number} is not deleted to make room: {error}"),
            }
        }
        Ok(())
    }

    /// Checks that there was room for what a writer adds.
    fn check_room(&self, writer: usize) -> anyhow::Result<()> {
        let kind = self.kind(writer);
        match (self.missing[kind as usize], kind) {
            (None, _) => Ok(()),
            (Some(MissingRoom::Bytes), FileKind::Recording) => {
                anyhow::bail!("protected recordings take all of [recording] keep_bytes; delete some, or raise it")
            }
            (Some(MissingRoom::Bytes), FileKind::Timelapse) => {
                anyhow::bail!("protected time-lapses take all of [timelapse] keep_bytes; delete some, or raise it")
            }
            (Some(MissingRoom::Free), _) => {
                let megabytes = self.rules.recordings.min_free / 1_000_000;
                anyhow::bail!("less than {megabytes} MB are free; make room, or lower [recording] min_free")
            }
        }
    }
}
