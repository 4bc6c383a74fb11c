//! The kernel's own LEDs, such as a board's activity light (`Documentation/ABI/testing/sysfs-class-led`). The kernel's
//! trigger is disabled while the LED is open, and restored when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::led::{Dimming, Led};

/// Where the kernel lists its LEDs.
pub(super) const LEDS: &str = "/sys/class/leds";

/// The trigger of an LED that is left alone.
const NONE: &str = "none";

/// LEDs that a message lists; there is one for each key of a keyboard on some hosts.
const MAX_LISTED: usize = 20;

/// An LED of the kernel.
pub(super) struct Sysfs {
    directory: PathBuf,
    label: String,
    max: u32,
    /// What it did before: the trigger, or the brightness of one without.
    initial: InitialState,
}

enum InitialState {
    Trigger(String),
    Brightness(String),
}

impl Sysfs {
    /// Takes the LED called `name` in the directory `leds`.
    ///
    /// # Errors
    ///
    /// When there is no such LED, or it cannot be written to.
    pub(super) fn open(leds: &Path, name: &str) -> anyhow::Result<Self> {
        let directory = leds.join(name);
        if !directory.is_dir() {
            bail!("no such LED in {}; {}", leds.display(), list_leds(leds));
        }
        let read = |file: &str| {
            let path = directory.join(file);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let max = read("max_brightness")?.trim().parse().ok().filter(|max| *max > 0);
        let max = max.ok_or_else(|| anyhow!("{}: no max_brightness", directory.display()))?;
        // An LED whose kernel has no triggers has no such file.
        let trigger =
            read("trigger").ok().and_then(|triggers| active_trigger(&triggers)).filter(|trigger| trigger != NONE);
        let initial = match &trigger {
            Some(trigger) => InitialState::Trigger(trigger.clone()),
            None => InitialState::Brightness(read("brightness")?.trim().to_owned()),
        };
        let label = directory.display().to_string();
        let led = Self { directory, label, max, initial };
        if trigger.is_some() {
            led.write("trigger", NONE)?;
        }
        // Whether it can be written is known now.
        led.write("brightness", "0")?;
        Ok(led)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, text).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "; the user that runs porthole has to be allowed to write there"
                }
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    "; the service has to be allowed to write there (ReadWritePaths=)"
                }
                _ => "",
            };
            anyhow!("write {}: {error}{hint}", path.display())
        })
    }
}

impl Led for Sysfs {
    fn dimming(&self) -> Dimming {
        if self.max > 1 { Dimming::Steps(self.max) } else { Dimming::None }
    }

    fn set(&mut self, step: u32) -> anyhow::Result<()> {
        self.write("brightness", &step.min(self.max).to_string())
    }

    fn label(&self) -> &str {
        &self.label
    }
}

impl Drop for Sysfs {
    fn drop(&mut self) {
        let restored = match &self.initial {
            InitialState::Trigger(trigger) => {
                self.write("brightness", "0").and_then(|()| self.write("trigger", trigger))
            }
            InitialState::Brightness(brightness) => self.write("brightness", brightness),
        };
        if let Err(error) = restored {
            tracing::warn!("LED not put back: {error:#}");
        }
    }
}

/// The trigger in brackets: `none [mmc0] timer`.
fn active_trigger(triggers: &str) -> Option<String> {
    let active_trigger = triggers.split_whitespace().find_map(|trigger| trigger.strip_prefix('[')?.strip_suffix(']'));
    active_trigger.map(str::to_owned)
}

/// Which LEDs there are, for a message.
fn list_leds(leds: &Path) -> String {
    let entries = fs::read_dir(leds).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.truncate(MAX_LISTED);
    if names.is_empty() { "this machine has none".into() } else { format!("there are {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as the kernel's, with one LED.
    fn tree(max: &str, trigger: Option<&str>) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let led = tree.path().join("ACT");
        fs::create_dir(&led).unwrap();
        for (file, text) in [("max_brightness", Some(max)), ("brightness", Some("7\n")), ("trigger", trigger)] {
            if let Some(text) = text {
                fs::write(led.join(file), text).unwrap();
            }
        }
        tree
    }

    fn read(tree: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(tree.path().join("ACT").join(file)).unwrap()
    }

    #[test]
    fn trigger_is_disabled_and_restored() {
        let tree = tree("255\n", Some("none usb-host [mmc0] timer\n"));
        let mut led = Sysfs::open(tree.path(), "ACT").unwrap();
        assert_eq!((read(&tree, "trigger").as_str(), read(&tree, "brightness").as_str()), ("none", "0"));
        assert_eq!(led.dimming(), Dimming::Steps(255));
        led.set(40).unwrap();
        assert_eq!(read(&tree, "brightness"), "40");
        led.set(1000).unwrap();
        assert_eq!(read(&tree, "brightness"), "255");
        drop(led);
        assert_eq!((read(&tree, "trigger").as_str(), read(&tree, "brightness").as_str()), ("mmc0", "0"));
    }

    #[test]
    fn brightness_is_restored_without_a_trigger() {
        for trigger in [None, Some("[none] mmc0\n")] {
            let tree = tree("1\n", trigger);
            let mut led = Sysfs::open(tree.path(), "ACT").unwrap();
            assert_eq!(led.dimming(), Dimming::None);
            led.set(1).unwrap();
            drop(led);
            assert_eq!(read(&tree, "brightness"), "7");
            assert_eq!(tree.path().join("ACT/trigger").exists(), trigger.is_some());
        }
    }

    #[test]
    fn missing_led_error_lists_the_available_ones() {
        let tree = tree("1\n", None);
        let error = |name: &str, tree: &Path| Sysfs::open(tree, name).err().unwrap().to_string();
        assert!(error("PWR", tree.path()).ends_with("; there are ACT"));
        assert!(error("PWR", &tree.path().join("none")).ends_with("; this machine has none"));
        fs::write(tree.path().join("ACT/max_brightness"), "bright").unwrap();
        assert!(error("ACT", tree.path()).ends_with("ACT: no max_brightness"));
    }
}
