//! Time-lapses of the running program: the pictures that players find in them, also after a kill, and what they cost others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::common::footprint::call;
use crate::common::{Options, Porthole, Viewer, missing, numbers};
use crate::{config, files, has_ended, list, until_listed};

const PICTURES: &str = "porthole_timelapse_pictures_total";

/// A picture every second, besides these lines in `[recording]`.
fn every_second(directory: &Path, lines: &str) -> String {
    format!("{}[timelapse]\nevery = \"1 s\"\n", config(directory, lines))
}

async fn until_pictures(porthole: &Porthole, count: f64) -> Result<()> {
    let series = format!("{PICTURES}{{camera=\"camera\"}}");
    porthole.until_metric(&series, |pictures| pictures >= count).await?;
    Ok(())
}

/// Stops the program in order; the files in the directory.
fn stopped(porthole: Porthole, directory: &Path) -> Result<Vec<PathBuf>> {
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    ensure!(code == Some(0), "{log}");
    files::all(directory)
}

/// Checks that a player shows each of so many pictures for a 25th of a second, and can start with each.
fn check(file: &Path, count: usize) -> Result<()> {
    let (times, keys) = files::packets(file)?;
    ensure!(times.len() == count && keys == count, "{keys} of {} packets: {}", times.len(), file.display());
    for (at, time) in times.iter().enumerate() {
        ensure!((time - at as f64 / 25.0).abs() < 0.001, "picture {at} at {time}");
    }
    ensure!(files::playable(file)? == count && files::streams(file)? == ["h264"], "{}", file.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_has_a_picture_for_each_second_and_nothing_is_encoded_in_between() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&every_second(folder.path(), "mode = \"off\""))?;
    until_pictures(&porthole, 2.0).await?;
    porthole.until_metric("porthole_encoders", |encoders| encoders == 0.0).await?;
    until_pictures(&porthole, 6.0).await?;
    let status = porthole.status().await?;
    ensure!(status["recording"]["mode"] == "off" && status["viewers"] == 0, "{status:#}");
    let timelapse = &status["timelapse"];
    ensure!(timelapse["failed"] == false && timelapse["cameras"][0]["id"] == 1, "{timelapse:#}");
    let running = list(&porthole).await?;
    ensure!(running.len() == 1 && running[0]["cause"] == "timelapse" && running[0]["running"] == true, "{running:#?}");
    // A second has 30 frames, of which few are encoded.
    let (encoded, captured) = (
        porthole.metric("porthole_frames_encoded_total").await?,
        porthole.metric("porthole_frames_captured_total").await?,
    );
    ensure!(encoded < captured / 3.0, "{encoded} of {captured} frames");
    let all = stopped(porthole, folder.path())?;
    let [file] = &all[..] else { anyhow::bail!("{all:?}") };
    ensure!(file.to_string_lossy().contains("-000001-timelapse-"), "{}", file.display());
    let numbers = files::numbers(file, (320, 180))?;
    check(file, numbers.len())?;
    // A second apart, or more on a busy machine.
    ensure!(numbers.len() >= 6 && numbers.windows(2).all(|pair| pair[1] - pair[0] >= 20), "{numbers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_that_was_written_can_be_played_after_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = every_second(folder.path(), "mode = \"off\"");
    let porthole = Porthole::start(&config)?;
    until_pictures(&porthole, 4.0).await?;
    porthole.signal("KILL")?;
    porthole.wait()?;
    let left = files::all(folder.path())?;
    let [file] = &left[..] else { anyhow::bail!("{left:?}") };
    let pictures = files::playable(file)?;
    ensure!(pictures >= 4, "{pictures} pictures");
    // On the same day it goes on in another file.
    let again = Porthole::start(&config)?;
    let listed = until_listed(&again, "two films", |all| all.len() == 2 && all[1]["running"] == true).await?;
    let length = listed[0]["length"].as_f64().context("no length")?;
    ensure!((length - pictures as f64 / 25.0).abs() < 0.002, "{length} s with {pictures} pictures");
    until_pictures(&again, 1.0).await?;
    let all = stopped(again, folder.path())?;
    check(&all[0], pictures)?;
    let numbers = files::numbers(&all[1], (320, 180))?;
    check(&all[1], numbers.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_beside_a_recording_and_viewers_lose_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&every_second(folder.path(), "mode = \"always\""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let seen = numbers(&mut viewer, 150).await?;
    missing(&seen, &porthole).await?;
    until_pictures(&porthole, 3.0).await?;
    viewer.leave().await?;
    let all = stopped(porthole, folder.path())?;
    ensure!(all.len() == 2, "{all:?}");
    for file in &all {
        let numbers = files::numbers(file, (320, 180))?;
        if file.to_string_lossy().contains("-timelapse-") {
            check(file, numbers.len())?;
        } else {
            ensure!(numbers.len() > 100 && files::streams(file)? == ["h264", "opus"], "{}", numbers.len());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_a_camera_that_encodes_itself_are_its_key_frames() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // A key frame in half a second, whatever is requested.
    let command = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i testsrc=s=320x180:r=10 -c:v libx264 -g 5 \
                   -pix_fmt yuv420p -profile:v baseline -tune zerolatency -f h264 -";
    let config = every_second(folder.path(), "mode = \"off\"")
        .replace("device = \"pattern\"", &format!("device = '''exec:{command}'''"));
    let porthole = Porthole::start(&config.replace("fps = 30", "fps = 10"))?;
    until_pictures(&porthole, 4.0).await?;
    ensure!(porthole.metric("porthole_encoders").await? == 0.0, "it is encoded again");
    let all = stopped(porthole, folder.path())?;
    let [file] = &all[..] else { anyhow::bail!("{all:?}") };
    check(file, files::playable(file)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_switch_ends_a_film() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&every_second(folder.path(), "mode = \"off\""))?;
    until_pictures(&porthole, 2.0).await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    let listed = until_listed(&porthole, "it has ended", has_ended).await?;
    porthole.until_metric("porthole_cameras_open", |open| open == 0.0).await?;
    let pictures = porthole.metric(PICTURES).await?;
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    until_pictures(&porthole, pictures + 2.0).await?;
    let all = list(&porthole).await?;
    ensure!(all.len() == 2 && all[0]["length"] == listed[0]["length"], "{all:#?}");
    ensure!(stopped(porthole, folder.path())?.len() == 2);
    Ok(())
}
