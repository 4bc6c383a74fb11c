//! A value stored in a JSON file of the state directory, which other processes may change: the command line sets
//! passwords and tokens while the program runs.

use std::sync::Arc;

use anyhow::anyhow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::util::lock::{Mutex, MutexGuard};
use crate::util::state_dir::{Fingerprint, ReadError, StateDir};

/// A value and its file.
pub struct Persisted<T> {
    store: StateDir,
    name: &'static str,
    cached: Mutex<Cached<T>>,
    /// Whether the last write failed, so that the value is only in memory.
    unwritten: watch::Sender<bool>,
}

struct Cached<T> {
    fingerprint: Option<Fingerprint>,
    value: Arc<T>,
    /// Whether the file cannot be understood, and the value is what it was before.
    damaged: bool,
}

/// Why the content of a file is not known.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("{0}")]
    Unreadable(#[from] ReadError),
    #[error("{path} cannot be understood; mend it or delete it: {error}")]
    Nonsense { path: String, error: serde_json::Error },
}

impl<T: Default + Clone + Serialize + DeserializeOwned> Persisted<T> {
    /// Reads the file; without one the value is the default.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn open(store: StateDir, name: &'static str) -> anyhow::Result<Self> {
        let cached = read(&store, name)?;
        Ok(Self::with(store, name, cached))
    }

    /// As [`open`](Self::open), but a damaged file is set aside, and the value is the default; whether that was so. If it
    /// cannot be set aside, it is when it is written the next time.
    ///
    /// # Errors
    ///
    /// When the file may not be read.
    pub fn open_or_set_aside(store: StateDir, name: &'static str) -> anyhow::Result<(Self, bool)> {
        match read(&store, name) {
            Ok(cached) => return Ok((Self::with(store, name, cached), false)),
            Err(Unknown::Unreadable(error)) if !error.is_damage() => return Err(error.into()),
            Err(_) => {}
        }
        // Where the lock cannot be taken, nothing can be renamed either.
        let lock = store.lock();
        // Another process may have replaced it meanwhile.
        let (cached, damaged) = match read(&store, name) {
            Ok(cached) => (cached, false),
            Err(error) => {
                let aside = set_aside(&store, name, &error.into());
                if let Err(error) = &aside {
                    tracing::error!("{name} is damaged; porthole goes on as if there were none: {error:#}");
                }
                (Cached { fingerprint: store.fingerprint(name), value: Arc::default(), damaged: aside.is_err() }, true)
            }
        };
        drop(lock);
        Ok((Self::with(store, name, cached), damaged))
    }

    fn with(store: StateDir, name: &'static str, cached: Cached<T>) -> Self {
        Self { store, name, cached: Mutex::new(cached), unwritten: watch::Sender::new(false) }
    }

    /// The value, read again if the file has changed. If the file cannot be parsed the old value stays: our own writes
    /// are atomic, so somebody's editor wrote it.
    pub fn get(&self) -> Arc<T> {
        let mut cached = self.lock();
        let fingerprint = self.store.fingerprint(self.name);
        if fingerprint != cached.fingerprint {
            match read(&self.store, self.name) {
                Ok(read) => {
                    *cached = read;
                    // Another process has written it, and what could not be written here is void.
                    self.unwritten.send_if_modified(std::mem::take);
                }
                Err(error) => {
                    tracing::error!("{error}; the previous content stays in effect");
                    (cached.fingerprint, cached.damaged) = (fingerprint, true);
                }
            }
        }
        cached.value.clone()
    }

    /// Changes the value and writes it, unless it stayed the same and was written before. Holds a lock against other
    /// processes meanwhile. Blocks while writing.
    ///
    /// # Errors
    ///
    /// When it cannot be written; in this process the change applies all the same.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> anyhow::Result<R>
    where
        T: PartialEq,
    {
        let locked = self.store.lock();
        let before = self.get();
        let mut value = T::clone(&before);
        let result = change(&mut value);
        if value == *before && !self.is_unwritten() {
            return Ok(result);
        }
        let written = locked.and_then(|_lock| self.write(&value));
        if written.is_err() {
            let mut cached = self.lock();
            (cached.fingerprint, cached.value) = (self.store.fingerprint(self.name), Arc::new(value));
            drop(cached);
            self.unwritten.send_replace(true);
        }
        written.map(|()| result)
    }

    /// Whether the value is only in memory, because it could not be written; [`write_again`](Self::write_again) is to be
    /// called then.
    pub fn unwritten(&self) -> watch::Receiver<bool> {
        self.unwritten.subscribe()
    }

    /// Writes what could not be written before; whether nothing is unwritten now. Blocks.
    pub fn write_again(&self) -> bool {
        let Ok(_lock) = self.store.lock() else { return false };
        let value = self.get();
        if !self.is_unwritten() {
            return true;
        }
        let written = self.write(&value);
        if written.is_ok() {
            tracing::info!("{} is written now", self.name);
        }
        written.is_ok()
    }

    fn is_unwritten(&self) -> bool {
        *self.unwritten.borrow()
    }

    /// Writes a new value. A damaged file is set aside first. The caller holds the lock of the directory.
    fn write(&self, value: &T) -> anyhow::Result<()> {
        if self.lock().damaged && self.store.fingerprint(self.name).is_some() {
            set_aside(&self.store, self.name, &anyhow!("it is replaced"))?;
        }
        let mut json = serde_json::to_vec_pretty(value).expect("persisted values should serialise to JSON");
        json.push(b'\n');
        self.store.write(self.name, &json)?;
        let fingerprint = self.store.fingerprint(self.name);
        *self.lock() = Cached { fingerprint, value: Arc::new(value.clone()), damaged: false };
        self.unwritten.send_if_modified(std::mem::take);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Cached<T>> {
        self.cached.lock()
    }
}

/// Sets a damaged file aside and logs that.
fn set_aside(store: &StateDir, name: &str, error: &anyhow::Error) -> anyhow::Result<()> {
    let aside = store.set_aside(name)?;
    tracing::error!(
        "{name} was damaged and is now called {aside}; porthole goes on as if there had been none: {error:#}"
    );
    Ok(())
}

fn read<T: Default + DeserializeOwned>(store: &StateDir, name: &str) -> Result<Cached<T>, Unknown> {
    // Before the content: if that changes in between, it is read again.
    let fingerprint = store.fingerprint(name);
    let value = match store.read(name)? {
        None => T::default(),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            let path = store.path(name).unwrap_or_default();
            Unknown::Nonsense { path: path.display().to_string(), error }
        })?,
    };
    Ok(Cached { fingerprint, value: Arc::new(value), damaged: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(store: &StateDir) -> anyhow::Result<Persisted<Vec<u32>>> {
        Persisted::open(store.clone(), "numbers.json")
    }

    #[test]
    fn a_change_is_seen_by_others_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        let (one, other) = (open(&store).unwrap(), open(&store).unwrap());
        assert!(one.get().is_empty());
        for number in 0..20 {
            let (changes, looks) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
            changes.change(|numbers| numbers.push(number)).unwrap();
            assert_eq!(*looks.get(), (0..=number).collect::<Vec<u32>>());
        }
        assert_eq!(open(&store).unwrap().get().len(), 20);
        let fingerprint = store.fingerprint("numbers.json");
        one.change(|numbers| numbers.sort_unstable()).unwrap();
        assert_eq!(store.fingerprint("numbers.json"), fingerprint, "what stays the same should not be written");
    }

    #[test]
    fn an_unreadable_file_fails_at_start_and_is_ignored_later() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        let persisted = open(&store).unwrap();
        persisted.change(|numbers| numbers.push(1)).unwrap();
        store.write("numbers.json", b"{").unwrap();
        assert_eq!(*persisted.get(), [1]);
        let error = format!("{:#}", open(&store).err().unwrap());
        assert!(error.contains("numbers.json cannot be understood; mend it or delete it: "), "{error}");
        store.write("numbers.json", b"[2]").unwrap();
        assert_eq!(*persisted.get(), [2]);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        let recover = || Persisted::<Vec<u32>>::open_or_set_aside(store.clone(), "numbers.json").unwrap();
        assert!(!recover().1 && !folder.path().join("numbers.json").exists());
        store.write("numbers.json", b"[1").unwrap();
        let (persisted, damaged) = recover();
        assert!(damaged && persisted.get().is_empty());
        assert_eq!(store.read("numbers.json.damaged-1").unwrap().unwrap(), b"[1");
        persisted.change(|numbers| numbers.push(2)).unwrap();
        // What somebody spoiled meanwhile is not lost either.
        store.write("numbers.json", b"[2, 3").unwrap();
        persisted.change(|numbers| numbers.push(4)).unwrap();
        assert_eq!(*persisted.get(), [2, 4]);
        assert_eq!(store.read("numbers.json.damaged-2").unwrap().unwrap(), b"[2, 3");
        assert!(!recover().1);
        // Something else in its place.
        std::fs::remove_file(folder.path().join("numbers.json")).unwrap();
        std::fs::create_dir(folder.path().join("numbers.json")).unwrap();
        assert!(recover().1);
        assert!(folder.path().join("numbers.json.damaged-3").is_dir());
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let obstacle = folder.path().join("file");
        let store = StateDir::open(Some(&obstacle.join("below")));
        let persisted = open(&store).unwrap();
        let unwritten = persisted.unwritten();
        std::fs::write(&obstacle, "").unwrap();
        persisted.change(|numbers| numbers.push(1)).unwrap_err();
        assert!(*unwritten.borrow() && !persisted.write_again());
        std::fs::remove_file(&obstacle).unwrap();
        assert!(persisted.write_again() && !*unwritten.borrow());
        assert_eq!(*open(&store).unwrap().get(), [1]);
        // A change that changes nothing tries it as well.
        std::fs::remove_dir_all(&obstacle).unwrap();
        std::fs::write(&obstacle, "").unwrap();
        persisted.change(|numbers| numbers.push(2)).unwrap_err();
        std::fs::remove_file(&obstacle).unwrap();
        persisted.change(|_| ()).unwrap();
        assert!(!*unwritten.borrow());
    }

    #[test]
    fn an_unwritable_change_applies_in_this_process() {
        let store = StateDir::open(Some(std::path::Path::new("/proc/self/porthole")));
        let persisted = open(&store).unwrap();
        persisted.change(|numbers| numbers.push(1)).unwrap_err();
        assert_eq!(*persisted.get(), [1]);
    }
}
