//! Events for one viewer: changes of the status, of the cameras and their controls, who is watching, and messages.
//! Events are pulled when the channel has room, so a slow viewer gets the latest state instead of every change in
//! between.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::model::inventory::Control;
use crate::model::metrics::{ControlDrop, Metrics};
use crate::model::protocol::{CameraState, Chat, Event, Level};
use crate::model::status::{CameraStatus, Status};
use crate::server::floor::FloorHolder;
use crate::server::sessions::{Presence, Selection, ServerMessage};
use crate::util::broadcast::{RecvError, Subscriber};

/// Minimum interval between two samples of the status. Five a second look immediate to a person, and bound what
/// dragging a slider costs every other viewer.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The events of one viewer.
#[derive(Debug)]
pub struct EventStream {
    /// The ID of the viewer's session.
    pub(super) session: String,
    pub(super) status: watch::Receiver<Status>,
    pub(super) presence: watch::Receiver<Presence>,
    pub(super) messages: Subscriber<ServerMessage>,
    /// The camera that the viewer is sent; `None` when the session has ended.
    pub(super) selection: Option<watch::Receiver<Selection>>,
    pub(super) talk: watch::Receiver<Option<FloorHolder>>,
    pub(super) device_changes: watch::Receiver<u64>,
    pub(super) metrics: Metrics,
    /// What was last sent to the viewer.
    pub(super) last_sent: LastSent,
}

/// The state that was last sent to a viewer.
#[derive(Debug, Default)]
pub(super) struct LastSent {
    status: Status,
    /// When the status was last sampled; `None` before the first event.
    sampled_at: Option<Instant>,
    /// The selected camera that the viewer was last notified of.
    selected: Option<usize>,
    /// Events of the last sample: one for the status, and at most three per camera.
    ready: VecDeque<Event>,
}

impl EventStream {
    /// The next event, immediately if one is pending. Never returns after the program has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.last_sent.ready.pop_front() {
                return event;
            }
            if self.last_sent.sampled_at.is_none() {
                self.queue_initial();
                continue;
            }
            let next_sample =
                self.last_sent.sampled_at.map_or_else(Instant::now, |sampled_at| sampled_at + POLL_INTERVAL);
            let status = &mut self.status;
            let sample = async move {
                sleep_until(next_sample).await;
                status.changed().await
            };
            tokio::select! {
                biased;
                message = self.messages.recv() => match message {
                    Ok(message) => return self.message_event(message),
                    Err(RecvError::Lagged(count)) => self.metrics.count_control_drop(ControlDrop::Said, count),
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                Ok(()) = changed(&mut self.selection) => self.queue_selection(),
                Ok(()) = self.talk.changed() => return self.talk_event(),
                Ok(()) = self.presence.changed() => return self.viewers_event(),
                Ok(()) = self.device_changes.changed() => return Event::DevicesChanged {},
                Ok(()) = sample => self.diff(),
                else => std::future::pending().await,
            }
        }
    }

    /// Queues the events that every viewer gets first.
    fn queue_initial(&mut self) {
        self.last_sent.sampled_at = Some(Instant::now());
        self.last_sent.status = self.status.borrow_and_update().clone();
        self.device_changes.mark_unchanged();
        // The status says who talks.
        self.talk.mark_unchanged();
        self.last_sent.selected = self.selection.as_mut().map(|selection| selection.borrow_and_update().camera);
        let viewers = self.viewers_event();
        let status = Event::Status(Box::new(for_event(&self.last_sent.status).into()));
        self.last_sent.ready.extend([status, viewers]);
    }

    /// Queues events for everything that changed since the last sample.
    fn diff(&mut self) {
        self.last_sent.sampled_at = Some(Instant::now());
        let now = self.status.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.last_sent.status, now);
        let now = &self.last_sent.status;
        if for_event(now) != for_event(&before) {
            self.last_sent.ready.push_back(Event::Status(Box::new(for_event(now).into())));
        }
        let recordings = |status: &Status| status.recording.clone().map_or(Vec::new(), |recording| recording.cameras);
        let former = recordings(&before);
        let changed =
            recordings(now).into_iter().enumerate().filter(|(index, camera)| former.get(*index) != Some(camera));
        self.last_sent.ready.extend(changed.map(|(_, camera)| Event::Recording(camera)));
        for (index, camera) in now.cameras.iter().enumerate() {
            let before = before.cameras.get(index);
            if before.is_none_or(|before| camera_event(camera, false) != camera_event(before, false)) {
                self.last_sent.ready.push_back(Event::CameraChanged(camera_event(camera, false)));
            }
            let controls = changed_controls(before.map_or(&[], |before| &before.controls), &camera.controls);
            if !controls.is_empty() {
                self.last_sent.ready.push_back(Event::ControlChanged { camera: camera.name.clone(), controls });
            }
        }
    }

    fn queue_selection(&mut self) {
        let Some(selection) = &mut self.selection else { return };
        let index = selection.borrow_and_update().camera;
        // A selection is published in several steps; only a changed camera is an event.
        if self.last_sent.selected.replace(index) != Some(index)
            && let Some(camera) = self.status.borrow().cameras.get(index)
        {
            self.last_sent.ready.push_back(Event::CameraChanged(camera_event(camera, true)));
        }
    }

    fn talk_event(&mut self) -> Event {
        let holder = self.talk.borrow_and_update();
        let you = holder.as_ref().is_some_and(|holder| holder.session.as_ref() == Some(&self.session));
        Event::Talk { name: holder.as_ref().map(|holder| holder.name.clone()), you }
    }

    fn viewers_event(&mut self) -> Event {
        let Presence { names, operators } = self.presence.borrow_and_update().clone();
        Event::Viewers { count: names.len(), operators, names }
    }

    fn message_event(&self, message: ServerMessage) -> Event {
        match message {
            ServerMessage::Chat { session, from, text, time } => {
                let you = session.as_ref() == Some(&self.session);
                Event::Chat(Chat { from, text, time, you })
            }
            ServerMessage::Motion(motion) => Event::Motion(motion),
            ServerMessage::Notice { warning, code, values, text } => {
                Event::Notice { level: if warning { Level::Warning } else { Level::Info }, text, code, values }
            }
        }
    }
}

async fn changed(selection: &mut Option<watch::Receiver<Selection>>) -> Result<(), watch::error::RecvError> {
    match selection {
        Some(selection) => selection.changed().await,
        None => std::future::pending().await,
    }
}

/// The state of a camera, as sent to viewers.
fn camera_event(camera: &CameraStatus, selected: bool) -> CameraState {
    CameraState {
        camera: camera.name.clone(),
        state: camera.state,
        width: camera.width,
        height: camera.height,
        fps: camera.fps,
        pattern: camera.pattern,
        fault: camera.fault.clone(),
        selected,
    }
}

/// The status without the controls, which are many and have their own event, and without what is for operators alone, since
/// everybody gets the same.
fn for_event(status: &Status) -> Status {
    let mut status = status.clone();
    status.cameras.iter_mut().for_each(|camera| camera.controls.clear());
    status.hide_from_viewers();
    status
}

/// The controls that changed.
fn changed_controls(before: &[Control], now: &[Control]) -> Vec<Control> {
    let same = |control: &&Control| before.iter().any(|before| before == *control);
    now.iter().filter(|control| !same(control)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::Mqtt;

    #[test]
    fn viewers_are_not_told_why_the_broker_is_away() {
        let mqtt = Some(Mqtt { connected: false, fault: Some("read /etc/secret: denied".into()) });
        let shown = for_event(&Status { mqtt, ..Status::default() });
        assert_eq!(shown.mqtt, Some(Mqtt::default()));
    }
}
