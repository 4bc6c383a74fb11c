//! The privacy switch in the running program, and configured LEDs and buttons that the machine does not have.

mod common;

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use common::footprint::call;
use common::{LIMIT, Options, Porthole, SMALL, Viewer, numbers, request};
use serde_json::{Value, json};

/// A camera that stays open without viewers unless privacy closes it.
fn always_open() -> String {
    SMALL.replacen("bitrate = 300000", "bitrate = 300000\nkeep_open = true", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_at_startup_keeps_devices_closed() -> Result<()> {
    let porthole = Porthole::start(&format!("{}\n[privacy]\non = true\n", always_open()))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    for _ in 0..5 {
        let image = viewer.frame(LIMIT).await?.image.context("a frame was not decoded")?;
        assert_eq!((image.width, image.height), (320, 180));
        assert!(image.code.is_none(), "the frame should not be the camera's");
    }
    let status = porthole.status().await?;
    assert_eq!(status["privacy"], true);
    assert_eq!((&status["cameras"][0]["state"], &status["audio"]["state"]), (&"idle".into(), &"idle".into()));
    assert_eq!(porthole.metric("porthole_cameras_open").await?, 0.0);
    viewer.leave().await?;
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    assert_eq!(code, Some(0));
    assert!(log.contains("privacy switch on: cameras and microphone stay closed"), "{log}");
    assert!(!log.contains("is open"), "{log}");
    Ok(())
}

/// Sets the privacy switch; the result.
async fn set_privacy(porthole: &Porthole, on: bool) -> Result<Value> {
    call(porthole, "privacy.set", json!({ "on": on })).await
}

/// When frames of the camera arrived, until the placeholder did.
async fn camera_frames(mut viewer: Viewer) -> Result<Vec<Instant>> {
    let mut arrived = Vec::new();
    loop {
        let frame = viewer.frame(LIMIT).await?;
        // Frames that were left off in the middle cannot be decoded.
        let Some(image) = frame.image else { continue };
        if image.code.is_none() {
            return Ok(arrived);
        }
        arrived.push(frame.arrived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_and_snapshots_show_the_camera_no_more_from_one_frame_to_the_next() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("320", "1280").replace("180", "720").replace("300000", "2000000"))?;
    let mut slow = Viewer::connect(&Options::new(&porthole.base)).await?;
    slow.frame(LIMIT).await?;
    // Its frames wait for their turn.
    let listed = call(&porthole, "session.list", json!({})).await?;
    let session = &listed["sessions"][0]["session"];
    call(&porthole, "session.limit", json!({ "session": session, "bitrate": 200_000 })).await?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    numbers(&mut viewer, 30).await?;
    let watching = [slow, viewer].map(|viewer| tokio::spawn(camera_frames(viewer)));
    let url = format!("{}snapshot.jpg", porthole.base);
    let snapshot = || request("GET", &url, &[], String::new());
    assert_eq!(snapshot().await?.status, 200);
    assert_eq!(set_privacy(&porthole, true).await?["on"], true);
    let on = Instant::now();
    let refused = snapshot().await?;
    assert!(refused.status >= 400 && refused.body.contains("privacy switch"), "{refused:?}");
    for watching in watching {
        let shown = watching.await??;
        let after = shown.iter().filter(|arrived| **arrived > on).count();
        // One may be on its way.
        assert!(after <= 1, "{after} of {} frames after the switch was turned on", shown.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_that_cannot_be_stored_is_not_kept_until_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (state, obstacle) = (folder.path().join("a/state"), folder.path().join("a"));
    let config = format!("{SMALL}\n[state]\ndirectory = {:?}\n", state.to_str().context("not UTF-8")?);
    let porthole = Porthole::start(&config)?;
    // A file in the place of the directory: nothing can be written, by root neither.
    fs::remove_dir_all(&obstacle)?;
    fs::write(&obstacle, "")?;
    assert_eq!(set_privacy(&porthole, true).await?, json!({ "on": true, "kept": false }));
    let status = porthole.status().await?;
    assert_eq!((&status["privacy"], &status["privacy_kept"]), (&json!(true), &json!(false)));
    assert_eq!(set_privacy(&porthole, true).await?, json!({ "on": true, "kept": false }));
    // It is written without another command.
    fs::remove_file(&obstacle)?;
    porthole.until_status("the switch is stored", |status| status["privacy_kept"] == true).await?;
    assert_eq!(set_privacy(&porthole, true).await?, json!({ "on": true, "kept": true }));
    porthole.signal("KILL")?;
    let (_, _, log) = porthole.wait()?;
    assert_eq!(log.matches("the privacy switch is on, but a restart may undo this").count(), 1, "{log}");
    assert_eq!(log.matches("the state of the privacy switch is stored now: on").count(), 1, "{log}");
    let again = Porthole::start(&config)?;
    assert_eq!(again.status().await?["privacy"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_gpio_and_leds_are_logged_and_not_fatal() -> Result<()> {
    let hardware = r#"
[[led]]
gpio = 17
chip = "no-such-chip"
[[led]]
sysfs = "no-such-led"
show = "fault"
[[button]]
gpio = 27
chip = "no-such-chip"
press = "privacy.toggle"
"#;
    let porthole = Porthole::start(&format!("{SMALL}{hardware}"))?;
    assert_eq!(porthole.status().await?["privacy"], false);
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    assert_eq!(code, Some(0));
    for line in
        ["no LED for ready: GPIO 17 of no-such-chip: ", "no LED for fault: LED no-such-led: ", "no button: GPIO 27"]
    {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    Ok(())
}
