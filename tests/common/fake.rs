//! The fake camera of a test: the folder with its script, and the environment that shows it to the program.
//!
//! `tests/fake/script.rs` describes the script language; expectations on the program do not belong here.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// The camera's path as the program sees it.
pub const DEVICE: &str = "/dev/video90";

/// A fake camera. It is unplugged when dropped.
pub struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// Creates a camera with this script and a call log.
    pub fn new(script: &str) -> Result<Self> {
        let fake = Self { folder: tempfile::tempdir()? };
        std::fs::create_dir(fake.folder.path().join("dev"))?;
        std::fs::write(fake.folder.path().join("calls"), "")?;
        fake.plug(script)?;
        Ok(fake)
    }

    /// Replaces the script from the next open on; plugs the camera in if it was unplugged.
    pub fn plug(&self, script: &str) -> Result<()> {
        // Atomically: the program may open it at any moment, and an empty script is invalid.
        let new = self.folder.path().join("new");
        std::fs::write(&new, script)?;
        std::fs::rename(new, self.node()).context("plug the camera in")
    }

    /// Unplugs the camera, even while it is open.
    pub fn unplug(&self) -> Result<()> {
        std::fs::remove_file(self.node()).context("unplug the camera")
    }

    /// The calls so far, one per line.
    pub fn calls(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("calls"))?)
    }

    /// The number of calls so far: lines of [`Self::calls`] with this prefix.
    pub fn count(&self, call: &str) -> Result<usize> {
        Ok(self.calls()?.lines().filter(|line| line.starts_with(call)).count())
    }

    /// Disables the call log, for measurements.
    pub fn quiet(self) -> Result<Self> {
        std::fs::remove_file(self.folder.path().join("calls"))?;
        Ok(self)
    }

    /// Creates a folder for the frames of a script's `files=`.
    pub fn frames(&self, frames: &[Vec<u8>]) -> Result<PathBuf> {
        let folder = self.folder.path().join("frames");
        std::fs::create_dir(&folder)?;
        for (number, frame) in frames.iter().enumerate() {
            std::fs::write(folder.join(format!("{number:06}")), frame)?;
        }
        Ok(folder)
    }

    /// Makes the memory card slow: it takes so many bytes in a second.
    pub fn slow_card(&self, bytes_per_second: u64) -> Result<()> {
        std::fs::write(self.folder.path().join("card"), bytes_per_second.to_string()).context("make the card slow")
    }

    /// Makes the memory card as fast as it was.
    pub fn fast_card(&self) -> Result<()> {
        std::fs::remove_file(self.folder.path().join("card")).context("make the card fast")
    }

    /// The environment variables for the program.
    pub fn environment(&self) -> Result<[(&'static str, OsString); 2]> {
        let library = super::example("libfake_camera.so")?;
        ensure!(
            library.exists(),
            "{} is not there; build it: cargo build --example fake_camera, with --release for a benchmark",
            library.display()
        );
        Ok([("LD_PRELOAD", library.into()), ("PORTHOLE_FAKE", self.folder.path().into())])
    }

    fn node(&self) -> PathBuf {
        self.folder.path().join("dev/video90")
    }
}
