//! Whether the file system of the recordings is mounted: without it they would fill the one below.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// The mount that the directory of recordings is in.
#[derive(Debug, Default)]
pub struct Mount {
    /// The device of the file system that the directory's file system is mounted on, once it is known.
    below: Option<u64>,
}

impl Mount {
    /// Checks that recordings would not go to the file system below, where the card is not mounted.
    ///
    /// # Errors
    ///
    /// When they would.
    pub fn check(&self, directory: &Path) -> anyhow::Result<()> {
        let nearest = directory.ancestors().find_map(|path| fs::metadata(path).ok());
        let is_below = self.below.is_some() && nearest.map(|found| found.dev()) == self.below;
        anyhow::ensure!(!is_below, "{}", not_mounted(directory));
        Ok(())
    }

    /// Notes what the file system of a directory that is there is mounted on.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn learn(&mut self, directory: &Path) -> anyhow::Result<()> {
        if self.below.is_none() {
            self.below = mounted_on(directory).with_context(|| format!("read {}", directory.display()))?;
        }
        Ok(())
    }

    /// A mount on the file system of this device.
    #[cfg(test)]
    pub fn on(below: u64) -> Self {
        Self { below: Some(below) }
    }
}

/// Checks that a file is in the file system that is mounted now.
///
/// # Errors
///
/// When another one is, or none.
pub fn check_file(file: &File, directory: &Path) -> anyhow::Result<()> {
    let shown = || format!("read {}", directory.display());
    let (own, current) = (file.metadata().with_context(shown)?, fs::metadata(directory).with_context(shown)?);
    anyhow::ensure!(own.dev() == current.dev(), "{}", not_mounted(directory));
    Ok(())
}

/// The device of the file system that a directory's own file system is mounted on; `None` for that of the root.
fn mounted_on(directory: &Path) -> io::Result<Option<u64>> {
    let directory = directory.canonicalize()?;
    let own = fs::metadata(&directory)?.dev();
    let devices = directory.ancestors().skip(1).filter_map(|path| Some(fs::metadata(path).ok()?.dev()));
    Ok(devices.into_iter().find(|device| *device != own))
}

fn not_mounted(directory: &Path) -> String {
    format!("{}: its file system is no longer mounted; mount it again", directory.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_below_a_mount_is_told_from_it() {
        let root = fs::metadata("/").unwrap().dev();
        assert_eq!(mounted_on(Path::new("/")).unwrap(), None);
        let below_proc = mounted_on(Path::new("/proc/self")).unwrap();
        assert_eq!(below_proc, Some(root));
    }
}
