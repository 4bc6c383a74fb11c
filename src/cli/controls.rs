//! The command `controls`: prints the controls of a camera, or those that were set with their new values.
//!
//! Validating and setting them belongs to `capture::camera`, their text to `model::inventory`.

use std::io::{self, Write};

use crate::capture::camera;
use crate::capture::camera::{ControlsOutcome, DeviceSelector};
use crate::model::inventory;
use crate::model::inventory::{Control, Controls, Setting};

/// A request to list or set controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlsRequest {
    /// The camera.
    pub device: DeviceSelector,
    /// What to set; empty to list all.
    pub settings: Vec<Setting>,
    /// Whether to print JSON.
    pub json: bool,
}

/// What to print, and what was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The controls to print.
    pub controls: Vec<Control>,
    /// An error message for each setting that was rejected.
    pub refused: Vec<String>,
}

/// Carries the request out.
///
/// # Errors
///
/// When the camera cannot be opened.
pub fn answer(request: &ControlsRequest) -> Result<Outcome, camera::Error> {
    if request.settings.is_empty() {
        let controls = camera::controls(&request.device)?;
        return Ok(Outcome { controls, refused: Vec::new() });
    }
    let ControlsOutcome { controls, refused } = camera::set_controls(&request.device, &request.settings)?;
    Ok(Outcome { controls, refused })
}

/// Prints controls below the headings of their classes, or as a JSON array.
///
/// # Errors
///
/// When nothing can be written.
pub fn print(out: &mut impl Write, controls: &[Control], json: bool) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", inventory::json(&controls));
    }
    if controls.is_empty() { writeln!(out, "no controls") } else { writeln!(out, "{}", Controls(controls)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_controls_are_no_error() {
        let printed = |json| {
            let mut out = Vec::new();
            print(&mut out, &[], json).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!((printed(false).as_str(), printed(true).as_str()), ("no controls\n", "[]\n"));
    }
}
