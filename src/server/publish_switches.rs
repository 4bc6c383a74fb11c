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
    on: watch::Sender<bool>,
}

impl PublishSwitches {
    /// Switches for these publications: the camera's name, and whether it is published from the start.
    pub fn new(publications: impl IntoIterator<Item = (String, bool)>) -> Self {
        Self(
            publications.into_iter().map(|(camera, on)| PublishSwitch { camera, on: watch::Sender::new(on) }).collect(),
        )
    }

    /// Turns on or off all publications of a camera, or all there are; `false` if there is none.
    pub fn set(&self, camera: Option<&str>, on: bool) -> bool {
        let meant = |switch: &&PublishSwitch| camera.is_none_or(|camera| switch.camera == camera);
        let mut is_any = false;
        for switch in self.0.iter().filter(meant) {
            switch.on.send_replace(on);
            is_any = true;
        }
        is_any
    }

    /// Turns off one publication.
    pub fn turn_off(&self, index: usize) {
        if let Some(switch) = self.0.get(index) {
            switch.on.send_replace(false);
        }
    }

    /// Follows the switch of one publication; `None` if there is none at this index.
    pub fn watch(&self, index: usize) -> Option<watch::Receiver<bool>> {
        self.0.get(index).map(|switch| switch.on.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_concerns_the_publications_of_a_camera_or_all() {
        let switches = PublishSwitches::new([("a".into(), true), ("b".into(), false), ("a".into(), false)]);
        let on = || (0..3).map(|index| *switches.watch(index).unwrap().borrow()).collect::<Vec<_>>();
        assert_eq!(on(), [true, false, false]);
        assert!(switches.set(Some("a"), true) && !switches.set(Some("c"), true));
        assert_eq!(on(), [true, false, true]);
        switches.turn_off(0);
        switches.turn_off(7);
        assert!(switches.set(None, true) && switches.watch(3).is_none());
        assert_eq!(on(), [true; 3]);
        assert!(!PublishSwitches::default().set(None, true));
    }
}
