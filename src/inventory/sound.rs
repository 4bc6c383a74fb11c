//! A sound card and its devices.
//!
//! Asking the cards does not belong here.

use std::fmt;

use serde::Serialize;

/// A sound card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SoundCardInfo {
    /// Its number, which may be another after the next start.
    pub index: i32,
    /// Its short name, which stays.
    pub id: String,
    /// The name of the hardware.
    pub name: String,
    /// Its devices for sound samples.
    pub devices: Vec<SoundDeviceInfo>,
}

/// A device of a sound card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SoundDeviceInfo {
    /// What to write into the configuration.
    pub name: String,
    /// The driver's words for it.
    pub title: String,
    /// Whether it is a microphone or another input.
    pub captures: bool,
    /// Whether it is a speaker or another output.
    pub plays: bool,
}

/// A table for people, over several lines, without a newline at the end.
impl fmt::Display for SoundCardInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)?;
        for device in &self.devices {
            let role = match (device.captures, device.plays) {
                (true, true) => "microphone and speaker",
                (true, false) => "microphone",
                (false, true) => "speaker",
                (false, false) => "of no use",
            };
            write!(f, "\n  {}  {role}", device.name)?;
            if !device.title.is_empty() {
                write!(f, ": {}", device.title)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn card() -> SoundCardInfo {
        let device = |number, captures, plays| SoundDeviceInfo {
            name: format!("plughw:CARD=C920,DEV={number}"),
            title: if number == 0 { "USB Audio".into() } else { String::new() },
            captures,
            plays,
        };
        SoundCardInfo {
            index: 1,
            id: "C920".into(),
            name: "HD Pro Webcam".into(),
            devices: vec![device(0, true, false), device(1, false, true)],
        }
    }

    #[test]
    fn a_card_is_shown_with_its_devices() {
        let shown = "\
HD Pro Webcam (C920)
  plughw:CARD=C920,DEV=0  microphone: USB Audio
  plughw:CARD=C920,DEV=1  speaker";
        assert_eq!(card().to_string(), shown);
    }
}
