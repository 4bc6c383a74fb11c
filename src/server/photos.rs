//! Photos stored on the device: JPEG files in one directory, of which the newest are kept.
//!
//! Taking the photo and checking permissions belong to `server::dispatch`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Local, NaiveDateTime, TimeDelta};

use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;

/// Subdirectory of the state directory.
const DEFAULT_DIRECTORY: &str = "photos";

/// Time format of the file names: when the photo was taken, in the device's time zone.
const TIME_FORMAT: &str = "%Y-%m-%d-%H-%M-%S-%3f";

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
    /// Photos are added one at a time, so that each gets a unique name.
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
        let mut taken = Local::now();
        let named = |taken: DateTime<Local>| format!("{camera}-{}.{EXTENSION}", taken.format(TIME_FORMAT));
        while self.store.fingerprint(&named(taken)).is_some() {
            taken += TimeDelta::milliseconds(1);
        }
        let name = named(taken);
        self.store.write(&name, jpeg)?;
        if let Err(error) = self.prune() {
            tracing::warn!("old photos were not removed: {error:#}");
        }
        self.store.path(&name)
    }

    /// Removes the oldest photos above the limit.
    fn prune(&self) -> anyhow::Result<()> {
        let directory = self.store.directory()?;
        let listed = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
        let paths = listed().with_context(|| format!("list {}", directory.display()))?;
        // Photos written within one tick of the file system's clock are ordered by name, which contains the time.
        let aged = |path: PathBuf| Some((fs::metadata(&path).ok()?.modified().ok()?, path));
        let mut photos: Vec<_> = paths.into_iter().filter(|path| is_photo(path)).filter_map(aged).collect();
        photos.sort();
        let many = photos.len().saturating_sub(self.keep);
        for (_, path) in &photos[..many] {
            fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether the file name is that of a photo.
fn is_photo(path: &Path) -> bool {
    /// Length of a formatted [`TIME_FORMAT`].
    const LENGTH: usize = "2026-11-21-20-15-00-123".len();
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let time = stem.len().checked_sub(LENGTH).and_then(|at| stem.get(at..)).unwrap_or_default();
    path.extension() == Some(OsStr::new(EXTENSION)) && NaiveDateTime::parse_from_str(time, TIME_FORMAT).is_ok()
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
        assert!(added.iter().all(|path| is_photo(path) && path.starts_with(&directory)), "{added:?}");
        let there = |path: &PathBuf| fs::read(path).ok();
        assert_eq!(
            added.iter().map(there).collect::<Vec<_>>(),
            [None, None, Some(vec![2]), Some(vec![3]), Some(vec![4])]
        );
        assert!(others.iter().all(|other| directory.join(other).exists()));
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
