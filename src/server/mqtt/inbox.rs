//! What the broker sends: commands for the privacy switch, the start and end of Home Assistant, and discovery messages that
//! an earlier configuration of this device has left. Everything else is ignored.
//!
//! Carrying commands out belongs to `commands`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::PrivacyCommands;
use super::states::{OFF, OFFLINE, ON, ONLINE};
use super::topics::Topics;
use crate::model::metrics::Metrics;
use crate::util::drop_log::DropLog;

/// At most one log line about ignored messages in this interval: others decide how many there are.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Leftover discovery messages that may wait to be removed; more are removed at the next connection.
const MAX_LEFTOVERS: usize = 64;

/// The longest excerpt of a topic in the log, in characters.
const MAX_EXCERPT: usize = 80;

/// What is known of Home Assistant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HomeAssistant {
    /// How often it has told that it has started.
    pub(super) starts: u64,
    /// Whether it has told that it ends.
    pub(super) away: bool,
}

/// Sorts the broker's messages.
pub(super) struct Inbox<'a> {
    topics: &'a Topics,
    /// The topics of the current discovery messages.
    discovery: HashSet<&'a str>,
    /// Which commands for the privacy switch are taken.
    commands: PrivacyCommands,
    /// The newest command for the privacy switch.
    privacy: &'a watch::Sender<Option<bool>>,
    home_assistant: &'a watch::Sender<HomeAssistant>,
    leftovers: mpsc::Sender<String>,
    ignored: &'a IgnoredLog,
}

impl<'a> Inbox<'a> {
    /// An inbox, and the topics of leftover discovery messages. `discovery` has the messages of the current configuration.
    pub(super) fn new(
        topics: &'a Topics,
        discovery: &'a [(String, String)],
        commands: PrivacyCommands,
        privacy: &'a watch::Sender<Option<bool>>,
        home_assistant: &'a watch::Sender<HomeAssistant>,
        ignored: &'a IgnoredLog,
    ) -> (Self, mpsc::Receiver<String>) {
        let (leftovers, receiver) = mpsc::channel(MAX_LEFTOVERS);
        let current = discovery.iter().filter(|(_, payload)| !payload.is_empty());
        let discovery = current.map(|(topic, _)| topic.as_str()).collect();
        (Self { topics, discovery, commands, privacy, home_assistant, leftovers, ignored }, receiver)
    }

    /// Takes a message.
    pub(super) fn receive(&self, topic: &[u8], payload: &[u8], retained: bool) {
        let Ok(topic) = std::str::from_utf8(topic) else { return self.ignored.note("", "its topic is no text") };
        if topic == self.topics.privacy_command() {
            self.privacy_command(topic, payload, retained);
        } else if self.topics.home_assistant() == Some(topic) {
            self.home_assistant_status(topic, payload);
        } else if self.topics.is_discovery(topic) {
            self.discovery_message(topic, payload);
        } else {
            self.ignored.note(topic, "nothing was asked for there");
        }
    }

    fn privacy_command(&self, topic: &str, payload: &[u8], retained: bool) {
        let on = match payload {
            // It would be carried out again at each connection.
            _ if retained => {
                return self.ignored.note(topic, "it was retained; publish commands without the retain flag");
            }
            _ if self.commands == PrivacyCommands::Off => {
                return self.ignored.note(topic, "[mqtt] privacy allows no commands");
            }
            _ if payload == ON.as_bytes() => true,
            _ if payload == OFF.as_bytes() && self.commands == PrivacyCommands::On => {
                return self
                    .ignored
                    .note(topic, "[mqtt] privacy = \"on\" does not allow to turn the privacy switch off");
            }
            _ if payload == OFF.as_bytes() => false,
            _ => return self.ignored.note(topic, "neither ON nor OFF"),
        };
        self.privacy.send_replace(Some(on));
    }

    fn home_assistant_status(&self, topic: &str, payload: &[u8]) {
        if payload == ONLINE.as_bytes() {
            self.home_assistant.send_modify(|it| *it = HomeAssistant { starts: it.starts + 1, away: false });
        } else if payload == OFFLINE.as_bytes() {
            self.home_assistant.send_modify(|it| it.away = true);
        } else {
            self.ignored.note(topic, "neither online nor offline");
        }
    }

    fn discovery_message(&self, topic: &str, payload: &[u8]) {
        if !payload.is_empty() && !self.discovery.contains(topic) {
            // When there are too many, the others stay until the next connection.
            let _ = self.leftovers.try_send(topic.to_owned());
        }
    }
}

/// Counts and logs messages that are ignored.
pub(super) struct IgnoredLog {
    log: DropLog,
    metrics: Metrics,
}

impl IgnoredLog {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { log: DropLog::every(LOG_EVERY), metrics }
    }

    fn note(&self, topic: &str, why: &str) {
        self.metrics.mqtt_ignored.inc();
        if let Some(count) = self.log.note(1, Instant::now()) {
            let topic: String = topic.chars().take(MAX_EXCERPT).collect();
            let others = if count > 1 { format!(", as were {} before it", count - 1) } else { String::new() };
            tracing::warn!("MQTT: a message at {topic:?} was ignored{others}: {why}");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an inbox works with.
    pub(in crate::server::mqtt) struct Rig {
        topics: Topics,
        discovery: Vec<(String, String)>,
        commands: PrivacyCommands,
        privacy: watch::Sender<Option<bool>>,
        home_assistant: watch::Sender<HomeAssistant>,
        ignored: IgnoredLog,
        metrics: Metrics,
    }

    impl Rig {
        pub(in crate::server::mqtt) fn new() -> Self {
            let metrics = Metrics::new();
            let topics = Topics::new("porthole", Some("homeassistant"), "ab");
            let discovery = vec![
                (topics.discovery("image", "camera_a").unwrap(), "{}".into()),
                (topics.discovery("image", "camera_b").unwrap(), String::new()),
            ];
            let ignored = IgnoredLog::new(metrics.clone());
            let (privacy, home_assistant) = (watch::Sender::default(), watch::Sender::default());
            Self { topics, discovery, commands: PrivacyCommands::Set, privacy, home_assistant, ignored, metrics }
        }

        pub(in crate::server::mqtt) fn inbox(&self) -> (Inbox<'_>, mpsc::Receiver<String>) {
            let Self { topics, discovery, privacy, home_assistant, ignored, .. } = self;
            Inbox::new(topics, discovery, self.commands, privacy, home_assistant, ignored)
        }
    }

    #[test]
    fn the_newest_command_counts_and_others_are_ignored() {
        let rig = Rig::new();
        let (inbox, _leftovers) = rig.inbox();
        let topic = b"porthole/ab/privacy/set";
        let mut commands = rig.privacy.subscribe();
        inbox.receive(topic, b"ON", false);
        inbox.receive(topic, b"OFF", false);
        assert_eq!(*commands.borrow_and_update(), Some(false));
        let huge = vec![b'O'; 16_000];
        for wrong in [&b""[..], b"on", b"ON ", b"TOGGLE", b"\xff", &huge] {
            inbox.receive(topic, wrong, false);
        }
        inbox.receive(topic, b"ON", true);
        inbox.receive(b"porthole/ab/privacy", b"ON", false);
        inbox.receive(b"\xff", b"ON", false);
        inbox.receive(b"", b"ON", false);
        assert!(!commands.has_changed().unwrap());
        assert_eq!(rig.metrics.mqtt_ignored.get(), 10);
        // The same command again is one too.
        inbox.receive(topic, b"OFF", false);
        assert!(commands.has_changed().unwrap());
    }

    #[test]
    fn only_commands_that_are_allowed_are_taken() {
        for (commands, on, off) in [
            (PrivacyCommands::Set, Some(true), Some(false)),
            (PrivacyCommands::On, Some(true), None),
            (PrivacyCommands::Off, None, None),
        ] {
            for (payload, taken) in [(&b"ON"[..], on), (b"OFF", off)] {
                let rig = Rig { commands, ..Rig::new() };
                let (inbox, _leftovers) = rig.inbox();
                inbox.receive(b"porthole/ab/privacy/set", payload, false);
                assert_eq!(*rig.privacy.borrow(), taken, "{commands:?}");
                assert_eq!(rig.metrics.mqtt_ignored.get(), u64::from(taken.is_none()), "{commands:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_arrives_only_two_words_are_commands(
            topic in "(porthole/ab/privacy/set|homeassistant/(status|image/porthole_ab/x/config)|\\PC{0,40})",
            payload in prop_oneof![Just(b"ON".to_vec()), prop::collection::vec(any::<u8>(), 0..40)],
            retained: bool,
        ) {
            let rig = Rig::new();
            let (inbox, _leftovers) = rig.inbox();
            let mut commands = rig.privacy.subscribe();
            inbox.receive(topic.as_bytes(), &payload, retained);
            let is_command = topic == "porthole/ab/privacy/set" && !retained && [&b"ON"[..], b"OFF"].contains(&&payload[..]);
            prop_assert_eq!(commands.has_changed().unwrap(), is_command);
            prop_assert_eq!(commands.borrow_and_update().is_some(), is_command);
        }
    }

    #[test]
    fn home_assistant_comes_and_goes() {
        let rig = Rig::new();
        let (inbox, _leftovers) = rig.inbox();
        let status = rig.home_assistant.subscribe();
        for (payload, starts, away) in
            [("online", 1, false), ("offline", 1, true), ("online", 2, false), ("Online", 2, false)]
        {
            inbox.receive(b"homeassistant/status", payload.as_bytes(), false);
            assert_eq!(*status.borrow(), HomeAssistant { starts, away }, "{payload}");
        }
        assert_eq!(rig.metrics.mqtt_ignored.get(), 1);
    }

    #[test]
    fn leftover_discovery_messages_are_found() {
        let rig = Rig::new();
        let (inbox, mut leftovers) = rig.inbox();
        let topic = |entity: &str| format!("homeassistant/image/porthole_ab/{entity}/config");
        for (entity, payload) in [("camera_a", "{}"), ("camera_b", "{}"), ("camera_c", "{}"), ("camera_d", "")] {
            inbox.receive(topic(entity).as_bytes(), payload.as_bytes(), true);
        }
        assert_eq!(leftovers.try_recv(), Ok(topic("camera_b")));
        assert_eq!(leftovers.try_recv(), Ok(topic("camera_c")));
        assert!(leftovers.try_recv().is_err());
        for number in 0..1000 {
            inbox.receive(topic(&number.to_string()).as_bytes(), b"{}", true);
        }
        assert_eq!(leftovers.len(), MAX_LEFTOVERS);
    }
}
