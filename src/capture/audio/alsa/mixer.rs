//! The mixer of a sound card: the gain of its inputs, the volume of its outputs, and their switches.
//!
//! Choosing among them works on plain values, without a card. Valid configuration values belong to `config`.

use std::sync::atomic::{AtomicBool, Ordering};

use alsa::Round;
use alsa::mixer::{MilliBel, Mixer, Selem};

use super::super::{Error, Gain, SoundRole};
use super::open::SuppressAlsaErrors;
use crate::model::inventory::InputControl;

/// The names that drivers use for the input control, the likeliest first; others (`Line`, `CD`, `Mic Boost`) are used
/// only if there is none of these.
const INPUTS: [&str; 4] = ["Capture", "Mic", "Microphone", "Headset"];

/// The names that drivers use for the outputs that a speaker may be at, the likeliest first. Others are not touched: what the
/// card hears of itself (`Mic`, `Line`, `Sidetone`) may be among them.
const OUTPUTS: [&str; 8] = ["Master", "Speaker", "PCM", "Headphone", "Headset", "Digital", "Line Out", "HDMI"];

/// Whether it has been logged already that a card has no mixer control to set, for inputs and for outputs.
static WARNED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// The inputs of a card's mixer; empty if it has no mixer.
pub(super) fn inputs(card: i32) -> Vec<InputControl> {
    let _quiet = SuppressAlsaErrors::new();
    let input = |element: Selem<'_>| describe(&element, SoundRole::Microphone);
    Mixer::new(&format!("hw:{card}"), true)
        .map(|mixer| mixer.iter().filter_map(Selem::new).filter_map(input).collect())
        .unwrap_or_default()
}

/// Sets the gain of a card's input, or the volume of its output, and switches it on or off.
///
/// # Errors
///
/// [`Error::Gain`] if the card does not support that gain. A card without a mixer is logged once.
pub(super) fn apply(card: i32, device: &str, role: SoundRole, gain: Gain, on: bool) -> Result<(), Error> {
    let _quiet = SuppressAlsaErrors::new();
    let Ok(mixer) = Mixer::new(&format!("hw:{card}"), true) else {
        warn_once(device, role, gain, "the card has no mixer");
        return Ok(());
    };
    let found: Vec<(Selem<'_>, InputControl)> = mixer
        .iter()
        .filter_map(Selem::new)
        .filter_map(|element| describe(&element, role).map(|control| (element, control)))
        .collect();
    let controls = || found.iter().map(|(_, control)| control);

    if gain != Gain::Keep {
        match select(controls(), role, |control| control.steps.is_some()) {
            Some(at) => {
                let (element, control) = &found[at];
                set_gain(element, control, role, gain, device)?;
            }
            None => warn_once(device, role, gain, &format!("the card's mixer has no {}", role.level())),
        }
    }
    // If the switch is off, the device is silent and nothing here shows why. An output may have one after the other.
    let switches = match role {
        SoundRole::Microphone => Vec::from_iter(select(controls(), role, |control| control.switch)),
        SoundRole::Speaker => (0..found.len()).filter(|at| found[*at].1.switch).collect(),
    };
    for (element, control) in switches.into_iter().map(|at| &found[at]) {
        let set = match role {
            SoundRole::Microphone => element.set_capture_switch_all(i32::from(on)),
            SoundRole::Speaker => element.set_playback_switch_all(i32::from(on)),
        };
        if let Err(error) = set {
            tracing::warn!("{device}: mixer: {}: cannot be switched: {error}", control.name);
        }
    }
    Ok(())
}

/// What an element of the mixer can do for a device of this role; `None` for nothing.
fn describe(element: &Selem<'_>, role: SoundRole) -> Option<InputControl> {
    let (has_volume, switch) = match role {
        SoundRole::Microphone => (element.has_capture_volume(), element.has_capture_switch()),
        SoundRole::Speaker => (element.has_playback_volume(), element.has_playback_switch()),
    };
    let range = || match role {
        SoundRole::Microphone => element.get_capture_volume_range(),
        SoundRole::Speaker => element.get_playback_volume_range(),
    };
    let steps = has_volume.then(range).filter(|(min, max)| min < max);
    let id = element.get_id();
    let name = id.get_name().unwrap_or("input").to_owned();
    if steps.is_none() && !switch || role == SoundRole::Speaker && !OUTPUTS.contains(&&*name) {
        return None;
    }
    let name = if id.get_index() == 0 { name } else { format!("{name},{}", id.get_index()) };
    let (low, high) = match role {
        SoundRole::Microphone => element.get_capture_db_range(),
        SoundRole::Speaker => element.get_playback_db_range(),
    };
    let decibels = steps.and((low.0 < high.0).then(|| (low.to_db(), high.to_db())));
    Some(InputControl { name, decibels, steps, switch })
}

/// The index of the input or output to use among those that `fit`.
fn select<'a>(
    controls: impl Iterator<Item = &'a InputControl>,
    role: SoundRole,
    fit: impl Fn(&InputControl) -> bool,
) -> Option<usize> {
    let names: &[&str] = match role {
        SoundRole::Microphone => &INPUTS,
        SoundRole::Speaker => &OUTPUTS,
    };
    let rank = |control: &InputControl| names.iter().position(|name| *name == control.name).unwrap_or(names.len());
    controls.enumerate().filter(|(_, control)| fit(control)).min_by_key(|(_, control)| rank(control)).map(|(at, _)| at)
}

fn set_gain(
    element: &Selem<'_>,
    control: &InputControl,
    role: SoundRole,
    gain: Gain,
    device: &str,
) -> Result<(), Error> {
    let set = match (gain, control.steps) {
        (Gain::Keep, _) | (_, None) => Ok(()),
        (Gain::Decibel(decibel), Some(_)) => {
            let decibel = check_decibels(decibel, control);
            let decibel = decibel.map_err(|supported| gain_error(device, role, gain, &supported))?;
            let (level, round) = (MilliBel::from_db(decibel), Round::Floor);
            match role {
                SoundRole::Microphone => element.set_capture_db_all(level, round),
                SoundRole::Speaker => element.set_playback_db_all(level, round),
            }
        }
        (Gain::Percent(percent), Some(steps)) => match role {
            SoundRole::Microphone => element.set_capture_volume_all(step(percent, steps)),
            SoundRole::Speaker => element.set_playback_volume_all(step(percent, steps)),
        },
    };
    set.map_err(|error| gain_error(device, role, gain, &format!("{} refused it: {error}", control.name)))
}

fn gain_error(device: &str, role: SoundRole, gain: Gain, supported: &str) -> Error {
    Error::Gain { device: device.into(), role, requested: gain.to_string(), supported: supported.into() }
}

/// The gain, if the card supports it; otherwise what it supports.
fn check_decibels(decibel: f32, control: &InputControl) -> Result<f32, String> {
    match control.decibels {
        Some((low, high)) if (low..=high).contains(&decibel) => Ok(decibel),
        Some((low, high)) => Err(format!("{} has {low} dB to {high} dB", control.name)),
        None => Err(format!("{} has no scale in dB; write 0 % to 100 %", control.name)),
    }
}

/// The step that corresponds to a percentage of the range.
fn step(percent: u8, (low, high): (i64, i64)) -> i64 {
    low + (high - low) * i64::from(percent.min(100)) / 100
}

/// Warns once about a gain that cannot be set, however often the device is opened.
fn warn_once(device: &str, role: SoundRole, gain: Gain, why: &str) {
    let (warned, key) = match role {
        SoundRole::Microphone => (&WARNED[0], "audio.gain"),
        SoundRole::Speaker => (&WARNED[1], "speaker.volume"),
    };
    if gain != Gain::Keep && !warned.swap(true, Ordering::Relaxed) {
        tracing::warn!("{device}: {why}; {key} = \"{gain}\" has no effect");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(name: &str, steps: Option<(i64, i64)>, switch: bool) -> InputControl {
        InputControl { name: name.into(), decibels: None, steps, switch }
    }

    #[test]
    fn capture_gain_of_the_input_itself_is_preferred() {
        let gain = |controls: &[InputControl]| {
            select(controls.iter(), SoundRole::Microphone, |control| control.steps.is_some())
        };
        let steps = Some((0, 31));
        let codec = [control("Mic Boost", steps, false), control("Line", steps, true), control("Capture", steps, true)];
        assert_eq!(gain(&codec), Some(2));
        assert_eq!(gain(&codec[..2]), Some(0), "the first of what there is");
        assert_eq!(select(codec[..2].iter(), SoundRole::Microphone, |control| control.switch), Some(1));
        assert_eq!(gain(&[control("Mic", None, true)]), None);
        let outputs = ["PCM", "Headphone", "Master"].map(|name| control(name, steps, true));
        assert_eq!(select(outputs.iter(), SoundRole::Speaker, |control| control.steps.is_some()), Some(2));
    }

    #[test]
    fn unsupported_mixer_value_is_rejected_with_the_range() {
        let mut mic = control("Mic", Some((0, 28)), true);
        let error = gain_error(
            "hw:1",
            SoundRole::Microphone,
            Gain::Decibel(30.0),
            &check_decibels(30.0, &mic).expect_err("has no scale"),
        );
        assert_eq!(error.to_string(), "hw:1: gain 30 dB is not supported; Mic has no scale in dB; write 0 % to 100 %");
        mic.decibels = Some((-16.0, 12.5));
        assert_eq!(check_decibels(12.5, &mic), Ok(12.5));
        assert_eq!(check_decibels(-16.5, &mic), Err("Mic has -16 dB to 12.5 dB".into()));
    }

    #[test]
    fn percent_covers_the_whole_range() {
        assert_eq!([0, 50, 100].map(|percent| step(percent, (-4, 28))), [-4, 12, 28]);
    }
}
