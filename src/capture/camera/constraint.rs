//! A constraint on a number that the camera has a say in: a size or a frame rate.
//!
//! The terms are those of `MediaTrackConstraints` (W3C Media Capture and Streams, section 5.2.1): `min`, `ideal`,
//! `max`; a bare number is exact. Choosing among the modes that a camera offers does not belong here.

use std::fmt;

/// The acceptable values, and the ideal one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constraint {
    /// The smallest acceptable value.
    pub min: u32,
    /// The preferred value; the nearest one is chosen. `None` if all values in the range are equally good.
    pub ideal: Option<u32>,
    /// The largest acceptable value.
    pub max: u32,
}

impl Constraint {
    /// Only this value.
    pub const fn exact(value: u32) -> Self {
        Self { min: value, ideal: Some(value), max: value }
    }

    /// This value, or the nearest one available.
    pub const fn ideal(value: u32) -> Self {
        Self { min: 0, ideal: Some(value), max: u32::MAX }
    }

    /// Whether the value is acceptable.
    pub const fn allows(&self, value: u32) -> bool {
        self.min <= value && value <= self.max
    }

    /// The value to aim for: the ideal; without one, the largest that was named.
    pub const fn target(&self) -> u32 {
        match self.ideal {
            Some(ideal) => ideal,
            None if self.max < u32::MAX => self.max,
            None => self.min,
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "{}", self.min);
        }
        let parts = [
            ("min", Some(self.min).filter(|min| *min > 0)),
            ("ideal", self.ideal),
            ("max", Some(self.max).filter(|max| *max < u32::MAX)),
        ];
        let mut begun = false;
        for (name, value) in parts {
            if let Some(value) = value {
                write!(f, "{}{name} = {value}", if begun { ", " } else { "{ " })?;
                begun = true;
            }
        }
        f.write_str(if begun { " }" } else { "any" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraint_is_displayed_as_configured() {
        assert_eq!(Constraint::exact(640).to_string(), "640");
        assert_eq!(Constraint::ideal(1280).to_string(), "{ ideal = 1280 }");
        let range = Constraint { min: 10, ideal: None, max: 30 };
        assert_eq!(range.to_string(), "{ min = 10, max = 30 }");
        assert_eq!((range.target(), range.allows(10), range.allows(31)), (30, true, false));
        assert_eq!(Constraint { min: 15, ideal: None, max: u32::MAX }.target(), 15);
    }
}
