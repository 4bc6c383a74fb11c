//! Temporal layers: a viewer whose network does not carry all frames of a stream is sent those that others need, and sees a
//! picture that moves in larger steps; the others are sent all of them.

mod common;
#[path = "switch/viewer.rs"]
mod viewer;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Network, Options, Porthole};
use porthole::capture::camera::pattern::TestPattern;
use porthole::capture::camera::{Config, Constraint, DeviceSelector};
use porthole::media::Timestamp;
use porthole::media::encoder;
use serde_json::{Value, json};
use viewer::{ControlClient, ReceivedFrame};

const CAMERA: &str = r#"
[http]
listen = "127.0.0.1:0"
[audio]
device = "off"
[[camera]]
device = "pattern"
width = 640
height = 360
fps = 30
bitrate = 600000
"#;

const FPS: u32 = 30;

/// The frames that are looked at.
const LOOK: usize = 60;

/// No picture stands still for longer, on a machine that is busy with other tests, too.
const FROZEN: Duration = Duration::from_millis(900);

/// What a path carries of a stream's bitrate, headers included: not all of it, but the base layer, which takes up to two
/// thirds. With little more than that a viewer that falls behind on a busy machine would get the smaller rendition.
const SHARE: f64 = 0.85;

/// Limits a viewer of a stream of about this bitrate until it is sent the base layer: what a second of it takes varies.
async fn limit_until_base(viewer: &mut ControlClient, session: &Value, bitrate: f64) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let mut limit = bitrate;
    loop {
        ensure!(Instant::now() < deadline, "all is sent with {limit} of {bitrate} bit/s");
        limit *= SHARE;
        viewer.call("session.limit", json!({ "session": session, "bitrate": limit as u32 })).await?;
        let lower = Instant::now() + LIMIT / 6;
        while Instant::now() < lower {
            viewer.frame().await?;
            if viewer.call("session.status", json!({})).await?["layers"] == "base" {
                return Ok(());
            }
        }
    }
}

/// Receives until the viewer is sent these layers.
async fn until_layers(viewer: &mut ControlClient, layers: &str) -> Result<Value> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let own = viewer.call("session.status", json!({})).await?;
        if own["layers"] == layers {
            return Ok(own);
        }
        ensure!(Instant::now() < deadline, "still {own} after {LIMIT:?}");
        viewer.frame().await?;
    }
}

/// The next frames, after those that were on their way.
async fn look(viewer: &mut ControlClient) -> Result<Vec<ReceivedFrame>> {
    for _ in 0..5 {
        viewer.frame().await?;
    }
    let begin = viewer.frames.len();
    for _ in 0..LOOK {
        viewer.frame().await?;
    }
    Ok(viewer.frames[begin..begin + LOOK].to_vec())
}

/// The frames of another viewer from the first to the last of these.
async fn beside(viewer: &mut ControlClient, frames: &[ReceivedFrame]) -> Result<Vec<ReceivedFrame>> {
    let (first, last) = frames.first().zip(frames.last()).context("no frames")?;
    while viewer.frames.last().is_none_or(|frame| frame.number < last.number) {
        viewer.frame().await?;
    }
    let is_beside = |frame: &&ReceivedFrame| (first.number..=last.number).contains(&frame.number);
    Ok(viewer.frames.iter().filter(is_beside).cloned().collect())
}

/// Checks that a viewer is sent every other frame of what another one is sent, and neither of them waits.
fn check_halves(fewer: &[ReceivedFrame], all: &[ReceivedFrame]) -> Result<()> {
    let numbers = |frames: &[ReceivedFrame]| frames.iter().map(|frame| frame.number).collect::<Vec<u32>>();
    let sent = numbers(all);
    let words = format!("{:?} of {sent:?}", numbers(fewer));
    ensure!(all.len().abs_diff(fewer.len() * 2) <= 4, "{words}");
    for pair in fewer.windows(2) {
        let [before, after] = pair else { continue };
        let between = sent.iter().filter(|number| (before.number + 1..after.number).contains(number)).count();
        ensure!(between == 1, "{between} frames between {} and {}: {words}", before.number, after.number);
        let waited = after.arrived - before.arrived;
        ensure!(waited < FROZEN, "frozen for {waited:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_may_be_sent_less_than_the_others_sees_every_other_frame() -> Result<()> {
    let porthole = Porthole::start(CAMERA)?;
    let mut free = ControlClient::begin(&porthole).await?;
    free.bitrate(&porthole).await?;
    let bitrate = free.bitrate(&porthole).await?;

    let mut bounded = ControlClient::begin(&porthole).await?;
    bounded.frame().await?;
    let sessions = bounded.call("session.list", json!({})).await?["sessions"].clone();
    let own = sessions.as_array().context("sessions")?.iter().find(|session| session["you"] == true);
    let session = own.context("its own session")?["session"].clone();
    limit_until_base(&mut bounded, &session, bitrate).await?;
    // What was late until then may have been skipped up to a key frame.
    look(&mut bounded).await?;

    let before = bounded.call("session.status", json!({})).await?;
    let requests = porthole.metric("porthole_key_frame_requests_total").await?;
    let fewer = look(&mut bounded).await?;
    let all = beside(&mut free, &fewer).await?;
    check_halves(&fewer, &all)?;
    for pair in fewer.windows(2) {
        let [before, after] = pair else { continue };
        let ticks = f64::from(after.timestamp.wrapping_sub(before.timestamp)) / 90_000.0;
        let captured = f64::from(after.number - before.number) / f64::from(FPS);
        ensure!((ticks - captured).abs() < 0.01, "{ticks} s between pictures that were drawn {captured} s apart");
    }
    ensure!(fewer.iter().chain(&all).all(|frame| !frame.key), "a key frame for all of them");
    ensure!(
        porthole.metric("porthole_key_frame_requests_total").await? == requests,
        "somebody has asked for a key frame"
    );
    let own = bounded.call("session.status", json!({})).await?;
    ensure!(own["skips"] == before["skips"] && own["left_out"].as_u64() >= Some(LOOK as u64 / 2), "{own}");
    let other = free.call("session.status", json!({})).await?;
    ensure!(other["layers"] == "all" && other["left_out"] == 0, "{other}");
    let left_out = porthole.series("porthole_frames_dropped_total{at=\"Layer\"}").await?;
    ensure!(left_out >= LOOK as f64 / 2.0, "{left_out}");
    porthole.until_status("it is shown", |status| status["sessions"][1]["layers"] == "base").await?;

    bounded.call("session.limit", json!({ "session": session })).await?;
    until_layers(&mut bounded, "all").await?;
    let again = look(&mut bounded).await?;
    let all = beside(&mut free, &again).await?;
    ensure!(again.len() == all.len(), "{} of {}", again.len(), all.len());
    Ok(())
}

/// Writes what a camera with an encoder of its own delivers: two layers, and a key frame each second. Returns its bitrate too,
/// in bit/s.
fn encoded_camera(seconds: u32) -> Result<(tempfile::NamedTempFile, f64)> {
    let pattern = TestPattern::open(&Config {
        device: DeviceSelector::Pattern,
        width: Constraint::exact(640),
        height: Constraint::exact(360),
        fps: Constraint::exact(FPS),
        ..Config::default()
    });
    let picture = |number: u32| {
        let at = Timestamp::from_start(Duration::from_secs(1) * number / FPS);
        pattern.render(number, at)
    };
    let settings = encoder::Config { bitrate: 600_000, threads: 1, ..encoder::Config::default() };
    let mut encoder = encoder::open(&settings, &picture(0).format)?;
    encoder.set_layers(true);
    let mut file = tempfile::NamedTempFile::new()?;
    for number in 0..seconds * FPS {
        let encoded = encoder.encode(&picture(number), number % FPS == 0)?.context("a frame")?;
        file.write_all(&encoded.data)?;
    }
    file.flush()?;
    let bitrate = file.as_file().metadata()?.len() as f64 * 8.0 / f64::from(seconds);
    Ok((file, bitrate))
}

/// Checks that for two seconds a viewer is sent the base layer, loses and skips none of it, and that nobody needs a key frame.
async fn base_layer_alone(porthole: &Porthole, slow: &mut ControlClient, free: &mut ControlClient) -> Result<()> {
    const REQUESTS: &str = "porthole_key_frame_requests_total";
    slow.may_lose = true;
    look(slow).await?;
    slow.may_lose = false;
    let requests = porthole.metric(REQUESTS).await?;
    let before = slow.call("session.status", json!({})).await?;
    let fewer = look(slow).await?;
    let all = beside(free, &fewer).await?;
    check_halves(&fewer, &all)?;
    let own = slow.call("session.status", json!({})).await?;
    ensure!(own["layers"] == "base" && own["skips"] == before["skips"], "{before}, then {own}");
    ensure!(porthole.metric(REQUESTS).await? == requests, "somebody has asked for a key frame");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_path_gets_the_base_layer_of_a_camera_that_encodes_itself() -> Result<()> {
    let (file, bitrate) = encoded_camera(90)?;
    let porthole = Porthole::start(&format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\nwidth = 640\nheight = 360\nfps = 30\n\
         device = '''exec:exec ffmpeg -nostdin -loglevel error -re -framerate {FPS} -f h264 -i {} -c copy -f h264 -'''\n",
        file.path().display()
    ))?;
    let mut free = ControlClient::begin(&porthole).await?;
    free.frame().await?;

    let path = Network::default();
    let mut slow =
        ControlClient::begin_with(&Options { network: Some(path.clone()), ..Options::new(&porthole.base) }).await?;
    slow.frame().await?;
    // The path's queue fills until the change is noticed, which takes its time on a busy machine, and may overflow.
    slow.may_lose = true;
    path.set_bitrate((bitrate * SHARE) as usize);
    until_layers(&mut slow, "base").await?;
    // What is in the queue has to drain, or was skipped, and on a busy machine that may happen again.
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = base_layer_alone(&porthole, &mut slow, &mut free).await {
        ensure!(Instant::now() < deadline, "{error:#}");
    }
    ensure!(free.call("session.status", json!({})).await?["left_out"] == 0);
    Ok(())
}
