//! Cards that are full, read-only or not mounted any more: real file systems in a namespace of their own; and one that is too slow.
//! Live video does not notice, what is wrong is said once, and recording goes on by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::common::fake::{DEVICE, Fake};
use crate::common::{Event, LIMIT, Options, Porthole, Viewer, missing, numbers};
use crate::{config, files, namespace, recording, until_listed, until_recorded};

/// Runs a scenario with mounts of its own.
fn with_mounts<S: FnOnce() -> Result<()>>(scenario: S) {
    namespace::isolated_with::<S>(&["--mount", "--pid"], || scenario().expect("the scenario should pass"));
}

fn run(line: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", line]).status()?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// A card of so many megabytes in a folder.
fn card_in(folder: &Path, megabytes: u32) -> Result<PathBuf> {
    let card = folder.join("card");
    fs::create_dir(&card)?;
    mount(&card, megabytes)?;
    Ok(card)
}

/// Mounts a card of so many megabytes.
fn mount(directory: &Path, megabytes: u32) -> Result<()> {
    run(&format!("mount -t tmpfs -o size={megabytes}m card {}", directory.display()))
}

fn block_on(scenario: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(scenario)
}

/// Waits until the status says that recordings cannot be stored; why.
async fn until_failed(porthole: &Porthole) -> Result<String> {
    let status = porthole.until_status("a fault", |status| status["recording"]["failed"] == true).await?;
    Ok(status["recording"]["fault"].as_str().context("no reason")?.to_owned())
}

async fn until_recovered(porthole: &Porthole) -> Result<()> {
    let works = |status: &serde_json::Value| {
        status["recording"]["failed"] == false && status["recording"]["cameras"][0]["recording"] == true
    };
    porthole.until_status("recording goes on", works).await.map(drop)
}

/// Whether the log says why recording has stopped, once.
fn check_log(log: &str) -> Result<()> {
    ensure!(log.matches("recording stops, and is tried again").count() == 1, "{log}");
    ensure!(log.matches("recordings can be stored again").count() == 1, "{log}");
    Ok(())
}

#[test]
fn a_full_card_costs_recordings_and_no_frame() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = card_in(folder.path(), 2)?;
        // Somebody else's.
        fs::write(card.join("other"), vec![0; 1_600_000])?;
        block_on(async {
            let porthole = Porthole::start(&config(&card, "mode = \"always\"\nkeep_bytes = \"\"\nsync = 1"))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 300).await });
            let fault = until_failed(&porthole).await?;
            ensure!(fault.contains("No space left on device"), "{fault}");
            missing(&watched.await??, &porthole).await?;
            fs::remove_file(card.join("other"))?;
            until_recovered(&porthole).await?;
            let written = porthole.metric("porthole_recorded_bytes_total").await?;
            until_recorded(&porthole, written + 60_000.0).await?;
            ensure!(porthole.metric("porthole_recording_failures_total").await? > 0.0);
            porthole.signal("TERM")?;
            let (code, _, log) = porthole.wait()?;
            ensure!(code == Some(0), "{log}");
            check_log(&log)?;
            let all = files::all(&card)?;
            ensure!(all.len() >= 2, "{all:?}");
            for file in all {
                files::numbers(&file, (320, 180))?;
            }
            Ok(())
        })
    });
}

#[test]
fn a_card_that_is_taken_out_is_noticed_and_used_again() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = card_in(folder.path(), 8)?;
        block_on(async {
            let directory = card.join("porthole");
            let porthole = Porthole::start(&config(&directory, "mode = \"always\"\nsync = 1"))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            until_recorded(&porthole, 60_000.0).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 200).await });
            run(&format!("umount -l {}", card.display()))?;
            until_failed(&porthole).await?;
            missing(&watched.await??, &porthole).await?;
            ensure!(!directory.exists(), "recordings go to the file system below");
            mount(&card, 8)?;
            until_recovered(&porthole).await?;
            let grown = |all: &[serde_json::Value]| all.iter().any(|one| one["bytes"].as_u64() > Some(60_000));
            until_listed(&porthole, "a file on the card", grown).await?;
            porthole.signal("TERM")?;
            let (_, _, log) = porthole.wait()?;
            check_log(&log)?;
            files::numbers(&files::only(&directory)?, (320, 180))?;
            Ok(())
        })
    });
}

#[test]
fn a_card_that_is_read_only_is_used_once_it_can_be_written() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = card_in(folder.path(), 8)?;
        run(&format!("mount -o remount,ro {}", card.display()))?;
        block_on(async {
            let porthole = Porthole::start(&config(&card, "mode = \"always\""))?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 100).await });
            let fault = until_failed(&porthole).await?;
            ensure!(fault.contains("Read-only file system"), "{fault}");
            missing(&watched.await??, &porthole).await?;
            run(&format!("mount -o remount,rw {}", card.display()))?;
            until_recovered(&porthole).await?;
            until_recorded(&porthole, 60_000.0).await?;
            porthole.signal("TERM")?;
            let (_, _, log) = porthole.wait()?;
            check_log(&log)?;
            files::numbers(&files::only(&card)?, (320, 180))?;
            Ok(())
        })
    });
}

#[test]
fn a_card_that_is_read_only_costs_pictures_of_a_time_lapse_and_no_frame() {
    with_mounts(|| {
        let folder = tempfile::tempdir()?;
        let card = card_in(folder.path(), 8)?;
        run(&format!("mount -o remount,ro {}", card.display()))?;
        block_on(async {
            let config = format!("{}[timelapse]\nevery = \"1 s\"\n", config(&card, "mode = \"off\""));
            let porthole = Porthole::start(&config)?;
            let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
            let watched = tokio::spawn(async move { numbers(&mut viewer, 100).await });
            let failed = |status: &serde_json::Value| status["timelapse"]["failed"] == true;
            let status = porthole.until_status("a fault", failed).await?;
            let fault = status["timelapse"]["fault"].as_str().context("no reason")?.to_owned();
            ensure!(fault.contains("Read-only file system"), "{fault}");
            missing(&watched.await??, &porthole).await?;
            run(&format!("mount -o remount,rw {}", card.display()))?;
            porthole.until_status("it goes on", |status| status["timelapse"]["failed"] == false).await?;
            porthole.signal("TERM")?;
            let (_, _, log) = porthole.wait()?;
            ensure!(log.matches("the time-lapse stops, and is tried again").count() == 1, "{log}");
            ensure!(log.matches("time-lapses can be stored again").count() == 1, "{log}");
            ensure!(files::playable(&files::only(&card)?)? >= 3);
            Ok(())
        })
    });
}

/// A second of noise as a camera encodes it, ten times as much as the slow card takes: access units in Annex B format.
fn noise() -> Result<Vec<Vec<u8>>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=gray:s=320x180:r=30,noise=alls=60:allf=t"]);
    command.args([
        "-t",
        "1",
        "-c:v",
        "libx264",
        "-profile:v",
        "baseline",
        "-tune",
        "zerolatency",
        "-pix_fmt",
        "yuv420p",
    ]);
    command.args(["-b:v", "8M", "-minrate", "8M", "-maxrate", "8M", "-bufsize", "1M", "-g", "30"]);
    command.args(["-x264-params", "aud=1:slices=1", "-f", "h264", "-"]);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Each begins with its delimiter.
    let starts: Vec<usize> = memchr::memmem::find_iter(&output.stdout, b"\0\0\0\x01\x09").collect();
    let ends = starts.iter().skip(1).copied().chain([output.stdout.len()]);
    let units: Vec<Vec<u8>> = starts.iter().zip(ends).map(|(start, end)| output.stdout[*start..end].to_vec()).collect();
    ensure!(units.len() == 30 && output.stdout.len() > 700_000, "{} units, {} bytes", units.len(), output.stdout.len());
    Ok(units)
}

/// The RTP timestamps of what a viewer receives until it is done.
async fn watched(mut viewer: Viewer, done: Arc<AtomicBool>) -> Result<Vec<u32>> {
    let mut timestamps = Vec::new();
    while !done.load(Ordering::Relaxed) {
        match viewer.event(LIMIT).await? {
            Event::Frame(frame) => timestamps.push(frame.timestamp),
            Event::Lost(packets) => bail!("{packets} packets lost"),
            Event::Ended => bail!("the session has ended"),
            _ => {}
        }
    }
    viewer.leave().await?;
    Ok(timestamps)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_of_100_kilobytes_a_second_costs_recordings_and_no_frame() -> Result<()> {
    /// Ticks of a frame of 30 a second.
    const FRAME: u32 = 90_000 / 30;
    /// How many bytes from before the gap may still wait for the card when recording goes on: a quarter of the queue.
    const WAITING: f64 = (6 << 20) as f64;
    let folder = tempfile::tempdir()?;
    let fake = Fake::new("format YUYV 320x180@30\n")?;
    let frames = fake.frames(&noise()?)?;
    fake.plug(&format!("format H264 files={} 320x180@30\n", frames.display()))?;
    fake.slow_card(100_000)?;
    let config = config(folder.path(), "mode = \"always\"\nsync = 1");
    let config = config.replace("device = \"pattern\"", &format!("device = {DEVICE:?}")).replace("300000", "10000000");
    let porthole = Porthole::start_with(&config, &fake.environment()?)?;
    let viewer = Viewer::connect(&Options { decode: false, ..Options::new(&porthole.base) }).await?;
    let done = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watched(viewer, done.clone()));
    // For half a minute it waits for the card.
    porthole.until_metric("porthole_frames_captured_total", |frames| frames >= 450.0).await?;
    let fault = until_failed(&porthole).await?;
    ensure!(fault.starts_with("the card is too slow"), "{fault}");
    let lost = "porthole_frames_dropped_total{at=\"Recorder\"}";
    porthole.until_metric(lost, |frames| frames > 30.0).await?;
    fake.fast_card()?;
    until_recovered(&porthole).await?;
    let recorded = porthole.metric("porthole_recorded_bytes_total").await?;
    until_recorded(&porthole, recorded + WAITING + 2_000_000.0).await?;
    done.store(true, Ordering::Relaxed);
    let timestamps = watched.await??;
    let gaps = timestamps.windows(2).map(|pair| (pair[1].wrapping_sub(pair[0]) + FRAME / 2) / FRAME);
    let gaps: u32 = gaps.map(|frames| frames.saturating_sub(1)).sum();
    let not_encoded = porthole.not_encoded().await?;
    ensure!(
        timestamps.len() > 300 && f64::from(gaps) <= not_encoded,
        "{gaps} frames missing, {not_encoded} not encoded"
    );
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    ensure!(code == Some(0), "{log}");
    check_log(&log)?;
    // One file, with a gap in the middle.
    let file = files::only(folder.path())?;
    let [video, _] = recording::tracks(&file)?;
    let longest = video.times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    ensure!(video.times.is_sorted() && longest > 0.9, "{longest} s, {video:?}");
    ensure!(files::playable(&file)? == video.times.len(), "{}", file.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_recordings_make_room() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Their names are all that is known of recordings.
    for ended in ["000001-manual-protected-9000ms", "000002-manual-9000ms", "000003-always-9000ms"] {
        let name = format!("camera-2026-11-30-19-24-56+0100-{ended}.mp4");
        fs::write(folder.path().join(name), vec![0; 300_000])?;
    }
    let lines = "mode = \"always\"\nkeep_bytes = \"1 MB\"\nkeep_days = 0\nsync = 1";
    let porthole = Porthole::start(&config(folder.path(), lines))?;
    let ids = |all: &[serde_json::Value]| all.iter().filter_map(|one| one["id"].as_u64()).collect::<Vec<_>>();
    // With 900 kB there is room for 100 more.
    until_listed(&porthole, "the new one", |all| ids(all) == [1, 2, 3, 4]).await?;
    let listed = until_listed(&porthole, "the oldest is gone", |all| ids(all) == [1, 3, 4]).await?;
    ensure!(listed[2]["bytes"].as_u64() > Some(90_000), "too early: {listed:#?}");
    let listed = until_listed(&porthole, "the next one is gone", |all| ids(all) == [1, 4]).await?;
    ensure!(listed[1]["bytes"].as_u64() > Some(390_000), "too early: {listed:#?}");
    let total: u64 = listed.iter().filter_map(|one| one["bytes"].as_u64()).sum();
    ensure!(total <= 1_000_000, "{listed:#?}");
    ensure!(listed[0]["protected"] == true && listed[1]["running"] == true, "{listed:#?}");
    Ok(())
}
