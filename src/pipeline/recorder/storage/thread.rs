//! The storage thread: writes what waits in the queue, syncs it to the card, and makes room.
//!
//! It may wait for the card as long as it likes: nobody waits for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::Storage;
use super::room::Room;
use crate::media::Timestamp;
use crate::media::mp4::{FileHeader, FileIndex, Fragment};
use crate::model::metrics::{CameraLabel, DropPoint, Metrics};
use crate::pipeline::recorder::clock::ClockSetting;
use crate::pipeline::recorder::keep::{KeepRules, MissingRoom};
use crate::pipeline::recorder::library::{Library, seal};
use crate::pipeline::recorder::name::FileKind;
use crate::pipeline::recorder::picture;
use crate::pipeline::recorder::queue::{BeginFile, NextJob, StorageJob};
use crate::util::malloc;

/// How often old recordings are looked for although there is room.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// The same while nothing is recorded.
const IDLE_INTERVAL: Duration = Duration::from_secs(3_600);

/// How often it is looked meanwhile whether the clock was set.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// After how many fragments a file shows that recordings can be stored again: on a card that is almost full one may fit.
const ENOUGH: u64 = 3;

/// How long the thread may go on writing what waits when the program stops: systemd kills it after 15 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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
    room: Room,
    next_sync: Instant,
    /// When old recordings were looked for last.
    cleaned: Instant,
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
            room: Room::default(),
            next_sync: now,
            cleaned: now,
        }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        self.library.recover();
        self.remove_old();
        loop {
            let limit = if self.open.is_empty() { CLOCK_INTERVAL } else { self.sync };
            match self.recordings.queue.pop(limit) {
                NextJob::Job(job) => self.handle(job),
                NextJob::TimedOut if self.open.is_empty() => self.rest(),
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
        let BeginFile { writer, cause, header, first } = begin;
        if self.storage(writer).health.borrow().fault.is_some() {
            // The card may have been away, with a file that was not ended.
            self.library.recover();
        }
        self.follow_clock();
        let (age, now) = (Timestamp::now().saturating_since(first.captured), SystemTime::now());
        let start = now.checked_sub(age).unwrap_or(now);
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
        // The decoder of a picture of 1280x720 takes 16 MB, which nothing else needs.
        malloc::trim();
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
        let is_full = self.rules.of(kind).bytes.is_some_and(|limit| self.room.totals[kind as usize] > limit);
        if is_full || self.cleaned.elapsed() >= CLEANUP_INTERVAL {
            self.make_room_for(writer)?;
        }
        Ok(())
    }

    fn wrote(&mut self, writer: usize, bytes: usize) {
        self.room.totals[self.kind(writer) as usize] += bytes as u64;
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

    /// Has the recordings of this run told by the clock as it is now, if it was set.
    fn follow_clock(&self) {
        match self.library.follow_clock(ClockSetting::now()) {
            Ok(true) => tracing::info!("the clock was set; recordings since porthole was started are named by it"),
            Ok(false) => return,
            // The card may be away.
            Err(error) => return tracing::debug!("the clock was set: {error:#}"),
        }
        for (writer, open) in &self.open {
            if let Ok((_, name)) = self.library.locate(open.number) {
                self.show(*writer, Some((open.number, name.cause.name(), name.start)));
            }
        }
    }

    /// Syncs what was written since the last time, and looks whether others need the space.
    fn sync(&mut self) {
        self.follow_clock();
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
        if free < self.rules.recordings.min_free || self.cleaned.elapsed() >= CLEANUP_INTERVAL {
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

    /// Does what is due while nothing is recorded.
    fn rest(&mut self) {
        self.follow_clock();
        if self.cleaned.elapsed() >= IDLE_INTERVAL {
            self.remove_old();
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
        self.cleaned = Instant::now();
        // Or it would go by names that tell another time.
        self.follow_clock();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        self.room = Room::make(&self.library, &self.rules, now, self.library.free_bytes()?)?;
        Ok(())
    }

    /// Checks that there was room for what a writer adds.
    fn check_room(&self, writer: usize) -> anyhow::Result<()> {
        let kind = self.kind(writer);
        match (self.room.missing[kind as usize], kind) {
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
