//! The renditions of a camera: a viewer chooses the smaller one and the camera's own size over the control channel, and gets
//! each within the same stream.

mod common;
#[path = "switch/viewer.rs"]
mod viewer;

use anyhow::{Result, ensure};
use common::{LIMIT, Porthole};
use serde_json::json;
use viewer::{ControlClient, ReceivedFrame};

/// At half of this size the timecode is readable still.
const LARGE: &str = r#"
[http]
listen = "127.0.0.1:0"
[[camera]]
device = "pattern"
width = 1280
height = 720
fps = 15
bitrate = 2000000
"#;

const OWN: (usize, usize) = (1280, 720);
const HALF: (usize, usize) = (640, 360);

/// Chooses a quality and waits for the first frame of that size; until then those of the other one come.
async fn choose(viewer: &mut ControlClient, quality: &str, before: (usize, usize), size: (usize, usize)) -> Result<()> {
    let begin = viewer.frames.len();
    let answer = viewer.call("video.quality", json!({ "quality": quality })).await?;
    ensure!(answer == json!({ "quality": quality }), "{answer}");
    let first = loop {
        if let Some(first) = viewer.frames[begin..].iter().find(|frame| frame.size != before) {
            break first.clone();
        }
        ensure!(viewer.frames.len() < begin + 450, "still {before:?} after 30 s");
        viewer.frame().await?;
    };
    ensure!(first.key && first.size == size, "{first:?}");
    // It stays so.
    for _ in 0..10 {
        let frame = viewer.frame().await?;
        ensure!(frame.size == size, "{frame:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_moves_to_the_smaller_rendition_and_back_within_its_stream() -> Result<()> {
    let porthole = Porthole::start(LARGE)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    ensure!(viewer.frame().await?.size == OWN);
    let small = "porthole_small_frames_encoded_total{camera=\"camera\"}";
    ensure!(porthole.series(small).await? == 0.0, "nobody wants it");

    choose(&mut viewer, "low", OWN, HALF).await?;
    let own = viewer.call("session.status", json!({})).await?;
    ensure!(own["quality"] == "low" && own["rendition"] == "small" && own["camera"] == "camera", "{own}");
    porthole.until_status("its rendition is shown", |status| status["sessions"][0]["rendition"] == "small").await?;
    porthole.until_metric("porthole_encoders", |encoders| encoders == 1.0).await?;
    ensure!(porthole.series(small).await? > 10.0, "frames of it were sent");

    // Somebody else is sent the camera's own size meanwhile.
    let mut other = ControlClient::begin(&porthole).await?;
    for _ in 0..10 {
        let frame = other.frame().await?;
        ensure!(frame.size == OWN, "{frame:?}");
    }
    ensure!(viewer.frame().await?.size == HALF);
    drop(other);

    choose(&mut viewer, "high", HALF, OWN).await?;
    porthole.until_metric("porthole_encoders", |encoders| encoders == 1.0).await?;
    choose(&mut viewer, "low", OWN, HALF).await?;
    choose(&mut viewer, "auto", HALF, OWN).await?;
    let own = viewer.call("session.status", json!({})).await?;
    ensure!(own["quality"] == "auto" && own["rendition"] == "main", "{own}");

    // No packet was lost, or reading would have failed.
    for pair in viewer.frames.windows(2) {
        let [before, after] = pair else { continue };
        ensure!(before.ssrc == after.ssrc, "another stream");
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        ensure!(ticks > 0 && ticks < 1 << 31, "{ticks} ticks between two frames");
        ensure!(after.number.wrapping_sub(before.number) as i32 > -15, "from {before:?} to {after:?}");
    }
    let moving = |frames: &[ReceivedFrame]| frames.windows(2).filter(|pair| pair[1].number != pair[0].number).count();
    ensure!(moving(&viewer.frames) >= viewer.frames.len() - 6, "the picture stands still");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_quality_is_refused_and_a_pause_keeps_the_rendition() -> Result<()> {
    let porthole = Porthole::start(LARGE)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    viewer.frame().await?;
    let id = viewer.send_request("video.quality", json!({ "quality": "best" })).await?;
    let answer = viewer.answer(id).await?;
    ensure!(answer["error"]["code"] == -32602 && answer["error"]["data"]["param"] == "quality", "{answer}");
    choose(&mut viewer, "low", OWN, HALF).await?;
    viewer.call("video.pause", json!({})).await?;
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    // What was under way has arrived before the answer.
    viewer.call("time.sync", json!({})).await?;
    let paused = viewer.frames.len();
    viewer.call("video.resume", json!({})).await?;
    while viewer.frames.len() == paused {
        viewer.step(LIMIT).await?;
    }
    let first = viewer.frames[paused].clone();
    ensure!(first.key && first.size == HALF, "{first:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_bounds_what_a_viewer_is_sent() -> Result<()> {
    let porthole = Porthole::start(&format!("{LARGE}[audio]\ndevice = \"off\"\n"))?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    viewer.frame().await?;
    let session = viewer.call("session.list", json!({})).await?["sessions"][0]["session"].clone();
    let free = viewer.bitrate(&porthole).await?;

    viewer.call("session.limit", json!({ "session": session, "bitrate": 400_000 })).await?;
    ensure!(viewer.call("session.list", json!({})).await?["sessions"][0]["limit"] == 400_000);
    let mut bounded = [free; 2];
    while bounded.iter().any(|bitrate| *bitrate > 450_000.0) {
        ensure!(viewer.frames.len() < 900, "still {bounded:?} bit/s, {free} without a limit");
        bounded = [bounded[1], viewer.bitrate(&porthole).await?];
    }
    ensure!(viewer.frames.last().is_some_and(|frame| frame.size == OWN), "it watches alone: the encoder follows it");

    viewer.call("session.limit", json!({ "session": session })).await?;
    let mut again = 0.0;
    while again < free / 2.0 {
        ensure!(viewer.frames.len() < 1_800, "still {again} bit/s, {free} at first");
        again = viewer.bitrate(&porthole).await?;
    }

    let unknown = viewer.send_request("session.limit", json!({ "session": "nobody" })).await?;
    let answer = viewer.answer(unknown).await?;
    ensure!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("session.list")), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_shows_frames_late_is_skipped_to_the_live_edge() -> Result<()> {
    let porthole = Porthole::start(LARGE)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    // A second of the usual delay.
    for _ in 0..3 {
        report(&mut viewer, json!({ "delay": 80 })).await?;
    }
    let begin = viewer.frames.len();
    let key_frames = |viewer: &ControlClient| viewer.frames[begin..].iter().filter(|frame| frame.key).count();
    while key_frames(&viewer) == 0 {
        ensure!(viewer.frames.len() < begin + 300, "no key frame within 20 s");
        report(&mut viewer, json!({ "delay": 600 })).await?;
    }
    ensure!(viewer.frames.len() >= begin + 20, "it was not late for two seconds yet");
    ensure!(viewer.call("session.status", json!({})).await?["skips"] == 1);
    porthole.until_status("the skip is counted", |status| status["sessions"][0]["skips"] == 1).await?;
    ensure!(porthole.series("porthole_live_edge_skips_total{cause=\"Delay\"}").await? == 1.0);

    // It has helped, and what is not known is not cut.
    for params in [json!({ "delay": 80 }), json!({}), json!({ "delay": 80 })] {
        report(&mut viewer, params).await?;
    }
    ensure!(key_frames(&viewer) == 1 && viewer.call("session.status", json!({})).await?["skips"] == 1);
    Ok(())
}

/// Reports a delay, and receives ten frames.
async fn report(viewer: &mut ControlClient, params: serde_json::Value) -> Result<()> {
    viewer.call("session.report", params).await?;
    for _ in 0..10 {
        viewer.frame().await?;
    }
    Ok(())
}
