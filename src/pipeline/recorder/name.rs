//! File names of recordings, which are their index: camera, start, number, cause, whether it is protected, and how long it is.
//!
//! ```text
//! door-2026-11-30-19-24-56+0100-000042-manual.mp4                      being written, or left by a crash
//! door-2026-11-30-19-24-56+0100-000042-manual-protected-61500ms.mp4    ended
//! ```
//!
//! A name changes in one step (rename), so that it agrees with its file at every moment, without a database that could be damaged
//! or disagree with the files.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike as _, Local, Timelike as _};

/// When the recording starts, in the device's time zone, with the difference to UTC.
const TIME_FORMAT: &str = "%Y-%m-%d-%H-%M-%S%z";

/// The length of a formatted time.
const TIME_LENGTH: usize = "2026-11-30-19-24-56+0100".len();

/// Digits of the number; more recordings have more.
const NUMBER_WIDTH: usize = 6;

/// The end of the name of a recording.
const EXTENSION: &str = ".mp4";

/// The end of the name of a picture.
const PICTURE_EXTENSION: &str = ".jpg";

/// The seconds of a day.
const DAY: i64 = 86_400;

/// What a file has in it, which decides how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What was captured, as it was.
    Recording,
    /// A picture now and then.
    Timelapse,
}

/// Why something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingCause {
    /// Everything is.
    Always,
    /// Somebody has started it.
    Manual,
    /// Something has moved.
    Motion,
    /// It is a time-lapse.
    Timelapse,
}

impl RecordingCause {
    /// All of them.
    const ALL: [Self; 4] = [Self::Always, Self::Manual, Self::Motion, Self::Timelapse];

    /// Its name in file names, the list and the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Manual => "manual",
            Self::Motion => "motion",
            Self::Timelapse => "timelapse",
        }
    }

    /// What its files have in them.
    pub fn kind(self) -> FileKind {
        if self == Self::Timelapse { FileKind::Timelapse } else { FileKind::Recording }
    }
}

/// What the name of a recording's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingName {
    /// The camera's name.
    pub camera: String,
    /// When it starts, as in the name.
    pub(super) time: String,
    /// The same in seconds since the Unix epoch.
    pub start: i64,
    /// Counts all recordings, which orders them: the clock of a board may be behind until it is set.
    pub number: u64,
    /// Why it was made.
    pub cause: RecordingCause,
    /// Whether it is kept until somebody deletes it.
    pub protected: bool,
    /// How long it is; `None` while it is being written.
    pub length: Option<Duration>,
}

impl RecordingName {
    /// The name of a recording that starts now.
    pub fn new(camera: &str, start: SystemTime, number: u64, cause: RecordingCause) -> Self {
        let start = DateTime::<Local>::from(start);
        Self {
            camera: camera.into(),
            time: start.format(TIME_FORMAT).to_string(),
            start: start.timestamp(),
            number,
            cause,
            protected: false,
            length: None,
        }
    }

    /// The name of the same recording by a clock that shows another time for its start.
    pub fn starting_at(&self, start: SystemTime) -> Self {
        let Self { number, cause, protected, length, .. } = *self;
        Self { protected, length, ..Self::new(&self.camera, start, number, cause) }
    }

    /// Reads a file name; `None` for the names of other files.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(EXTENSION)?;
        let milliseconds = |text: &str| text.strip_suffix("ms").and_then(digits);
        let (rest, length) = match stem.rsplit_once('-') {
            Some((rest, last)) if last.ends_with("ms") => (rest, Some(Duration::from_millis(milliseconds(last)?))),
            _ => (stem, None),
        };
        let (rest, protected) = match rest.strip_suffix("-protected") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (rest, cause) = rest.rsplit_once('-')?;
        let cause = RecordingCause::ALL.into_iter().find(|known| known.name() == cause)?;
        let (rest, number) = rest.rsplit_once('-')?;
        let number = digits(number).filter(|_| number.len() >= NUMBER_WIDTH)?;
        let (camera, time) = rest.split_at_checked(rest.len().checked_sub(TIME_LENGTH)?)?;
        let start = DateTime::parse_from_str(time, TIME_FORMAT).ok()?.timestamp();
        let camera = camera.strip_suffix('-').filter(|camera| !camera.is_empty())?;
        let (camera, time) = (camera.into(), time.into());
        let parsed = Self { camera, time, start, number, cause, protected, length };
        // One file has one name.
        (parsed.file() == name).then_some(parsed)
    }

    /// The file name.
    pub fn file(&self) -> String {
        let Self { camera, time, number, cause, protected, length, .. } = self;
        let cause = cause.name();
        let protected = if *protected { "-protected" } else { "" };
        let length = length.map_or(String::new(), |length| format!("-{}ms", length.as_millis()));
        format!("{camera}-{time}-{number:0NUMBER_WIDTH$}-{cause}{protected}{length}{EXTENSION}")
    }

    /// When it ends, in seconds since the Unix epoch; while it is being written, when it starts.
    pub fn end(&self) -> i64 {
        let Some(length) = self.length else { return self.start };
        let length = match self.cause.kind() {
            FileKind::Recording => length.as_secs() as i64,
            // A film is shorter than what it shows, which may go on to the end of its day.
            FileKind::Timelapse => DAY - self.seconds_of_day(),
        };
        self.start.saturating_add(length)
    }

    /// How many seconds of its day were over when it started.
    fn seconds_of_day(&self) -> i64 {
        let start = DateTime::parse_from_str(&self.time, TIME_FORMAT);
        start.map_or(0, |start| start.num_seconds_from_midnight().into())
    }
}

/// The day of a time, in the device's time zone: a number that is one higher on the next day.
pub fn local_day(time: SystemTime) -> i32 {
    DateTime::<Local>::from(time).num_days_from_ce()
}

/// The file name of a recording's picture.
pub fn picture(number: u64) -> String {
    format!("{number:0NUMBER_WIDTH$}{PICTURE_EXTENSION}")
}

/// The number in the file name of a picture; `None` for the names of other files.
pub fn parse_picture(name: &str) -> Option<u64> {
    let number = name.strip_suffix(PICTURE_EXTENSION).and_then(digits)?;
    (picture(number) == name).then_some(number)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_530_696_900);
        for camera in ["door", "front-door_2", "a-2026-11-30-19-24-56+0100-000001-always"] {
            for cause in RecordingCause::ALL {
                let begun = RecordingName::new(camera, start, 42, cause);
                assert_eq!((begun.start, begun.end()), (1_764_530_696, 1_764_530_696));
                let length = Some(Duration::from_millis(61_500));
                let ended = RecordingName { protected: true, length, ..begun.clone() };
                if cause.kind() == FileKind::Recording {
                    assert_eq!(ended.end(), 1_764_530_757);
                }
                for name in [begun.clone(), RecordingName { protected: true, ..begun }, ended] {
                    assert_eq!(RecordingName::parse(&name.file()), Some(name));
                }
            }
        }
        let many = RecordingName::new("a", start, 12_345_678, RecordingCause::Always);
        assert_eq!(RecordingName::parse(&many.file()), Some(many));
    }

    #[test]
    fn another_start_changes_nothing_else() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_530_696);
        let begun = RecordingName::new("door", start, 42, RecordingCause::Motion);
        let ended = RecordingName { protected: true, length: Some(Duration::from_secs(9)), ..begun };
        let later = ended.starting_at(start + Duration::from_secs(3_600));
        assert_eq!((later.start, later.end()), (1_764_534_296, 1_764_534_305));
        assert_eq!(later.starting_at(start), ended);
        assert_eq!(RecordingName::parse(&later.file()), Some(later));
    }

    #[test]
    fn a_time_lapse_ends_with_its_day() {
        let name = |time: &str| RecordingName::parse(&format!("a-{time}-000001-timelapse-4000ms.mp4")).expect("a name");
        let (early, late) = (name("2026-11-30-00-00-00+0100"), name("2026-11-30-23-59-50+0100"));
        assert_eq!((early.end() - early.start, late.end() - late.start), (86_400, 10));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_530_696);
        assert_eq!(local_day(now + Duration::from_secs(86_400)), local_day(now) + 1);
    }

    #[test]
    fn other_files_are_told_from_recordings() {
        let time = "2026-11-30-19-24-56-0500";
        assert!(RecordingName::parse(&format!("door-{time}-000042-manual-protected-61500ms.mp4")).is_some());
        for name in [
            "holiday.mp4".to_owned(),
            String::new(),
            ".mp4".into(),
            format!("{time}-000042-manual.mp4"),
            format!("-{time}-000042-manual.mp4"),
            format!("door-{time}-42-manual.mp4"),
            format!("door-{time}-000042-rain.mp4"),
            format!("door-{time}-000042-manual-x.mp4"),
            format!("door-{time}-000042-manual-+5ms.mp4"),
            format!("door-{time}-000042-manual-ms.mp4"),
            format!("door-{time}-000042-manual.mkv"),
            format!("door-{time}-000042-manual-61500ms-protected.mp4"),
            format!("door-{time}-+00042-manual.mp4"),
            "door-2026-13-30-19-24-56+0100-000042-manual.mp4".into(),
            format!("d\u{f6}\u{f6}r{time}-000042-manual.mp4"),
            "\u{1f6aa}-000042-manual.mp4".into(),
        ] {
            assert_eq!(RecordingName::parse(&name), None, "{name}");
        }
        assert_eq!(parse_picture(&picture(7)), Some(7));
        for name in ["7.jpg", "0000007.jpg", "000007.png", "x.jpg", "+00007.jpg"] {
            assert_eq!(parse_picture(name), None, "{name}");
        }
    }
}
