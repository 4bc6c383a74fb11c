//! LEDs and buttons: the sections `[[led]]` and `[[button]]`.
//!
//! Parsers of single values are in `value`.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::reader::ConfigSection;
use super::value;
use crate::device::leds;
use crate::device::leds::{Indicator, LedTarget};
use crate::device::{buttons, gpio};
use crate::model::protocol::Request;

/// No GPIO chip has more lines; a larger number is a typo.
const MAX_LINE: i64 = 1023;

/// The default debounce time of a button: twice that of bad contacts.
const DEBOUNCE_MS: u64 = 30;

/// The pins and kernel LEDs of the sections that were read, each with the section that uses it. Only one can: the others
/// would find it busy.
#[derive(Default)]
pub(super) struct Claims {
    pins: HashMap<(Option<String>, u32), String>,
    leds: HashMap<String, String>,
}

impl Claims {
    /// Claims a pin for a section; reports an error if another section has it.
    fn pin(&mut self, section: &ConfigSection<'_, '_>, pin: &gpio::GpioPin) {
        let chip = pin.chip.as_deref().map(|chip| chip.trim_start_matches("/dev/").to_owned());
        let user = self.pins.entry((chip, pin.line)).or_insert_with(|| section.path().into());
        if user != section.path() {
            let wrong = format!("{user} uses this pin already; give each LED and each button a pin of its own");
            section.reject("gpio", "", &wrong);
        }
    }

    /// Claims a kernel LED for a section; reports an error if another section has it.
    fn led(&mut self, section: &ConfigSection<'_, '_>, name: &str) {
        let user = self.leds.entry(name.into()).or_insert_with(|| section.path().into());
        if user != section.path() {
            section.reject("sysfs", "", &format!("{user} uses this LED already; an LED shows one thing"));
        }
    }
}

/// An LED; `None` when the section does not say which one.
pub(super) fn led(section: &mut ConfigSection<'_, '_>, claims: &mut Claims) -> Option<leds::Config> {
    let (mut pin, mut name) = (PinSpec { active_low: false, ..PinSpec::default() }, String::new());
    let (mut show, mut brightness) = (Indicator::Ready, 100);
    pin.read(section);
    section.text("sysfs", &mut name, &value::LED);
    section.text("show", &mut show, &value::SHOW);
    section.number("brightness", &mut brightness, 1..=100, 1, "percent");
    let lamp = match (pin.line, name.is_empty()) {
        (Some(_), false) => {
            section.reject("sysfs", "", "not allowed together with gpio; add another [[led]] section for a second LED");
            return None;
        }
        (Some(line), true) => {
            let pin = pin.at(line);
            claims.pin(section, &pin);
            LedTarget::Gpio(pin)
        }
        (None, false) => {
            for key in ["chip", "active_low"].into_iter().filter(|key| section.has(key)) {
                section.reject(key, "", "only valid with gpio, but this is a kernel LED; remove the key");
            }
            claims.led(section, &name);
            LedTarget::Sysfs(name)
        }
        (None, true) => {
            // Errors in a given key were reported already.
            if !section.has("gpio") && !section.has("sysfs") {
                section.missing("gpio", ", and so is sysfs; set one of them to select the LED");
            }
            return None;
        }
    };
    Some(leds::Config { target: lamp, show, brightness })
}

/// A button; `None` when the section does not say which one.
pub(super) fn button(section: &mut ConfigSection<'_, '_>, claims: &mut Claims) -> Option<buttons::Config> {
    // A button from the pin to ground needs no other part.
    let mut pin = PinSpec { active_low: true, ..PinSpec::default() };
    let (mut debounce, mut press, mut release) = (DEBOUNCE_MS, None, None);
    pin.read(section);
    section.number("debounce", &mut debounce, 1..=1000, 1, "milliseconds");
    section.value("press", &mut press, command);
    section.value("release", &mut release, command);
    if press.is_none() && release.is_none() && !section.has("press") && !section.has("release") {
        section.missing("press", ", and so is release; set one of them to the button's command");
    }
    let Some(line) = pin.line else {
        if !section.has("gpio") {
            section.missing("gpio", "; the number of the button's pin");
        }
        return None;
    };
    let pin = pin.at(line);
    claims.pin(section, &pin);
    Some(buttons::Config { pin, debounce: Duration::from_millis(debounce), press, release })
}

/// A command as `METHOD` or `METHOD {...}`, as `porthole ctl` takes it; empty for none. It becomes a request.
fn command(value: &DeValue<'_>) -> Result<Option<String>, String> {
    let right = "a method with its parameters, if any, such as 'privacy.toggle' or 'privacy.set {\"on\": true}'";
    let text = value.as_str().ok_or_else(|| format!("not text in quotes; {right}"))?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (method, params) = text.split_once(' ').unwrap_or((text, "{}"));
    let params: Map<String, Value> =
        serde_json::from_str(params).map_err(|error| format!("not a command: {error}; {right}"))?;
    let request = json!({ "method": method, "params": params }).to_string();
    let Request { method, .. } = Request::parse(request.as_bytes()).map_err(|invalid| invalid.error.message)?;
    if method.session {
        let instead = if method.name == "snapshot" { "; photo.take stores a photo on the device" } else { "" };
        return Err(format!("{method} needs a viewer's session, which a button does not have{instead}"));
    }
    Ok(Some(request))
}

#[derive(Default)]
struct PinSpec {
    line: Option<u32>,
    chip: Option<String>,
    active_low: bool,
}

impl PinSpec {
    fn read(&mut self, section: &mut ConfigSection<'_, '_>) {
        let mut line = u32::MAX;
        section.number("gpio", &mut line, 0..=MAX_LINE, 1, "the pin's number");
        self.line = (line != u32::MAX).then_some(line);
        section.text("chip", &mut self.chip, &value::GPIO_CHIP);
        section.flag("active_low", &mut self.active_low);
    }

    fn at(self, line: u32) -> gpio::GpioPin {
        gpio::GpioPin { chip: self.chip, line, active_low: self.active_low }
    }
}
