//! The controls of a camera: set at the opening, followed while it is open, and asked and set beside whoever streams.
//!
//! The kernel's calls are in `crate::device::v4l2`, the order of several settings in `settings`.

use std::sync::Arc;

use super::settings::{ValidatedSetting, apply, judge};
use super::{call_error, open_node};
use crate::capture::camera::{ChangedControls, ControlsOutcome, Error};
use crate::device::v4l2::Device;
use crate::model::inventory::{Control, Setting, find};

/// The controls of an open camera, as they stood when they were asked for last.
#[derive(Debug)]
pub struct ControlWatcher {
    device: Arc<Device>,
    known: Vec<Control>,
    /// Whether the driver tells changes: one that does not is not asked at every picture.
    tells: bool,
}

impl ControlWatcher {
    /// Knows none yet.
    pub fn new(device: Arc<Device>) -> Self {
        Self { device, known: Vec::new(), tells: false }
    }

    /// All of them; from now on their changes are told.
    pub fn all(&mut self) -> Vec<Control> {
        // Followed first, so that no change between the two is missed.
        self.tells = self.device.follow_controls();
        // A node without controls is a camera all the same.
        self.known = self.device.controls().unwrap_or_default();
        self.known.clone()
    }

    /// Sets some. The answer has those that were named and those that changed with them: an automatic mode takes others in
    /// hand, and not every driver tells so.
    pub fn set(&mut self, settings: &[Setting]) -> ControlsOutcome {
        if self.known.is_empty() {
            self.all();
        }
        let (right, mut refused) = judge(&self.known, settings);
        let named: Vec<u32> = right.iter().map(ValidatedSetting::id).collect();
        refused.extend(apply(self.device.as_ref(), right));
        let mut controls = Vec::new();
        for known in &mut self.known {
            let Ok(now) = self.device.control(known) else { continue };
            if now != *known || named.contains(&now.id) {
                known.clone_from(&now);
                controls.push(now);
            }
        }
        ControlsOutcome { controls, refused }
    }

    /// Those that changed since the last question.
    pub fn changed(&mut self) -> Vec<Control> {
        let mut changed = Vec::new();
        if !self.tells {
            return changed;
        }
        for id in self.device.changed() {
            let Some(known) = self.known.iter_mut().find(|control| control.id == id) else { continue };
            if let Ok(now) = self.device.control(known)
                && now != *known
            {
                known.clone_from(&now);
                changed.push(now);
            }
        }
        changed
    }
}

/// Sets what the configuration wants of an open camera. The answer has words for each that could not be had.
pub fn set_at_opening(device: &Device, settings: &[Setting]) -> Vec<String> {
    if settings.is_empty() {
        return Vec::new();
    }
    let controls = device.controls().unwrap_or_default();
    let (right, mut told) = judge(&controls, settings);
    told.extend(apply(device, right));
    told
}

/// The controls of the camera at `path`.
///
/// # Errors
///
/// As [`Error`] says.
pub fn list(path: &str) -> Result<Vec<Control>, Error> {
    controls_of(&open_node(path, "a control")?.0, path)
}

/// Sets controls of the camera at `path`; none where one of the settings is wrong by itself.
///
/// # Errors
///
/// As [`Error`] says.
pub fn set(path: &str, settings: &[Setting]) -> Result<ChangedControls, Error> {
    let (device, _) = open_node(path, "a control")?;
    let controls = controls_of(&device, path)?;
    let (right, refused) = judge(&controls, settings);
    if !refused.is_empty() {
        return Ok(ChangedControls { controls: Vec::new(), refused });
    }
    let refused = apply(&device, right);
    let now = controls_of(&device, path)?;
    let named = settings.iter().filter_map(|setting| find(&now, &setting.control).ok().cloned());
    Ok(ChangedControls { controls: named.collect(), refused })
}

fn controls_of(device: &Device, path: &str) -> Result<Vec<Control>, Error> {
    device.controls().map_err(|error| call_error(path, "VIDIOC_QUERY_EXT_CTRL", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_camera_is_told_so() {
        let missing = list("/dev/video-that-is-not-there").expect_err("should refuse");
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        let null = set("/dev/null", &[]).expect_err("should refuse");
        assert_eq!(null.to_string(), "/dev/null: a control is not supported; it is no V4L2 device");
    }

    #[test]
    fn a_node_without_controls_has_none_and_they_do_not_change() {
        let null = Arc::new(Device::open("/dev/null").expect("should open"));
        let mut followed = ControlWatcher::new(Arc::clone(&null));
        assert_eq!((followed.all(), followed.changed()), (Vec::new(), Vec::new()));
        let wish = Setting::parse("brightness=5").expect("should be one");
        assert_eq!(set_at_opening(&null, &[wish]), ["brightness: no such control; the camera has none"]);
        assert!(set_at_opening(&null, &[]).is_empty());
        let answer = followed.set(&[Setting::parse("brightness=5").expect("should be one")]);
        assert_eq!(answer.refused, ["brightness: no such control; the camera has none"]);
    }
}
