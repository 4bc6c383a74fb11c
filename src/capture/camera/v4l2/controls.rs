//! The controls of a camera: set when it is opened, watched while it is open, and read and set independently of the
//! stream.
//!
//! The ioctls are in `crate::device::v4l2`, the order of several settings in `settings`.

use std::sync::Arc;

use super::settings::{ValidatedSetting, apply, validate};
use super::{call_error, open_node};
use crate::capture::camera::{ControlsOutcome, Error};
use crate::device::v4l2::Device;
use crate::model::inventory::{Control, Setting, find};

/// The controls of an open camera, in their last known state.
#[derive(Debug)]
pub struct ControlWatcher {
    device: Arc<Device>,
    last_known: Vec<Control>,
    /// Whether the driver has change events; if not, it is not queried for every frame.
    has_events: bool,
}

impl ControlWatcher {
    /// Starts without any known controls.
    pub fn new(device: Arc<Device>) -> Self {
        Self { device, last_known: Vec::new(), has_events: false }
    }

    /// Reads all controls and subscribes to their changes.
    pub fn read_all(&mut self) -> Vec<Control> {
        // Subscribed first, so that no change in between is missed.
        self.has_events = self.device.subscribe_to_controls();
        // A node without controls is a camera all the same.
        self.last_known = self.device.controls().unwrap_or_default();
        self.last_known.clone()
    }

    /// Sets controls. The outcome includes those that changed along with them: an automatic mode overrides others, and
    /// not every driver has events for that.
    pub fn set(&mut self, settings: &[Setting]) -> ControlsOutcome {
        if self.last_known.is_empty() {
            self.read_all();
        }
        let (valid, mut refused) = validate(&self.last_known, settings);
        let named: Vec<u32> = valid.iter().map(ValidatedSetting::id).collect();
        refused.extend(apply(self.device.as_ref(), valid));
        let mut controls = Vec::new();
        for last_known in &mut self.last_known {
            let Ok(now) = self.device.control(last_known) else { continue };
            if now != *last_known || named.contains(&now.id) {
                last_known.clone_from(&now);
                controls.push(now);
            }
        }
        ControlsOutcome { controls, refused }
    }

    /// The controls that changed since the last call.
    pub fn changed_controls(&mut self) -> Vec<Control> {
        let mut changed_controls = Vec::new();
        if !self.has_events {
            return changed_controls;
        }
        for id in self.device.changed_controls() {
            let Some(last_known) = self.last_known.iter_mut().find(|control| control.id == id) else { continue };
            if let Ok(now) = self.device.control(last_known)
                && now != *last_known
            {
                last_known.clone_from(&now);
                changed_controls.push(now);
            }
        }
        changed_controls
    }
}

/// Applies the configured settings to an open camera. Returns a message for each that failed.
pub fn set_at_opening(device: &Device, settings: &[Setting]) -> Vec<String> {
    if settings.is_empty() {
        return Vec::new();
    }
    let controls = device.controls().unwrap_or_default();
    let (valid, mut failed) = validate(&controls, settings);
    failed.extend(apply(device, valid));
    failed
}

/// The controls of the camera at `path`.
///
/// # Errors
///
/// See [`Error`].
pub fn list(path: &str) -> Result<Vec<Control>, Error> {
    controls_of(&open_node(path, "a control")?.0, path)
}

/// Sets controls of the camera at `path`; none if one of the settings is invalid.
///
/// # Errors
///
/// See [`Error`].
pub fn set(path: &str, settings: &[Setting]) -> Result<ControlsOutcome, Error> {
    let (device, _) = open_node(path, "a control")?;
    let controls = controls_of(&device, path)?;
    let (valid, refused) = validate(&controls, settings);
    if !refused.is_empty() {
        return Ok(ControlsOutcome { controls: Vec::new(), refused });
    }
    let refused = apply(&device, valid);
    let now = controls_of(&device, path)?;
    let named = settings.iter().filter_map(|setting| find(&now, &setting.control).ok().cloned());
    Ok(ControlsOutcome { controls: named.collect(), refused })
}

fn controls_of(device: &Device, path: &str) -> Result<Vec<Control>, Error> {
    device.controls().map_err(|error| call_error(path, "VIDIOC_QUERY_EXT_CTRL", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_is_not_a_camera_is_an_error() {
        let missing = list("/dev/video-that-is-not-there").expect_err("should refuse");
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        let null = set("/dev/null", &[]).expect_err("should refuse");
        assert_eq!(null.to_string(), "/dev/null: a control is not supported; it is no V4L2 device");
    }

    #[test]
    fn node_without_controls_lists_none_and_reports_no_changes() {
        let null = Arc::new(Device::open("/dev/null").expect("should open"));
        let mut watcher = ControlWatcher::new(Arc::clone(&null));
        assert_eq!((watcher.read_all(), watcher.changed_controls()), (Vec::new(), Vec::new()));
        let setting = Setting::parse("brightness=5").expect("should be one");
        assert_eq!(set_at_opening(&null, &[setting]), ["brightness: no such control; the camera has none"]);
        assert!(set_at_opening(&null, &[]).is_empty());
        let answer = watcher.set(&[Setting::parse("brightness=5").expect("should be one")]);
        assert_eq!(answer.refused, ["brightness: no such control; the camera has none"]);
    }
}
