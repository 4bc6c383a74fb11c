//! Motion detection of the running program with real cameras, which ffmpeg draws: an object that begins to move is told on every
//! way, exposure and noise are not, and the privacy switch ends it.
//!
//! The detector itself is tested beside its code, with many clips.

#[allow(dead_code)]
#[path = "mqtt/broker.rs"]
mod broker;
mod common;

use anyhow::{Context as _, Result, ensure};
use broker::Broker;
use common::events::EventReader;
use common::footprint::call;
use common::{Event, LIMIT, Options, Porthole, Viewer};
use serde_json::{Value, json};

const FRAMES: &str = "porthole_motion_frames_total{camera=\"door\"}";
const EVENTS: &str = "porthole_motion_events_total{camera=\"door\"}";

/// The beginning of ffmpeg's command.
const FFMPEG: &str = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i";

/// Sensor noise, which every scene has.
const NOISE: &str = "noise=alls=10:allf=t";

/// Raw frames, as a camera without an encoder sends them.
const RAW: &str = "-pix_fmt yuv420p -f rawvideo -";

/// A configuration with one camera, whose motion is looked for.
fn camera(command: &str, more: &str) -> String {
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\nname = \"door\"\nwidth = 320\nheight = 180\n\
         fps = 10\ndevice = '''exec:{command}'''\n{more}\n[camera.motion]\nenabled = true\n"
    )
}

/// A square of this size whose left edge is at `x`, an expression in the time `t`, in front of a wall.
fn square(size: u32, x: &str) -> String {
    format!(
        "{FFMPEG} \"color=c=0x606060:s=320x180:r=10[wall];color=c=0xd0d0d0:s={size}x{size}:r=10[square];\
         [wall][square]overlay=x='{x}':y=70,{NOISE}\""
    )
}

/// A square that crosses the picture from the sixth second to the eleventh.
fn crossing() -> String {
    square(30, "-40+80*max(0,t-6)")
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |motion| motion["state"] == state && motion["camera"] == "door"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_begins_to_move_is_told_on_every_way() -> Result<()> {
    let broker = Broker::start()?;
    let listener = broker.listen()?;
    let config = camera(&format!("{} {RAW}", crossing()), "format = \"YU12\"");
    let porthole = Porthole::start(&format!("{config}[mqtt]\nurl = \"{}\"\n", broker.url()))?;
    // Nobody watches, and nothing is encoded.
    let mut events = EventReader::open(&porthole, "").await?;
    porthole.until_status("the camera is live", |status| status["cameras"][0]["state"] == "live").await?;
    ensure!(porthole.status().await?["cameras"][0]["motion"]["moving"] == false);
    ensure!(porthole.metric("porthole_encoders").await? == 0.0);
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;

    let begun = events.find("motion", is("begun")).await?;
    let area = &begun["box"];
    let side = |name: &str| area[name].as_f64().with_context(|| format!("{name}: {begun:#}"));
    ensure!((0.3..0.5).contains(&side("y")?) && (0.05..0.5).contains(&side("height")?), "{begun:#}");
    ensure!(begun["score"].as_u64().is_some_and(|score| (60..=100).contains(&score)), "{begun:#}");
    let told = |event: &Event| matches!(event, Event::Message(text) if text.contains("\"method\":\"motion\""));
    let Event::Message(told) = viewer.until(LIMIT, told).await? else { anyhow::bail!("no message") };
    assert_eq!(serde_json::from_str::<Value>(&told)?["params"], begun);
    let moving = |status: &Value| status["cameras"][0]["motion"]["moving"] == true;
    let status = porthole.until_status("it moves", moving).await?;
    assert_eq!(status["cameras"][0]["motion"]["score"], begun["score"]);
    let node = listener
        .until("Home Assistant is told", |messages| {
            let found = messages.iter().find(|message| message.topic.ends_with("/motion_door/config"))?;
            Some(found.topic.split('/').nth(2)?.trim_start_matches("porthole_").to_owned())
        })
        .await?;
    let topic = format!("porthole/{node}/camera/door/motion");
    listener.last(&topic, "ON").await?;

    let ended = events.find("motion", is("ended")).await?;
    ensure!(ended["box"]["width"].as_f64() > Some(0.6) && ended["time"].as_u64() > begun["time"].as_u64(), "{ended:#}");
    listener.last(&topic, "OFF").await?;
    let status = porthole.until_status("it has ended", |status| !moving(status)).await?;
    ensure!(status["cameras"][0]["motion"]["began"].as_u64().is_some(), "{status:#}");
    assert_eq!(porthole.series(EVENTS).await?, 1.0);
    // Five frames a second are looked at, or fewer on a busy machine.
    let (frames, captured) =
        (porthole.series(FRAMES).await?, porthole.series("porthole_frames_captured_total{camera=\"door\"}").await?);
    ensure!(frames >= 20.0 && frames <= captured * 0.7, "{frames} of {captured}");
    viewer.leave().await?;
    ensure!(porthole.status().await?["cameras"][0]["state"] == "live", "the camera should stay open");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frames_of_a_camera_that_encodes_itself_and_small_jpegs_show_motion_too() -> Result<()> {
    // Slower, as there is a key frame a second.
    let slow = square(60, "-60+45*max(0,t-9)");
    let h264 = format!("{slow} -c:v libx264 -pix_fmt yuv420p -g 10 -profile:v baseline -tune zerolatency -f h264 -");
    let jpeg = format!("{} -c:v mjpeg -q:v 3 -f mjpeg -", crossing());
    for (command, format) in [(h264, "H264"), (jpeg, "MJPEG")] {
        let porthole = Porthole::start(&camera(&command, ""))?;
        let mut events = EventReader::open(&porthole, "").await?;
        let begun = events.find("motion", is("begun")).await?;
        ensure!((0.1..0.5).contains(&begun["box"]["y"].as_f64().context("no box")?), "{format}: {begun:#}");
        let status = porthole.status().await?;
        assert_eq!(status["cameras"][0]["format"], format);
        ensure!(porthole.metric("porthole_encoders").await? == 0.0, "{format}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exposure_and_noise_are_no_motion() -> Result<()> {
    // Bright and dark by turns, every three seconds, with noise that the light makes stronger.
    let scene = "smptebars=s=320x180:r=10,format=yuv420p";
    let light = "lutyuv=y='clip((val-16)*1.5+16,16,235)':enable='gt(mod(t,6),3)'";
    let porthole =
        Porthole::start(&camera(&format!("{FFMPEG} \"{scene},{NOISE},{light}\" {RAW}"), "format = \"YU12\""))?;
    porthole.until_metric("porthole_motion_frames_total", |frames| frames >= 70.0).await?;
    assert_eq!(porthole.series(EVENTS).await?, 0.0);
    let status = porthole.status().await?;
    assert_eq!(status["cameras"][0]["motion"], json!({ "moving": false, "began": null, "score": null }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_switch_ends_motion_and_what_was_seen_is_forgotten() -> Result<()> {
    // It moves to and fro for ever.
    let source = square(30, "if(lt(t,5),-40,145+140*sin(t))");
    let porthole = Porthole::start(&camera(&format!("{source} {RAW}"), "format = \"YU12\""))?;
    let mut events = EventReader::open(&porthole, "").await?;
    events.find("motion", is("begun")).await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    assert_eq!(porthole.status().await?["cameras"][0]["motion"]["moving"], false);
    events.find("motion", is("ended")).await?;
    porthole.until_metric("porthole_cameras_open", |open| open == 0.0).await?;
    let (frames, count) = (porthole.series(FRAMES).await?, porthole.series(EVENTS).await?);
    // For as long as it takes to see some placeholders.
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    for _ in 0..5 {
        viewer.frame(LIMIT).await?;
    }
    assert_eq!((porthole.series(FRAMES).await?, porthole.series(EVENTS).await?), (frames, count));
    viewer.leave().await?;
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    loop {
        let (name, parameters) = events.event().await?;
        ensure!(name != "motion", "while the switch is on: {parameters:#}");
        if name == "notice" && parameters["code"] == "privacy.off" {
            break;
        }
    }
    events.find("motion", is("begun")).await?;
    ensure!(porthole.series(FRAMES).await? >= frames + 10.0, "the scene should be learned anew");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_looked_for_unless_that_is_configured_and_zones_change_at_a_reload() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("porthole.toml");
    let source = square(30, "if(lt(t,5),-40,145+140*sin(t))");
    let config = |more: &str| {
        let camera = camera(&format!("{source} {RAW}"), "format = \"YU12\"");
        format!("{camera}{more}\n[auth]\nmode = \"none\"\n[rtc]\nudp_port = 0\n")
    };
    std::fs::write(&file, config("exclude = [[0, 0.3, 1, 0.4]]"))?;
    let environment = [("STATE_DIRECTORY", folder.path().into())];
    let porthole = Porthole::start_file(&file, &environment)?;
    let mut events = EventReader::open(&porthole, "").await?;
    // It has moved for some seconds.
    porthole.until_metric("porthole_motion_frames_total", |frames| frames >= 50.0).await?;
    assert_eq!(porthole.series(EVENTS).await?, 0.0);
    std::fs::write(&file, config(""))?;
    porthole.signal("HUP")?;
    events.find("motion", is("begun")).await?;
    porthole.signal("TERM")?;
    let (code, _, log) = tokio::task::spawn_blocking(move || porthole.wait()).await??;
    ensure!(code == Some(0) && log.contains("applied: camera[0].motion.exclude"), "{log}");

    let off = config("").replace("enabled = true", "enabled = false");
    std::fs::write(&file, off.replace("[camera.motion]", "keep_open = true\n[camera.motion]"))?;
    let porthole = Porthole::start_file(&file, &environment)?;
    porthole.until_metric("porthole_frames_captured_total", |frames| frames >= 5.0).await?;
    assert_eq!(porthole.status().await?["cameras"][0]["motion"], Value::Null);
    assert_eq!(porthole.series(FRAMES).await?, 0.0);
    Ok(())
}
