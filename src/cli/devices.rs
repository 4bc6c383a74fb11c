//! The command `devices`: prints the devices of this machine that porthole can use, with the names that the configuration
//! accepts.
//!
//! Finding cameras and sound cards belongs to `capture`, their text to `model::inventory`.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::capture::audio::{DeviceContext, Microphone};
use crate::capture::{audio, camera};
use crate::model::inventory;
use crate::model::inventory::{AutoInfo, Inventory};

/// Where the kernel lists its LEDs.
const LEDS: &str = "/sys/class/leds";

/// The devices of this machine.
pub fn inventory() -> Inventory {
    let auto = camera::auto();
    let context = DeviceContext { pattern: auto.is_none(), camera: Box::new(|| None) };
    let microphone = Microphone::new(audio::Config::default(), context).source();
    let (leds, problems) = match leds(Path::new(LEDS)) {
        Ok(leds) => (leds, Vec::new()),
        Err(problem) => (Vec::new(), vec![problem]),
    };
    Inventory {
        cameras: camera::list(),
        encoders: camera::encoders(),
        sound_cards: audio::list(),
        leds,
        auto: AutoInfo {
            camera: auto.unwrap_or_else(|| "pattern".into()),
            microphone: microphone.unwrap_or_else(|| "off".into()),
        },
        problems,
    }
}

/// Prints an inventory, as text or as JSON.
///
/// # Errors
///
/// When nothing can be written.
pub fn print(out: &mut impl Write, inventory: &Inventory, json: bool) -> io::Result<()> {
    if json {
        return writeln!(out, "{}", inventory::json(inventory));
    }
    print_section(out, "cameras", &inventory.cameras)?;
    print_section(out, "hardware encoders", &inventory.encoders)?;
    print_section(out, "sound cards", &inventory.sound_cards)?;
    print_section(out, "LEDs", &inventory.leds)?;
    let AutoInfo { camera, microphone } = &inventory.auto;
    print_section(out, "auto takes", &[format!("camera: {camera}"), format!("microphone: {microphone}")])?;
    if inventory.problems.is_empty() { Ok(()) } else { print_section(out, "not listed", &inventory.problems) }
}

/// A title, and below it each device, whose text may have several lines.
fn print_section(out: &mut impl Write, title: &str, devices: &[impl Display]) -> io::Result<()> {
    writeln!(out, "{title}")?;
    if devices.is_empty() {
        writeln!(out, "  none")?;
    }
    for device in devices {
        for line in device.to_string().lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// The names of the LEDs, in order. A kernel without LED support has no folder for them.
fn leds(folder: &Path) -> Result<Vec<String>, String> {
    let describe = |error: io::Error| format!("LEDs: {}: {error}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(describe)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(describe)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_indented_below_its_title() {
        let inventory = Inventory {
            leds: vec!["ACT".into(), "input3::capslock".into()],
            auto: AutoInfo { camera: "pattern".into(), microphone: "tone".into() },
            problems: vec!["one\nand another".into()],
            ..Inventory::default()
        };
        let mut out = Vec::new();
        print(&mut out, &inventory, false).unwrap();
        let expected = "\
cameras
  none
hardware encoders
  none
sound cards
  none
LEDs
  ACT
  input3::capslock
auto takes
  camera: pattern
  microphone: tone
not listed
  one
  and another
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn leds_are_listed_in_order() {
        let folder = std::env::temp_dir().join(format!("porthole-leds-{}", std::process::id()));
        for led in ["led1", "ACT", "input3::capslock"] {
            fs::create_dir_all(folder.join(led)).unwrap();
        }
        let names = leds(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names.unwrap(), ["ACT", "input3::capslock", "led1"]);
    }

    #[test]
    fn a_kernel_without_leds_has_none() {
        assert_eq!(leds(Path::new("/nonexistent")).unwrap(), Vec::<String>::new());
        assert!(leds(Path::new("/proc/self/status")).unwrap_err().starts_with("LEDs: /proc/self/status: "));
    }
}
