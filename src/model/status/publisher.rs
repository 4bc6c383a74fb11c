//! Writes and reads the status: one change at a time, of which all that follow it are told.

use tokio::sync::watch;

use super::{Audio, CameraStatus, MotionStatus, Mqtt, PipelineState, Report, ScreenStatus, SpeakerStatus, Status};
use crate::model::inventory::Control;

/// Writes and reads the status; a cheap handle.
#[derive(Debug, Clone)]
pub struct StatusPublisher(watch::Sender<Status>);

impl StatusPublisher {
    /// Starts with `status`.
    pub fn new(status: Status) -> Self {
        Self(watch::Sender::new(status))
    }

    /// The status at this moment.
    pub fn snapshot(&self) -> Status {
        self.0.borrow().clone()
    }

    /// The status at this moment, with the program's version and uptime.
    pub fn report(&self) -> Report {
        self.snapshot().into()
    }

    /// Subscribes to the status.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    /// Changes the status of the camera at `index`.
    pub fn camera(&self, index: usize, change: impl FnOnce(&mut CameraStatus)) {
        self.0.send_modify(|status| {
            if let Some(camera) = status.cameras.get_mut(index) {
                change(camera);
            }
        });
    }

    /// Updates those controls of the camera at `index` that changed.
    pub fn controls(&self, index: usize, changed: Vec<Control>) {
        if changed.is_empty() {
            return;
        }
        self.camera(index, |camera| {
            for control in changed {
                if let Some(known) = camera.controls.iter_mut().find(|known| known.id == control.id) {
                    *known = control;
                }
            }
        });
    }

    /// Changes the status of the microphone.
    pub fn audio(&self, change: impl FnOnce(&mut Audio)) {
        self.0.send_modify(|status| change(&mut status.audio));
    }

    /// Changes the status of the speaker.
    pub fn speaker(&self, change: impl FnOnce(&mut SpeakerStatus)) {
        self.0.send_modify(|status| change(&mut status.speaker));
    }

    /// Sets the state of the screen, and why it failed.
    pub fn screen(&self, state: PipelineState, fault: Option<String>) {
        self.0.send_if_modified(|status| {
            let new = status.screen.is_some().then_some(ScreenStatus { state, fault });
            let is_changed = status.screen != new;
            status.screen = new;
            is_changed
        });
    }

    /// Sets the state of the publication at `index`, and why it failed.
    pub fn publish(&self, index: usize, state: PipelineState, fault: Option<String>) {
        self.0.send_modify(|status| {
            if let Some(publication) = status.publish.get_mut(index) {
                (publication.state, publication.fault) = (state, fault);
            }
        });
    }

    /// Sets what is being recorded of the camera at `index`: ID, cause and start.
    pub fn recording(&self, index: usize, running: Option<(u64, &'static str, i64)>) {
        self.0.send_modify(|status| {
            let cameras = status.recording.as_mut().map(|recording| &mut recording.cameras);
            if let Some(camera) = cameras.and_then(|cameras| cameras.get_mut(index)) {
                camera.recording = running.is_some();
                camera.id = running.map(|(id, ..)| id);
                camera.cause = running.map(|(_, cause, _)| cause);
                camera.since = running.map(|(.., since)| since);
            }
        });
    }

    /// Sets why recordings cannot be stored.
    pub fn recording_fault(&self, fault: Option<String>) {
        self.0.send_if_modified(|status| {
            let recording = status.recording.as_mut();
            recording.is_some_and(|recording| set_fault(&mut recording.failed, &mut recording.fault, fault))
        });
    }

    /// Sets which time-lapse of the camera at `index` is being written: ID and start.
    pub fn timelapse(&self, index: usize, running: Option<(u64, i64)>) {
        self.0.send_modify(|status| {
            let cameras = status.timelapse.as_mut().map(|timelapse| &mut timelapse.cameras);
            if let Some(camera) = cameras.and_then(|cameras| cameras.get_mut(index)) {
                (camera.id, camera.since) = running.unzip();
            }
        });
    }

    /// Sets why time-lapses cannot be stored.
    pub fn timelapse_fault(&self, fault: Option<String>) {
        self.0.send_if_modified(|status| {
            let timelapse = status.timelapse.as_mut();
            timelapse.is_some_and(|timelapse| set_fault(&mut timelapse.failed, &mut timelapse.fault, fault))
        });
    }

    /// Sets whether the privacy switch is on. While it is, nothing moves.
    pub fn privacy(&self, on: bool) {
        self.0.send_modify(|status| {
            status.privacy = on;
            let motions = status.cameras.iter_mut().filter_map(|camera| camera.motion.as_mut());
            motions.filter(|_| on).for_each(|motion| *motion = MotionStatus::default());
        });
    }

    /// Motion has begun in the picture of the camera at `index`. Whether that may be told: not while the privacy switch is on.
    pub fn motion_began(&self, index: usize, score: u8, unix: u64) -> bool {
        self.0.send_if_modified(|status| {
            let may_be_told = !status.privacy;
            if let Some(camera) = status.cameras.get_mut(index).filter(|_| may_be_told) {
                camera.motion = Some(MotionStatus { moving: true, began: Some(unix), score: Some(score) });
            }
            may_be_told
        })
    }

    /// Motion has ended in the picture of the camera at `index`.
    pub fn motion_ended(&self, index: usize, score: u8) {
        self.0.send_if_modified(|status| {
            let motion = status.cameras.get_mut(index).and_then(|camera| camera.motion.as_mut());
            let Some(motion) = motion.filter(|motion| motion.moving) else { return false };
            (motion.moving, motion.score) = (false, Some(score));
            true
        });
    }

    /// Sets whether the state of the privacy switch is stored.
    pub fn privacy_kept(&self, kept: bool) {
        self.0.send_if_modified(|status| std::mem::replace(&mut status.privacy_kept, kept) != kept);
    }

    /// Sets the state of the connection to the MQTT broker.
    pub fn mqtt(&self, state: Option<Mqtt>) {
        self.0.send_if_modified(|status| {
            let changed = status.mqtt != state;
            status.mqtt = state;
            changed
        });
    }

    /// Sets how many viewers are allowed at once.
    pub fn max_viewers(&self, count: usize) {
        self.0.send_modify(|status| status.max_viewers = count);
    }

    /// Sets the number of viewers; `watched` has the camera's index for each of them, `undecoded` for each whose player decodes
    /// nothing.
    pub fn viewers(&self, watched: &[usize], undecoded: &[usize]) {
        self.0.send_modify(|status| {
            status.viewers = watched.len();
            for (index, camera) in status.cameras.iter_mut().enumerate() {
                let count = |of: &[usize]| of.iter().filter(|place| **place == index).count();
                (camera.watched, camera.undecoded) = (count(watched), count(undecoded));
            }
        });
    }
}

/// Sets whether something has failed, and why; whether that is news.
fn set_fault(failed: &mut bool, known: &mut Option<String>, fault: Option<String>) -> bool {
    if *known == fault {
        return false;
    }
    (*failed, *known) = (fault.is_some(), fault);
    true
}
