//! Commands to a streaming camera through `POST /api/command` and `/snapshot.jpg`: controls, size, bitrate, snapshots.
//! The camera is the fake V4L2 driver (tests/fake), whose call log shows what was done.

mod common;

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use common::fake::{DEVICE, Fake};
use common::{LIMIT, Options, Porthole, Viewer, request};
use porthole::media::convert::StillImage;
use porthole::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use serde_json::{Value, json};

/// Two integer controls.
const CONTROLS: &str = "control 9963776 1 0 255 1 128 0 Brightness\ncontrol 9963777 1 0 10 1 5 0 Contrast\n";

/// Starts the program with a camera configured for 320x240.
fn start(fake: &Fake) -> Result<Porthole> {
    start_with(fake, "")
}

/// As [`start`], with additional configuration.
fn start_with(fake: &Fake, more: &str) -> Result<Porthole> {
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[[camera]]\ndevice = \"{DEVICE}\"\nwidth = {{ ideal = 320 }}\n\
         height = {{ ideal = 240 }}\nfps = {{ ideal = 30 }}\nbitrate = 1000000\n[audio]\ndevice = \"off\"\n{more}"
    );
    Porthole::start_with(&config, &fake.environment()?)
}

async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

/// The control values in a response, or in a camera's status, by name.
fn values(of: &Value) -> Vec<(&str, i64)> {
    let controls = of["controls"].as_array().into_iter().flatten();
    controls.filter_map(|control| Some((control["name"].as_str()?, control["value"].as_i64()?))).collect()
}

/// Waits for a frame of this size; returns its SSRC.
async fn until_size(viewer: &mut Viewer, size: (usize, usize)) -> Result<u32> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let frame = viewer.frame(LIMIT).await?;
        if frame.image.is_some_and(|image| (image.width, image.height) == size) {
            return Ok(frame.ssrc);
        }
    }
    anyhow::bail!("no frame of {size:?} within {LIMIT:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn controls_set_while_streaming_survive_a_replug() -> Result<()> {
    let script = format!("format YUYV 320x240@30\n{CONTROLS}");
    let fake = Fake::new(&script)?;
    let porthole = start(&fake)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    until_size(&mut viewer, (320, 240)).await?;
    let streams = fake.count("ioctl STREAMON = 0")?;
    ensure!(streams == 1, "{streams} streams");

    let answer = call(&porthole, "controls.set", json!({ "values": { "brightness": 200 } })).await?;
    ensure!(values(&answer["result"]) == [("brightness", 200)], "{answer}");
    ensure!(values(&porthole.status().await?["cameras"][0]) == [("brightness", 200), ("contrast", 5)]);
    let wrong = call(&porthole, "controls.set", json!({ "values": { "contrast": 1, "brightness": 256 } })).await?;
    ensure!(wrong["error"]["code"] == -32602, "{wrong}");
    let now = porthole.status().await?["cameras"][0].clone();
    ensure!(values(&now) == [("brightness", 200), ("contrast", 5)], "half of it was set: {now:#}");
    ensure!(fake.count("ioctl STREAMON = 0")? == streams, "the stream was interrupted");

    // The driver loses its settings when the camera is unplugged.
    fake.unplug()?;
    porthole.until_status("the camera is away", |status| status["cameras"][0]["state"] == "fault").await?;
    fake.plug(&script)?;
    let back = |status: &Value| status["cameras"][0]["state"] == "live";
    let status = porthole.until_status("the camera is back", back).await?;
    ensure!(values(&status["cameras"][0]) == [("brightness", 200), ("contrast", 5)], "{status:#}");

    let answer = call(&porthole, "controls.reset", json!({})).await?;
    ensure!(values(&answer["result"]) == [("brightness", 128)], "those that stood otherwise: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn size_and_bitrate_change_within_a_session() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30 640x480@30,15\n")?;
    let porthole = start(&fake)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let ssrc = until_size(&mut viewer, (320, 240)).await?;
    let streams = fake.count("ioctl STREAMON = 0")?;
    ensure!(streams == 1, "{streams} streams");

    let answer = call(&porthole, "video.set", json!({ "bitrate": 300_000 })).await?;
    ensure!(answer["result"]["bitrate"] == 300_000 && answer["result"]["width"] == 320, "{answer}");
    for _ in 0..10 {
        ensure!(!viewer.frame(LIMIT).await?.key, "a new stream for another bitrate");
    }
    ensure!(fake.count("ioctl STREAMON = 0")? == streams, "the camera was opened anew");

    let answer = call(&porthole, "video.set", json!({ "width": 640, "height": 480, "fps": 15 })).await?;
    ensure!(answer["result"]["width"] == 640 && answer["result"]["fps"] == 15, "{answer}");
    ensure!(until_size(&mut viewer, (640, 480)).await? == ssrc, "another stream");
    ensure!(fake.count("ioctl STREAMON = 0")? == streams + 1, "it is opened anew once");
    let camera = porthole.status().await?["cameras"][0].clone();
    ensure!((camera["width"].as_u64(), camera["fps"].as_f64()) == (Some(640), Some(15.0)), "{camera:#}");

    // The setting survives closing the camera.
    viewer.leave().await?;
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let first = viewer.frame(LIMIT).await?.image.context("it cannot be decoded")?;
    ensure!((first.width, first.height) == (640, 480));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_an_mjpeg_camera_is_its_original_jpeg() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30\n")?;
    let format = VideoFormat {
        pixel: PixelFormat::I420,
        width: 320,
        height: 240,
        stride: 320,
        fps: 30.0,
        color: Colorimetry::SRGB,
    };
    let grey = RawFrame::new(Timestamp::default(), format, vec![100; 320 * 240 * 3 / 2].into());
    let own = StillImage::of(&grey)?.into_jpeg()?.data;
    let folder = fake.frames(std::slice::from_ref(&own))?;
    fake.plug(&format!("format MJPG 320x240@30 files={}\n", folder.display()))?;
    let photos = tempfile::tempdir()?;
    let porthole = start_with(&fake, &format!("[photos]\ndirectory = \"{}\"\n", photos.path().display()))?;
    // There are no viewers.
    let url = format!("{}snapshot.jpg", porthole.base);
    let taken = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(url).call()?;
        anyhow::Ok(answer.body_mut().read_to_vec()?)
    });
    ensure!(taken.await?? == own, "not the camera's own JPEG");
    porthole.until_status("the camera is closed again", |status| status["cameras"][0]["state"] == "idle").await?;
    // A photo stored on the board.
    let photo = call(&porthole, "photo.take", json!({})).await?["result"].clone();
    ensure!(fs::read(photo["file"].as_str().context("no file")?)? == own, "{photo}");
    ensure!(
        (&photo["width"], &photo["height"], &photo["bytes"]) == (&json!(320), &json!(240), &json!(own.len())),
        "{photo}"
    );
    // A directory that cannot be written is reported.
    fs::remove_dir_all(photos.path())?;
    fs::write(photos.path(), "")?;
    let refused = call(&porthole, "photo.take", json!({})).await?["error"].clone();
    let names_directory =
        refused["message"].as_str().is_some_and(|message| message.contains(&photos.path().display().to_string()));
    ensure!(refused["code"] == -32603 && names_directory, "{refused}");
    ensure!(porthole.metric("porthole_encoders").await? == 0.0);
    Ok(())
}
