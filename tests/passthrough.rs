//! Cameras that encode H.264 themselves, played by ffmpeg: their stream reaches viewers unchanged, in a profile that
//! the viewer offered.

mod common;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, Porthole, Viewer, signal};
use test_viewer::Image;

/// Chromium's H.264 offer where it has a hardware decoder.
const CHROMIUM: [&str; 4] = ["42001f", "42e01f", "4d001f", "64001f"];

/// The camera's grey luma.
const GREY: i32 = 128;

/// Starts the program with ffmpeg as the camera, with these encoder options.
fn start(encoder: &str) -> Result<Porthole> {
    let source = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i color=c=gray:s=320x180:r=15 -c:v libx264";
    Porthole::start(&format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\nwidth = 320\nheight = 180\nfps = 15\n\
         device = '''exec:{source} -pix_fmt yuv420p -g 15 {encoder} -f h264 -'''\n"
    ))
}

fn offering(porthole: &Porthole, profiles: &[&str]) -> Options {
    Options { profiles: profiles.iter().map(ToString::to_string).collect(), ..Options::new(&porthole.base) }
}

fn is_camera(image: &Image) -> bool {
    let near = |luma: &&u8| (i32::from(**luma) - GREY).abs() < 20;
    (image.width, image.height) == (320, 180) && image.y.iter().filter(near).count() == image.y.len()
}

/// Waits for a frame from the camera, or for one that is not.
async fn until(viewer: &mut Viewer, camera: bool) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let image = viewer.frame(LIMIT).await?.image;
        if image.is_some_and(|image| is_camera(&image) == camera) {
            return Ok(());
        }
    }
    anyhow::bail!("the {} was not shown within {LIMIT:?}", if camera { "camera" } else { "placeholder" })
}

/// The profiles in an answer, as `profile-level-id`.
fn answered(viewer: &Viewer) -> Vec<&str> {
    let ids = viewer.answer.split("profile-level-id=").skip(1);
    ids.filter_map(|rest| rest.get(..6)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_h264_is_passed_through_without_an_encoder() -> Result<()> {
    let porthole = start("-profile:v baseline -tune zerolatency")?;
    let mut viewer = Viewer::connect(&offering(&porthole, &["42e01f"])).await?;
    until(&mut viewer, true).await?;
    let status = porthole.status().await?;
    let camera = &status["cameras"][0];
    ensure!(camera["encoder"] == "camera" && camera["format"] == "H264", "{camera:#}");
    ensure!(porthole.metric("porthole_encoders").await? == 0.0);
    // A later viewer starts at the next key frame.
    let mut late = Viewer::connect(&offering(&porthole, &CHROMIUM)).await?;
    ensure!(late.frame(LIMIT).await?.key, "the first frame is not a key frame");
    until(&mut late, true).await?;
    viewer.leave().await?;
    late.leave().await?;
    porthole.until_status("idle", |status| status["cameras"][0]["state"] == "idle").await?;
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_selects_a_matching_h264_profile() -> Result<()> {
    let porthole = start("-profile:v high -tune zerolatency")?;
    let refusal = Viewer::connect(&offering(&porthole, &["42e01f"])).await.err().context("was accepted")?.to_string();
    ensure!(refusal.contains(" 406 "), "{refusal}");
    for words in ["encodes H.264 itself, as high (6400", "only constrained baseline (42e01f)", "format = \\\"MJPEG\\\""]
    {
        ensure!(refusal.contains(words), "no {words:?} in {refusal}");
    }
    porthole.until_status("nobody watches", |status| status["viewers"] == 0).await?;
    let mut viewer = Viewer::connect(&offering(&porthole, &CHROMIUM)).await?;
    ensure!(answered(&viewer) == ["64001f"], "{}", viewer.answer);
    until(&mut viewer, true).await?;
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_h264_camera_resumes_within_the_session() -> Result<()> {
    let porthole = start("-profile:v main -tune zerolatency")?;
    let mut viewer = Viewer::connect(&offering(&porthole, &CHROMIUM)).await?;
    ensure!(answered(&viewer) == ["4d001f"], "{}", viewer.answer);
    until(&mut viewer, true).await?;
    for _ in 0..2 {
        signal(ffmpeg(porthole.pid())?, "KILL")?;
        until(&mut viewer, false).await?;
        until(&mut viewer, true).await?;
    }
    porthole.until_metric("porthole_encoders", |encoders| encoders == 0.0).await?;
    ensure!(porthole.status().await?["viewers"] == 1);
    viewer.leave().await
}

/// The program's child process.
fn ffmpeg(parent: u32) -> Result<u32> {
    let children = std::fs::read_dir(format!("/proc/{parent}/task"))?;
    for task in children {
        let list = std::fs::read_to_string(task?.path().join("children"))?;
        if let Some(child) = list.split_whitespace().next() {
            return Ok(child.parse()?);
        }
    }
    anyhow::bail!("porthole has no child")
}

#[tokio::test(flavor = "multi_thread")]
async fn b_frames_are_reported_as_a_fault() -> Result<()> {
    let porthole = start("-profile:v main -bf 2 -b_strategy 0")?;
    let viewer = Viewer::connect(&offering(&porthole, &CHROMIUM)).await?;
    let has_fault = |status: &serde_json::Value| {
        status["cameras"][0]["fault"].as_str().is_some_and(|fault| fault.contains("it sends B-frames"))
    };
    porthole.until_status("the status reports B-frames", has_fault).await?;
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn packetization_mode_0_is_served_if_the_cameras_nal_units_fit() -> Result<()> {
    let noise = "-vf noise=alls=60:allf=t -profile:v baseline -tune zerolatency";
    let mode_0 = |porthole: &Porthole| Options { packetization_mode: 0, ..offering(porthole, &["42e01f"]) };
    let porthole = start(noise)?;
    let refusal = Viewer::connect(&mode_0(&porthole)).await.err().context("was accepted")?.to_string();
    for words in [" 406 ", "encodes H.264 itself, with NAL units of", "packetization-mode=1"] {
        ensure!(refusal.contains(words), "no {words:?} in {refusal}");
    }
    drop(porthole);
    let porthole = start(&format!("{noise} -x264-params slice-max-size=1000"))?;
    let mut viewer = Viewer::connect(&mode_0(&porthole)).await?;
    ensure!(viewer.answer.contains("packetization-mode=0"), "{}", viewer.answer);
    for _ in 0..15 {
        let frame = viewer.frame(LIMIT).await?;
        ensure!(frame.single_nal_units && frame.image.is_some(), "{frame:?}");
    }
    viewer.leave().await
}
