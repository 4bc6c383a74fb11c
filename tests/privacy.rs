//! The privacy switch in the running program, and configured LEDs and buttons that the machine does not have.

mod common;

use std::fs;

use anyhow::{Context as _, Result};
use common::{LIMIT, Options, Porthole, SMALL, Viewer, request};
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
    let body = json!({ "id": 1, "method": "privacy.set", "params": { "on": on } }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    Ok(serde_json::from_str::<Value>(&answer.body)?["result"].take())
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
