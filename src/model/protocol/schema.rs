//! The schema of parameters: type, unit and range, checked before a request is carried out.

use std::fmt;

use serde_json::Value;

/// A parameter of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Whether it is required.
    pub required: bool,
    /// Its type.
    pub kind: ParamType,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// Text on one line, of 1 to this many characters, not counting surrounding white space.
    Line(usize),
    /// As [`Self::Line`], on any number of lines.
    Lines(usize),
    /// True or false.
    Switch,
    /// A whole number.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// The unit.
        unit: &'static str,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Names of controls, each with a value.
    Values,
    /// Names of controls.
    Names,
}

/// As in the documentation and in error messages.
impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(most) => write!(f, "text of 1 to {most} characters on one line"),
            Self::Lines(most) => write!(f, "text of 1 to {most} characters"),
            Self::Switch => f.write_str("true or false"),
            Self::Number { min, max, unit } => write!(f, "whole number of {unit}, {min} to {max}"),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                f.write_str(&words.join(" or "))
            }
            Self::Values => {
                f.write_str("object of at least one control's name with a whole number, true, false or a text")
            }
            Self::Names => f.write_str("list of at least one control's name"),
        }
    }
}

impl ParamType {
    /// Checks a value.
    ///
    /// # Errors
    ///
    /// What would be valid.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let right = match self {
            Self::Line(most) => value.as_str().is_some_and(|text| is_text(text, *most) && is_line(text)),
            Self::Lines(most) => value.as_str().is_some_and(|text| is_text(text, *most)),
            Self::Switch => value.is_boolean(),
            Self::Number { min, max, .. } => value.as_u64().is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Values => {
                let good = |value: &Value| value.is_i64() || value.is_boolean() || value.is_string();
                value.as_object().is_some_and(|values| !values.is_empty() && values.values().all(good))
            }
            Self::Names => {
                value.as_array().is_some_and(|names| !names.is_empty() && names.iter().all(Value::is_string))
            }
        };
        if right { Ok(()) } else { Err(format!("not a {self}")) }
    }
}

/// Whether a text is neither empty nor too long. Line ends are the only control characters allowed.
fn is_text(text: &str, most: usize) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().count() <= most && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn is_line(text: &str) -> bool {
    !text.trim().contains('\n')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_has_its_bounds() {
        let number = ParamType::Number { min: 2, max: 9, unit: "pixels" };
        let long = "ä".repeat(5);
        for (kind, value, right) in [
            (ParamType::Line(5), json!(long), true),
            (ParamType::Line(5), json!(" a b "), true),
            (ParamType::Line(4), json!(long), false),
            (ParamType::Line(5), json!("a\nb"), false),
            (ParamType::Line(5), json!(" \t "), false),
            (ParamType::Line(5), json!("a\u{7}"), false),
            (ParamType::Line(5), json!(5), false),
            (ParamType::Lines(5), json!("a\nb"), true),
            (ParamType::Lines(5), json!("a\rb"), false),
            (ParamType::Switch, json!(true), true),
            (ParamType::Switch, json!(1), false),
            (number, json!(2), true),
            (number, json!(9), true),
            (number, json!(10), false),
            (number, json!(1), false),
            (number, json!(-2), false),
            (number, json!(2.5), false),
            (number, json!("2"), false),
            (ParamType::Choice(&["a", "b"]), json!("b"), true),
            (ParamType::Choice(&["a", "b"]), json!("c"), false),
            (ParamType::Values, json!({ "a": 1, "b": true, "c": "x", "d": -1 }), true),
            (ParamType::Values, json!({}), false),
            (ParamType::Values, json!({ "a": null }), false),
            (ParamType::Values, json!({ "a": 1.5 }), false),
            (ParamType::Values, json!({ "a": u64::MAX }), false),
            (ParamType::Values, json!([["a", 1]]), false),
            (ParamType::Names, json!(["a"]), true),
            (ParamType::Names, json!([]), false),
            (ParamType::Names, json!(["a", 1]), false),
        ] {
            assert_eq!(kind.check(&value).is_ok(), right, "{kind:?} {value}");
        }
        assert_eq!(number.check(&json!(1)).unwrap_err(), "not a whole number of pixels, 2 to 9");
    }
}
