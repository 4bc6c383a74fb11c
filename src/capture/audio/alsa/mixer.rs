//! The mixer of a sound card: the gain of its inputs, and their switches.
//!
//! Choosing the input works on plain values, without a card. Valid configuration values belong to `config`.

use std::sync::atomic::{AtomicBool, Ordering};

use alsa::Round;
use alsa::mixer::{MilliBel, Mixer, Selem};

use super::super::{Config, Error, Gain};
use super::open::SuppressAlsaErrors;
use crate::model::inventory::InputControl;

/// The names that drivers use for the input control, the likeliest first; others (`Line`, `CD`, `Mic Boost`) are used
/// only if there is none of these.
const INPUTS: [&str; 4] = ["Capture", "Mic", "Microphone", "Headset"];

/// Whether it has been logged already that a card has no mixer control to set.
static WARNED: AtomicBool = AtomicBool::new(false);

/// The inputs of a card's mixer; empty if it has no mixer.
pub(super) fn inputs(card: i32) -> Vec<InputControl> {
    let _quiet = SuppressAlsaErrors::new();
    Mixer::new(&format!("hw:{card}"), true)
        .map(|mixer| mixer.iter().filter_map(Selem::new).filter_map(|element| describe(&element)).collect())
        .unwrap_or_default()
}

/// Sets the gain and the switch of a card's input from `config`.
///
/// # Errors
///
/// [`Error::Gain`] if the card does not support that gain. A card without a mixer is logged once.
pub(super) fn apply(card: i32, device: &str, config: &Config) -> Result<(), Error> {
    let _quiet = SuppressAlsaErrors::new();
    let Ok(mixer) = Mixer::new(&format!("hw:{card}"), true) else {
        warn_once(device, config, "the card has no mixer");
        return Ok(());
    };
    let found: Vec<(Selem<'_>, InputControl)> = mixer
        .iter()
        .filter_map(Selem::new)
        .filter_map(|element| describe(&element).map(|control| (element, control)))
        .collect();
    let controls = || found.iter().map(|(_, control)| control);

    if config.gain != Gain::Keep {
        match select_input(controls(), |control| control.steps.is_some()) {
            Some(at) => {
                let (element, control) = &found[at];
                set_gain(element, control, config.gain, device)?;
            }
            None => warn_once(device, config, "the card's mixer has no input gain"),
        }
    }
    // If the switch is off, the microphone is silent and nothing here shows why.
    if let Some(at) = select_input(controls(), |control| control.switch) {
        let (element, control) = &found[at];
        if let Err(error) = element.set_capture_switch_all(i32::from(!config.mute)) {
            tracing::warn!("{device}: mixer: {}: cannot be switched: {error}", control.name);
        }
    }
    Ok(())
}

fn describe(element: &Selem<'_>) -> Option<InputControl> {
    let steps = element.has_capture_volume().then(|| element.get_capture_volume_range()).filter(|(min, max)| min < max);
    let switch = element.has_capture_switch();
    if steps.is_none() && !switch {
        return None;
    }
    let id = element.get_id();
    let name = id.get_name().unwrap_or("input").to_owned();
    let name = if id.get_index() == 0 { name } else { format!("{name},{}", id.get_index()) };
    let (low, high) = element.get_capture_db_range();
    let decibels = steps.and((low.0 < high.0).then(|| (low.to_db(), high.to_db())));
    Some(InputControl { name, decibels, steps, switch })
}

/// The index of the input to use among those that `fit`.
fn select_input<'a>(
    controls: impl Iterator<Item = &'a InputControl>,
    fit: impl Fn(&InputControl) -> bool,
) -> Option<usize> {
    let rank = |control: &InputControl| INPUTS.iter().position(|name| *name == control.name).unwrap_or(INPUTS.len());
    controls.enumerate().filter(|(_, control)| fit(control)).min_by_key(|(_, control)| rank(control)).map(|(at, _)| at)
}

fn set_gain(element: &Selem<'_>, control: &InputControl, gain: Gain, device: &str) -> Result<(), Error> {
    let set = match (gain, control.steps) {
        (Gain::Keep, _) | (_, None) => Ok(()),
        (Gain::Decibel(decibel), Some(_)) => {
            let decibel = check_decibels(decibel, control).map_err(|supported| gain_error(device, gain, &supported))?;
            element.set_capture_db_all(MilliBel::from_db(decibel), Round::Floor)
        }
        (Gain::Percent(percent), Some(steps)) => element.set_capture_volume_all(step(percent, steps)),
    };
    set.map_err(|error| gain_error(device, gain, &format!("{} refused it: {error}", control.name)))
}

fn gain_error(device: &str, gain: Gain, supported: &str) -> Error {
    Error::Gain { device: device.into(), requested: gain.to_string(), supported: supported.into() }
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
fn warn_once(device: &str, config: &Config, why: &str) {
    if config.gain != Gain::Keep && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!("{device}: {why}; audio.gain = \"{}\" has no effect", config.gain);
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
        let gain = |controls: &[InputControl]| select_input(controls.iter(), |control| control.steps.is_some());
        let steps = Some((0, 31));
        let codec = [control("Mic Boost", steps, false), control("Line", steps, true), control("Capture", steps, true)];
        assert_eq!(gain(&codec), Some(2));
        assert_eq!(gain(&codec[..2]), Some(0), "the first of what there is");
        assert_eq!(select_input(codec[..2].iter(), |control| control.switch), Some(1));
        assert_eq!(gain(&[control("Mic", None, true)]), None);
    }

    #[test]
    fn unsupported_mixer_value_is_rejected_with_the_range() {
        let mut mic = control("Mic", Some((0, 28)), true);
        let error = gain_error("hw:1", Gain::Decibel(30.0), &check_decibels(30.0, &mic).expect_err("has no scale"));
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
