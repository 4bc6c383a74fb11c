//! What changes in the middle of a recording: a camera is unplugged and plugged in again, viewers switch between cameras, and the
//! configuration is reloaded. The files stay whole, and have the times at which things happened.
//!
//! Another size and the privacy switch are tested beside recordings in general, and a clock that is set on the emulated board.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use porthole::capture::camera::timecode::camera_hash;
use serde_json::{Value, json};

use crate::common::fake::{DEVICE, Fake};
use crate::common::footprint::call;
use crate::common::{Porthole, SMALL, missing};
use crate::switching::{ControlClient, TWO};
use crate::{config, files, has_ended, is_recording, recording, until_listed, until_recorded};

/// Seconds since the Unix epoch.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// When a recording in the list starts and ends.
fn span(one: &Value) -> Result<(f64, f64)> {
    let start = one["start"].as_f64().context("no start")?;
    Ok((start, start + one["length"].as_f64().context("no length")?))
}

/// Has everything end that is recorded, by the privacy switch; what is listed then.
async fn ended(porthole: &Porthole) -> Result<Vec<Value>> {
    let dropped = porthole.series("porthole_frames_dropped_total{at=\"Recorder\"}").await?;
    ensure!(dropped == 0.0, "{dropped} frames were not recorded");
    call(porthole, "privacy.set", json!({ "on": true })).await?;
    until_listed(porthole, "everything has ended", has_ended).await
}

/// Stops the program in order; its log.
fn stopped(porthole: Porthole) -> Result<String> {
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    ensure!(code == Some(0), "{log}");
    Ok(log)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_camera_ends_the_file_and_an_event_goes_on_when_it_is_back() -> Result<()> {
    const CAMERA: &str = "format YUYV 320x180@30\n";
    let folder = tempfile::tempdir()?;
    let fake = Fake::new(CAMERA)?;
    let config = config(folder.path(), "mode = \"manual\"\nbefore = 0\nafter = 0");
    let config = config.replace("device = \"pattern\"", &format!("device = {DEVICE:?}"));
    let porthole = Porthole::start_with(&config, &fake.environment()?)?;
    call(&porthole, "record.start", json!({})).await?;
    let mut away = Vec::new();
    // Each file with a part of the event.
    for count in 1..=3 {
        until_listed(&porthole, "a file", |all| all.len() == count && all[count - 1]["running"] == true).await?;
        let frames = porthole.metric("porthole_frames_encoded_total").await?;
        porthole.until_metric("porthole_frames_encoded_total", |now| now >= frames + 60.0).await?;
        if count == 3 {
            break;
        }
        let unplugged = now()?;
        fake.unplug()?;
        let is_away = |status: &Value| status["cameras"][0]["state"] == "fault" && !is_recording(status);
        porthole.until_status("the camera is away", is_away).await?;
        until_listed(&porthole, "it has ended", has_ended).await?;
        away.push((unplugged, now()?));
        fake.plug(CAMERA)?;
    }
    call(&porthole, "record.stop", json!({})).await?;
    let listed = until_listed(&porthole, "it has ended", |all| all.len() == 3 && has_ended(all)).await?;
    ensure!(listed.iter().all(|one| one["cause"] == "manual"), "{listed:#?}");
    for (pair, (unplugged, plugged)) in listed.windows(2).zip(away) {
        let ((_, end), (start, _)) = (span(&pair[0])?, span(&pair[1])?);
        // Starts are in whole seconds. What was captured before is in the file, and nothing of the time without a camera.
        ensure!((-3.0..1.0).contains(&(end - unplugged)), "it ends at {end}: {unplugged} {pair:#?}");
        ensure!(start > plugged - 1.0, "it starts at {start}: {plugged} {pair:#?}");
    }
    stopped(porthole)?;
    let all = files::all(folder.path())?;
    ensure!(all.len() == 3, "{all:?}");
    for (file, one) in all.iter().zip(&listed) {
        // The placeholder has no timecode.
        let numbers = files::numbers(file, (320, 180))?;
        ensure!(numbers.len() > 30, "{}: {numbers:?}", file.display());
        ensure!(files::streams(file)? == ["h264", "opus"], "{}", file.display());
        let length = one["length"].as_f64().context("no length")?;
        let [video, audio] = recording::tracks(file)?;
        video.check(length, 0.5).with_context(|| format!("video of {}", file.display()))?;
        // At first the microphone is opened when the picture is there.
        audio.check(length - 1.0, 0.2).with_context(|| format!("audio of {}", file.display()))?;
        ensure!((files::duration(file)? - length).abs() < 0.5, "{}: {one:#}", file.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_who_switch_between_cameras_change_nothing_of_what_is_recorded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"always\"").replace(SMALL, TWO))?;
    let both = |all: &[Value]| all.len() == 2 && all.iter().all(|one| one["bytes"].as_u64() > Some(60_000));
    until_listed(&porthole, "both are recorded", both).await?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    for name in ["yard", "door"].into_iter().cycle().take(8) {
        viewer.call("camera.select", json!({ "camera": name })).await?;
        while viewer.frame().await?.camera != camera_hash(name) {}
    }
    viewer.viewer.leave().await?;
    let recorded = porthole.metric("porthole_recorded_bytes_total").await?;
    until_recorded(&porthole, recorded + 60_000.0).await?;
    ended(&porthole).await?;
    let all = files::all(folder.path())?;
    for (name, size) in [("door", (320, 180)), ("yard", (640, 360))] {
        let of_camera =
            |file: &&PathBuf| file.file_name().is_some_and(|found| found.to_string_lossy().starts_with(name));
        let found: Vec<&PathBuf> = all.iter().filter(of_camera).collect();
        let [file] = found[..] else { anyhow::bail!("one file for each camera: {all:?}") };
        let numbers = files::numbers(file, size)?;
        ensure!(numbers.len() > 60, "{name}: {numbers:?}");
        missing(&numbers, &porthole).await?;
    }
    stopped(porthole).map(drop)
}

/// The configuration of a program that records everything into a directory, with more lines.
fn reloaded(directory: &Path, more: &str) -> String {
    format!("{}\n[rtc]\nudp_port = 0\n{more}", config(directory, "mode = \"always\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_interrupts_no_recording() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, directory) = (folder.path().join("porthole.toml"), folder.path().join("recordings"));
    std::fs::write(&file, reloaded(&directory, ""))?;
    let porthole = Porthole::start_file(&file, &[("STATE_DIRECTORY", folder.path().join("state").into())])?;
    until_recorded(&porthole, 60_000.0).await?;
    // Something that is applied, something that takes a restart, and something that is wrong.
    let restart = reloaded(&directory, "").replace("mode = \"always\"", "mode = \"always\"\nfile_minutes = 1");
    for config in [reloaded(&directory, "[log]\nlevel = \"debug\"\n"), restart, "[recording]\nmode = 5\n".into()] {
        std::fs::write(&file, config)?;
        porthole.signal("HUP")?;
        let recorded = porthole.metric("porthole_recorded_bytes_total").await?;
        until_recorded(&porthole, recorded + 60_000.0).await?;
    }
    let listed = ended(&porthole).await?;
    let end = now()?;
    let file = files::only(&directory)?;
    missing(&files::numbers(&file, (320, 180))?, &porthole).await?;
    let (start, until) = span(&listed[0])?;
    ensure!((until - end).abs() < 3.0, "it ends at {until}, and it was {end}");
    recording::check(&file, (until - start) as u32)?;
    let log = stopped(porthole)?;
    for said in ["configuration reloaded; applied: log.level", "configuration not reloaded: "] {
        ensure!(log.contains(said), "{said}: {log}");
    }
    Ok(())
}
