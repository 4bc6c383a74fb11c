//! A sound card and its devices.
//!
//! Querying the cards does not belong here.

use std::fmt;

use serde::Serialize;

/// A sound card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SoundCardInfo {
    /// Its number, which may change with the next boot.
    pub index: i32,
    /// Its id, which is stable.
    pub id: String,
    /// The name of the hardware.
    pub name: String,
    /// Its PCM devices.
    pub devices: Vec<SoundDeviceInfo>,
    /// The inputs of its mixer.
    pub inputs: Vec<InputControl>,
}

/// A device of a sound card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SoundDeviceInfo {
    /// Its name in the configuration.
    pub name: String,
    /// The driver's description.
    pub title: String,
    /// Whether it is a microphone or another input.
    pub captures: bool,
    /// Whether it is a speaker or another output.
    pub plays: bool,
}

/// The mixer controls of one input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputControl {
    /// The driver's name.
    pub name: String,
    /// The lowest and highest gain in decibels, if the card reports it.
    pub decibels: Option<(f32, f32)>,
    /// The first and last step of the gain, if it can be set.
    pub steps: Option<(i64, i64)>,
    /// Whether it can be muted.
    pub switch: bool,
}

impl fmt::Display for InputControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}: ", self.name)?;
        match (self.decibels, self.steps) {
            (Some((low, high)), _) => write!(f, "gain {low} dB to {high} dB")?,
            (None, Some(_)) => write!(f, "gain 0 % to 100 %")?,
            (None, None) => write!(f, "fixed gain")?,
        }
        if self.switch { write!(f, ", can be muted") } else { Ok(()) }
    }
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
        self.inputs.iter().try_for_each(|input| write!(f, "\n  {input}"))
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
            inputs: vec![
                InputControl { name: "Mic".into(), decibels: Some((-16.0, 12.5)), steps: Some((0, 57)), switch: true },
                InputControl { name: "Line".into(), decibels: None, steps: Some((0, 15)), switch: false },
                InputControl { name: "Front".into(), decibels: None, steps: None, switch: true },
            ],
        }
    }

    #[test]
    fn a_card_is_shown_with_its_devices() {
        let shown = "\
HD Pro Webcam (C920)
  plughw:CARD=C920,DEV=0  microphone: USB Audio
  plughw:CARD=C920,DEV=1  speaker
  input Mic: gain -16 dB to 12.5 dB, can be muted
  input Line: gain 0 % to 100 %
  input Front: fixed gain, can be muted";
        assert_eq!(card().to_string(), shown);
    }
}
