//! A player as a process, which is killed when dropped.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{LIMIT, POLL_INTERVAL};

/// The running process.
pub struct Program {
    child: Child,
    /// The command, for messages.
    command: String,
    /// What it prints.
    printed: File,
}

impl Program {
    /// Starts a command without standard input.
    pub fn start(command: &mut Command) -> Result<Self> {
        // A file, because a pipe that nobody reads would stop the program.
        let printed = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        Ok(Self { child, command: format!("{command:?}"), printed })
    }

    /// Waits until it has ended by itself and without an error; returns what it printed.
    pub async fn finish(self) -> Result<String> {
        self.finish_within(2 * LIMIT).await
    }

    /// As [`Self::finish`], for one that takes longer.
    pub async fn finish_within(mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let printed = self.printed()?;
        let status = status.with_context(|| format!("{} does not end: {printed}", self.command))?;
        ensure!(status.success(), "{}: {status}: {printed}", self.command);
        Ok(printed)
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        super::signal(self.child.id(), name)
    }

    fn printed(&mut self) -> Result<String> {
        let mut printed = Vec::new();
        self.printed.rewind()?;
        self.printed.read_to_end(&mut printed)?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
