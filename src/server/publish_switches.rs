//! Which cameras shall be published to servers now: at the start what the configuration says, then what an operator does.
//!
//! Publishing itself is in `publish`; commands arrive through `dispatch`.

use std::sync::Arc;

use tokio::sync::watch;

/// The switches of all publications, in the order of the configuration; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct PublishSwitches(Arc<[PublishSwitch]>);

/// The switch of one publication.
#[derive(Debug)]
struct PublishSwitch {
    /// The camera's name.
    camera: String,
    state: watch::Sender<SwitchState>,
}

/// The state of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwitchState {
    /// Whether it is on.
    pub on: bool,
    /// How often it was turned off, by which whoever follows it sees that although it is on again.
    pub stops: u64,
}

impl PublishSwitch {
    fn set(&self, on: bool) {
        self.state.send_modify(|state| {
            state.on = on;
            state.stops += u64::from(!on);
        });
    }
}

impl PublishSwitches {
    /// Switches for these publications: the camera's name, and whether it is published from the start.
    pub fn new(publications: impl IntoIterator<Item = (String, bool)>) -> Self {
        let switch = |(camera, on)| {
            let state = watch::Sender::new(SwitchState { on, ..SwitchState::default() });
            PublishSwitch { camera, state }
        };
        Self(publications.into_iter().map(switch).collect())
    }

    /// Turns on or off all publications of a camera, or all there are; `false` if there is none.
    pub fn set(&self, camera: Option<&str>, on: bool) -> bool {
        let meant = |switch: &&PublishSwitch| camera.is_none_or(|camera| switch.camera == camera);
        let mut is_any = false;
        for switch in self.0.iter().filter(meant) {
            switch.set(on);
            is_any = true;
        }
        is_any
    }

    /// Turns off one publication.
    pub fn turn_off(&self, index: usize) {
        if let Some(switch) = self.0.get(index) {
            switch.set(false);
        }
    }

    /// Follows the switch of one publication; `None` if there is none at this index.
    pub fn watch(&self, index: usize) -> Option<watch::Receiver<SwitchState>> {
        self.0.get(index).map(|switch| switch.state.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_concerns_the_publications_of_a_camera_or_all() {
        let switches = PublishSwitches::new([("a".into(), true), ("b".into(), false), ("a".into(), false)]);
        let on = || (0..3).map(|index| switches.watch(index).unwrap().borrow().on).collect::<Vec<_>>();
        assert_eq!(on(), [true, false, false]);
        assert!(switches.set(Some("a"), true) && !switches.set(Some("c"), true));
        assert_eq!(on(), [true, false, true]);
        switches.turn_off(0);
        switches.turn_off(7);
        assert!(switches.set(None, true) && switches.watch(3).is_none());
        assert_eq!(on(), [true; 3]);
        assert!(!PublishSwitches::default().set(None, true));
        let stops = |index| switches.watch(index).unwrap().borrow().stops;
        assert_eq!((stops(0), stops(1)), (1, 0), "turned off, and on again");
    }
}
