//! The topics of this device. Pure.
//!
//! What is published there belongs to `states` and `discovery`.

/// The longest first part of the topics, in bytes: far more than anybody writes, and short enough for every broker's limit.
const MAX_PREFIX: usize = 128;

/// The topic of Home Assistant's birth and will messages, whatever the prefix of its discovery
/// (<https://www.home-assistant.io/integrations/mqtt/#birth-and-last-will-messages>).
const BIRTH: &str = "homeassistant/status";

/// Whether it can be the first part of topics: levels that are not empty, without the wildcards of filters (MQTT 5.0,
/// section 4.7). Topics that begin with `$` are the broker's own.
pub fn is_prefix(text: &str) -> bool {
    let level = |level: &str| !level.is_empty() && !level.contains(|c: char| matches!(c, '+' | '#') || c.is_control());
    text.len() <= MAX_PREFIX && !text.starts_with('$') && text.split('/').all(level)
}

/// The topics of this device.
#[derive(Debug, Clone)]
pub(super) struct Topics {
    /// The part that all of them have in common.
    base: String,
    /// The first part of those of Home Assistant's discovery.
    discovery: Option<String>,
    /// The device in the topics of the discovery.
    node: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, discovery: Option<&str>, device: &str) -> Self {
        let (base, node) = (format!("{prefix}/{device}"), format!("porthole_{device}"));
        Self { base, discovery: discovery.map(Into::into), node }
    }

    /// Whether this device is online.
    pub(super) fn availability(&self) -> String {
        self.below("status")
    }

    /// Whether somebody is watching.
    pub(super) fn watched(&self) -> String {
        self.below("watched")
    }

    /// How many are watching.
    pub(super) fn viewers(&self) -> String {
        self.below("viewers")
    }

    /// Whether there is a fault.
    pub(super) fn fault(&self) -> String {
        self.below("fault")
    }

    /// What the fault is.
    pub(super) fn fault_reason(&self) -> String {
        self.below("fault/reason")
    }

    /// The state of the privacy switch.
    pub(super) fn privacy(&self) -> String {
        self.below("privacy")
    }

    /// Where the privacy switch is set.
    pub(super) fn privacy_command(&self) -> String {
        self.below("privacy/set")
    }

    /// The pictures of a camera.
    pub(super) fn picture(&self, camera: &str) -> String {
        self.below(&format!("camera/{camera}/picture"))
    }

    /// Whether there are pictures of a camera.
    pub(super) fn picture_availability(&self, camera: &str) -> String {
        self.below(&format!("camera/{camera}/status"))
    }

    /// Whether anything moves in a camera's picture.
    pub(super) fn motion(&self, camera: &str) -> String {
        self.below(&format!("camera/{camera}/motion"))
    }

    /// Whether a camera is being recorded.
    pub(super) fn recording(&self, camera: &str) -> String {
        self.below(&format!("camera/{camera}/recording"))
    }

    /// Where Home Assistant tells that it has started; `None` without discovery.
    pub(super) fn home_assistant(&self) -> Option<&'static str> {
        self.discovery.as_ref().map(|_| BIRTH)
    }

    /// The discovery message of an entity; `None` without discovery.
    pub(super) fn discovery(&self, component: &str, entity: &str) -> Option<String> {
        Some(format!("{}/{component}/{}/{entity}/config", self.discovery.as_ref()?, self.node))
    }

    /// The filter for this device's discovery messages; `None` without discovery.
    pub(super) fn discovery_filter(&self) -> Option<String> {
        self.discovery("+", "+")
    }

    /// Whether a topic is that of a discovery message of this device.
    pub(super) fn is_discovery(&self, topic: &str) -> bool {
        let Some(rest) = self.discovery.as_ref().and_then(|discovery| topic.strip_prefix(discovery.as_str())) else {
            return false;
        };
        let levels: Vec<&str> = rest.split('/').collect();
        matches!(levels[..], ["", _, node, _, "config"] if node == self.node)
    }

    /// The ID of this device, and the beginning of those of its entities.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_have_levels_without_wildcards() {
        for right in ["porthole", "home/front door", "Büro/ポートホール", "a-b_c.d", &"a".repeat(128)] {
            assert!(is_prefix(right), "{right}");
        }
        for wrong in ["", "/", "/a", "a/", "a//b", "a/+", "a#", "$SYS", "a\0", "a\nb", &"a".repeat(129)] {
            assert!(!is_prefix(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn topics_of_a_device_are_below_its_id() {
        let topics = Topics::new("home/Büro 1", Some("ha/x"), "ab12");
        assert_eq!(topics.availability(), "home/Büro 1/ab12/status");
        assert_eq!(topics.privacy_command(), "home/Büro 1/ab12/privacy/set");
        assert_eq!(topics.picture("front-door"), "home/Büro 1/ab12/camera/front-door/picture");
        assert_eq!(topics.home_assistant(), Some("homeassistant/status"));
        assert_eq!(topics.discovery("image", "camera_a").unwrap(), "ha/x/image/porthole_ab12/camera_a/config");
        assert_eq!(topics.discovery_filter().unwrap(), "ha/x/+/porthole_ab12/+/config");
        let without = Topics::new("a", None, "b");
        assert_eq!((without.home_assistant(), without.discovery_filter()), (None, None));
        assert!(!without.is_discovery("a/image/porthole_b/c/config"));
    }

    #[test]
    fn discovery_messages_of_other_devices_are_not_ours() {
        let topics = Topics::new("porthole", Some("homeassistant"), "ab");
        assert!(topics.is_discovery("homeassistant/image/porthole_ab/camera_x/config"));
        for other in [
            "homeassistant/image/porthole_abc/camera_x/config",
            "homeassistant/image/porthole_ab/config",
            "homeassistant/image/porthole_ab/a/b/config",
            "homeassistantx/image/porthole_ab/camera_x/config",
            "x/homeassistant/image/porthole_ab/camera_x/config",
            "homeassistant/status",
            "",
        ] {
            assert!(!topics.is_discovery(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn topics_with_a_valid_prefix_are_valid(prefix in "\\PC{1,40}", camera in "[A-Za-z0-9_-]{1,32}") {
            prop_assume!(is_prefix(&prefix));
            let topics = Topics::new(&prefix, Some(&prefix), "ab");
            for topic in [topics.availability(), topics.picture(&camera), topics.discovery("image", &camera).unwrap()] {
                prop_assert!(is_prefix(&topic) || topic.len() > MAX_PREFIX, "{topic}");
            }
        }
    }
}
