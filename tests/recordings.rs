//! Recording in the running program: files that players find whole and in step, whatever ends them or changes meanwhile, time-lapses,
//! who may see them, and cards that are full, read-only or gone.
//!
//! The MP4 writer, names, limits and the queue are tested beside their code.

#[path = "recordings/access.rs"]
mod access;
#[path = "recordings/card.rs"]
mod card;
#[path = "recordings/changes.rs"]
mod changes;
mod common;
#[path = "recordings/events.rs"]
mod events;
#[path = "recordings/files.rs"]
mod files;
#[path = "recordings/kills.rs"]
mod kills;
#[path = "recordings/minutes.rs"]
mod minutes;
#[path = "board/namespace.rs"]
mod namespace;
#[allow(dead_code)]
#[path = "rtsp/recording.rs"]
mod recording;
#[allow(dead_code)]
#[path = "switch/viewer.rs"]
mod switching;
#[path = "recordings/timelapse.rs"]
mod timelapse;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use common::footprint::call;
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, StallMonitor, Viewer, missing, request, until_idle};
use serde_json::{Value, json};

/// [`SMALL`] that records into a directory, with these lines in `[recording]`.
pub fn config(directory: &Path, lines: &str) -> String {
    let auth = "[auth]\nmode = \"none\"";
    format!("{SMALL}\n{auth}\n[recording]\ndirectory = {directory:?}\nmin_free = \"\"\n{lines}\n")
}

/// `GET /api/recordings`.
pub async fn list(porthole: &Porthole) -> Result<Vec<Value>> {
    let answer = request("GET", &format!("{}api/recordings", porthole.base), &[], String::new()).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let mut listed: Value = serde_json::from_str(&answer.body)?;
    Ok(listed["recordings"].as_array_mut().context("no list")?.drain(..).collect())
}

/// Waits until the list satisfies a condition.
pub async fn until_listed(porthole: &Porthole, what: &str, met: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let listed = list(porthole).await?;
        if met(&listed) {
            return Ok(listed);
        }
        ensure!(Instant::now() < deadline, "{what}: {listed:#?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether there is a recording, and none is being made.
pub fn has_ended(all: &[Value]) -> bool {
    !all.is_empty() && all.iter().all(|one| one["running"] == false)
}

/// Waits until so many bytes were written.
pub async fn until_recorded(porthole: &Porthole, bytes: f64) -> Result<()> {
    porthole.until_metric("porthole_recorded_bytes_total", |recorded| recorded >= bytes).await.map(drop)
}

fn is_recording(status: &Value) -> bool {
    status["recording"]["cameras"][0]["recording"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_every_frame_and_the_audio_in_step() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"manual\"\nbefore = 0\nafter = 0"))?;
    // Nobody watches, so the camera is closed until it is recorded.
    until_idle(&porthole).await?;
    ensure!(call(&porthole, "record.start", json!({})).await? == json!({ "camera": "camera", "on": true }));
    porthole.until_status("it is recorded", is_recording).await?;
    porthole.until_metric("porthole_frames_encoded_total", |frames| frames >= 300.0).await?;
    ensure!(call(&porthole, "record.stop", json!({})).await? == json!({ "camera": "camera", "on": false }));
    let listed = until_listed(&porthole, "it has ended", has_ended).await?;
    until_idle(&porthole).await?;
    let [one] = &listed[..] else { anyhow::bail!("{listed:#?}") };
    ensure!(one["cause"] == "manual" && one["camera"] == "camera" && one["protected"] == false, "{one:#}");
    let file = files::only(folder.path())?;
    let name = file.file_name().context("no name")?.to_string_lossy().into_owned();
    ensure!(name.starts_with("camera-20") && name.ends_with("ms.mp4"), "{name}");
    let length = one["length"].as_f64().context("no length")?;
    ensure!(length > 8.0, "{one:#}");
    recording::check(&file, length as u32)?;
    missing(&files::numbers(&file, (320, 180))?, &porthole).await?;
    // The length is that of the video, which players show; the audio ends later by as much as frames are late on a busy machine.
    let shown = recording::lengths(&file)?[0] + 1.0 / 30.0;
    ensure!((shown - length).abs() < 0.1, "{length}: {shown}");
    let duration = files::duration(&file)?;
    ensure!((shown - 0.1..shown + 1.0).contains(&duration), "{shown}: {duration}");
    ensure!(one["bytes"].as_u64() == Some(file.metadata()?.len()), "{one:#}");
    files::check_seeking(&file, length)?;
    // What is not media is less than 3 % of it, but for the index, which has 9 KiB.
    let media = files::media_bytes(&file)? as f64;
    let overhead = file.metadata()?.len() as f64 - 9.0 * 1024.0 - media;
    ensure!(overhead < 0.03 * media, "{overhead} bytes besides {media}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_begins_before_its_cause_and_ends_after_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"manual\"\nbefore = 2\nafter = 2\naudio = false"))?;
    // More than what is kept.
    porthole.until_metric("porthole_encode_seconds_count", |frames| frames >= 200.0).await?;
    ensure!(list(&porthole).await?.is_empty());
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?;
    call(&porthole, "record.start", json!({})).await?;
    porthole.until_status("it is recorded", is_recording).await?;
    call(&porthole, "record.stop", json!({})).await?;
    let listed = until_listed(&porthole, "it has ended", |all| all.iter().any(|one| one["running"] == false)).await?;
    let ended = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let [one] = &listed[..] else { anyhow::bail!("{listed:#?}") };
    let (start, length) = (one["start"].as_f64().context("no start")?, one["length"].as_f64().context("no length")?);
    let before = begun.as_secs_f64() - start;
    // It begins with a key frame, of which there is one every five seconds, and the start is in whole seconds.
    ensure!((2.0..8.5).contains(&before), "{before} s before: {one:#}");
    let after = start + length - begun.as_secs_f64();
    ensure!(after > 1.0 && start + length < ended.as_secs_f64() + 1.0, "{after} s after: {one:#}");
    let file = files::only(folder.path())?;
    ensure!(files::streams(&file)? == ["h264"], "the audio was not to be recorded");
    missing(&files::numbers(&file, (320, 180))?, &porthole).await?;
    // A second stop ends it at once.
    call(&porthole, "record.start", json!({})).await?;
    porthole.until_status("it is recorded again", is_recording).await?;
    call(&porthole, "record.stop", json!({})).await?;
    call(&porthole, "record.stop", json!({})).await?;
    let (stall_monitor, stopped) = (StallMonitor::watch(), Instant::now());
    porthole.until_status("it has ended", |status| !is_recording(status)).await?;
    let took = stall_monitor.end().running(stopped, Instant::now());
    ensure!(took < Duration::from_secs(2), "{took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_recorded_until_the_program_stops() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"always\""))?;
    until_recorded(&porthole, 100_000.0).await?;
    let refused = call(&porthole, "record.start", json!({})).await.err().context("it is recorded already")?;
    ensure!(refused.to_string().contains("everything is recorded"), "{refused:#}");
    porthole.signal("TERM")?;
    let (code, took, log) = porthole.wait()?;
    ensure!(code == Some(0) && took < Duration::from_secs(10), "{code:?} {took:?} {log}");
    let file = files::only(folder.path())?;
    ensure!(file.to_string_lossy().ends_with("ms.mp4"), "{}", file.display());
    let (length, numbers) = (files::duration(&file)?, files::numbers(&file, (320, 180))?);
    ensure!(numbers.len() as f64 > 20.0 * length - 10.0, "{} frames in {length} s", numbers.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_and_a_placeholder_begin_another_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"always\""))?;
    until_recorded(&porthole, 60_000.0).await?;
    call(&porthole, "video.set", json!({ "width": 640, "height": 360 })).await?;
    let second = |all: &[Value]| all.len() == 2 && all[1]["bytes"].as_u64() > Some(60_000);
    until_listed(&porthole, "another file", second).await?;
    // The privacy switch ends it, and turned off again another begins.
    let on = call(&porthole, "privacy.set", json!({ "on": true })).await?;
    ensure!(on["on"] == true);
    porthole.until_status("nothing is recorded", |status| !is_recording(status)).await?;
    let written = porthole.metric("porthole_recorded_bytes_total").await?;
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    let third = |all: &[Value]| all.len() == 3 && all[2]["bytes"].as_u64() > Some(60_000);
    until_listed(&porthole, "a third file", third).await?;
    ensure!(porthole.metric("porthole_recorded_bytes_total").await? > written);
    porthole.signal("TERM")?;
    porthole.wait()?;
    let all = files::all(folder.path())?;
    ensure!(all.len() == 3, "{all:?}");
    for (file, size) in all.iter().zip([(320, 180), (640, 360), (640, 360)]) {
        let numbers = files::numbers(file, size)?;
        ensure!(numbers.len() > 10 && numbers.is_sorted(), "{}: {numbers:?}", file.display());
        ensure!(files::streams(file)? == ["h264", "opus"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_switch_ends_a_recording_within_a_frame() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"manual\"\nbefore = 5"))?;
    porthole.until_metric("porthole_encode_seconds_count", |frames| frames >= 30.0).await?;
    call(&porthole, "record.start", json!({})).await?;
    until_recorded(&porthole, 60_000.0).await?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let seen = viewer.frame(LIMIT).await?.image.and_then(|image| image.code).context("no timecode")?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    let on = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let refused = call(&porthole, "record.start", json!({})).await.err().context("nothing may be recorded")?;
    ensure!(refused.to_string().contains("privacy switch"), "{refused:#}");
    let listed = until_listed(&porthole, "it has ended", has_ended).await?;
    ensure!(listed.len() == 1, "{listed:#?}");
    let numbers = files::numbers(&files::only(folder.path())?, (320, 180))?;
    ensure!(numbers.contains(&seen.frame), "the last seconds are missing: {numbers:?} {}", seen.frame);
    let end = listed[0]["start"].as_f64().unwrap_or_default() + listed[0]["length"].as_f64().unwrap_or_default();
    ensure!(end < on.as_secs_f64() + 0.1, "{end} {on:?}");
    // The event is over, and nothing of before the switch is kept.
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    let frames = porthole.metric("porthole_frames_encoded_total").await?;
    porthole.until_metric("porthole_frames_encoded_total", |now| now > frames + 30.0).await?;
    ensure!(list(&porthole).await?.len() == 1);
    let off = SystemTime::now().duration_since(UNIX_EPOCH)?;
    call(&porthole, "record.start", json!({})).await?;
    let listed = until_listed(&porthole, "another one", |all| all.len() == 2).await?;
    let start = listed[1]["start"].as_f64().context("no start")?;
    ensure!(start > on.as_secs_f64() - 1.0 && start <= off.as_secs_f64() + 2.0, "{start} {on:?} {off:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_what_is_recorded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"manual\"\nbefore = 0\nafter = 0"))?;
    let status = porthole.status().await?;
    let idle = json!({ "camera": "camera", "recording": false, "id": null, "cause": null, "since": null });
    ensure!(
        status["recording"]
            == json!({ "mode": "manual", "allow": "operator", "failed": false, "fault": null, "cameras": [idle] })
    );
    let mut events = files::events(&porthole)?;
    events.until("event: status")?;
    call(&porthole, "record.start", json!({})).await?;
    events.until("event: recording")?;
    let begun: Value = serde_json::from_str(events.next()?.strip_prefix("data: ").context("no data")?)?;
    ensure!(begun["recording"] == true && begun["id"] == 1 && begun["cause"] == "manual", "{begun}");
    call(&porthole, "record.stop", json!({})).await?;
    events.until("event: recording")?;
    let ended: Value = serde_json::from_str(events.next()?.strip_prefix("data: ").context("no data")?)?;
    ensure!(ended == idle, "{ended}");
    ensure!(porthole.metric("porthole_recording").await? == 0.0);
    Ok(())
}
