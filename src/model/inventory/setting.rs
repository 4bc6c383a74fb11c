//! A value to set on a control: the control is found by name, and the value is validated before the kernel is called.
//!
//! Setting it does not belong here.

use super::control::{Control, ControlKind, Flag, Value};
use crate::util::suggest::did_you_mean;

/// The longest list of names in a message: most webcams have fewer controls.
const NAMES_LIMIT: usize = 24;

/// A control and its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as made by [`Control::name_of`], or the kernel's number (`0x00980900`).
    pub control: String,
    /// The value.
    pub value: Value,
}

impl Setting {
    /// Parses `NAME=VALUE`. The value is a text, which [`accept`](Control::accept) converts to the control's type.
    pub fn parse(text: &str) -> Option<Self> {
        let (control, value) = text.split_once('=')?;
        (!control.is_empty()).then(|| Self { control: control.into(), value: Value::Text(value.into()) })
    }
}

/// The control with this name or number.
///
/// # Errors
///
/// When there is none; the message suggests others.
pub fn find<'c>(controls: &'c [Control], name: &str) -> Result<&'c Control, String> {
    let number = number(name);
    let plain = Control::name_of(name);
    controls
        .iter()
        .find(|control| control.name == plain || number == Some(control.id.into()))
        .ok_or_else(|| format!("{name}: no such control; {}", right(controls, &plain)))
}

fn right(controls: &[Control], name: &str) -> String {
    let mut names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
    if names.is_empty() {
        return "the camera has none".into();
    }
    if let Some(near) = did_you_mean(name, &names) {
        return format!("did you mean {near}?");
    }
    let more = names.len() > NAMES_LIMIT;
    names.truncate(NAMES_LIMIT);
    format!("there are {}{}", names.join(", "), if more { " and more (`porthole controls`)" } else { "" })
}

impl Control {
    /// Validates a value and converts it to the control's type.
    ///
    /// # Errors
    ///
    /// What is wrong and what would be valid; also when the control cannot be set at all.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        self.locked().and_then(|()| self.read(value)).map_err(|wrong| {
            let shown = match value {
                // A number from the command line is a text.
                Value::Text(text) if number(text).is_some() => text.clone(),
                value => value.to_string(),
            };
            format!("{} = {shown}: {wrong}", self.name)
        })
    }

    fn locked(&self) -> Result<(), String> {
        for (flag, words) in [
            (Flag::Disabled, "disabled by the driver"),
            (Flag::ReadOnly, "read-only"),
            (Flag::Grabbed, "cannot be changed now: the stream or another program holds it"),
        ] {
            if self.is(flag) {
                return Err(words.into());
            }
        }
        Ok(())
    }

    fn read(&self, value: &Value) -> Result<Value, String> {
        let wrong = |what: &str| format!("{what}; {}", self.allowed());
        match self.kind {
            ControlKind::Integer | ControlKind::Integer64 => {
                let number = as_number(value).ok_or_else(|| wrong("not a whole number"))?;
                if !(self.min..=self.max).contains(&number) {
                    return Err(wrong("out of range"));
                }
                if number.abs_diff(self.min) % self.step.max(1) != 0 {
                    return Err(wrong("between two steps"));
                }
                Ok(Value::Number(number))
            }
            ControlKind::Boolean => as_switch(value).map(Value::Switch).ok_or_else(|| wrong("neither true nor false")),
            ControlKind::Button => match as_switch(value) {
                Some(true) => Ok(Value::Switch(true)),
                _ => Err(wrong("an action")),
            },
            ControlKind::Menu | ControlKind::IntegerMenu => {
                let index = self.entry(value).ok_or_else(|| wrong("no such entry"))?;
                Ok(Value::Number(index))
            }
            ControlKind::Bitmask => {
                let bits = as_number(value).ok_or_else(|| wrong("not a whole number"))?;
                if bits & !self.max != 0 { Err(wrong("other bits")) } else { Ok(Value::Number(bits)) }
            }
            ControlKind::String => {
                let Value::Text(text) = value else { return Err(wrong("not text in quotes")) };
                if text.contains('\0') {
                    return Err(wrong("a zero byte in it"));
                }
                // A length beyond the type's range is too long for the control as well.
                let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
                let fits = (self.min..=self.max).contains(&len) && len.abs_diff(self.min) % self.step.max(1) == 0;
                if fits { Ok(value.clone()) } else { Err(wrong(&format!("{len} bytes long"))) }
            }
            ControlKind::Compound => Err(self.allowed()),
        }
    }

    /// The number of an entry, given by number or, for a menu of names, by name.
    fn entry(&self, value: &Value) -> Option<i64> {
        let named = match value {
            Value::Text(text) if self.kind == ControlKind::Menu => {
                self.menu.iter().find(|item| item.name.eq_ignore_ascii_case(text))
            }
            _ => None,
        };
        let index = || as_number(value);
        named.or_else(|| self.menu.iter().find(|item| Some(item.index) == index())).map(|item| item.index)
    }
}

fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => number(text),
        Value::Switch(_) => None,
    }
}

fn as_switch(value: &Value) -> Option<bool> {
    match value {
        Value::Switch(on) => Some(*on),
        Value::Number(0) => Some(false),
        Value::Number(1) => Some(true),
        Value::Text(text) if ["true", "on", "1"].contains(&text.as_str()) => Some(true),
        Value::Text(text) if ["false", "off", "0"].contains(&text.as_str()) => Some(false),
        _ => None,
    }
}

/// A number in decimal or, with `0x` before it, in hexadecimal digits.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => i64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::control::tests::{control, frequency};
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[track_caller]
    fn refused(control: &Control, requested: Value, words: &str) {
        assert_eq!(control.accept(&requested).unwrap_err(), words);
    }

    #[test]
    fn a_control_is_found_by_name_and_number() {
        let controls = [control("brightness", ControlKind::Integer, (0, 255, 1)), frequency()];
        for name in ["power_line_frequency", "Power Line Frequency", "0x00980918", "9963800"] {
            assert_eq!(find(&controls, name).expect(name).name, "power_line_frequency");
        }
        let message = |name: &str| find(&controls, name).unwrap_err();
        assert_eq!(message("britness"), "britness: no such control; did you mean brightness?");
        assert_eq!(message("0x1"), "0x1: no such control; there are brightness, power_line_frequency");
        assert_eq!(find(&[], "x").unwrap_err(), "x: no such control; the camera has none");
        let many: Vec<Control> = (0..99).map(|_| frequency()).collect();
        assert!(find(&many, "x").unwrap_err().ends_with(", power_line_frequency and more (`porthole controls`)"));
    }

    #[test]
    fn numbers_have_a_range_and_steps() {
        let brightness = control("brightness", ControlKind::Integer, (-64, 64, 1));
        for (requested, number) in [(Value::Number(-64), -64), (text("64"), 64), (text("0x10"), 16), (text("-1"), -1)] {
            assert_eq!(brightness.accept(&requested), Ok(Value::Number(number)));
        }
        refused(&brightness, Value::Number(300), "brightness = 300: out of range; -64 to 64 in steps of 1");
        refused(&brightness, text("0x41"), "brightness = 0x41: out of range; -64 to 64 in steps of 1");
        refused(&brightness, text("high"), "brightness = \"high\": not a whole number; -64 to 64 in steps of 1");
        refused(&brightness, Value::Switch(true), "brightness = true: not a whole number; -64 to 64 in steps of 1");
        let stepped = control("zoom", ControlKind::Integer, (1, 10, 4));
        assert_eq!(stepped.accept(&Value::Number(9)), Ok(Value::Number(9)));
        refused(&stepped, Value::Number(8), "zoom = 8: between two steps; 1 to 10 in steps of 4");
        let whole = control("wide", ControlKind::Integer64, (i64::MIN, i64::MAX, 0));
        for number in [i64::MIN, 0, i64::MAX] {
            assert_eq!(whole.accept(&Value::Number(number)), Ok(Value::Number(number)));
        }
    }

    #[test]
    fn switches_and_actions() {
        let auto = control("auto", ControlKind::Boolean, (0, 1, 1));
        for on in [Value::Switch(true), Value::Number(1), text("true"), text("on"), text("1")] {
            assert_eq!(auto.accept(&on), Ok(Value::Switch(true)));
        }
        assert_eq!(auto.accept(&text("off")), Ok(Value::Switch(false)));
        refused(&auto, Value::Number(2), "auto = 2: neither true nor false; true or false");
        let button = control("reset", ControlKind::Button, (0, 0, 0));
        assert_eq!(button.accept(&Value::Number(1)), Ok(Value::Switch(true)));
        refused(&button, Value::Switch(false), "reset = false: an action; true carries it out");
    }

    #[test]
    fn entries_by_number_and_name() {
        for requested in [Value::Number(1), text("1"), text("50 Hz"), text("50 hz")] {
            assert_eq!(frequency().accept(&requested), Ok(Value::Number(1)));
        }
        let right = "no such entry; 0: Disabled, 1: 50 Hz, 2: 60 Hz";
        refused(&frequency(), Value::Number(3), &format!("power_line_frequency = 3: {right}"));
        refused(&frequency(), text("55 Hz"), &format!("power_line_frequency = \"55 Hz\": {right}"));
        let mut sizes = frequency();
        sizes.kind = ControlKind::IntegerMenu;
        sizes.menu[2].name = "1".into();
        assert_eq!(sizes.accept(&text("1")), Ok(Value::Number(1)), "the entry's number, as v4l2-ctl takes it");
        sizes.menu.clear();
        assert!(sizes.accept(&Value::Number(0)).unwrap_err().ends_with("no such entry; it has no entries"));
    }

    #[test]
    fn bits_and_texts() {
        let bits = control("bits", ControlKind::Bitmask, (0, 0x8040_2010, 0));
        assert_eq!(bits.accept(&text("0x80000010")), Ok(Value::Number(0x8000_0010)));
        refused(&bits, Value::Number(3), "bits = 3: other bits; bits of 0x80402010");
        refused(&bits, Value::Number(-1), "bits = -1: other bits; bits of 0x80402010");
        let note = control("note", ControlKind::String, (2, 6, 2));
        assert_eq!(note.accept(&text("äö")), Ok(text("äö")));
        refused(&note, text("abc"), "note = \"abc\": 3 bytes long; a text of 2 to 6 bytes in steps of 2");
        refused(&note, Value::Number(5), "note = 5: not text in quotes; a text of 2 to 6 bytes in steps of 2");
        assert!(note.accept(&text("a\0")).is_err());
        assert!(control("area", ControlKind::Compound, (0, 0, 0)).accept(&Value::Number(0)).is_err());
    }

    #[test]
    fn a_control_that_cannot_be_set_is_reported_first() {
        let mut one = control("gain", ControlKind::Integer, (0, 9, 1));
        one.flags = vec![Flag::Inactive, Flag::Volatile, Flag::WriteOnly];
        assert_eq!(one.accept(&Value::Number(5)), Ok(Value::Number(5)), "it may become active");
        for (flag, words) in [
            (Flag::ReadOnly, "gain = 99: read-only"),
            (Flag::Disabled, "gain = 99: disabled by the driver"),
            (Flag::Grabbed, "gain = 99: cannot be changed now: the stream or another program holds it"),
        ] {
            one.flags = vec![flag];
            refused(&one, Value::Number(99), words);
        }
    }

    #[test]
    fn a_setting_of_the_command_line_has_a_name_and_a_value() {
        let note = Setting { control: "note".into(), value: text(" a = b") };
        assert_eq!(Setting::parse("note= a = b"), Some(note));
        assert_eq!(Setting::parse("note=").expect("should be one").value, text(""));
        for wrong in ["note", "=5", ""] {
            assert_eq!(Setting::parse(wrong), None, "{wrong:?}");
        }
    }
}
