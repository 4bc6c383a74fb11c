//! Photos stored on the device: JPEG files in one directory, of which the newest are kept. Each has the next number, which
//! orders them: the clock of a board may be behind until it has been set.
//!
//! Taking the photo and checking permissions belong to `server::dispatch`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use chrono::{Local, NaiveDateTime};

use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;

/// Subdirectory of the state directory.
const DEFAULT_DIRECTORY: &str = "photos";

/// Time format of the file names: when the photo was taken, in the device's time zone.
const TIME_FORMAT: &str = "%Y-%m-%d-%H-%M-%S-%3f";

/// Digits of the number in a file name, so that names of one day sort as they were taken; more photos have more digits.
const NUMBER_WIDTH: usize = 6;

/// File name extension of a photo.
const EXTENSION: &str = "jpg";

/// Where photos are stored, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory; `None` for a subdirectory of the state directory.
    pub directory: Option<PathBuf>,
    /// How many of the newest photos are kept.
    pub keep: usize,
}

impl Default for Config {
    fn default() -> Self {
        // About 200 MB, at 400 kB per photo.
        Self { directory: None, keep: 500 }
    }
}

/// The stored photos; a cheap handle.
#[derive(Debug, Clone)]
pub struct Photos {
    store: StateDir,
    keep: usize,
    /// Photos are added one at a time, so that each gets a number of its own.
    adding: Arc<Mutex<()>>,
}

impl Photos {
    /// Opens the configured directory, or the one inside `state`. The directory is created with the first photo.
    pub fn open(config: &Config, state: &StateDir) -> Self {
        let directory = config.directory.clone().or_else(|| state.path(DEFAULT_DIRECTORY).ok());
        let there = |directory: PathBuf| StateDir::at(&directory, "directory of photos", "[photos] directory");
        // Without a state directory, writing reports the error.
        let store = directory.map_or_else(|| state.clone(), there);
        Self { store, keep: config.keep, adding: Arc::default() }
    }

    /// Stores a photo and returns its path. Removes the oldest photos above the limit; other files in the directory are
    /// left alone. Blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add(&self, camera: &str, jpeg: &[u8]) -> anyhow::Result<PathBuf> {
        let _adding = self.adding.lock();
        let listed = self.list().inspect_err(|error| tracing::warn!("old photos are not removed: {error:#}"));
        let listed = listed.unwrap_or_default();
        let number = listed.iter().filter_map(|photo| photo.number).max().map_or(1, |newest| newest.saturating_add(1));
        let name = format!("{camera}-{}-{number:0NUMBER_WIDTH$}.{EXTENSION}", Local::now().format(TIME_FORMAT));
        self.store.write(&name, jpeg)?;
        // The new photo is one of those that are kept.
        if let Err(error) = remove_oldest(listed, self.keep.saturating_sub(1)) {
            tracing::warn!("old photos were not removed: {error:#}");
        }
        self.store.path(&name)
    }

    /// Removes what interrupted writes have left in the directory.
    pub fn remove_leftovers(&self) {
        self.store.remove_leftovers();
    }

    /// Checks that photos could be stored; nothing is written.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        self.store.check_writable()
    }

    /// All photos in the directory; none if it does not exist yet.
    fn list(&self) -> anyhow::Result<Vec<Photo>> {
        let directory = self.store.directory()?;
        let listed = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
        match listed() {
            Ok(paths) => Ok(paths.into_iter().filter_map(Photo::at).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("list {}", directory.display())),
        }
    }
}

/// Removes all but the newest `keep` photos.
fn remove_oldest(mut photos: Vec<Photo>, keep: usize) -> anyhow::Result<()> {
    photos.sort();
    let many = photos.len().saturating_sub(keep);
    for Photo { path, .. } in &photos[..many] {
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// A stored photo. The fields are in the order by which photos are sorted, the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Photo {
    /// Counts the photos of the directory; `None`, the oldest, in names of earlier versions.
    number: Option<u64>,
    modified: SystemTime,
    path: PathBuf,
}

impl Photo {
    /// The photo at a path; `None` for other files.
    fn at(path: PathBuf) -> Option<Self> {
        let number = parse_name(&path)?;
        Some(Self { number, modified: fs::metadata(&path).ok()?.modified().ok()?, path })
    }
}

/// The number in the file name of a photo, if it has one; `None` when the name is not that of a photo.
fn parse_name(path: &Path) -> Option<Option<u64>> {
    let stem = path.file_stem()?.to_str().filter(|_| path.extension() == Some(OsStr::new(EXTENSION)))?;
    if ends_with_time(stem) {
        return Some(None);
    }
    let (rest, number) = stem.rsplit_once('-')?;
    let number = number.parse().ok().filter(|_| number.len() >= NUMBER_WIDTH && ends_with_time(rest))?;
    Some(Some(number))
}

/// Whether the text ends with a formatted [`TIME_FORMAT`].
fn ends_with_time(text: &str) -> bool {
    const LENGTH: usize = "2026-11-21-20-15-00-123".len();
    let time = text.len().checked_sub(LENGTH).and_then(|at| text.get(at..)).unwrap_or_default();
    NaiveDateTime::parse_from_str(time, TIME_FORMAT).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_have_unique_names_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::open(&Config { keep: 3, ..Config::default() }, &StateDir::open(Some(folder.path())));
        let directory = folder.path().join("photos");
        fs::create_dir(&directory).unwrap();
        // Files that people put there are not ours to delete.
        let others = ["heron.jpg", "door-2020-01-01-00-00-00-000.png", "2020-01-01.jpg"];
        for other in others {
            fs::write(directory.join(other), "mine").unwrap();
        }
        let added: Vec<_> = (0..5u8).map(|number| photos.add("door", &[number]).unwrap()).collect();
        let names = added.iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names.len(), added.len());
        assert!(added.iter().all(|path| parse_name(path).is_some() && path.starts_with(&directory)), "{added:?}");
        let there = |path: &PathBuf| fs::read(path).ok();
        assert_eq!(
            added.iter().map(there).collect::<Vec<_>>(),
            [None, None, Some(vec![2]), Some(vec![3]), Some(vec![4])]
        );
        assert!(others.iter().all(|other| directory.join(other).exists()));
    }

    #[test]
    fn a_clock_that_is_behind_loses_no_photo() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::open(&Config { keep: 2, ..Config::default() }, &StateDir::open(Some(folder.path())));
        let directory = folder.path().join("photos");
        fs::create_dir(&directory).unwrap();
        // Photos of an earlier version, and then the clock is behind them, since the board has just lost power.
        let names = ["door-2098-01-01-00-00-00-000.jpg", "door-2099-01-01-00-00-00-000.jpg"];
        let [older, newer] = names.map(|name| directory.join(name));
        let tomorrow = SystemTime::now() + std::time::Duration::from_secs(86_400);
        for path in [&older, &newer] {
            fs::write(path, "old").unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(tomorrow).unwrap();
        }
        let first = photos.add("door", b"first").unwrap();
        assert!(first.exists() && newer.exists() && !older.exists());
        // The clock is behind the first photo's time as well.
        fs::File::options().write(true).open(&first).unwrap().set_modified(tomorrow).unwrap();
        let second = photos.add("yard", b"second").unwrap();
        assert!(second.exists() && first.exists() && !newer.exists());
        // Also after a restart, and when only the newest one is kept.
        let photos = Photos::open(&Config { keep: 1, ..Config::default() }, &StateDir::open(Some(folder.path())));
        let third = photos.add("attic", b"third").unwrap();
        assert!(third.exists() && !second.exists() && !first.exists());
        assert_eq!([&first, &second, &third].map(|path| parse_name(path)), [1, 2, 3].map(|n| Some(Some(n))));
    }

    #[test]
    fn names_of_photos_are_distinguished_from_others() {
        for (name, number) in [
            ("door-2026-11-21-20-15-00-123-000042.jpg", Some(Some(42))),
            ("2026-11-21-20-15-00-123-1000000.jpg", Some(Some(1_000_000))),
            ("door-2026-11-21-20-15-00-123.jpg", Some(None)),
            ("door-2026-11-21-20-15-00-123-000042.png", None),
            ("door-2026-11-21-20-15-00-123-42.jpg", None),
            ("door-2026-11-21-20-15-00-123-heron.jpg", None),
            ("door-2026-13-21-20-15-00-123-000042.jpg", None),
            ("000042.jpg", None),
        ] {
            assert_eq!(parse_name(Path::new(name)), number, "{name}");
        }
    }

    #[test]
    fn a_configured_directory_is_created_and_failure_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = StateDir::open(Some("/dev/null/porthole".as_ref()));
        let config = Config { directory: Some(folder.path().join("a/b")), ..Config::default() };
        let photo = Photos::open(&config, &nowhere).add("door", b"jpeg").unwrap();
        assert_eq!(photo.parent(), config.directory.as_deref());
        let error = Photos::open(&Config::default(), &nowhere).add("door", b"jpeg").unwrap_err().to_string();
        assert!(error.starts_with("make the directory of photos /dev/null/porthole/photos: "), "{error}");
        assert!(error.ends_with("set [photos] directory to a place that can be written"), "{error}");
    }
}
