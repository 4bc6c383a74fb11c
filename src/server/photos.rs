//! Photos that are kept on the board: JPEG files in a directory, of which the newest stay.
//!
//! Taking them does not belong here, nor who may.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use chrono::{DateTime, Local, NaiveDateTime, TimeDelta};

use crate::util::state_dir::Store;

/// The directory in that of the state.
const DEFAULT_DIRECTORY: &str = "photos";

/// When a photo was taken, by the board's clock and in its time zone, as file names have it.
const TIME_FORMAT: &str = "%Y-%m-%d-%H-%M-%S-%3f";

/// What a photo's file name ends with.
const EXTENSION: &str = "jpg";

/// Where photos are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where; `None` for a directory of its own in that of the state.
    pub directory: Option<PathBuf>,
    /// So many of the newest stay.
    pub keep: usize,
}

impl Default for Config {
    fn default() -> Self {
        // A fifth of a gigabyte, with 400 kB for a photo.
        Self { directory: None, keep: 500 }
    }
}

/// The photos on the board; a cheap handle.
#[derive(Debug, Clone)]
pub struct Photos {
    store: Store,
    keep: usize,
    /// One is added at a time, so that each has a name of its own.
    adding: Arc<Mutex<()>>,
}

impl Photos {
    /// Photos as configured, by the side of what `state` keeps. The directory is made with the first one.
    pub fn open(config: &Config, state: &Store) -> Self {
        let directory = config.directory.clone().or_else(|| state.path(DEFAULT_DIRECTORY).ok());
        let there = |directory: PathBuf| Store::elsewhere(&directory, "directory of photos", "[photos] directory");
        // Where there is no place for the state, that is told.
        let store = directory.map_or_else(|| state.clone(), there);
        Self { store, keep: config.keep, adding: Arc::default() }
    }

    /// Keeps a photo, and removes the oldest where there are more than shall be kept; where the photo is. Whatever else lies
    /// in the directory stays. Blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add(&self, camera: &str, jpeg: &[u8]) -> anyhow::Result<PathBuf> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Local::now();
        let named = |taken: DateTime<Local>| format!("{camera}-{}.{EXTENSION}", taken.format(TIME_FORMAT));
        while self.store.stamp(&named(taken)).is_some() {
            taken += TimeDelta::milliseconds(1);
        }
        let name = named(taken);
        self.store.write(&name, jpeg)?;
        if let Err(error) = self.prune() {
            tracing::warn!("old photos stay: {error:#}");
        }
        self.store.path(&name)
    }

    /// Removes the oldest where there are too many.
    fn prune(&self) -> anyhow::Result<()> {
        let directory = self.store.directory()?;
        let listed = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
        let paths = listed().with_context(|| format!("list {}", directory.display()))?;
        // Written within one tick of the file system's clock they differ by name, which tells the time too.
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

/// Whether it is named as photos are.
fn is_photo(path: &Path) -> bool {
    /// What [`TIME`] makes.
    const LENGTH: usize = "2026-11-21-20-15-00-123".len();
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let time = stem.len().checked_sub(LENGTH).and_then(|at| stem.get(at..)).unwrap_or_default();
    path.extension() == Some(OsStr::new(EXTENSION)) && NaiveDateTime::parse_from_str(time, TIME_FORMAT).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_have_names_of_their_own_and_the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::open(&Config { keep: 3, ..Config::default() }, &Store::open(Some(folder.path())));
        let directory = folder.path().join("photos");
        fs::create_dir(&directory).unwrap();
        // What people put there is not ours.
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
    fn a_directory_of_ones_own_is_made_and_one_that_cannot_be_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Store::open(Some("/dev/null/porthole".as_ref()));
        let config = Config { directory: Some(folder.path().join("a/b")), ..Config::default() };
        let photo = Photos::open(&config, &nowhere).add("door", b"jpeg").unwrap();
        assert_eq!(photo.parent(), config.directory.as_deref());
        let error = Photos::open(&Config::default(), &nowhere).add("door", b"jpeg").unwrap_err().to_string();
        assert!(error.starts_with("make the directory of photos /dev/null/porthole/photos: "), "{error}");
        assert!(error.ends_with("set [photos] directory to a place that can be written"), "{error}");
    }
}
