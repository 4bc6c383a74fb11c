//! Per-viewer preferences set over the control channel: camera, pause, mute and playout delay, checked by the RTP that
//! arrives. `switch.rs` measures how long a switch takes.

mod common;
#[path = "switch/viewer.rs"]
mod viewer;

use anyhow::{Result, ensure};
use common::{LIMIT, Porthole};
use porthole::capture::camera::timecode::camera_hash;
use serde_json::{Value, json};
use viewer::{ControlClient, ReceivedFrame, TWO};

#[tokio::test(flavor = "multi_thread")]
async fn camera_selection_is_per_viewer() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut one = ControlClient::begin(&porthole).await?;
    let mut other = ControlClient::begin(&porthole).await?;
    one.frame().await?;
    other.frame().await?;
    one.call("camera.select", json!({ "camera": "yard" })).await?;
    while one.frame().await?.camera != camera_hash("yard") {}
    let watched = |status: &Value| status["cameras"][0]["watched"] == 1 && status["cameras"][1]["watched"] == 1;
    porthole.until_status("one watches each", watched).await?;
    other.frames.clear();
    for _ in 0..10 {
        let frame = other.frame().await?;
        ensure!(frame.camera == camera_hash("door"), "{frame:?}");
    }
    let id = one.send_request("camera.select", json!({ "camera": "cellar" })).await?;
    let answer = one.answer(id).await?;
    ensure!(answer["error"]["code"] == -32001, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_mute_are_per_viewer() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    viewer.frame().await?;
    while viewer.audio_packets == 0 {
        viewer.step(LIMIT).await?;
    }
    viewer.call("video.pause", json!({})).await?;
    // Without viewers the camera is closed; audio continues.
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    let audio_packets = viewer.audio_packets;
    while viewer.audio_packets < audio_packets + 20 {
        viewer.step(LIMIT).await?;
    }
    let paused = viewer.frames.len();
    while viewer.audio_packets < audio_packets + 50 {
        viewer.step(LIMIT).await?;
    }
    ensure!(viewer.frames.len() == paused, "frames during a pause");
    viewer.call("video.resume", json!({})).await?;
    let first = if viewer.frames.len() > paused { viewer.frames[paused].clone() } else { viewer.frame().await? };
    ensure!(first.key, "{first:?}");

    viewer.call("audio.mute", json!({ "muted": true })).await?;
    porthole.until_status("the microphone is closed", |status| status["audio"]["state"] == "idle").await?;
    let (audio_packets, frames) = (viewer.audio_packets, viewer.frames.len());
    while viewer.frames.len() < frames + 60 {
        viewer.frame().await?;
    }
    // Packets in flight have arrived by now.
    let silent = viewer.audio_packets;
    while viewer.frames.len() < frames + 120 {
        viewer.frame().await?;
    }
    ensure!(
        viewer.audio_packets == silent,
        "{} audio packets while muted, {} before",
        viewer.audio_packets - silent,
        silent - audio_packets
    );
    viewer.call("audio.mute", json!({ "muted": false })).await?;
    while viewer.audio_packets == silent {
        viewer.step(LIMIT).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn playout_delay_and_key_frame_requests_take_effect() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    ensure!(viewer.frame().await?.delay == [0, 0, 0]);
    let smooth = viewer.call("latency.set", json!({ "mode": "smooth" })).await?;
    ensure!(smooth == json!({ "mode": "smooth", "min": 200, "max": 1000 }), "{smooth}");
    // 20 and 100 units of 10 ms, in 12 bits each.
    while viewer.frame().await?.delay != [0x01, 0x40, 0x64] {}
    viewer.call("latency.set", json!({ "mode": "low" })).await?;
    while viewer.frame().await?.delay != [0, 0, 0] {}

    let before = viewer.frames.len();
    viewer.call("video.keyframe", json!({})).await?;
    let has_key_frame = |frames: &[ReceivedFrame]| frames.iter().any(|frame| frame.key);
    while !has_key_frame(&viewer.frames[before..]) {
        viewer.frame().await?;
    }
    ensure!(viewer.frames.len() - before < 60, "a key frame came by itself, if at all");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_camera_is_rejected_and_the_current_one_continues() -> Result<()> {
    let encoder = "ffmpeg -nostdin -loglevel error -re -f lavfi -i color=c=gray:s=320x180:r=15 -c:v libx264 \
                   -profile:v high -tune zerolatency -pix_fmt yuv420p -g 15 -f h264 -";
    let own = format!("[[camera]]\nname = \"own\"\ndevice = '''exec:{encoder}'''\nfps = 15\n");
    let porthole = Porthole::start(&format!("{TWO}{own}"))?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    viewer.frame().await?;
    // The first time its format is unknown, the second time it is known.
    for _ in 0..2 {
        let id = viewer.send_request("camera.select", json!({ "camera": "own" })).await?;
        let answer = viewer.answer(id).await?;
        let words = answer["error"]["message"].as_str().unwrap_or_default();
        ensure!(answer["error"]["code"] == -32003 && words.contains("as high ("), "{answer}");
        for _ in 0..5 {
            let frame = viewer.frame().await?;
            ensure!(frame.camera == camera_hash("door"), "{frame:?}");
        }
    }
    let selected = viewer.call("camera.list", json!({})).await?["selected"].clone();
    ensure!(selected == "door", "{selected}");
    Ok(())
}
