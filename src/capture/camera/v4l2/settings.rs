//! Applies several control settings in an order that works, and reports each one that fails.
//!
//! Automatic modes lock other controls: exposure time can be set only while automatic exposure is off. Switches and
//! menus are therefore set before numbers, and whatever fails is retried once after all the others.

use std::io;

use crate::device::v4l2::Device;
use crate::model::inventory::{Control, ControlKind, Flag, Setting, Value, find};

/// Something whose controls can be read and set.
pub trait ControlIo {
    /// The current state of a control.
    fn control(&self, control: &Control) -> io::Result<Control>;

    /// Sets a control.
    fn set(&self, control: &Control, value: &Value) -> io::Result<()>;
}

impl ControlIo for Device {
    fn control(&self, control: &Control) -> io::Result<Control> {
        Device::control(self, control)
    }

    fn set(&self, control: &Control, value: &Value) -> io::Result<()> {
        self.set_control_value(control, value)
    }
}

/// A control with a validated value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedSetting<'c> {
    control: &'c Control,
    value: Value,
}

impl ValidatedSetting<'_> {
    /// The V4L2 id of the control.
    pub const fn id(&self) -> u32 {
        self.control.id
    }
}

/// The valid settings, in an order that works, and a message for each invalid one.
pub fn validate<'c>(controls: &'c [Control], settings: &[Setting]) -> (Vec<ValidatedSetting<'c>>, Vec<String>) {
    let mut valid = Vec::new();
    let mut invalid = Vec::new();
    for Setting { control, value } in settings {
        let validated = find(controls, control)
            .and_then(|control| control.accept(value).map(|value| ValidatedSetting { control, value }));
        match validated {
            Ok(validated) => valid.push(validated),
            Err(message) => invalid.push(message),
        }
    }
    valid.sort_by_key(|validated| match validated.control.kind {
        ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu => 0,
        // An action uses the values that are set.
        ControlKind::Button => 2,
        _ => 1,
    });
    (valid, invalid)
}

/// Applies the settings one by one. Returns a message for each that failed or has no effect.
pub fn apply(camera: &impl ControlIo, settings: Vec<ValidatedSetting<'_>>) -> Vec<String> {
    let retries: Vec<_> = settings
        .into_iter()
        .filter(|setting| {
            let inactive = camera.control(setting.control).is_ok_and(|control| control.is(Flag::Inactive));
            inactive || camera.set(setting.control, &setting.value).is_err()
        })
        .collect();
    retries.into_iter().filter_map(|setting| retry(camera, &setting).err()).collect()
}

fn retry(camera: &impl ControlIo, ValidatedSetting { control, value }: &ValidatedSetting<'_>) -> Result<(), String> {
    let inactive = camera.control(control).is_ok_and(|control| control.is(Flag::Inactive));
    let what = format!("{} = {}", control.name, control.shown(value));
    match camera.set(control, value) {
        Ok(()) if inactive => Err(format!(
            "{what}: inactive; it has no effect while another control, such as an automatic mode, overrides it"
        )),
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            Err(format!("{what}: busy; the stream or another program holds it"))
        }
        Err(_) if inactive => Err(format!("{what}: inactive; switch off the automatic mode that overrides it")),
        Err(error) => Err(format!("{what}: the camera refuses it: {error}; {}", control.allowed())),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A camera whose exposure time is held by its automatic mode, and one control that it always refuses.
    struct FakeCamera {
        automatic: RefCell<bool>,
        calls: RefCell<Vec<String>>,
    }

    impl ControlIo for FakeCamera {
        fn control(&self, control: &Control) -> io::Result<Control> {
            let held = control.name == "exposure_time" && *self.automatic.borrow();
            Ok(Control { flags: if held { vec![Flag::Inactive] } else { Vec::new() }, ..control.clone() })
        }

        fn set(&self, control: &Control, value: &Value) -> io::Result<()> {
            self.calls.borrow_mut().push(format!("{} = {value}", control.name));
            match control.name.as_str() {
                "exposure_auto" => *self.automatic.borrow_mut() = *value == Value::Switch(true),
                "broken" => return Err(io::Error::from_raw_os_error(libc::EIO)),
                "held" => return Err(io::Error::from_raw_os_error(libc::EBUSY)),
                _ => {}
            }
            Ok(())
        }
    }

    fn control(id: u32, name: &str, kind: ControlKind) -> Control {
        Control {
            id,
            name: name.into(),
            title: name.into(),
            class: "Camera Controls".into(),
            kind,
            min: 0,
            max: 100,
            step: 1,
            default: None,
            value: None,
            flags: Vec::new(),
            menu: Vec::new(),
        }
    }

    fn controls() -> Vec<Control> {
        vec![
            control(1, "exposure_time", ControlKind::Integer),
            control(2, "focus_now", ControlKind::Button),
            control(3, "exposure_auto", ControlKind::Boolean),
            control(4, "broken", ControlKind::Integer),
            control(5, "held", ControlKind::Integer),
        ]
    }

    #[track_caller]
    fn applied(wishes: &[(&str, Value)]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let controls = controls();
        let settings: Vec<Setting> = wishes
            .iter()
            .map(|(control, value)| Setting { control: (*control).into(), value: value.clone() })
            .collect();
        let camera = FakeCamera { automatic: RefCell::new(true), calls: RefCell::default() };
        let (valid, invalid) = validate(&controls, &settings);
        let failed = apply(&camera, valid);
        (camera.calls.take(), invalid, failed)
    }

    #[test]
    fn mode_switches_are_set_before_dependent_values_and_buttons_last() {
        let (calls, invalid, failed) = applied(&[
            ("focus_now", Value::Switch(true)),
            ("exposure_time", Value::Number(20)),
            ("exposure_auto", Value::Switch(false)),
        ]);
        assert_eq!(calls, ["exposure_auto = false", "exposure_time = 20", "focus_now = true"]);
        assert_eq!((invalid, failed), (Vec::new(), Vec::new()));
    }

    #[test]
    fn inactive_control_is_reported_after_a_second_try() {
        let (calls, _, failed) = applied(&[("exposure_time", Value::Number(20)), ("focus_now", Value::Switch(true))]);
        assert_eq!(calls, ["focus_now = true", "exposure_time = 20"]);
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0].starts_with("exposure_time = 20: inactive; it has no effect"), "{failed:?}");
    }

    #[test]
    fn failed_settings_are_reported_and_the_rest_is_set() {
        let (calls, invalid, failed) = applied(&[
            ("broken", Value::Number(1)),
            ("broken", Value::Number(101)),
            ("exposure_auot", Value::Switch(true)),
            ("held", Value::Number(3)),
            ("exposure_auto", Value::Switch(true)),
        ]);
        assert_eq!(calls, ["exposure_auto = true", "broken = 1", "held = 3", "broken = 1", "held = 3"]);
        assert_eq!(
            invalid,
            [
                "broken = 101: out of range; 0 to 100 in steps of 1",
                "exposure_auot: no such control; did you mean exposure_auto?",
            ]
        );
        assert_eq!(
            failed,
            [
                "broken = 1: the camera refuses it: Input/output error (os error 5); 0 to 100 in steps of 1",
                "held = 3: busy; the stream or another program holds it",
            ]
        );
    }
}
