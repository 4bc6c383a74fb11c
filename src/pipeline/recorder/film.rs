//! What becomes of the pictures of a time-lapse: a film for each day, in which they follow each other at a frame rate of its own.
//! Without waiting, and with times as arguments.
//!
//! Each picture is a key frame, and a fragment of its file, so that a crash costs none of those before. When to take one is
//! decided in `timelapse`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::name;
use super::name::RecordingCause;
use super::queue::{BeginFile, StorageJob};
use super::storage::Storage;
use crate::media::mp4;
use crate::media::mp4::{Fragment, FragmentWriter, VideoSetup};
use crate::media::{EncodedFrame, Timestamp};
use crate::model::metrics::{DropPoint, Metrics};
use crate::util::backoff::Backoff;

/// What does not change while the program runs.
#[derive(Debug, Clone, Copy)]
pub struct FilmRules {
    /// The index of its writer.
    pub writer: usize,
    /// How many pictures are shown in a second.
    pub fps: u32,
    /// With how many bytes another film begins.
    pub max_bytes: u64,
}

/// The films of a camera.
pub struct Film {
    rules: FilmRules,
    storage: Storage,
    metrics: Metrics,
    current: Option<CurrentFilm>,
    /// When it is tried again after a failure.
    retry: Option<Instant>,
    backoff: Backoff,
}

/// The film that is being written.
#[derive(Debug)]
struct CurrentFilm {
    setup: VideoSetup,
    writer: FragmentWriter,
    /// The day that it shows.
    day: i32,
    pictures: u64,
    bytes: u64,
}

impl Film {
    /// Nothing is written yet.
    pub fn new(rules: FilmRules, storage: Storage, metrics: Metrics) -> Self {
        Self { rules, storage, metrics, current: None, retry: None, backoff: Backoff::default() }
    }

    /// Whether nothing can be written for now.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.retry.is_some_and(|retry| now < retry)
    }

    /// Adds a key frame, which was captured at `taken`.
    pub fn add(&mut self, frame: &EncodedFrame, taken: SystemTime) {
        // A camera that leaves the parameter sets out of a key frame means those before.
        let known = || self.current.as_ref().map(|film| film.setup.clone());
        let Some(setup) = VideoSetup::of(&frame.data).or_else(known) else { return };
        let (day, rules) = (name::local_day(taken), self.rules);
        let fits = |film: &CurrentFilm| film.setup == setup && film.day == day && film.bytes < rules.max_bytes;
        if !self.current.as_ref().is_some_and(fits) {
            self.end();
            self.current = self.begin(frame, setup, taken);
        }
        let Some(film) = &mut self.current else { return };
        let Some(fragment) = film.next(frame, rules.fps) else { return };
        let bytes = fragment.data.len() as u64;
        if self.storage.queue.push(StorageJob::Append(rules.writer, fragment)).is_err() {
            return self.too_slow();
        }
        film.bytes += bytes;
        film.pictures += 1;
    }

    fn begin(&self, first: &EncodedFrame, setup: VideoSetup, start: SystemTime) -> Option<CurrentFilm> {
        let wall = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(header) = mp4::header(&setup, None, wall) else {
            tracing::warn!("no time-lapse of the video: its parameter sets cannot be described in MP4");
            return None;
        };
        let (writer, bytes) = (FragmentWriter::new(Timestamp::default()), header.data.len() as u64);
        let cause = RecordingCause::Timelapse;
        let begin = BeginFile { writer: self.rules.writer, cause, header, first: first.clone() };
        if self.storage.queue.push(StorageJob::Begin(Box::new(begin))).is_err() {
            self.too_slow();
            return None;
        }
        Some(CurrentFilm { setup, writer, day: name::local_day(start), pictures: 0, bytes })
    }

    fn too_slow(&self) {
        self.metrics.count_drop(DropPoint::Recorder, 1);
        self.storage.report_slow();
    }

    /// The film ends: the privacy switch was turned on, or the program stops.
    pub fn end(&mut self) {
        if self.current.take().is_some() {
            // The end of a file is always taken.
            let _ = self.storage.queue.push(StorageJob::End(self.rules.writer));
        }
    }

    /// The storage could not write the film to its end.
    pub fn failed(&mut self, now: Instant) {
        self.current = None;
        let (pause, _) = self.backoff.failed(now);
        self.retry = Some(now + pause);
    }

    /// The storage works.
    pub fn recovered(&mut self) {
        self.backoff.recovered();
        self.retry = None;
    }
}

impl CurrentFilm {
    /// The fragment of the next picture.
    fn next(&mut self, frame: &EncodedFrame, fps: u32) -> Option<Fragment> {
        let (shown, over) = (shown_at(self.pictures, fps), shown_at(self.pictures + 1, fps));
        self.writer.push_video(&EncodedFrame { captured: shown, ..frame.clone() });
        self.writer.flush_until(over)
    }
}

/// When a picture is shown, from the start of its film: rounded up, so that ticks of another clock are not one less.
fn shown_at(picture: u64, fps: u32) -> Timestamp {
    let nanos = (u128::from(picture) * 1_000_000_000).div_ceil(fps.into());
    Timestamp::from_start(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::status::{Status, StatusPublisher};
    use crate::pipeline::recorder::queue::NextJob;

    const RULES: FilmRules = FilmRules { writer: 3, fps: 25, max_bytes: u64::MAX };

    /// Sequence parameter sets of 1280x720, and of another level.
    const SPS: [&[u8]; 2] = [
        &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80],
        &[0x67, 0x42, 0xc0, 0x28, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80],
    ];

    fn picture(sps: Option<&[u8]>, bytes: usize) -> EncodedFrame {
        let sets = sps.map(|sps| [&[0, 0, 1][..], sps, &[0, 0, 1, 0x68, 0xce, 0x3c, 0x80]].concat());
        let data = [sets.unwrap_or_default(), vec![0, 0, 1, 0x65], vec![1; bytes]].concat();
        let (data, captured) = (Bytes::from(data), Timestamp::now());
        EncodedFrame::new(captured, true, data)
    }

    fn film(rules: FilmRules) -> (Film, Storage, Metrics) {
        let metrics = Metrics::new();
        let storage = Storage::new(1, StatusPublisher::new(Status::default())).for_timelapses(1);
        (Film::new(rules, storage.clone(), metrics.clone()), storage, metrics)
    }

    /// What waits for the storage thread: `B`egin, `A`ppend and `E`nd; and the fragments.
    fn jobs(storage: &Storage) -> (String, Vec<Fragment>) {
        let (mut jobs, mut fragments) = (String::new(), Vec::new());
        while let NextJob::Job(job) = storage.queue.pop(Duration::ZERO) {
            jobs.push(match job {
                StorageJob::Begin(begin) => {
                    assert_eq!((begin.writer, begin.cause), (3, RecordingCause::Timelapse));
                    'B'
                }
                StorageJob::Append(writer, fragment) => {
                    assert_eq!(writer, 3);
                    fragments.push(fragment);
                    'A'
                }
                StorageJob::End(writer) => {
                    assert_eq!(writer, 3);
                    'E'
                }
            });
        }
        (jobs, fragments)
    }

    /// The noon of some day, in the time zone of this machine, to which the tests add hours.
    fn noon() -> SystemTime {
        let mut time = UNIX_EPOCH + Duration::from_secs(1_764_504_000);
        let hour = Duration::from_secs(3_600);
        let day = name::local_day(time);
        while name::local_day(time + 12 * hour) == day {
            time += hour;
        }
        while name::local_day(time + 12 * hour) > day {
            time -= hour;
        }
        time
    }

    #[test]
    fn pictures_are_shown_one_after_another_at_the_frame_rate() {
        for fps in [1, 24, 25, 30, 60] {
            let (mut film, storage, _) = film(FilmRules { fps, ..RULES });
            for minute in 0..200 {
                film.add(&picture(Some(SPS[0]), 10), noon() + Duration::from_secs(60 * minute));
            }
            let (jobs, fragments) = jobs(&storage);
            assert_eq!(jobs, format!("B{}", "A".repeat(200)));
            assert!(fragments.iter().all(|fragment| fragment.key));
            assert!(fragments.windows(2).all(|pair| pair[0].end == pair[1].start), "{fps}");
            // Each is as long as the others, but for the part of a tick that is left over.
            let ticks = |time: Duration| (time.as_nanos() * 90_000 / 1_000_000_000) as u64;
            let lengths = fragments.iter().map(|fragment| ticks(fragment.end) - ticks(fragment.start));
            assert!(lengths.into_iter().all(|length| length == u64::from(90_000 / fps)), "{fps}");
        }
    }

    #[test]
    fn another_film_begins_with_each_day_another_stream_and_enough_bytes() {
        let hour = Duration::from_secs(3_600);
        let (mut film, storage, _) = film(FilmRules { max_bytes: 60_000, ..RULES });
        for hours in 0..=30 {
            film.add(&picture(Some(SPS[0]), 10), noon() + hours * hour);
        }
        let (first, _) = jobs(&storage);
        assert_eq!(first.matches("EB").count(), 1, "{first}");
        assert!((13..=15).contains(&first.split('E').next().expect("a film").len()), "{first}");
        // The clock of a board goes back.
        film.add(&picture(Some(SPS[0]), 10), noon());
        assert_eq!(jobs(&storage).0, "EBA");
        // Without parameter sets the stream is as before.
        film.add(&picture(None, 10), noon());
        assert_eq!(jobs(&storage).0, "A");
        film.add(&picture(Some(SPS[1]), 10), noon());
        assert_eq!(jobs(&storage).0, "EBA");
        for _ in 0..4 {
            film.add(&picture(Some(SPS[1]), 30_000), noon());
        }
        assert_eq!(jobs(&storage).0, "AAEBAA");
        film.end();
        film.end();
        assert_eq!(jobs(&storage).0, "E");
        film.add(&picture(None, 10), noon());
        assert_eq!(jobs(&storage).0, "", "nothing is known of the stream");
    }

    #[test]
    fn a_slow_card_costs_pictures_and_a_failure_a_pause() {
        let (mut film, storage, metrics) = film(RULES);
        for _ in 0..30 {
            film.add(&picture(Some(SPS[0]), 1_000_000), noon());
        }
        let (waiting, fragments) = jobs(&storage);
        let lost = 30 - fragments.len();
        assert!(lost > 3 && waiting == format!("B{}", "A".repeat(fragments.len())), "{waiting}");
        let counted = format!("porthole_frames_dropped_total{{at=\"Recorder\"}} {lost}\n");
        assert!(metrics.text().contains(&counted), "{lost} of 30: {}", metrics.text());
        assert!(storage.watch().borrow().fault.is_some());
        // What comes next follows what was written last.
        film.add(&picture(Some(SPS[0]), 10), noon());
        let (_, after) = jobs(&storage);
        assert_eq!(after[0].start, fragments[fragments.len() - 1].end);
        let now = Instant::now();
        film.failed(now);
        assert!(film.is_paused(now) && !film.is_paused(now + Duration::from_secs(11)));
        film.recovered();
        assert!(!film.is_paused(now));
        film.add(&picture(Some(SPS[0]), 10), noon());
        assert_eq!(jobs(&storage).0, "BA");
    }
}
