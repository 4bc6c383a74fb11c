//! A program that is killed in the middle of a recording: what was written can be played, and the next start ends the file.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::common::Porthole;
use crate::{config, files, until_listed};

/// How often it is killed in the ordinary run.
const KILLS: u64 = 4;

/// Kills it so often, each time at another moment.
async fn kill(count: u64, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..count {
        let folder = tempfile::tempdir()?;
        let config = config(folder.path(), "mode = \"always\"");
        let porthole = Porthole::start(&config)?;
        // From the first fragment on.
        crate::until_recorded(&porthole, 12_000.0).await?;
        // A moment like any other: nothing is waited for.
        let moment = Duration::from_micros(random.random_range(0..3_000_000));
        tokio::time::sleep(moment).await;
        porthole.signal("KILL")?;
        porthole.wait()?;
        let file = files::only(folder.path())?;
        ensure!(!file.to_string_lossy().ends_with("ms.mp4"), "{}", file.display());
        let playable = files::playable(&file).with_context(|| format!("round {round}, after {moment:?}"))?;
        let left = std::fs::metadata(&file)?.len();
        // The next start ends it, and begins another one.
        let again = Porthole::start(&config)?;
        let ended = |all: &[serde_json::Value]| all.first().is_some_and(|one| one["length"].is_number());
        let listed = until_listed(&again, "it is ended", ended).await?;
        ensure!(listed[0]["running"] == false && listed[0]["bytes"].as_u64() <= Some(left), "{listed:#?}");
        drop(again);
        let all = files::all(folder.path())?;
        let first = all.first().context("no file")?;
        let numbers = files::numbers(first, (320, 180)).with_context(|| format!("round {round}, after {moment:?}"))?;
        // A player shows as much of the file as it was left, and perhaps some frames of the fragment that was cut off.
        ensure!(playable >= numbers.len(), "round {round}: {playable} of {} frames", numbers.len());
        // That of the longest track, which on a busy machine may be the audio by some packets.
        let length = files::duration(first)?;
        ensure!(
            listed[0]["length"].as_f64().is_some_and(|listed| (listed - length).abs() < 0.5),
            "{length} {listed:#?}"
        );
        // A second of frames for each second: at most the last fragment is lost.
        ensure!(numbers.len() as f64 > 20.0 * length - 10.0, "{} frames in {length} s", numbers.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_written_can_be_played_after_a_kill() -> Result<()> {
    kill(KILLS, 7).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes five minutes"]
async fn whatever_was_written_can_be_played_after_each_of_50_kills() -> Result<()> {
    kill(50, 11).await
}
