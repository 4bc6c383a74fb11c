//! A value stored in a JSON file of the state directory, which other processes may change: the command line sets
//! passwords and tokens while the program runs.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::util::lock::{Mutex, MutexGuard};
use crate::util::state_dir::{Fingerprint, StateDir};

/// A value and its file.
pub struct Persisted<T> {
    store: StateDir,
    name: &'static str,
    cached: Mutex<Cached<T>>,
}

struct Cached<T> {
    fingerprint: Option<Fingerprint>,
    value: Arc<T>,
}

impl<T: Default + Clone + Serialize + DeserializeOwned> Persisted<T> {
    /// Reads the file; without one the value is the default.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn open(store: StateDir, name: &'static str) -> anyhow::Result<Self> {
        let cached = read(&store, name)?;
        Ok(Self { store, name, cached: Mutex::new(cached) })
    }

    /// The value, read again if the file has changed. If the file cannot be parsed the old value stays: our own writes
    /// are atomic, so somebody's editor wrote it.
    pub fn get(&self) -> Arc<T> {
        let mut cached = self.lock();
        let fingerprint = self.store.fingerprint(self.name);
        if fingerprint != cached.fingerprint {
            match read(&self.store, self.name) {
                Ok(read) => *cached = read,
                Err(error) => {
                    tracing::error!("{error:#}; the previous content stays in effect");
                    cached.fingerprint = fingerprint;
                }
            }
        }
        cached.value.clone()
    }

    /// Changes the value and writes it, unless it stayed the same. Holds a lock against other processes meanwhile.
    /// Blocks while writing.
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
        if value == *before {
            return Ok(result);
        }
        let mut json = serde_json::to_vec_pretty(&value).expect("persisted values should serialise to JSON");
        json.push(b'\n');
        let written = locked.and_then(|_lock| self.store.write(self.name, &json));
        *self.lock() = Cached { fingerprint: self.store.fingerprint(self.name), value: Arc::new(value) };
        written.map(|()| result)
    }

    fn lock(&self) -> MutexGuard<'_, Cached<T>> {
        self.cached.lock()
    }
}

fn read<T: Default + DeserializeOwned>(store: &StateDir, name: &str) -> anyhow::Result<Cached<T>> {
    // Before the content: if that changes in between, it is read again.
    let fingerprint = store.fingerprint(name);
    let value = match store.read(name)? {
        None => T::default(),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| anyhow!("{error}")).with_context(|| {
            let path = store.path(name).unwrap_or_default();
            format!("{} cannot be understood; mend it or delete it", path.display())
        })?,
    };
    Ok(Cached { fingerprint, value: Arc::new(value) })
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
    fn an_unwritable_change_applies_in_this_process() {
        let store = StateDir::open(Some(std::path::Path::new("/proc/self/porthole")));
        let persisted = open(&store).unwrap();
        persisted.change(|numbers| numbers.push(1)).unwrap_err();
        assert_eq!(*persisted.get(), [1]);
    }
}
