//! A board with a speaker for the tests: the running program, whose speaker is ALSA's own plugin that plays into a file.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::client::ControlClient;
use crate::common::{Options, Porthole, SMALL, token};

/// What ALSA's file plugin keeps back: the buffer of the device that it stands for, 120 ms. A card would play that meanwhile.
pub const KEPT_BACK: usize = 5_760;

/// A program with a speaker.
pub struct Board {
    pub porthole: Porthole,
    pub folder: TempDir,
}

impl Board {
    pub fn start(speaker: &str, more: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("heard.raw");
        let config = format!("{SMALL}[speaker]\ndevice = \"file:{},raw\"\n{speaker}\n{more}\n", file.display());
        let state = [("STATE_DIRECTORY", folder.path().join("state").into_os_string())];
        Ok(Self { porthole: Porthole::start_with(&config, &state)?, folder })
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What the speaker plays into.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("heard.raw")
    }

    /// What the speaker has played.
    pub fn heard(&self) -> Result<Vec<i16>> {
        let bytes = std::fs::read(self.file()).unwrap_or_default();
        Ok(bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect())
    }

    /// A viewer that can talk.
    pub async fn viewer(&self, more: Options) -> Result<ControlClient> {
        ControlClient::connect(&Options { talks: true, ..more }).await
    }

    pub fn options(&self) -> Options {
        Options { decode: false, ..Options::new(&self.porthole.base) }
    }

    /// A token of this role.
    pub fn token(&self, name: &str, role: &str) -> Result<String> {
        token(&self.state(), &["add", name, "--role", role])
    }
}

/// Follows the size of a file: when it had how many samples.
pub fn follow(file: PathBuf, until: watch::Receiver<bool>) -> std::thread::JoinHandle<Vec<(Instant, usize)>> {
    std::thread::spawn(move || {
        let mut sizes = Vec::new();
        while !*until.borrow() {
            let size = std::fs::metadata(&file).map_or(0, |file| file.len() as usize / 2);
            sizes.push((Instant::now(), size));
            std::thread::sleep(Duration::from_millis(2));
        }
        sizes
    })
}
