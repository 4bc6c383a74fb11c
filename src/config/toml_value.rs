//! Values of the file that are not texts with a syntax of their own: whole numbers, constraints, the values of controls. Keys do
//! not belong here.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use crate::capture::camera::Constraint;
use crate::model::inventory::Value;

/// The longest excerpt of the text in an error message, in characters: enough to recognise the value in the file.
const VALUE_LIMIT: usize = 40;

/// The valid values of a whole number.
pub(super) struct Number<'u> {
    pub range: RangeInclusive<i64>,
    pub step: i64,
    pub unit: &'u str,
}

impl Number<'_> {
    fn right(&self) -> String {
        let steps = if self.step > 1 { format!(" in steps of {}", self.step) } else { String::new() };
        format!("{} from {} to {}{steps}", self.unit, self.range.start(), self.range.end())
    }

    /// Reads one.
    pub fn read<T: TryFrom<i64>>(&self, value: &DeValue<'_>) -> Result<T, String> {
        let Some(integer) = value.as_integer() else { return Err(format!("not a whole number; {}", self.right())) };
        // A number beyond 64 bits is out of every range here.
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let Some(number) = number.filter(|number| self.range.contains(number)) else {
            return Err(format!("out of range; {}", self.right()));
        };
        if number % self.step != 0 {
            return Err(format!("not a multiple of {}; {}", self.step, self.right()));
        }
        T::try_from(number).map_err(|_| format!("out of range; {}", self.right()))
    }

    /// Reads a constraint for a device: a number, which is exact, or a table of `min`, `ideal` and `max`.
    pub fn constraint(&self, value: &DeValue<'_>) -> Result<Constraint, String> {
        let DeValue::Table(table) = value else {
            if value.as_integer().is_none() {
                let right = self.right();
                return Err(format!("neither a whole number nor {{ min, ideal, max }}; {right}"));
            }
            return self.read(value).map(Constraint::exact);
        };
        let [mut min, mut ideal, mut max] = [None; 3];
        for (key, value) in table {
            let part = match key.get_ref().as_ref() {
                "min" => &mut min,
                "ideal" => &mut ideal,
                "max" => &mut max,
                other => return Err(format!("{} is unknown here; known are min, ideal and max", shorten(other))),
            };
            *part = Some(self.read::<u32>(value.get_ref()).map_err(|wrong| format!("{}: {wrong}", key.get_ref()))?);
        }
        let constraint = Constraint { min: min.unwrap_or(0), ideal, max: max.unwrap_or(u32::MAX) };
        match ideal {
            _ if min.or(ideal).or(max).is_none() => Err(format!("names none of min, ideal and max; {}", self.right())),
            _ if constraint.min > constraint.max => Err("min is above max".into()),
            Some(ideal) if !constraint.allows(ideal) => Err("ideal is not between min and max".into()),
            _ => Ok(constraint),
        }
    }
}

/// The value of a control. Whether it is valid is known when the camera is open.
pub(super) fn setting_value(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Boolean(on) => Ok(Value::Switch(*on)),
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(Value::Number)
            .map_err(|_| "out of range; a whole number of 64 bits".into()),
        _ => Err("not a whole number, true, false or text in quotes".into()),
    }
}

/// An excerpt of the file for a message: on one line, not too long, without control characters.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
