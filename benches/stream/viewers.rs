//! Viewers that receive without decoding, in a separate process, so that their CPU time is not the program's. The
//! process is this benchmark in another role.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::common::{LIMIT, Options, Viewer};

/// The first argument that selects this role: `viewers URL COUNT SOUND`.
pub const ROLE: &str = "viewers";

/// Printed when every viewer has received a frame.
const READY: &str = "ready";

/// Whether viewers hear the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Sound {
    On,
    Muted,
}

/// Has the audio muted.
const MUTE: &str = r#"{"id":1,"method":"audio.mute","params":{"muted":true}}"#;

/// Running viewers.
pub struct Viewers {
    child: Child,
    /// Closing it tells the viewers to leave.
    _stdin: Option<ChildStdin>,
}

impl Viewers {
    /// Starts viewers and waits until each receives frames.
    pub fn start(base: &str, count: usize) -> Result<Self> {
        Self::start_with(base, count, Sound::On)
    }

    /// As [`start`](Self::start), with their audio on or muted.
    pub fn start_with(base: &str, count: usize, sound: Sound) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([ROLE, base, &count.to_string(), &format!("{sound:?}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("start the viewers")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no stdout")?;
        let viewers = Self { child, _stdin: stdin };
        let line = BufReader::new(stdout).lines().next().transpose()?;
        anyhow::ensure!(line.as_deref() == Some(READY), "{count} viewers of {base} did not get ready: {line:?}");
        Ok(viewers)
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes them leave as browsers do, and waits.
    pub fn leave(mut self) -> Result<()> {
        drop(self._stdin.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the viewers ended with {status}");
        Ok(())
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        // No effect after `leave`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The viewers' role.
pub async fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    const USAGE: &str = "usage: viewers URL COUNT On|Muted";
    let base = arguments.next().context(USAGE)?;
    let count: usize = arguments.next().context(USAGE)?.parse()?;
    let is_muted = arguments.next().context(USAGE)? == format!("{:?}", Sound::Muted);
    let options = Options { decode: false, ..Options::new(&base) };
    let mut watching = Vec::new();
    let (end, _) = tokio::sync::watch::channel(());
    for _ in 0..count {
        let mut viewer = Viewer::connect(&options).await?;
        viewer.frame(LIMIT).await?;
        if is_muted {
            viewer.send(MUTE).await?;
        }
        let mut end = end.subscribe();
        watching.push(tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = viewer.events.recv() => anyhow::ensure!(event.is_some(), "a viewer has ended"),
                    _ = end.changed() => return viewer.leave().await,
                }
            }
        }));
    }
    println!("{READY}");
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    drop(end);
    for viewer in watching {
        viewer.await??;
    }
    Ok(())
}

/// The times of one join since the POST, in milliseconds.
#[derive(Debug, serde::Serialize)]
pub struct Join {
    /// Until the connection was established.
    pub connected: f64,
    /// Until the first frame's last packet arrived.
    pub arrived: f64,
    /// Until the first frame was decoded.
    pub decoded: f64,
}

/// Joins, waits for the first decoded frame, and leaves.
pub async fn join(base: &str) -> Result<Join> {
    use crate::common::Event;
    let mut viewer = Viewer::connect(&Options::new(base)).await?;
    let posted = viewer.posted;
    let milliseconds = |at: Instant| at.saturating_duration_since(posted).as_secs_f64() * 1e3;
    let mut connected = f64::NAN;
    let join = loop {
        match viewer.event(LIMIT).await? {
            Event::Connected => connected = milliseconds(Instant::now()),
            Event::Frame(frame) => {
                let decoded = milliseconds(Instant::now());
                frame.image.context("the first frame was not decoded")?;
                break Join { connected, arrived: milliseconds(frame.arrived), decoded };
            }
            _ => {}
        }
    };
    viewer.leave().await?;
    Ok(join)
}
