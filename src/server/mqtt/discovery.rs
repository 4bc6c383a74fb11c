//! The discovery messages by which Home Assistant finds the entities of this device
//! (<https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery>). Pure.
//!
//! Each entity has a message of its own, which also other programs understand.

use serde_json::{Value, json};

use super::PrivacyCommands;
use super::device::DeviceIdentity;
use super::states::ON;
use super::topics::Topics;

/// The program's name, as the manufacturer and the origin.
const PROGRAM: &str = "porthole";

/// A camera as far as its entities depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnnouncedCamera {
    pub(super) name: String,
    /// Whether motion is looked for in its picture.
    pub(super) motion: bool,
    /// Whether it may be recorded.
    pub(super) recording: bool,
}

/// The topics and payloads of the discovery messages; an empty payload removes an entity that an earlier configuration had.
/// Empty without discovery.
pub(super) fn messages(
    topics: &Topics,
    device: &DeviceIdentity,
    cameras: &[AnnouncedCamera],
    pictures: bool,
    commands: PrivacyCommands,
) -> Vec<(String, String)> {
    let entity = |component: &str, name: &str, settings: Value| message(topics, device, component, name, settings);
    let watched = json!({ "name": "Watched", "state_topic": topics.watched(), "icon": "mdi:eye" });
    let viewers = json!({
        "name": "Viewers",
        "state_topic": topics.viewers(),
        "state_class": "measurement",
        "icon": "mdi:account-eye",
    });
    let fault = json!({
        "name": "Fault",
        "state_topic": topics.fault(),
        "json_attributes_topic": topics.fault_reason(),
        "device_class": "problem",
        "entity_category": "diagnostic",
    });
    let mut all = vec![
        entity("binary_sensor", "watched", watched),
        entity("sensor", "viewers", viewers),
        entity("binary_sensor", "fault", fault),
    ];
    let privacy = privacy(topics, commands).into_iter();
    all.extend(privacy.map(|(component, name, settings)| entity(component, name, settings)));
    all.extend(cameras.iter().filter(|camera| camera.motion).map(|AnnouncedCamera { name, .. }| {
        let motion =
            json!({ "name": format!("{name} motion"), "state_topic": topics.motion(name), "device_class": "motion" });
        entity("binary_sensor", &format!("motion_{name}"), motion)
    }));
    all.extend(cameras.iter().filter(|camera| camera.recording).map(|AnnouncedCamera { name, .. }| {
        let recording =
            json!({ "name": format!("{name} recording"), "state_topic": topics.recording(name), "icon": "mdi:record-rec" });
        entity("binary_sensor", &format!("recording_{name}"), recording)
    }));
    all.extend(cameras.iter().map(|AnnouncedCamera { name: camera, .. }| {
        let name = format!("camera_{camera}");
        if pictures {
            entity("image", &name, picture(topics, camera))
        } else {
            topics.discovery("image", &name).map(|topic| (topic, String::new()))
        }
    }));
    all.into_iter().flatten().collect()
}

/// The entities of the privacy switch, each with its component and its name: a switch, or its state and what may be done.
fn privacy(topics: &Topics, commands: PrivacyCommands) -> Vec<(&'static str, &'static str, Value)> {
    let icon = "mdi:camera-off";
    let mut state = json!({ "name": "Privacy", "state_topic": topics.privacy(), "icon": icon });
    match commands {
        PrivacyCommands::Set => {
            state["command_topic"] = topics.privacy_command().into();
            // The state is what was carried out, and not what was asked for.
            state["optimistic"] = false.into();
            vec![("switch", "privacy", state)]
        }
        PrivacyCommands::On => {
            let button = json!({
                "name": "Turn privacy on",
                "command_topic": topics.privacy_command(),
                "payload_press": ON,
                "icon": icon,
            });
            vec![("binary_sensor", "privacy", state), ("button", "privacy_on", button)]
        }
        PrivacyCommands::Off => vec![("binary_sensor", "privacy", state)],
    }
}

/// The entity of a camera's pictures.
fn picture(topics: &Topics, camera: &str) -> Value {
    json!({
        "name": camera,
        "image_topic": topics.picture(camera),
        "content_type": "image/jpeg",
        "availability": [{ "topic": topics.availability() }, { "topic": topics.picture_availability(camera) }],
        "availability_mode": "all",
    })
}

/// One message: the settings of an entity, and what all of them have.
fn message(
    topics: &Topics,
    device: &DeviceIdentity,
    component: &str,
    entity: &str,
    settings: Value,
) -> Option<(String, String)> {
    let version = env!("CARGO_PKG_VERSION");
    let mut message = json!({
        "unique_id": format!("{}_{entity}", topics.node()),
        "availability": [{ "topic": topics.availability() }],
        "device": {
            "identifiers": [topics.node()],
            "name": device.name,
            "manufacturer": PROGRAM,
            "model": "camera",
            "sw_version": version,
        },
        "origin": { "name": PROGRAM, "sw_version": version },
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        message[key] = value.clone();
    }
    Some((topics.discovery(component, entity)?, message.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn all(host: &str, cameras: &[&str], pictures: bool) -> BTreeMap<String, String> {
        all_with(host, cameras, pictures, PrivacyCommands::Set)
    }

    fn all_with(host: &str, cameras: &[&str], pictures: bool, commands: PrivacyCommands) -> BTreeMap<String, String> {
        let topics = Topics::new("porthole", Some("homeassistant"), "ab");
        let device = DeviceIdentity { id: "ab".into(), name: host.into() };
        let announced = |name: &&str| {
            let is_yard = *name == "yard";
            AnnouncedCamera { name: (*name).into(), motion: is_yard, recording: is_yard }
        };
        let cameras: Vec<AnnouncedCamera> = cameras.iter().map(announced).collect();
        messages(&topics, &device, &cameras, pictures, commands).into_iter().collect()
    }

    #[test]
    fn every_entity_has_what_the_documentation_asks_for() {
        let host = "Büro/Kamera \"1\"";
        let messages = all(host, &["front-door", "yard"], true);
        let topics: Vec<&str> = messages.keys().map(String::as_str).collect();
        assert_eq!(
            topics,
            [
                "homeassistant/binary_sensor/porthole_ab/fault/config",
                "homeassistant/binary_sensor/porthole_ab/motion_yard/config",
                "homeassistant/binary_sensor/porthole_ab/recording_yard/config",
                "homeassistant/binary_sensor/porthole_ab/watched/config",
                "homeassistant/image/porthole_ab/camera_front-door/config",
                "homeassistant/image/porthole_ab/camera_yard/config",
                "homeassistant/sensor/porthole_ab/viewers/config",
                "homeassistant/switch/porthole_ab/privacy/config",
            ]
        );
        let mut ids = BTreeSet::new();
        for (topic, payload) in &messages {
            let entity: Value = serde_json::from_str(payload).unwrap();
            assert!(ids.insert(entity["unique_id"].as_str().unwrap().to_owned()), "{topic}");
            assert_eq!(entity["device"]["identifiers"], json!(["porthole_ab"]), "{topic}");
            assert_eq!((&entity["device"]["name"], &entity["origin"]["name"]), (&json!(host), &json!("porthole")));
            assert_eq!(entity["availability"][0]["topic"], "porthole/ab/status", "{topic}");
            assert!(payload.len() < 1024, "{topic}: {} bytes", payload.len());
        }
    }

    #[test]
    fn the_privacy_switch_waits_for_its_state() {
        let messages = all("pi", &[], false);
        let switch = &messages["homeassistant/switch/porthole_ab/privacy/config"];
        let switch: Value = serde_json::from_str(switch).unwrap();
        assert_eq!(switch["command_topic"], "porthole/ab/privacy/set");
        assert_eq!((&switch["state_topic"], &switch["optimistic"]), (&json!("porthole/ab/privacy"), &json!(false)));
    }

    #[test]
    fn commands_that_are_not_taken_have_no_entity() {
        let entities = |commands| {
            let messages = all_with("pi", &[], false, commands);
            let topics = messages.keys().filter(|topic| topic.contains("privacy"));
            topics.map(|topic| topic.split('/').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(entities(PrivacyCommands::Set), ["switch"]);
        assert_eq!(entities(PrivacyCommands::On), ["binary_sensor", "button"]);
        assert_eq!(entities(PrivacyCommands::Off), ["binary_sensor"]);
        let messages = all_with("pi", &[], false, PrivacyCommands::On);
        let button: Value =
            serde_json::from_str(&messages["homeassistant/button/porthole_ab/privacy_on/config"]).unwrap();
        assert_eq!(button["command_topic"], "porthole/ab/privacy/set");
        assert_eq!(button["payload_press"], "ON");
    }

    #[test]
    fn without_pictures_the_entities_of_cameras_are_removed() {
        let messages = all("pi", &["a"], false);
        assert_eq!(messages["homeassistant/image/porthole_ab/camera_a/config"], "");
        assert_eq!(messages.len(), 5);
    }

    #[test]
    fn without_discovery_there_are_no_messages() {
        let device = DeviceIdentity { id: "ab".into(), name: "pi".into() };
        let camera = AnnouncedCamera { name: "a".into(), motion: true, recording: true };
        assert!(
            messages(&Topics::new("porthole", None, "ab"), &device, &[camera], true, PrivacyCommands::Set).is_empty()
        );
    }
}
