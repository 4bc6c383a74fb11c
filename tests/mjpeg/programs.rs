//! ffmpeg as a reader: it plays, leaves nothing behind when it ends or is killed, and plays again.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::common::{Footprint, Porthole, Program, SMALL, until_idle};

/// ffmpeg, which prints a hash of each frame that it has decoded.
fn ffmpeg(porthole: &Porthole, path: &str, frames: &[&str]) -> Result<Program> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-i", &format!("{}{path}", porthole.base)]);
    Program::start(command.args(frames).args(["-f", "framemd5", "-"]))
}

/// Plays a second of a stream, in which the picture moves, to its end.
async fn plays(porthole: &Porthole, path: &str) -> Result<()> {
    let printed = ffmpeg(porthole, path, &["-frames:v", "30"])?.finish().await?;
    let frames = printed.lines().filter(|line| !line.starts_with('#'));
    let hashes: Vec<&str> = frames.filter_map(|line| line.rsplit(',').next()).collect();
    let different: HashSet<&str> = hashes.iter().copied().collect();
    ensure!(hashes.len() == 30 && different.len() >= 20, "{path}: {printed}");
    until_idle(porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_and_leaves_nothing_behind() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    plays(&porthole, "stream.mjpg").await?;
    let before = Footprint::of(&porthole).await?;
    for path in ["stream.mjpg?fps=15&width=160&quality=60", "?action=stream"] {
        plays(&porthole, path).await?;
        let killed = ffmpeg(&porthole, path, &[])?;
        let watches = |status: &serde_json::Value| status["viewers"] == 1 && status["cameras"][0]["state"] == "live";
        porthole.until_status("it watches", watches).await?;
        drop(killed);
        until_idle(&porthole).await?;
        plays(&porthole, path).await?;
    }
    before.until_restored(&porthole).await
}
