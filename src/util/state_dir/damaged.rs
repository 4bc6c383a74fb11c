//! Files of the state directory that are damaged: they are set aside under another name, so that the program starts
//! without them and nothing in them is lost.

use std::fs;
use std::io;

use anyhow::{Context as _, anyhow};

use super::StateDir;

/// What stands between the file's name and a number.
const INFIX: &str = ".damaged-";

/// How many of each file are kept: enough to see what happens again and again, and few enough to fill no disk.
const KEPT: usize = 3;

impl StateDir {
    /// Renames a file to a name that is free, and removes the oldest of those that were renamed earlier; the new name. The
    /// caller holds the lock.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn set_aside(&self, name: &str) -> anyhow::Result<String> {
        let directory = self.directory()?;
        let mut earlier: Vec<u64> = self.set_aside_files().iter().filter_map(|file| number(file, name)).collect();
        earlier.sort_unstable();
        let next = earlier.last().map_or(1, |newest| newest.saturating_add(1));
        let aside = format!("{name}{INFIX}{next}");
        fs::rename(directory.join(name), directory.join(&aside))
            .map_err(|error| anyhow!("rename it to {aside}: {error}"))
            .with_context(|| format!("set {} aside", directory.join(name).display()))?;
        let excess = (earlier.len() + 1).saturating_sub(KEPT);
        for number in &earlier[..excess.min(earlier.len())] {
            let old = directory.join(format!("{name}{INFIX}{number}"));
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!("remove {}: {error}", old.display());
            }
        }
        Ok(aside)
    }

    /// The names of all files that were set aside and are still there, in order.
    pub fn set_aside_files(&self) -> Vec<String> {
        // Without the directory nothing was ever stored.
        let listed = self.directory.as_deref().map(fs::read_dir).and_then(io::Result::ok);
        let names = listed.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| split(name).is_some()).collect();
        names.sort();
        names
    }
}

/// The number of a file that was set aside, if it was `name`.
fn number(file: &str, name: &str) -> Option<u64> {
    split(file).filter(|(original, _)| *original == name).map(|(_, number)| number)
}

/// The original name and the number of a file that was set aside.
fn split(file: &str) -> Option<(&str, u64)> {
    let (name, number) = file.rsplit_once(INFIX)?;
    Some((name, number.parse().ok()?)).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_file_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        assert!(store.set_aside("a.json").is_err());
        store.write("b.json", b"").unwrap();
        assert_eq!(store.set_aside("b.json").unwrap(), "b.json.damaged-1");
        for number in 1..=12u8 {
            store.write("a.json", &[number]).unwrap();
            assert_eq!(store.set_aside("a.json").unwrap(), format!("a.json.damaged-{number}"));
        }
        let names = ["a.json.damaged-10", "a.json.damaged-11", "a.json.damaged-12", "b.json.damaged-1"];
        assert_eq!(store.set_aside_files(), names);
        assert_eq!(store.read(names[2]).unwrap().unwrap(), [12]);
        assert_eq!(store.read("a.json").unwrap(), None);
    }
}
