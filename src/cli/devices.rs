//! What `devices` prints: what this machine has that porthole can use, under the names that the configuration takes.
//!
//! Finding cameras and sound cards, and wording what they offer, is the business of their modules.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::{audio, camera};

/// Where the kernel lists its LEDs.
const LEDS: &str = "/sys/class/leds";

/// Prints the devices of this machine.
///
/// # Errors
///
/// When nothing can be written. A kind of device that cannot be listed is told in its place.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    print_part(out, "cameras", &camera::list())?;
    print_part(out, "sound cards", &audio::list())?;
    print_leds(out, Path::new(LEDS))
}

fn print_leds(out: &mut impl Write, folder: &Path) -> io::Result<()> {
    match leds(folder) {
        Ok(names) => print_part(out, "LEDs", &names),
        Err(error) => writeln!(out, "LEDs\n  cannot be listed: {}: {error}", folder.display()),
    }
}

/// A title, and below it each device, whose own text may have several lines.
fn print_part(out: &mut impl Write, title: &str, devices: &[impl Display]) -> io::Result<()> {
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
fn leds(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(folder: &Path) -> String {
        let mut out = Vec::new();
        print_leds(&mut out, folder).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_part_is_indented_below_its_title() {
        let mut out = Vec::new();
        print_part(&mut out, "cameras", &["/dev/video0  vivid\n  YUYV", "/dev/video2"]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "cameras\n  /dev/video0  vivid\n    YUYV\n  /dev/video2\n");
    }

    #[test]
    fn leds_are_listed_in_order() {
        let folder = std::env::temp_dir().join(format!("porthole-leds-{}", std::process::id()));
        for led in ["led1", "ACT", "input3::capslock"] {
            fs::create_dir_all(folder.join(led)).unwrap();
        }
        let shown = shown(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(shown, "LEDs\n  ACT\n  input3::capslock\n  led1\n");
    }

    #[test]
    fn a_kernel_without_leds_has_none() {
        assert_eq!(shown(Path::new("/nonexistent")), "LEDs\n  none\n");
        assert!(shown(Path::new("/proc/self/status")).contains("cannot be listed"));
    }
}
