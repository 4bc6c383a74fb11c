//! The directory of recordings: lists, names, protects and deletes them. The names of its files are the index, so that nothing
//! has to be stored besides.
//!
//! What is written to the files is in `storage`, what is deleted to make room in `keep`.

mod mount;
mod recovery;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::clock::ClockSetting;
use super::name;
use super::name::{RecordingCause, RecordingName};
use crate::media::mp4;
use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;
use mount::Mount;
pub use recovery::seal;

/// Subdirectory of the state directory.
const DEFAULT_DIRECTORY: &str = "recordings";

/// The recordings; a cheap handle.
#[derive(Debug, Clone)]
pub struct Library(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: StateDir,
    /// Held while a name changes.
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    /// The numbers of the recordings that are being written.
    running: BTreeSet<u64>,
    /// The number of the last recording, so that none is used again.
    last: u64,
    mount: Mount,
    /// The clock by which recordings are told.
    clock: ClockSetting,
    /// Whether it was set, and some recordings could not be named by it yet.
    is_outdated: bool,
    /// When each recording of this run was begun, by its number.
    begun: BTreeMap<u64, Begun>,
}

/// When a recording was begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// In milliseconds since the board was started, whatever happens to the clock.
    since_boot: i64,
    /// As its name has it, in seconds since the Unix epoch.
    told: i64,
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecording {
    /// What its file name says.
    pub name: RecordingName,
    /// Its size so far.
    pub bytes: u64,
    /// Whether it is being written.
    pub is_running: bool,
}

/// Why something cannot be done with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// There is none.
    #[error("there is no recording {0}; GET /api/recordings lists them")]
    NotFound(u64),
    /// It is being written.
    #[error("recording {0} is being written; it can be deleted when it has ended")]
    Running(u64),
    /// Somebody has protected it.
    #[error("recording {0} is protected; remove the protection first")]
    Protected(u64),
    /// The directory cannot be read or changed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Library {
    /// The recordings in the configured directory, or in the one inside `state`. It is created with the first recording.
    pub fn open(directory: Option<&Path>, state: &StateDir) -> Self {
        let directory = directory.map(Path::to_path_buf).or_else(|| state.path(DEFAULT_DIRECTORY).ok());
        let there = |directory: PathBuf| StateDir::at(&directory, "directory of recordings", "[recording] directory");
        // Without a state directory, writing reports the error.
        let store = directory.map_or_else(|| state.clone(), there);
        let names = Names {
            running: BTreeSet::new(),
            last: 0,
            mount: Mount::default(),
            clock: ClockSetting::now(),
            is_outdated: false,
            begun: BTreeMap::new(),
        };
        Self(Arc::new(Inner { store, names: Mutex::new(names) }))
    }

    /// Checks that recordings could be stored; nothing is written.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        self.0.store.check_writable()
    }

    /// All recordings, the oldest first; none if the directory does not exist yet.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed.
    pub fn list(&self) -> anyhow::Result<Vec<StoredRecording>> {
        // Under the lock: a recording that is renamed meanwhile would be missing.
        let names = self.0.names.lock();
        let mut recordings = Vec::new();
        for (path, name) in self.names()? {
            // Somebody may have deleted the file by hand.
            let Some(metadata) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
            let is_running = names.running.contains(&name.number);
            recordings.push(StoredRecording { name, bytes: metadata.len(), is_running });
        }
        recordings.sort_by_key(|recording| recording.name.number);
        Ok(recordings)
    }

    /// Opens a recording for reading.
    ///
    /// # Errors
    ///
    /// See [`RecordingError`].
    pub fn read(&self, number: u64) -> Result<(File, StoredRecording), RecordingError> {
        // Under the lock, so that its name does not change meanwhile.
        let names = self.0.names.lock();
        let (path, name) = self.find(number)?;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        let bytes = file.metadata().with_context(|| format!("read {}", path.display()))?.len();
        Ok((file, StoredRecording { name, bytes, is_running: names.running.contains(&number) }))
    }

    /// Where the file of a recording is, and what its name says.
    ///
    /// # Errors
    ///
    /// See [`RecordingError`].
    pub fn locate(&self, number: u64) -> Result<(PathBuf, RecordingName), RecordingError> {
        let _names = self.0.names.lock();
        self.find(number)
    }

    /// The picture of a recording, a JPEG.
    ///
    /// # Errors
    ///
    /// [`RecordingError::NotFound`] also for a recording without a picture.
    pub fn picture(&self, number: u64) -> Result<Vec<u8>, RecordingError> {
        let found = self.0.store.read(&name::picture(number)).map_err(anyhow::Error::from)?;
        found.ok_or(RecordingError::NotFound(number))
    }

    /// Stores the picture of a recording.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add_picture(&self, number: u64, jpeg: &[u8]) -> anyhow::Result<()> {
        self.0.store.write(&name::picture(number), jpeg)
    }

    /// Protects a recording from being deleted, or no longer.
    ///
    /// # Errors
    ///
    /// See [`RecordingError`].
    pub fn protect(&self, number: u64, protected: bool) -> Result<(), RecordingError> {
        let _names = self.0.names.lock();
        let (path, name) = self.find(number)?;
        Ok(rename(&path, &RecordingName { protected, ..name })?)
    }

    /// Deletes a recording and its picture.
    ///
    /// # Errors
    ///
    /// See [`RecordingError`].
    pub fn delete(&self, number: u64) -> Result<(), RecordingError> {
        let names = self.0.names.lock();
        let (path, name) = self.find(number)?;
        if names.running.contains(&number) {
            return Err(RecordingError::Running(number));
        }
        if name.protected {
            return Err(RecordingError::Protected(number));
        }
        fs::remove_file(&path).with_context(|| format!("delete {}", path.display()))?;
        let _ = fs::remove_file(path.with_file_name(name::picture(number)));
        Ok(())
    }

    /// Names the recordings of this run by the clock as it is now, if it was set since the last time: the board may have had
    /// another time until it has asked for it. Whether it was set.
    ///
    /// # Errors
    ///
    /// When they cannot be renamed; the next call tries again.
    pub fn follow_clock(&self, clock: ClockSetting) -> anyhow::Result<bool> {
        let mut names = self.0.names.lock();
        if clock.differs_from(names.clock) {
            (names.clock, names.is_outdated) = (clock, true);
        }
        if !names.is_outdated {
            return Ok(false);
        }
        for (path, name) in self.names()? {
            // What somebody has named otherwise, or brought on another card, is not ours.
            let ours = names.begun.get_mut(&name.number).filter(|begun| begun.told == name.start);
            let Some(begun) = ours else { continue };
            let told = name.starting_at(clock.time(begun.since_boot));
            // Those begun since then are right, but for a part of a second.
            if told.start.abs_diff(name.start) > 1 {
                rename(&path, &told)?;
                begun.told = told.start;
                let dated = date(&path.with_file_name(told.file()), told.start);
                dated.unwrap_or_else(|error| tracing::debug!("date recording {}: {error}", told.number));
            }
        }
        names.is_outdated = false;
        Ok(true)
    }

    /// Creates the file of a recording that starts at `start`, by the clock that was [followed](Self::follow_clock) last.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or the file system of the directory is not mounted.
    pub fn create(
        &self,
        camera: &str,
        start: SystemTime,
        cause: RecordingCause,
    ) -> anyhow::Result<(RecordingName, File)> {
        let mut names = self.0.names.lock();
        names.mount.check(self.0.store.directory()?)?;
        let directory = self.0.store.create()?;
        names.mount.learn(directory)?;
        let known: BTreeSet<u64> = self.names()?.into_iter().map(|(_, name)| name.number).collect();
        names.begun.retain(|number, _| known.contains(number));
        let number = known.last().copied().unwrap_or(0).max(names.last).saturating_add(1);
        let name = RecordingName::new(camera, start, number, cause);
        let path = directory.join(name.file());
        let created = || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            // So that the file is there after a power cut.
            File::open(directory)?.sync_all()?;
            io::Result::Ok(file)
        };
        let file = created().with_context(|| format!("make {}", path.display()))?;
        names.last = number;
        names.running.insert(number);
        let begun = Begun { since_boot: names.clock.since_boot(start), told: name.start };
        names.begun.insert(number, begun);
        Ok((name, file))
    }

    /// Names a recording as ended.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn finish(&self, number: u64, length: Duration) -> anyhow::Result<()> {
        let mut names = self.0.names.lock();
        names.running.remove(&number);
        let (path, name) = self.find(number)?;
        rename(&path, &RecordingName { length: Some(length), ..name })
    }

    /// Gives up a recording that could not be written, or has nothing in it.
    pub fn abandon(&self, number: u64, is_empty: bool) {
        self.0.names.lock().running.remove(&number);
        if is_empty && let Ok((path, _)) = self.find(number) {
            let _ = fs::remove_file(path.with_file_name(name::picture(number)));
            let _ = fs::remove_file(path);
        }
    }

    /// Bytes that are free on the file system of the directory.
    ///
    /// # Errors
    ///
    /// When there is no directory.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let directory = self.0.store.directory()?;
        let found = rustix::fs::statvfs(directory).with_context(|| format!("read {}", directory.display()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Checks that a file is in the file system that is mounted now.
    ///
    /// # Errors
    ///
    /// When another one is, or none.
    pub fn check_file(&self, file: &File) -> anyhow::Result<()> {
        mount::check_file(file, self.0.store.directory()?)
    }

    /// The path and the name of each recording.
    fn names(&self) -> anyhow::Result<Vec<(PathBuf, RecordingName)>> {
        let directory = self.0.store.directory()?;
        let listed = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
        let paths = match listed() {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("list {}", directory.display())),
        };
        let name = |path: PathBuf| {
            let name = RecordingName::parse(path.file_name()?.to_str()?)?;
            Some((path, name))
        };
        Ok(paths.into_iter().filter_map(name).collect())
    }

    fn find(&self, number: u64) -> Result<(PathBuf, RecordingName), RecordingError> {
        let found = self.names()?.into_iter().find(|(_, name)| name.number == number);
        found.ok_or(RecordingError::NotFound(number))
    }
}

/// Writes when a file starts, in seconds since the Unix epoch, where some players look for it.
fn date(path: &Path, start: i64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let wall = Duration::from_secs(start.try_into().unwrap_or(0));
    let times = mp4::read_header(&mut file)?.and_then(|header| header.times(wall));
    let (places, bytes) = times.unwrap_or_default();
    places.into_iter().try_for_each(|at| file.write_all_at(&bytes, at))
}

fn rename(path: &Path, name: &RecordingName) -> anyhow::Result<()> {
    let new = path.with_file_name(name.file());
    fs::rename(path, &new).with_context(|| format!("rename {} to {}", path.display(), new.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn library() -> (tempfile::TempDir, Library) {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(Some(&folder.path().join("a/b")), &StateDir::open(None));
        (folder, library)
    }

    fn numbers(library: &Library) -> Vec<u64> {
        library.list().unwrap().iter().map(|recording| recording.name.number).collect()
    }

    #[test]
    fn recordings_are_numbered_named_protected_and_deleted() {
        let (folder, library) = library();
        assert_eq!(numbers(&library), [0; 0]);
        let now = SystemTime::now();
        let (first, _file) = library.create("door", now, RecordingCause::Manual).unwrap();
        // The clock goes back; the order stays.
        let (second, _) = library.create("yard", now - Duration::from_secs(3_600), RecordingCause::Always).unwrap();
        assert_eq!((first.number, second.number, numbers(&library)), (1, 2, vec![1, 2]));
        assert!(library.list().unwrap().iter().all(|recording| recording.is_running));
        assert!(matches!(library.delete(1), Err(RecordingError::Running(1))));
        // Also while it is being written.
        library.protect(1, true).unwrap();
        library.add_picture(1, b"jpeg").unwrap();
        library.finish(1, Duration::from_millis(1_500)).unwrap();
        library.finish(2, Duration::from_secs(2)).unwrap();
        let (mut ended, recording) = library.read(1).unwrap();
        let expected = RecordingName { protected: true, length: Some(Duration::from_millis(1_500)), ..first };
        assert_eq!(recording, StoredRecording { name: expected, bytes: 0, is_running: false });
        assert!(io::Write::write(&mut ended, b"x").is_err(), "it is only read");
        assert!(matches!(library.delete(1), Err(RecordingError::Protected(1))));
        library.protect(1, false).unwrap();
        assert_eq!(library.picture(1).unwrap(), b"jpeg");
        library.delete(1).unwrap();
        assert!(matches!(library.delete(1), Err(RecordingError::NotFound(1))));
        assert!(matches!(library.picture(1), Err(RecordingError::NotFound(1))));
        library.delete(2).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 0);
        // Numbers are not used again.
        assert_eq!(library.create("door", now, RecordingCause::Manual).unwrap().0.number, 3);
    }

    #[test]
    fn recordings_of_this_run_follow_the_clock() {
        let (folder, library) = library();
        let (clock, hour) = (ClockSetting::now(), 3_600);
        let starts = || library.list().unwrap().iter().map(|recording| recording.name.start).collect::<Vec<_>>();
        // One of an earlier run.
        let directory = folder.path().join("a/b");
        fs::create_dir_all(&directory).unwrap();
        let earlier = "door-2026-11-30-19-24-56+0100-000001-manual-9000ms.mp4";
        fs::write(directory.join(earlier), "x").unwrap();
        // Two readings of the clock may be in two seconds otherwise.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_070_000_500);
        let (ended, _) = library.create("door", now - Duration::from_secs(60), RecordingCause::Motion).unwrap();
        library.finish(2, Duration::from_secs(9)).unwrap();
        library.protect(2, true).unwrap();
        let (running, mut file) = library.create("door", now, RecordingCause::Always).unwrap();
        let as_begun = vec![1_796_063_096, ended.start, running.start];
        assert_eq!(starts(), as_begun);
        assert!(!library.follow_clock(clock).unwrap() && !library.follow_clock(clock.ahead(1)).unwrap());
        for seconds in [hour, -hour, 56 * 365 * 24 * hour] {
            assert!(library.follow_clock(clock.ahead(seconds)).unwrap());
            assert_eq!(starts(), [as_begun[0], as_begun[1] + seconds, as_begun[2] + seconds], "{seconds}");
            assert!(!library.follow_clock(clock.ahead(seconds)).unwrap(), "it was set once");
        }
        // What is begun after that is told by the new clock, and moves with the next one.
        library.follow_clock(clock.ahead(hour)).unwrap();
        library.create("door", now + Duration::from_secs(3_600), RecordingCause::Manual).unwrap();
        library.follow_clock(clock.ahead(-hour)).unwrap();
        assert_eq!(starts()[3], as_begun[2] - hour);
        library.follow_clock(clock).unwrap();
        assert_eq!(starts(), [&as_begun[..], &[as_begun[2]]].concat());
        // Nothing else has changed, and the open file is the same one.
        let found = library.list().unwrap();
        let expected = RecordingName { protected: true, length: Some(Duration::from_secs(9)), ..ended };
        assert_eq!(found[1].name, expected);
        assert!(found[2].is_running && found[2].bytes == 0);
        io::Write::write_all(&mut file, b"more").unwrap();
        assert_eq!(library.list().unwrap()[2].bytes, 4);
        // A file with the number of one of ours that is another one stays as it is.
        fs::remove_file(directory.join(expected.file())).unwrap();
        let other = earlier.replace("000001", "000002");
        fs::write(directory.join(&other), "x").unwrap();
        library.follow_clock(clock.ahead(hour)).unwrap();
        assert!(directory.join(other).exists());
    }

    #[test]
    fn a_card_that_cannot_be_written_when_the_clock_is_set_follows_later() {
        let (folder, library) = library();
        let clock = ClockSetting::now();
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_070_000_500);
        let (name, _) = library.create("door", start, RecordingCause::Manual).unwrap();
        // Nothing can be named like a directory that has something in it.
        let later = name.starting_at(start + Duration::from_secs(3_600));
        let obstacle = folder.path().join("a/b").join(later.file());
        fs::create_dir_all(obstacle.join("x")).unwrap();
        assert!(library.follow_clock(clock.ahead(3_600)).is_err());
        fs::remove_dir_all(obstacle).unwrap();
        assert!(library.follow_clock(clock.ahead(3_600)).unwrap());
        assert_eq!(library.list().unwrap()[0].name, later);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let (folder, library) = library();
        let (name, _) = library.create("door", SystemTime::now(), RecordingCause::Manual).unwrap();
        let directory = folder.path().join("a/b");
        for other in ["holiday.mp4", "000009.jpg", "notes.txt"] {
            fs::write(directory.join(other), "mine").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", directory.join(name.file().replace("000001", "000007"))).unwrap();
        assert_eq!(numbers(&library), [1]);
        assert!(matches!(library.read(7), Err(RecordingError::Failed(_))), "a link leads elsewhere");
        library.recover();
        assert!(directory.join("holiday.mp4").exists() && directory.join("notes.txt").exists());
        assert!(!directory.join("000009.jpg").exists(), "the picture of a recording that is gone");
    }

    #[test]
    fn a_recording_that_was_not_begun_is_deleted() {
        let (_folder, library) = library();
        let (_, file) = library.create("door", SystemTime::now(), RecordingCause::Manual).unwrap();
        file.write_all_at(b"\0\0\0\x18ftyp", 0).unwrap();
        library.recover();
        assert_eq!(numbers(&library), [1], "it is being written");
        library.abandon(1, false);
        library.recover();
        assert_eq!(numbers(&library), [0; 0]);
    }

    #[test]
    fn nothing_is_recorded_below_the_mount() {
        let (folder, library) = library();
        let (_, file) = library.create("door", SystemTime::now(), RecordingCause::Manual).unwrap();
        library.check_file(&file).unwrap();
        let own = fs::metadata(folder.path()).unwrap().dev();
        library.0.names.lock().mount = Mount::on(own);
        let refused = library.create("door", SystemTime::now(), RecordingCause::Manual).unwrap_err().to_string();
        assert!(refused.ends_with("/a/b: its file system is no longer mounted; mount it again"), "{refused}");
        let elsewhere = File::open("/proc/self/stat").unwrap();
        assert!(library.check_file(&elsewhere).is_err());
    }
}
