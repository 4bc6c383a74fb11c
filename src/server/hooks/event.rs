//! What hooks are told: the kinds of events, and an event as JSON and as environment variables. Pure.

use serde_json::{Map, Value, json};

/// The most characters of a text in an event, such as the reason of a fault.
const MAX_TEXT: usize = 500;

/// What hooks can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// Motion in a camera's picture.
    Motion,
    /// A recording.
    Recording,
    /// A film of a time-lapse.
    Timelapse,
    /// Somebody talks.
    Talk,
    /// Somebody watches.
    Watched,
    /// The privacy switch is on.
    Privacy,
    /// Something does not work.
    Fault,
}

impl HookKind {
    /// All of them.
    const ALL: [Self; 7] =
        [Self::Motion, Self::Recording, Self::Timelapse, Self::Talk, Self::Watched, Self::Privacy, Self::Fault];

    /// Its name in the configuration and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Motion => "motion",
            Self::Recording => "recording",
            Self::Timelapse => "timelapse",
            Self::Talk => "talk",
            Self::Watched => "watched",
            Self::Privacy => "privacy",
            Self::Fault => "fault",
        }
    }
}

/// Whether it begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPhase {
    /// It has begun.
    Begun,
    /// It has ended.
    Ended,
}

impl HookPhase {
    /// Its name in the configuration and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Ended => "ended",
        }
    }
}

/// What a hook waits for: `motion`, or `motion.begun` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookTrigger {
    kind: HookKind,
    phase: Option<HookPhase>,
}

impl HookTrigger {
    /// Reads it as the configuration has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, phase) = match text.split_once('.') {
            Some((kind, phase)) => {
                let phase = [HookPhase::Begun, HookPhase::Ended].into_iter().find(|known| known.name() == phase);
                (kind, Some(phase?))
            }
            None => (text, None),
        };
        let kind = HookKind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some(Self { kind, phase })
    }

    /// What it waits for.
    pub fn kind(self) -> HookKind {
        self.kind
    }

    /// Whether an event is what it waits for.
    pub fn meets(self, event: &HookEvent) -> bool {
        self.kind == event.kind && self.phase.is_none_or(|phase| phase == event.phase)
    }
}

impl std::fmt::Display for HookTrigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        self.phase.map_or(Ok(()), |phase| write!(f, ".{}", phase.name()))
    }
}

/// Something that has begun or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct HookEvent {
    pub kind: HookKind,
    pub phase: HookPhase,
    /// The camera that it concerns, if it concerns one.
    pub camera: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What else there is to know, by the names in JSON.
    pub details: Vec<(&'static str, Value)>,
    /// The number of the recording that it is about, if it is in a file.
    pub recording: Option<u64>,
}

impl HookEvent {
    /// The event as JSON, on one line.
    pub fn json(&self) -> String {
        let Self { kind, phase, camera, time, details, .. } = self;
        let mut object = Map::new();
        let head = [("event", json!(kind.name())), ("state", json!(phase.name())), ("time", json!(time))];
        let camera = camera.iter().map(|camera| ("camera", json!(camera)));
        for (name, value) in head.into_iter().chain(camera).chain(details.iter().cloned()) {
            object.insert(name.into(), value);
        }
        Value::Object(object).to_string()
    }

    /// The same as environment variables, but for what has no plain text.
    pub fn variables(&self) -> Vec<(String, String)> {
        let Self { kind, phase, camera, time, details, .. } = self;
        let mut variables = vec![("EVENT", kind.name().to_owned()), ("STATE", phase.name().to_owned())];
        variables.push(("TIME", time.to_string()));
        variables.extend(camera.iter().map(|camera| ("CAMERA", camera.clone())));
        let plain = |value: &Value| match value {
            // Nothing else in an environment ends it.
            Value::String(text) => Some(text.replace('\0', "")),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(is) => Some(is.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let details = details.iter().filter_map(|(name, value)| Some((*name, plain(value)?)));
        let all = variables.into_iter().chain(details);
        all.map(|(name, value)| (format!("PORTHOLE_{}", name.to_ascii_uppercase()), value)).collect()
    }
}

/// A text for an event, which may come from a device or a viewer.
pub fn text(text: &str) -> Value {
    Value::String(text.chars().take(MAX_TEXT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(details: Vec<(&'static str, Value)>) -> HookEvent {
        let (kind, phase) = (HookKind::Motion, HookPhase::Begun);
        HookEvent { kind, phase, camera: Some("door".into()), time: 1_796_054_400_123, details, recording: None }
    }

    #[test]
    fn an_event_is_told_as_json_and_in_variables() {
        let moved = event(vec![("score", json!(81)), ("box", json!({ "x": 0.5 })), ("reason", text("a\0b'\"$(c)\n"))]);
        assert_eq!(
            moved.json(),
            "{\"box\":{\"x\":0.5},\"camera\":\"door\",\"event\":\"motion\",\"reason\":\"a\\u0000b'\\\"$(c)\\n\",\"score\":81,\
             \"state\":\"begun\",\"time\":1796054400123}"
        );
        let expected = [
            ("PORTHOLE_EVENT", "motion"),
            ("PORTHOLE_STATE", "begun"),
            ("PORTHOLE_TIME", "1796054400123"),
            ("PORTHOLE_CAMERA", "door"),
            ("PORTHOLE_SCORE", "81"),
            ("PORTHOLE_REASON", "ab'\"$(c)\n"),
        ];
        assert_eq!(moved.variables(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(text(&"ü".repeat(9_999)).as_str().map(|text| text.chars().count()), Some(MAX_TEXT));
    }

    #[test]
    fn triggers_are_kinds_with_or_without_a_phase() {
        for kind in HookKind::ALL {
            for text in [kind.name().to_owned(), format!("{}.begun", kind.name()), format!("{}.ended", kind.name())] {
                let trigger = HookTrigger::parse(&text).expect("a trigger");
                assert_eq!((trigger.kind(), trigger.to_string()), (kind, text.clone()));
                let meets = |phase| trigger.meets(&HookEvent { kind, phase, ..event(Vec::new()) });
                let expected = [!text.ends_with("ended"), !text.ends_with("begun")];
                assert_eq!([HookPhase::Begun, HookPhase::Ended].map(meets), expected, "{text}");
            }
        }
        for text in ["", "rain", "motion.", "motion.started", ".begun", "Motion", "motion.begun.ended"] {
            assert_eq!(HookTrigger::parse(text), None, "{text}");
        }
    }
}
