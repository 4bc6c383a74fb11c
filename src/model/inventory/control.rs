//! A control of a camera (brightness, exposure, focus...): its range and its current value.
//!
//! Values to set are in `setting.rs`.

use std::fmt;

use serde::{Serialize, Serializer};

/// A control with its current value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// The kernel's number (`V4L2_CID_*`).
    pub id: u32,
    /// The name in the configuration and on the command line, such as `white_balance_automatic`: that of `v4l2-ctl`.
    pub name: String,
    /// The driver's name, such as `White Balance, Automatic`.
    pub title: String,
    /// The heading of its class, such as `User Controls`.
    pub class: String,
    /// The type of its value.
    #[serde(rename = "type")]
    pub kind: ControlKind,
    /// The smallest value; of a text, the shortest length in bytes.
    pub min: i64,
    /// The largest value; of a text, the longest length in bytes; of a bitmask, the valid bits.
    pub max: i64,
    /// The step between values; of a text, between lengths.
    pub step: u64,
    /// The default; `null` for a kind without one.
    pub default: Option<Value>,
    /// The current value; `null` when it cannot be read.
    pub value: Option<Value>,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// The entries of a menu; empty for other kinds.
    pub menu: Vec<MenuItem>,
}

/// The type of a control's value. In JSON the text of [`ControlKind::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// A number.
    Integer,
    /// On or off.
    Boolean,
    /// One of several names; the value is the entry's number.
    Menu,
    /// One of several numbers; the value is the entry's number, not the number itself.
    IntegerMenu,
    /// An action without a value.
    Button,
    /// A number of 64 bits.
    Integer64,
    /// A text.
    String,
    /// A set of bits.
    Bitmask,
    /// Several values at once, or an unknown type: listed, but neither read nor set.
    Compound,
}

impl ControlKind {
    /// The name of it in lists and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Menu => "menu",
            Self::IntegerMenu => "integer-menu",
            Self::Button => "button",
            Self::Integer64 => "integer64",
            Self::String => "string",
            Self::Bitmask => "bitmask",
            Self::Compound => "compound",
        }
    }
}

impl Serialize for ControlKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The value of a control: in JSON a boolean, a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Switch(bool),
    /// A number, the number of a menu's entry, or a set of bits.
    Number(i64),
    /// A text.
    Text(String),
}

/// As written in the configuration.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A flag of a control (`V4L2_CTRL_FLAG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Permanently disabled.
    Disabled,
    /// Temporarily locked by another program, or by the stream.
    Grabbed,
    /// Cannot be set.
    ReadOnly,
    /// Has no effect because of another control (exposure time while exposure is automatic).
    Inactive,
    /// Cannot be read.
    WriteOnly,
    /// Changes by itself, without an event.
    Volatile,
}

impl Flag {
    const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Grabbed => "grabbed",
            Self::ReadOnly => "read-only",
            Self::Inactive => "inactive",
            Self::WriteOnly => "write-only",
            Self::Volatile => "volatile",
        }
    }
}

/// One entry of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MenuItem {
    /// The value that selects it.
    pub index: i64,
    /// Its name; for a menu of numbers, the number.
    pub name: String,
}

impl Control {
    /// The name for a control with the driver's name `title`: letters and digits in lower case, and one underscore for any
    /// other characters between them. That is the rule of `v4l2-ctl`.
    pub fn name_of(title: &str) -> String {
        let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
    }

    /// Whether it has the flag.
    pub fn is(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// The valid values, for people.
    pub fn allowed(&self) -> String {
        let Self { min, max, step, .. } = self;
        match self.kind {
            ControlKind::Integer | ControlKind::Integer64 => format!("{min} to {max} in steps of {}", (*step).max(1)),
            ControlKind::Boolean => "true or false".into(),
            ControlKind::Menu | ControlKind::IntegerMenu => {
                let items: Vec<_> = self.menu.iter().map(|item| format!("{}: {}", item.index, item.name)).collect();
                if items.is_empty() { "it has no entries".into() } else { items.join(", ") }
            }
            ControlKind::Button => "true carries it out".into(),
            ControlKind::String => {
                let steps = if *step > 1 { format!(" in steps of {step}") } else { String::new() };
                format!("a text of {min} to {max} bytes{steps}")
            }
            ControlKind::Bitmask => format!("bits of {max:#x}"),
            ControlKind::Compound => "several values at once, which porthole does not set".into(),
        }
    }

    /// A value of this control for people: a menu's entry with its name.
    pub fn shown(&self, value: &Value) -> String {
        match (self.kind, value) {
            (ControlKind::Bitmask, Value::Number(bits)) => format!("{bits:#x}"),
            (ControlKind::Menu | ControlKind::IntegerMenu, Value::Number(index)) => {
                let item = self.menu.iter().find(|item| item.index == *index);
                item.map_or_else(|| index.to_string(), |item| format!("{index} ({})", item.name))
            }
            _ => value.to_string(),
        }
    }
}

/// One line for people; each entry of a menu is on a line below it, without a newline at the end.
impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The caller chooses the width of the column of names.
        let width = f.width().unwrap_or(0);
        write!(f, "{:width$}  {:#010x}  {:<12}", self.name, self.id, self.kind.name())?;
        let menu = matches!(self.kind, ControlKind::Menu | ControlKind::IntegerMenu);
        let mut facts = Vec::new();
        if !menu {
            facts.push(self.allowed());
        }
        facts.extend(self.default.iter().map(|default| format!("default {}", self.shown(default))));
        facts.extend(self.value.iter().map(|value| format!("now {}", self.shown(value))));
        facts.extend(self.flags.iter().map(|flag| flag.name().to_owned()));
        write!(f, "  {}", facts.join(", "))?;
        for item in &self.menu {
            write!(f, "\n    {}: {}", item.index, item.name)?;
        }
        Ok(())
    }
}

/// Controls as a list for people: below the headings of their classes, without a newline at the end.
#[derive(Debug, Clone, Copy)]
pub struct Controls<'a>(pub &'a [Control]);

impl fmt::Display for Controls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|control| control.name.chars().count()).max().unwrap_or(0);
        let mut heading = None;
        for control in self.0 {
            if heading.replace(&control.class) != Some(&control.class) {
                let line = if std::ptr::eq(control, &raw const self.0[0]) { "" } else { "\n" };
                write!(f, "{line}{}", control.class)?;
            }
            for line in format!("{control:width$}").lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn control(name: &str, kind: ControlKind, (min, max, step): (i64, i64, u64)) -> Control {
        Control {
            id: 0x0098_0900,
            name: name.into(),
            title: name.into(),
            class: "User Controls".into(),
            kind,
            min,
            max,
            step,
            default: Some(Value::Number(min)),
            value: Some(Value::Number(max)),
            flags: Vec::new(),
            menu: Vec::new(),
        }
    }

    pub fn frequency() -> Control {
        let item = |index, name: &str| MenuItem { index, name: name.into() };
        Control {
            id: 0x0098_0918,
            menu: vec![item(0, "Disabled"), item(1, "50 Hz"), item(2, "60 Hz")],
            ..control("power_line_frequency", ControlKind::Menu, (0, 2, 1))
        }
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (title, name) in [
            ("Brightness", "brightness"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Integer 32 Bits", "integer_32_bits"),
            ("  -- U8 2x3x4x5 Array --", "u8_2x3x4x5_array"),
            ("Größe", "gr_e"),
            ("--", ""),
        ] {
            assert_eq!(Control::name_of(title), name);
        }
    }

    #[test]
    fn a_list_stands_below_its_headings() {
        let exposure = Control {
            id: 0x009a_0902,
            class: "Camera Controls".into(),
            default: None,
            flags: vec![Flag::Inactive, Flag::Volatile],
            ..control("exposure", ControlKind::Integer, (1, 100, 5))
        };
        let bits = control("bits", ControlKind::Bitmask, (0, 0x8000_0010, 0));
        let shown = "\
User Controls
  bits                  0x00980900  bitmask       bits of 0x80000010, default 0x0, now 0x80000010
  power_line_frequency  0x00980918  menu          default 0 (Disabled), now 2 (60 Hz)
      0: Disabled
      1: 50 Hz
      2: 60 Hz
Camera Controls
  exposure              0x009a0902  integer       1 to 100 in steps of 5, now 100, inactive, volatile";
        assert_eq!(Controls(&[bits, frequency(), exposure]).to_string(), shown);
        assert_eq!(Controls(&[]).to_string(), "");
    }

    #[test]
    fn the_json_form_is_a_promise() {
        let frequency = Control { flags: vec![Flag::ReadOnly, Flag::WriteOnly], ..frequency() };
        let expected = serde_json::json!({
            "id": 0x0098_0918, "name": "power_line_frequency", "title": "power_line_frequency",
            "class": "User Controls", "type": "menu", "min": 0, "max": 2, "step": 1, "default": 0, "value": 2,
            "flags": ["read-only", "write-only"],
            "menu": [
                { "index": 0, "name": "Disabled" }, { "index": 1, "name": "50 Hz" }, { "index": 2, "name": "60 Hz" },
            ],
        });
        assert_eq!(serde_json::to_value(frequency).unwrap(), expected);
        let text = Control {
            default: None,
            value: Some(Value::Text("x".into())),
            ..control("note", ControlKind::String, (0, 9, 1))
        };
        let text = serde_json::to_value(text).unwrap();
        assert_eq!((&text["type"], &text["default"], &text["value"]), (&"string".into(), &().into(), &"x".into()));
        assert_eq!(serde_json::to_value(Value::Switch(true)).unwrap(), true);
    }
}
