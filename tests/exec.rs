//! Cameras that are external programs: every output format of ffmpeg reaches a viewer, and program errors are reported
//! and recovered from.

mod common;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, Viewer};
use test_viewer::Image;

/// Left half blue, right half red, at a camera's frame rate.
const FFMPEG: &str = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i \
    \"color=c=red:s=320x180:r=15[red];color=c=blue:s=160x180:r=15[blue];[red][blue]overlay\" ";

/// Pure blue and red in BT.601 with limited range, as Y, Cb, Cr.
const BLUE: [i32; 3] = [41, 240, 110];
const RED: [i32; 3] = [81, 90, 240];

/// Tolerance of a half's colour after two encodings.
const TOLERANCE: i32 = 12;

/// A configuration whose camera is one program.
fn camera(command: &str, more: &str) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\ndevice = '''exec:{command}'''\n\
         width = 320\nheight = 180\nfps = 15\n{more}\n"
    )
}

/// Mean colour between two columns.
fn colour(image: &Image, from: usize, to: usize) -> [i32; 3] {
    let mean = |plane: &[u8], width: usize, from: usize, to: usize| {
        let points: Vec<i32> = plane.chunks(width).flat_map(|line| &line[from..to]).copied().map(i32::from).collect();
        points.iter().sum::<i32>() / points.len() as i32
    };
    let width = image.width;
    [
        mean(&image.y, width, from, to),
        mean(&image.u, width / 2, from / 2, to / 2),
        mean(&image.v, width / 2, from / 2, to / 2),
    ]
}

fn is_blue_and_red(image: &Image) -> bool {
    let near = |have: [i32; 3], want: [i32; 3]| have.iter().zip(want).all(|(a, b)| (a - b).abs() <= TOLERANCE);
    (image.width, image.height) == (320, 180)
        && near(colour(image, 16, 144), BLUE)
        && near(colour(image, 176, 304), RED)
}

/// Waits for a frame with ffmpeg's pattern.
async fn wait_for_pattern(viewer: &mut Viewer) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let mut last = None;
    while Instant::now() < deadline {
        let Some(image) = viewer.frame(LIMIT).await?.image else { continue };
        if is_blue_and_red(&image) {
            return Ok(());
        }
        last = Some((image.width, image.height, colour(&image, 16, 144), colour(&image, 176, 304)));
    }
    anyhow::bail!("no blue and red frame within {LIMIT:?}; the last one was {last:?}")
}

/// Whether a process runs that has `word` among its arguments.
fn runs(word: &str) -> Result<bool> {
    for entry in std::fs::read_dir("/proc")? {
        // A process may exit during the scan.
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        if line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn until_runs(word: &str, expected: bool) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while runs(word)? != expected {
        ensure!(Instant::now() < deadline, "{word} should {}run", if expected { "" } else { "no longer " });
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn check_shown(output: &str, more: &str, form: &str) -> Result<()> {
    let porthole = Porthole::start(&camera(&format!("{FFMPEG}{output} -"), more))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    wait_for_pattern(&mut viewer).await?;
    let status = porthole.status().await?;
    ensure!(status["cameras"][0]["format"] == form, "{status:#}");
    viewer.leave().await?;
    porthole.until_status("idle", |status| status["cameras"][0]["state"] == "idle").await?;
    Ok(())
}

#[tokio::test]
async fn mjpeg_from_ffmpeg_is_shown() -> Result<()> {
    check_shown("-c:v mjpeg -q:v 3 -f mjpeg", "", "MJPEG").await
}

#[tokio::test]
async fn a_program_may_take_longer_than_a_camera_to_start() -> Result<()> {
    let porthole = Porthole::start(&camera(&format!("sleep 6; {FFMPEG}-c:v mjpeg -f mjpeg -"), ""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    // The placeholder comes first, and the program is not restarted.
    viewer.frame(LIMIT).await?;
    let status = porthole.status().await?;
    ensure!(status["cameras"][0]["state"] == "starting", "{status:#}");
    wait_for_pattern(&mut viewer).await?;
    viewer.leave().await
}

#[tokio::test]
async fn raw_frames_from_ffmpeg_are_shown() -> Result<()> {
    check_shown("-pix_fmt yuv420p -f rawvideo", "format = \"YU12\"", "YU12").await
}

#[tokio::test]
async fn a_killed_program_is_restarted_within_the_session() -> Result<()> {
    let pid = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("exec-{}.pid", std::process::id()));
    let command = format!("echo $$ > {}; {FFMPEG}-c:v mjpeg -f mjpeg -", pid.display());
    let porthole = Porthole::start(&camera(&command, ""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    wait_for_pattern(&mut viewer).await?;
    let first = std::fs::read_to_string(&pid)?;
    common::signal(first.trim().parse()?, "KILL")?;
    let status = porthole.until_status("a fault", |status| status["cameras"][0]["state"] == "fault").await?;
    let fault = status["cameras"][0]["fault"].as_str().context("no fault")?;
    ensure!(fault.contains("was ended by signal 9"), "{fault}");
    porthole.until_status("live", |status| status["cameras"][0]["state"] == "live").await?;
    wait_for_pattern(&mut viewer).await?;
    ensure!(std::fs::read_to_string(&pid)? != first, "it should be another process");
    viewer.leave().await
}

#[tokio::test]
async fn the_process_group_is_killed_when_the_last_viewer_leaves() -> Result<()> {
    check_ends_with_the_last_viewer("sleep", 77).await
}

#[tokio::test]
async fn processes_in_other_sessions_end_when_the_last_viewer_leaves() -> Result<()> {
    check_ends_with_the_last_viewer("setsid sleep", 78).await
}

/// Checks that a process that a program has started in the background, by this command, ends when nobody watches any more.
async fn check_ends_with_the_last_viewer(background: &str, suffix: u32) -> Result<()> {
    // A unique number that identifies the processes started here.
    let number = format!("{}.{suffix}", 100_000 + std::process::id());
    let command = format!("{background} {number} & {}-c:v mjpeg -f mjpeg -", FFMPEG.trim_start_matches("exec "));
    let porthole = Porthole::start(&camera(&command, ""))?;
    ensure!(!runs(&number)?, "nothing should run before anybody watches");
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    wait_for_pattern(&mut viewer).await?;
    until_runs(&number, true).await?;
    viewer.leave().await?;
    until_runs(&number, false).await
}

#[tokio::test]
async fn credentials_of_a_command_are_shown_to_nobody() -> Result<()> {
    let command =
        "echo rtsp://admin:hunter2@camera/1: 401 >&2; exit 3; ffmpeg -i rtsp://admin:hunter2@camera/1 --token hunter2";
    let porthole = Porthole::start(&camera(command, "keep_open = true"))?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let status = porthole.until_status("a fault", |status| !status["cameras"][0]["fault"].is_null()).await?;
    let camera = &status["cameras"][0];
    let fault = camera["fault"].as_str().context("no fault")?;
    ensure!(fault.contains("it said: rtsp://***@camera/1: 401"), "{fault}");
    let device = camera["device"].as_str().context("no device")?;
    ensure!(device.ends_with("ffmpeg -i rtsp://***@camera/1 --token ***"), "{device}");
    let metrics = common::request("GET", &format!("{}metrics", porthole.base), &[], String::new()).await?;
    viewer.leave().await?;
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    ensure!(log.contains("rtsp://***@camera/1: 401"), "{log}");
    for text in [&status.to_string(), &metrics.body, &log] {
        ensure!(!text.contains("hunter2"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn program_errors_are_reported() -> Result<()> {
    for (command, more, expected) in [
        ("echo hello; sleep 1000", "", "it is neither MJPEG nor H.264 in Annex B form"),
        ("yes", "format = \"MJPEG\"", "reading what it writes as MJPEG is not supported"),
        ("no-such-program-here", "", "ended with exit status 127 (command not found)"),
        ("echo out of luck >&2; exit 3", "", "ended with exit status 3; it said: out of luck; run the line in a shell"),
        ("true", "format = \"NV12\"", "a program may write MJPEG, H264 or YU12"),
    ] {
        let porthole = Porthole::start(&camera(command, &format!("{more}\nkeep_open = true")))?;
        let status = porthole.until_status("a fault", |status| !status["cameras"][0]["fault"].is_null()).await?;
        let fault = status["cameras"][0]["fault"].as_str().context("no fault")?;
        ensure!(fault.contains(expected), "{command}: {fault}");
        porthole.signal("TERM")?;
        let (code, ..) = porthole.wait()?;
        ensure!(code == Some(0), "{command}: {code:?}");
    }
    Ok(())
}
