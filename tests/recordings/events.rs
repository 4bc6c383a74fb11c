//! Recording of what moves, with real cameras that ffmpeg draws: a square that crosses the picture is recorded from before it
//! appears until a while after it has left.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::common::Porthole;
use crate::common::events::EventReader;
use crate::common::footprint::call;
use crate::{files, has_ended, until_listed};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// A scene with some noise, in which a square of this size has its left edge at `x`, an expression in the time `t`.
fn scene(size: u32, x: &str) -> String {
    format!(
        "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i \"color=c=0x606060:s={WIDTH}x{HEIGHT}:r=10[wall];\
         color=c=0xd0d0d0:s={size}x{size}:r=10[square];[wall][square]overlay=x='{x}':y=70,noise=alls=10:allf=t\""
    )
}

/// A camera whose motion is recorded.
fn config(directory: &Path, command: &str, camera: &str, recording: &str) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[auth]\nmode = \"none\"\n[audio]\ndevice = \"off\"\n[[camera]]\nname = \"door\"\n\
         width = {WIDTH}\nheight = {HEIGHT}\nfps = 10\ndevice = '''exec:{command}'''\n{camera}\n[camera.motion]\n\
         enabled = true\n[recording]\nmode = \"events\"\ndirectory = {directory:?}\nmin_free = \"\"\n{recording}\n"
    )
}

/// The time of each frame of a recording, and whether the square is in it.
fn seen(file: &Path) -> Result<Vec<(f64, bool)>> {
    let (frames, times) = (files::frames(file)?, files::times(file)?);
    let frames: Vec<&[u8]> = frames.chunks_exact(WIDTH * HEIGHT * 3 / 2).collect();
    ensure!(frames.len() == times.len(), "{} frames and {} times", frames.len(), times.len());
    let bright = |frame: &&[u8]| frame[..WIDTH * HEIGHT].iter().filter(|luma| **luma > 150).count();
    Ok(times.into_iter().zip(frames.iter().map(|frame| bright(frame) > 100)).collect())
}

/// For how many seconds the square is not in the picture at first, is in it, is not, and so on.
fn spans(seen: &[(f64, bool)]) -> Vec<f64> {
    let mut spans = Vec::new();
    let end = seen.last().map_or(0.0, |(time, _)| *time);
    for part in seen.chunk_by(|(_, one), (_, next)| one == next) {
        spans.push(part[0].0);
    }
    let next = spans.iter().skip(1).copied().chain([end]).collect::<Vec<_>>();
    spans.iter().zip(next).map(|(begin, end)| end - begin).collect()
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |motion| motion["state"] == state && motion["camera"] == "door"
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_is_recorded_from_before_it_and_other_motion_prolongs_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // From the tenth second on, and once more when nothing has moved for some seconds.
    let source = scene(30, "-40+80*max(0,if(lt(t,16),t-10,t-18))");
    let camera = format!("{source} -pix_fmt yuv420p -f rawvideo -");
    let recording = "before = 6\nafter = 5";
    let porthole = Porthole::start(&config(folder.path(), &camera, "format = \"YU12\"", recording))?;
    let mut events = EventReader::open(&porthole, "").await?;
    let idle = events.find("status", |status| status["recording"]["mode"] == "events").await?;
    ensure!(idle["recording"]["cameras"][0]["recording"] == false, "{idle:#}");
    let begun = events.find("recording", |recording| recording["recording"] == true).await?;
    ensure!(begun["cause"] == "motion" && begun["camera"] == "door" && begun["id"] == 1, "{begun:#}");
    events.find("motion", is("ended")).await?;
    events.find("motion", is("begun")).await?;
    events.find("motion", is("ended")).await?;
    let ended = events.find("recording", |recording| recording["recording"] == false).await?;
    ensure!(ended["id"].is_null(), "{ended:#}");
    let listed = until_listed(&porthole, "it has ended", has_ended).await?;
    let [one] = &listed[..] else { anyhow::bail!("one recording for both: {listed:#?}") };
    ensure!(one["cause"] == "motion" && one["picture"] == "/recordings/1.jpg", "{one:#}");
    let file = files::only(folder.path())?;
    ensure!(file.to_string_lossy().contains("-motion-"), "{}", file.display());
    let [before, first, between, second, after] = spans(&seen(&file)?)[..] else {
        anyhow::bail!("{:?}", spans(&seen(&file)?))
    };
    // It takes a moment to notice the square, and the recording begins with the key frame before its six seconds.
    ensure!((4.0..12.0).contains(&before), "{before} s before it appears");
    ensure!((4.0..5.0).contains(&first) && (4.0..5.0).contains(&second), "{first} s and {second} s");
    ensure!((2.5..5.0).contains(&between), "{between} s in between");
    // Motion has ended when nothing has moved for two seconds.
    ensure!((6.0..9.0).contains(&after), "{after} s after it has left");
    // Commands work too.
    let idle = porthole.metric("porthole_recorded_bytes_total").await?;
    call(&porthole, "record.start", json!({})).await?;
    crate::until_recorded(&porthole, idle + 1_000.0).await?;
    call(&porthole, "record.stop", json!({})).await?;
    call(&porthole, "record.stop", json!({})).await?;
    let listed = until_listed(&porthole, "another one", |all| all.len() == 2 && has_ended(all)).await?;
    ensure!(listed[1]["cause"] == "manual", "{listed:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_in_the_stream_of_a_camera_that_encodes_itself_is_recorded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Slower, as only the key frame of each second is looked at.
    let source = scene(60, "-60+45*max(0,t-9)");
    let camera =
        format!("{source} -c:v libx264 -pix_fmt yuv420p -g 10 -profile:v baseline -tune zerolatency -f h264 -");
    let porthole = Porthole::start(&config(folder.path(), &camera, "", "before = 6\nafter = 0"))?;
    let mut events = EventReader::open(&porthole, "").await?;
    events.find("motion", is("begun")).await?;
    ensure!(porthole.metric("porthole_encoders").await? == 0.0, "it is passed through");
    events.find("motion", is("ended")).await?;
    until_listed(&porthole, "it has ended", has_ended).await?;
    let spans = spans(&seen(&files::only(folder.path())?)?);
    let before = spans.first().context("no frames")?;
    ensure!((1.0..6.0).contains(before) && spans.len() == 3, "{spans:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_switch_ends_an_event_and_motion_begins_none_behind_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // It moves to and fro for ever.
    let source = scene(30, "if(lt(t,5),-40,145+140*sin(t))");
    let camera = format!("{source} -pix_fmt yuv420p -f rawvideo -");
    let porthole = Porthole::start(&config(folder.path(), &camera, "format = \"YU12\"", "before = 3"))?;
    let mut events = EventReader::open(&porthole, "").await?;
    events.find("recording", |recording| recording["recording"] == true).await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    // Ten seconds after motion it would end otherwise.
    events.find("recording", |recording| recording["recording"] == false).await?;
    let listed = until_listed(&porthole, "it has ended", has_ended).await?;
    ensure!(listed.len() == 1 && listed[0]["cause"] == "motion", "{listed:#?}");
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    let begun = events.find("recording", |recording| recording["recording"] == true).await?;
    ensure!(begun["cause"] == "motion" && begun["id"] == 2, "{begun:#}");
    Ok(())
}
