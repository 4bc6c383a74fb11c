//! A camera that behaves as a test says: the folder with its script, and the environment that lets the program see it.
//!
//! What a script can say stands in `tests/fake/script.rs`; what is expected of the program does not belong here.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// The path under which the program sees the camera.
pub const DEVICE: &str = "/dev/video90";

/// A fake camera. It is unplugged when dropped.
pub struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// A camera with this script, whose calls are noted.
    pub fn new(script: &str) -> Result<Self> {
        let fake = Self { folder: tempfile::tempdir()? };
        std::fs::create_dir(fake.folder.path().join("dev"))?;
        std::fs::write(fake.folder.path().join("calls"), "")?;
        fake.plug(script)?;
        Ok(fake)
    }

    /// Lets the camera behave so from the next opening on; plugs it in where it was unplugged.
    pub fn plug(&self, script: &str) -> Result<()> {
        // At once: the program may look at any moment, and an empty script is none.
        let new = self.folder.path().join("new");
        std::fs::write(&new, script)?;
        std::fs::rename(new, self.node()).context("plug the camera in")
    }

    /// Takes the camera away, from those who have it open also.
    pub fn unplug(&self) -> Result<()> {
        std::fs::remove_file(self.node()).context("unplug the camera")
    }

    /// The calls so far, a line each.
    pub fn calls(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("calls"))?)
    }

    /// How often a call was made so far: the lines of [`Self::calls`] that begin so.
    pub fn count(&self, call: &str) -> Result<usize> {
        Ok(self.calls()?.lines().filter(|line| line.starts_with(call)).count())
    }

    /// No calls are noted: for measurements.
    pub fn quiet(self) -> Result<Self> {
        std::fs::remove_file(self.folder.path().join("calls"))?;
        Ok(self)
    }

    /// A new folder for the frames of a script's `files=`.
    pub fn frames(&self, frames: &[Vec<u8>]) -> Result<PathBuf> {
        let folder = self.folder.path().join("frames");
        std::fs::create_dir(&folder)?;
        for (number, frame) in frames.iter().enumerate() {
            std::fs::write(folder.join(format!("{number:06}")), frame)?;
        }
        Ok(folder)
    }

    /// What the program's environment needs.
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
