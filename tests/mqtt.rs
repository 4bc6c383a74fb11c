//! MQTT of the running program, with a real broker: what Home Assistant finds, what the entities show, the privacy switch and
//! pictures.
//!
//! How connections begin and end is in `mqtt/connections.rs`.

mod common;

#[path = "mqtt/broker.rs"]
mod broker;
#[path = "mqtt/connections.rs"]
mod connections;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use broker::{Broker, Listener, Message};
use common::{Options, Porthole, SMALL, Viewer};
use serde_json::Value;

/// A configuration for a broker, with more lines of its section.
fn config(broker: &Broker, lines: &str) -> String {
    format!("{SMALL}\n[mqtt]\nurl = \"{}\"\n{lines}\n", broker.url())
}

/// The same, with the state, and therefore the device's ID, in this directory.
fn config_in(broker: &Broker, lines: &str, state: &Path) -> String {
    format!("{}\n[state]\ndirectory = \"{}\"\n", config(broker, lines), state.display())
}

/// The discovery messages so far, by topic.
fn discovery(messages: &[Message]) -> Result<BTreeMap<String, Value>> {
    let messages = messages.iter().filter(|message| message.topic.starts_with("homeassistant/"));
    let messages = messages.filter(|message| message.topic.ends_with("/config") && !message.payload.is_empty());
    messages.map(|message| Ok((message.topic.clone(), serde_json::from_slice(&message.payload)?))).collect()
}

/// Waits until the device is online; the topic that its others are below, with a slash at its end.
async fn online(listener: &Listener) -> Result<String> {
    let is_online = |message: &&Message| message.is_device_status() && message.text() == "online";
    let topic = |message: &Message| Some(message.topic.strip_suffix("status")?.to_owned());
    listener.until("a device is online", |messages| messages.iter().find(is_online).and_then(topic)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn home_assistant_finds_every_entity() -> Result<()> {
    let broker = Broker::start()?;
    let listener = broker.listen()?;
    let porthole = Porthole::start(&config(&broker, "snapshot_interval = 3600\nprivacy = \"set\""))?;
    let base = online(&listener).await?;
    let node = format!("porthole_{}", base.trim_end_matches('/').rsplit('/').next().context("no ID")?);
    let messages = listener.messages();
    let found = discovery(&messages)?;
    let entities: Vec<&str> = found.keys().map(|topic| topic.trim_start_matches("homeassistant/")).collect();
    let expected =
        ["binary_sensor/NODE/fault", "binary_sensor/NODE/watched", "image/NODE/camera_camera", "sensor/NODE/viewers"]
            .into_iter()
            .chain(["switch/NODE/privacy"])
            .map(|topic| format!("{}/config", topic.replace("NODE", &node)));
    assert_eq!(entities, expected.collect::<Vec<_>>());
    let retained = |topic: &Value| {
        let topic = topic.as_str().unwrap_or_default();
        messages.iter().any(|message| message.topic == topic && message.retained && !message.payload.is_empty())
    };
    for (topic, entity) in &found {
        ensure!(retained(&Value::String(topic.clone())), "{topic} is not retained");
        assert_eq!(entity["device"]["identifiers"][0], node.as_str(), "{topic}");
        assert_eq!(entity["origin"]["name"], "porthole", "{topic}");
        ensure!(entity["unique_id"].as_str().is_some_and(|id| id.starts_with(&node)), "{topic}: {entity:#}");
        for key in ["state_topic", "json_attributes_topic"] {
            ensure!(entity.get(key).is_none_or(retained), "{topic}: {key}");
        }
        for availability in entity["availability"].as_array().context("no availability")? {
            ensure!(retained(&availability["topic"]), "{topic}: {availability}");
        }
    }
    // When Home Assistant starts it is told again.
    let privacy = format!("homeassistant/switch/{node}/privacy/config");
    let told = listener.payloads(&privacy).len();
    broker.publish("homeassistant/status", b"online", &[])?;
    listener
        .until("it is told again", |messages| {
            (messages.iter().filter(|message| message.topic == privacy).count() > told).then_some(())
        })
        .await?;
    porthole.until_status("the status tells", |status| status["mqtt"]["connected"] == true).await?;
    assert_eq!(porthole.metric("porthole_mqtt_connected").await?, 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_that_are_no_longer_configured_are_removed() -> Result<()> {
    let (broker, state) = (Broker::start()?, tempfile::tempdir()?);
    let listener = broker.listen()?;
    let old = config_in(&broker, "snapshot_interval = 3600", state.path());
    let porthole = Porthole::start(&old.replace("device = \"pattern\"", "device = \"pattern\"\nname = \"old\""))?;
    let base = online(&listener).await?;
    porthole.signal("TERM")?;
    porthole.wait()?;
    listener.last(&format!("{base}status"), "offline").await?;
    let _porthole = Porthole::start(&old)?;
    listener.last(&format!("{base}status"), "online").await?;
    let image = |messages: &[Message]| {
        messages.iter().map(|message| message.topic.clone()).find(|topic| topic.ends_with("/camera_old/config"))
    };
    let image = listener.until("there is an old image", image).await?;
    listener.last(&image, "").await?;
    let found = discovery(&listener.messages())?;
    ensure!(found.keys().any(|topic| topic.ends_with("/camera_camera/config")), "{found:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_show_viewers_and_the_privacy_switch() -> Result<()> {
    let broker = Broker::start()?;
    let listener = broker.listen()?;
    let porthole = Porthole::start(&config(&broker, "topic = \"home/Büro 1\"\nprivacy = \"set\""))?;
    let base = online(&listener).await?;
    ensure!(base.starts_with("home/Büro 1/"), "{base}");
    for (topic, payload) in [("watched", "OFF"), ("viewers", "0"), ("fault", "OFF"), ("privacy", "OFF")] {
        ensure!(listener.last(&format!("{base}{topic}"), payload).await?.retained, "{topic}");
    }
    // No camera is opened for MQTT.
    assert_eq!(porthole.series("porthole_frames_captured_total{camera=\"camera\"}").await?, 0.0);
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    listener.last(&format!("{base}watched"), "ON").await?;
    listener.last(&format!("{base}viewers"), "1").await?;
    viewer.leave().await?;
    listener.last(&format!("{base}watched"), "OFF").await?;
    listener.last(&format!("{base}viewers"), "0").await?;
    porthole.until_metric("porthole_cameras_open", |open| open == 0.0).await?;

    for (payload, on) in [("ON", true), ("OFF", false), ("ON", true)] {
        broker.publish(&format!("{base}privacy/set"), payload.as_bytes(), &[])?;
        listener.last(&format!("{base}privacy"), payload).await?;
        assert_eq!(porthole.status().await?["privacy"], on);
    }
    // There is no entity for pictures.
    let images = listener.messages().iter().filter(|message| message.topic.contains("/image/")).count();
    let full =
        listener.messages().iter().any(|message| message.topic.contains("/image/") && !message.payload.is_empty());
    ensure!(images == 1 && !full, "the image entity should be removed, once");
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    assert_eq!(log.matches("privacy switch on by MQTT").count(), 2, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privacy_switch_that_is_not_stored_is_a_fault() -> Result<()> {
    let (broker, folder) = (Broker::start()?, tempfile::tempdir()?);
    let listener = broker.listen()?;
    let (state, obstacle) = (folder.path().join("a/state"), folder.path().join("a"));
    let porthole = Porthole::start(&config_in(&broker, "", &state))?;
    let base = online(&listener).await?;
    std::fs::remove_dir_all(&obstacle)?;
    std::fs::write(&obstacle, "")?;
    broker.publish(&format!("{base}privacy/set"), b"ON", &[])?;
    listener.last(&format!("{base}privacy"), "ON").await?;
    listener.last(&format!("{base}fault"), "ON").await?;
    let reason = listener.payloads(&format!("{base}fault/reason")).pop().context("no reason")?;
    let reason: Value = serde_json::from_str(&reason)?;
    ensure!(reason["reason"].as_str().is_some_and(|reason| reason.contains("could not be stored")), "{reason:#}");
    std::fs::remove_file(&obstacle)?;
    listener.last(&format!("{base}fault"), "OFF").await?;
    assert_eq!(porthole.status().await?["privacy_kept"], true);
    Ok(())
}

/// Pictures among the messages from this index on.
fn pictures<'m>(messages: &'m [Message], topic: &str, from: usize) -> Vec<&'m Message> {
    messages.iter().skip(from).filter(|message| message.topic == topic).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_published_while_they_are_wanted() -> Result<()> {
    let mut broker = Broker::start()?;
    let listener = broker.listen()?;
    let porthole = Porthole::start(&config(&broker, "snapshot_interval = 1\nprivacy = \"set\""))?;
    let base = online(&listener).await?;
    let topic = format!("{base}camera/camera/picture");
    let first = listener.until("a picture", |messages| pictures(messages, &topic, 0).first().cloned().cloned()).await?;
    ensure!(first.payload.starts_with(&[0xff, 0xd8]) && first.payload.ends_with(&[0xff, 0xd9]), "no JPEG");
    ensure!(!first.retained, "the broker should not keep it");
    listener.last(&format!("{base}camera/camera/status"), "online").await?;

    broker.publish(&format!("{base}privacy/set"), b"ON", &[])?;
    listener.last(&format!("{base}privacy"), "ON").await?;
    listener.last(&format!("{base}camera/camera/status"), "offline").await?;
    let closed = listener.messages().iter().position(|m| m.topic == format!("{base}privacy") && m.text() == "ON");
    let closed = closed.context("no state")?;
    // Two were due.
    let withheld = porthole.metric("porthole_mqtt_pictures_withheld_total").await?;
    porthole.until_metric("porthole_mqtt_pictures_withheld_total", |now| now >= withheld + 2.0).await?;
    assert_eq!(pictures(&listener.messages(), &topic, closed).len(), 0);
    let opened = listener.messages().len();
    broker.publish(&format!("{base}privacy/set"), b"OFF", &[])?;
    listener.last(&format!("{base}camera/camera/status"), "online").await?;
    listener.until("a picture again", |messages| pictures(messages, &topic, opened).first().map(|_| ())).await?;

    // Nobody wants them while Home Assistant is away.
    let withheld = porthole.metric("porthole_mqtt_pictures_withheld_total").await?;
    broker.publish("homeassistant/status", b"offline", &[])?;
    // The last picture is an interval old when the first one is withheld.
    porthole.until_metric("porthole_mqtt_pictures_withheld_total", |now| now >= withheld + 1.0).await?;
    let away = listener.messages().len();
    porthole.until_metric("porthole_mqtt_pictures_withheld_total", |now| now >= withheld + 3.0).await?;
    assert_eq!(pictures(&listener.messages(), &topic, away).len(), 0);
    // Nor after an interruption, as it has not told that it is back.
    broker.stop()?;
    porthole.until_status("there is no broker", |status| status["mqtt"]["connected"] == false).await?;
    broker.restart()?;
    let listener = broker.listen()?;
    online(&listener).await?;
    let withheld = porthole.metric("porthole_mqtt_pictures_withheld_total").await?;
    porthole.until_metric("porthole_mqtt_pictures_withheld_total", |now| now >= withheld + 2.0).await?;
    assert_eq!(pictures(&listener.messages(), &topic, 0).len(), 0);
    let back = listener.messages().len();
    broker.publish("homeassistant/status", b"online", &[])?;
    listener.until("a picture", |messages| pictures(messages, &topic, back).first().map(|_| ())).await?;
    Ok(())
}

/// How often the switch of the device was announced.
fn announcements(messages: &[Message]) -> usize {
    messages.iter().filter(|message| message.topic.ends_with("/privacy/config")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_cause_more_pictures_than_configured() -> Result<()> {
    let mut broker = Broker::start()?;
    let listener = broker.listen()?;
    let porthole = Porthole::start(&config(&broker, "snapshot_interval = 3600"))?;
    let base = online(&listener).await?;
    let topic = format!("{base}camera/camera/picture");
    listener.until("a picture", |messages| pictures(messages, &topic, 0).first().map(|_| ())).await?;
    let announced = announcements(&listener.messages());
    for _ in 0..5 {
        broker.publish("homeassistant/status", b"offline", &[])?;
        broker.publish("homeassistant/status", b"online", &[])?;
    }
    // The second time is two seconds after the first.
    listener
        .until("it is announced twice", |messages| (announcements(messages) >= announced + 2).then_some(()))
        .await?;
    assert_eq!(pictures(&listener.messages(), &topic, 0).len(), 1);
    // Neither is another connection a reason.
    broker.stop()?;
    porthole.until_status("there is no broker", |status| status["mqtt"]["connected"] == false).await?;
    broker.restart()?;
    let listener = broker.listen()?;
    online(&listener).await?;
    broker.publish("homeassistant/status", b"online", &[])?;
    let announced = announcements(&listener.messages());
    broker.publish("homeassistant/status", b"online", &[])?;
    listener.until("it is announced again", |messages| (announcements(messages) > announced).then_some(())).await?;
    assert_eq!(pictures(&listener.messages(), &topic, 0).len(), 0);
    assert_eq!(porthole.metric("porthole_mqtt_pictures_withheld_total").await?, 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_ignored_with_one_line() -> Result<()> {
    let (broker, state) = (Broker::start()?, tempfile::tempdir()?);
    let listener = broker.listen()?;
    let text = config_in(&broker, "", state.path());
    let porthole = Porthole::start(&text)?;
    let base = online(&listener).await?;
    porthole.signal("TERM")?;
    porthole.wait()?;
    listener.last(&format!("{base}status"), "offline").await?;
    let command = format!("{base}privacy/set");
    // A command that the broker keeps would be carried out at each connection.
    broker.publish(&command, b"ON", &["-r"])?;
    let porthole = Porthole::start(&text)?;
    listener.last(&format!("{base}status"), "online").await?;
    // Nor is one carried out that is to be kept.
    broker.publish(&command, b"ON", &["-r"])?;
    for payload in [&b"on"[..], b"TOGGLE", b"{\"on\":true}", b"\xff\0", &vec![b'O'; 10_000]] {
        broker.publish(&command, payload, &[])?;
    }
    // The broker leaves out what is larger than porthole takes.
    broker.publish(&command, &vec![b'O'; 1_000_000], &[])?;
    broker.publish("homeassistant/status", b"perhaps", &[])?;
    porthole.until_metric("porthole_mqtt_ignored_total", |ignored| ignored == 7.0).await?;
    assert_eq!(porthole.status().await?["privacy"], false);
    assert_eq!(porthole.metric("porthole_mqtt_connections_total").await?, 1.0);
    broker.publish(&command, b"ON", &[])?;
    listener.last(&format!("{base}privacy"), "ON").await?;
    // As the configuration says nothing else, nobody turns it off.
    broker.publish(&command, b"OFF", &[])?;
    porthole.until_metric("porthole_mqtt_ignored_total", |ignored| ignored == 8.0).await?;
    assert_eq!(porthole.status().await?["privacy"], true);
    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("was ignored").count(), 1, "{log}");
    Ok(())
}
