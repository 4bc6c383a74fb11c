//! What one viewer is told without asking: changes of the status, of the cameras and their controls, who watches, and what
//! is said. It is asked for when there is room for it; what changed meanwhile is told as it stands then.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::model::inventory::Control;
use crate::model::metrics::{ControlDrop, Metrics};
use crate::model::protocol::{CameraState, Chat, Event, Level};
use crate::model::status::{CameraStatus, Status};
use crate::server::sessions::{Presence, Selection, ServerMessage};
use crate::util::broadcast::{RecvError, Subscriber};

/// The least time from one look at the status to the next: five times a second is at once for a person, and bounds what
/// a slider that somebody draws at costs every viewer.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The news of one viewer.
#[derive(Debug)]
pub struct EventStream {
    /// The viewer's session.
    pub(super) session: String,
    pub(super) status: watch::Receiver<Status>,
    pub(super) present: watch::Receiver<Presence>,
    pub(super) said: Subscriber<ServerMessage>,
    /// Which camera the viewer is sent; `None` where the session is gone.
    pub(super) selection: Option<watch::Receiver<Selection>>,
    pub(super) plugged: watch::Receiver<u64>,
    pub(super) metrics: Metrics,
    /// What the viewer was told.
    pub(super) told: LastSent,
}

/// What a viewer was told.
#[derive(Debug, Default)]
pub(super) struct LastSent {
    status: Status,
    /// When the status was looked at; `None` before the beginning.
    looked: Option<Instant>,
    /// The camera that the viewer is known to be sent.
    selected: Option<usize>,
    /// Found at the last look: an event for the status, and two for each camera at most.
    ready: VecDeque<Event>,
}

impl EventStream {
    /// The next event, at once where something is known already. Never returns when the program has stopped. Cancelling
    /// loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.told.ready.pop_front() {
                return event;
            }
            if self.told.looked.is_none() {
                self.begin();
                continue;
            }
            let next_look = self.told.looked.map_or_else(Instant::now, |looked| looked + POLL_INTERVAL);
            let status = &mut self.status;
            let look = async move {
                sleep_until(next_look).await;
                status.changed().await
            };
            tokio::select! {
                biased;
                said = self.said.recv() => match said {
                    Ok(said) => return self.heard(said),
                    Err(RecvError::Lagged(count)) => self.metrics.leave_out(ControlDrop::Said, count),
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                Ok(()) = changed(&mut self.selection) => self.look_at_selection(),
                Ok(()) = self.present.changed() => return self.viewers(),
                Ok(()) = self.plugged.changed() => return Event::DevicesChanged {},
                Ok(()) = look => self.look(),
                else => std::future::pending().await,
            }
        }
    }

    /// What is told at the beginning.
    fn begin(&mut self) {
        self.told.looked = Some(Instant::now());
        self.told.status = self.status.borrow_and_update().clone();
        self.plugged.mark_unchanged();
        self.told.selected = self.selection.as_mut().map(|selection| selection.borrow_and_update().camera);
        let viewers = self.viewers();
        let status = Event::Status(Box::new(stripped(&self.told.status).into()));
        self.told.ready.extend([status, viewers, Event::Talk { session: None, name: None }]);
    }

    /// Finds what is other than it was told.
    fn look(&mut self) {
        self.told.looked = Some(Instant::now());
        let now = self.status.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.told.status, now);
        let now = &self.told.status;
        if stripped(now) != stripped(&before) {
            self.told.ready.push_back(Event::Status(Box::new(stripped(now).into())));
        }
        for (index, camera) in now.cameras.iter().enumerate() {
            let before = before.cameras.get(index);
            if before.is_none_or(|before| seen(camera, false) != seen(before, false)) {
                self.told.ready.push_back(Event::CameraChanged(seen(camera, false)));
            }
            let controls = changed_controls(before.map_or(&[], |before| &before.controls), &camera.controls);
            if !controls.is_empty() {
                self.told.ready.push_back(Event::ControlChanged { camera: camera.name.clone(), controls });
            }
        }
    }

    fn look_at_selection(&mut self) {
        let Some(selection) = &mut self.selection else { return };
        let index = selection.borrow_and_update().camera;
        // A choice is answered in several steps, of which the picture is one.
        if self.told.selected.replace(index) != Some(index)
            && let Some(camera) = self.status.borrow().cameras.get(index)
        {
            self.told.ready.push_back(Event::CameraChanged(seen(camera, true)));
        }
    }

    fn viewers(&mut self) -> Event {
        let Presence { names, operators } = self.present.borrow_and_update().clone();
        Event::Viewers { count: names.len(), operators, names }
    }

    fn heard(&self, said: ServerMessage) -> Event {
        match said {
            ServerMessage::Chat { session, from, text, time } => {
                let you = session.as_ref() == Some(&self.session);
                Event::Chat(Chat { from, text, time, you })
            }
            ServerMessage::Notice { warning, text } => {
                Event::Notice { level: if warning { Level::Warning } else { Level::Info }, text }
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

/// A camera as its viewers see it.
fn seen(camera: &CameraStatus, selected: bool) -> CameraState {
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

/// The status without the controls, which are many and have an event of their own.
fn stripped(status: &Status) -> Status {
    let mut status = status.clone();
    status.cameras.iter_mut().for_each(|camera| camera.controls.clear());
    status
}

/// Those that are not as they were.
fn changed_controls(before: &[Control], now: &[Control]) -> Vec<Control> {
    let same = |control: &&Control| before.iter().any(|before| before == *control);
    now.iter().filter(|control| !same(control)).cloned().collect()
}
