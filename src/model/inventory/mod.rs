//! The devices of a machine, as `porthole devices` and `porthole controls` print them: `Display` for people, JSON for
//! programs.
//!
//! The JSON is a promise to the outside. `porthole devices --json` prints one object, [`Inventory`]; `porthole controls --json`
//! an array of [`Control`]. The fields are those of the structs here, under the same names unless a field says otherwise,
//! and are documented there: `cargo doc --open` shows them. Fields may be added; none changes its name or meaning. Querying
//! the kernel does not belong here.

mod camera;
mod control;
mod setting;
mod sound_card;

use serde::Serialize;

pub use camera::{CameraInfo, ChoiceInfo, EncoderInfo, FormatInfo, RateInfo, SizeInfo, Span};
pub use control::{Control, ControlKind, Controls, Flag, MenuItem, Value};
pub use setting::{Setting, find};
pub use sound_card::{InputControl, SoundCardInfo, SoundDeviceInfo};

/// The devices that porthole can use.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Inventory {
    /// The V4L2 capture nodes, by number.
    pub cameras: Vec<CameraInfo>,
    /// The V4L2 nodes that encode H.264, by number.
    pub encoders: Vec<EncoderInfo>,
    /// The sound cards, by number.
    pub sound_cards: Vec<SoundCardInfo>,
    /// The names of the LEDs, in order.
    pub leds: Vec<String>,
    /// What `auto` selects in the configuration.
    pub auto: AutoInfo,
    /// An error message for each kind of device that could not be listed.
    pub problems: Vec<String>,
}

/// The JSON form, over several lines, without a newline at the end.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain values should be printable as JSON")
}

/// What `device = "auto"` selects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AutoInfo {
    /// The path of a camera, or `pattern`, the test pattern.
    pub camera: String,
    /// The name of a microphone, `tone`, the ticking tone, or `off`.
    pub microphone: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole form, in which programs find their way.
    const SNAPSHOT: &str = include_str!("snapshot.json");

    #[test]
    fn the_json_form_is_a_promise() {
        let inventory = Inventory {
            cameras: vec![
                camera::tests::camera(),
                CameraInfo { path: "/dev/video3".into(), problem: Some("busy".into()), ..CameraInfo::default() },
            ],
            encoders: vec![EncoderInfo {
                path: "/dev/video11".into(),
                card: "bcm2835-codec-encode".into(),
                driver: "bcm2835-codec".into(),
                bus: "platform:bcm2835-codec".into(),
            }],
            sound_cards: vec![sound_card::tests::card()],
            leds: vec!["ACT".into()],
            auto: AutoInfo { camera: "/dev/video0".into(), microphone: "plughw:CARD=C920,DEV=0".into() },
            problems: vec!["LEDs: permission denied".into()],
        };
        let printed = json(&inventory);
        assert_eq!(printed, SNAPSHOT.trim_end(), "{printed}");
    }
}
