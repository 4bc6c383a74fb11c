//! What becomes of each frame and packet of one camera: kept for an event to come, written to a file, or dropped. Without
//! waiting, and with times as arguments.
//!
//! A file begins with a key frame and has one size: with other parameter sets another one begins, as after an hour, and after
//! the placeholder of a camera that was away. What is missing in between, because the recorder or the card was too slow, is a
//! gap in the file up to a key frame.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::event::RecordedEvent;
use super::name::RecordingCause;
use super::pre_roll::{MediaItem, PreRoll};
use super::queue::{BeginFile, StorageJob};
use super::storage::Storage;
use crate::media::mp4;
use crate::media::mp4::{FragmentWriter, VideoSetup};
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::model::metrics::{DropPoint, Metrics};
use crate::util::backoff::Backoff;

/// How far apart key frames of what is recorded are: players go to a key frame, and an event begins with one.
const KEY_INTERVAL: Duration = Duration::from_secs(5);

/// How soon a key frame is requested again that did not come: whoever watches pays for it.
const KEY_RETRY: Duration = Duration::from_secs(1);

/// After how long without a frame what was collected is written: the camera may be away.
const STALL: Duration = Duration::from_secs(2);

/// What does not change while the program runs.
#[derive(Debug, Clone)]
pub struct RecordingRules {
    /// The camera's index.
    pub camera: usize,
    /// Whether everything is recorded.
    pub always: bool,
    /// What is kept for the beginning of an event.
    pub before: Duration,
    /// How long an event goes on after it was stopped, or motion has ended.
    pub after: Duration,
    /// After how long another file begins.
    pub max_length: Duration,
    /// With how many bytes another file begins.
    pub max_bytes: u64,
    /// The channels of the audio, if it is recorded.
    pub channels: Option<u8>,
}

/// The state of the recording of one camera.
pub struct RecordingMachine {
    rules: RecordingRules,
    storage: Storage,
    metrics: Metrics,
    pre_roll: PreRoll,
    event: Option<RecordedEvent>,
    file: Option<CurrentFile>,
    /// Frames were missed.
    awaits_key: bool,
    /// When a key frame was received or requested last.
    last_key: Option<Timestamp>,
    /// When it is tried again after a failure.
    retry: Option<Instant>,
    backoff: Backoff,
}

/// The file that is being written.
#[derive(Debug)]
struct CurrentFile {
    setup: VideoSetup,
    writer: FragmentWriter,
    start: Timestamp,
    bytes: u64,
}

impl RecordingMachine {
    /// Nothing is recorded yet.
    pub fn new(rules: RecordingRules, storage: Storage, metrics: Metrics) -> Self {
        Self {
            pre_roll: PreRoll::new(rules.before),
            rules,
            storage,
            metrics,
            event: None,
            file: None,
            awaits_key: true,
            last_key: None,
            retry: None,
            backoff: Backoff::default(),
        }
    }

    /// Whether frames are needed.
    pub fn needs_frames(&self) -> bool {
        self.is_wanted() || !self.rules.before.is_zero()
    }

    /// Whether a file should be written.
    fn is_wanted(&self) -> bool {
        self.rules.always || self.event.is_some()
    }

    /// Why it is recorded.
    fn cause(&self) -> RecordingCause {
        self.event.as_ref().map_or(RecordingCause::Always, |event| event.cause)
    }

    /// Whether a key frame should be requested now.
    pub fn take_key_request(&mut self, now: Timestamp) -> bool {
        let interval = if self.awaits_key { KEY_RETRY } else { KEY_INTERVAL };
        let is_due = self.last_key.is_none_or(|last| now.saturating_since(last) >= interval);
        if is_due && !self.is_paused() {
            self.last_key = Some(now);
            return true;
        }
        false
    }

    /// Whether nothing can be written for now.
    fn is_paused(&self) -> bool {
        let is_early = self.retry.is_some_and(|retry| Instant::now() < retry);
        is_early || (self.awaits_key && self.is_wanted() && !self.storage.queue.has_room())
    }

    /// An operator starts an event, or has it go on.
    pub fn start(&mut self) {
        match &mut self.event {
            Some(event) => event.start(),
            None => self.begin_event(RecordedEvent::started()),
        }
    }

    /// Something moves: an event begins, or goes on.
    pub fn motion_begun(&mut self) {
        match &mut self.event {
            Some(event) => event.motion_begun(),
            None => self.begin_event(RecordedEvent::moving()),
        }
    }

    /// Nothing moves any more: the event ends in a while, unless an operator has it go on.
    pub fn motion_ended(&mut self, now: Timestamp) {
        if let Some(event) = &mut self.event {
            event.motion_ended(now, self.rules.after);
        }
        self.end_event(now);
    }

    /// The event ends in a while, or at once if that was asked for before.
    pub fn stop(&mut self, now: Timestamp) {
        if let Some(event) = &mut self.event {
            event.stop(now, self.rules.after);
        }
        self.end_event(now);
    }

    /// Begins an event with what was kept for one.
    fn begin_event(&mut self, event: RecordedEvent) {
        self.event = Some(event);
        for item in self.pre_roll.take() {
            match item {
                MediaItem::Video(frame) => self.record(&frame),
                MediaItem::Audio(packet) => self.push_audio(packet),
            }
        }
        self.awaits_key |= self.file.is_none();
    }

    /// Ends the event if it is over.
    fn end_event(&mut self, now: Timestamp) {
        if self.event.as_ref().is_some_and(|event| event.is_over(now)) {
            self.event = None;
            self.end_file();
        }
    }

    /// Handles a frame.
    pub fn push_video(&mut self, frame: EncodedFrame) {
        if frame.placeholder {
            return self.interrupt();
        }
        self.end_event(frame.captured);
        if frame.key {
            self.last_key = Some(frame.captured);
        }
        if self.is_wanted() {
            self.record(&frame);
        } else {
            self.awaits_key &= !frame.key;
            self.pre_roll.push(MediaItem::Video(frame));
        }
    }

    /// Handles a packet of audio.
    pub fn push_audio(&mut self, packet: AudioPacket) {
        let is_wanted = self.is_wanted();
        match &mut self.file {
            Some(file) => file.writer.push_audio(&packet),
            None if is_wanted => {}
            None => self.pre_roll.push(MediaItem::Audio(packet)),
        }
    }

    /// Frames were missed.
    pub fn missed(&mut self, count: u64) {
        self.pre_roll.clear();
        self.flush();
        self.gap(count);
    }

    /// Nothing that follows belongs to what was before: the camera is away, or may not be recorded.
    pub fn interrupt(&mut self) {
        self.pre_roll.clear();
        self.end_file();
        self.awaits_key = true;
    }

    /// The event, if there is one, and everything that was kept for one are over.
    pub fn forget(&mut self) {
        self.event = None;
        self.interrupt();
    }

    /// Does what is due without a frame.
    pub fn tick(&mut self, now: Timestamp) {
        self.end_event(now);
        let since = self.file.as_ref().and_then(|file| file.writer.since());
        if since.is_some_and(|since| now.saturating_since(since) >= STALL) {
            self.flush();
        }
    }

    /// The storage could not write the file to its end.
    pub fn failed(&mut self, now: Instant) {
        self.file = None;
        self.awaits_key = true;
        let (pause, _) = self.backoff.failed(now);
        self.retry = Some(now + pause);
    }

    /// The storage works.
    pub fn recovered(&mut self) {
        self.backoff.recovered();
        self.retry = None;
    }

    /// Writes a frame.
    fn record(&mut self, frame: &EncodedFrame) {
        if self.awaits_key && !frame.key {
            // Only what is missing in a recording.
            let is_missing = self.file.is_some() || self.retry.is_some();
            return self.metrics.count_drop(DropPoint::Recorder, is_missing.into());
        }
        if self.is_paused() {
            return self.gap(1);
        }
        if frame.key && !self.begin_with(frame) {
            return;
        }
        let Some(file) = &mut self.file else { return };
        let complete = file.writer.push_video(frame);
        if let Some(fragment) = complete {
            self.append(fragment);
        }
    }

    /// Has the file be one that this key frame belongs to; whether there is one.
    fn begin_with(&mut self, frame: &EncodedFrame) -> bool {
        let Some(setup) = VideoSetup::of(&frame.data) else {
            // A camera that leaves them out of a key frame means those before.
            self.awaits_key = self.file.is_none();
            return self.file.is_some();
        };
        let fits = |file: &CurrentFile| {
            let length = frame.captured.saturating_since(file.start);
            file.setup == setup && length < self.rules.max_length && file.bytes < self.rules.max_bytes
        };
        if !self.file.as_ref().is_some_and(fits) {
            self.end_file();
            self.file = self.begin(frame, setup);
        }
        self.awaits_key = self.file.is_none();
        self.file.is_some()
    }

    fn begin(&mut self, frame: &EncodedFrame, setup: VideoSetup) -> Option<CurrentFile> {
        let age = Timestamp::now().saturating_since(frame.captured);
        let start = SystemTime::now().checked_sub(age)?;
        let wall = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(header) = mp4::header(&setup, self.rules.channels, wall) else {
            tracing::warn!("the video cannot be recorded: its parameter sets cannot be described in MP4");
            return None;
        };
        let (camera, cause, bytes) = (self.rules.camera, self.cause(), header.data.len() as u64);
        let begin = BeginFile { writer: camera, cause, header, first: frame.clone() };
        if self.storage.queue.push(StorageJob::Begin(Box::new(begin))).is_err() {
            self.too_slow();
            return None;
        }
        let writer = FragmentWriter::new(frame.captured);
        Some(CurrentFile { setup, writer, start: frame.captured, bytes })
    }

    fn append(&mut self, fragment: mp4::Fragment) {
        let Some(file) = &mut self.file else { return };
        let bytes = fragment.data.len() as u64;
        if self.storage.queue.push(StorageJob::Append(self.rules.camera, fragment)).is_ok() {
            file.bytes += bytes;
            return;
        }
        // What has begun depends on what is lost.
        file.writer.discard();
        self.too_slow();
        self.gap(1);
    }

    fn too_slow(&self) {
        self.storage.report_slow();
    }

    /// Recording goes on with a key frame.
    fn gap(&mut self, count: u64) {
        if self.is_wanted() {
            self.metrics.count_drop(DropPoint::Recorder, count);
        }
        self.awaits_key = true;
    }

    /// Writes what was collected.
    fn flush(&mut self) {
        let fragment = self.file.as_mut().and_then(|file| file.writer.flush());
        if let Some(fragment) = fragment {
            self.append(fragment);
        }
    }

    fn end_file(&mut self) {
        self.flush();
        if self.file.take().is_some() {
            // The end of a file is always taken.
            let _ = self.storage.queue.push(StorageJob::End(self.rules.camera));
        }
    }
}
