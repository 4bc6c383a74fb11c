//! Who watches: the table of viewers, what each of them wishes, and what all of them are told.
//!
//! A viewer's session enters here and follows its [`Preferences`]; whoever carries commands out looks viewers up by the
//! session's name. Connections belong to `rtc`, permissions to `control`; nothing here waits for a viewer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::metrics::Metrics;
use crate::model::protocol::Latency;
use crate::model::status;
use crate::server::auth;
use crate::server::auth::{Role, UnixTime};
use crate::util::broadcast::{Broadcast, Subscriber};

pub use entry::{EndReason, SessionGuard, SessionHandle};
pub use preferences::{Preferences, SelectError, Selection};

/// What was said and is kept for a viewer's task that lags: more than people type in the second in which it catches up.
const MESSAGE_BACKLOG: usize = 64;

/// How many may be in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All of them.
    pub viewers: usize,
    /// Those that have not connected yet.
    pub negotiating: usize,
}

/// Why there is no room for another viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityError {
    /// So many watch.
    Full(usize),
    /// So many connect at this moment.
    Negotiating(usize),
}

/// Who comes.
#[derive(Debug)]
pub struct NewSession {
    /// The session's unguessable name.
    pub id: String,
    /// Who watches, as [`auth::Principal`] names them.
    pub owner: String,
    /// What they may do.
    pub role: Role,
    /// The camera to begin with, by its place in the status.
    pub camera: usize,
    /// How long the browser shall hold pictures back where the viewer has no wish: the least and the most in milliseconds.
    pub playout_delay: (u16, u16),
    /// Ends the session.
    pub end: CancellationToken,
}

/// One viewer, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session's name. Whoever knows it can end the session.
    pub id: String,
    /// What the viewer is called.
    pub name: String,
    /// Who watches, as [`auth::Principal`] names them.
    pub owner: String,
    /// What they may do.
    pub role: Role,
    /// The camera whose pictures they are sent, by its place in the status.
    pub camera: usize,
    /// When they came.
    pub since: UnixTime,
}

/// Who is there, without what is nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    /// What they are called, in the order in which they came.
    pub names: Vec<String>,
    /// How many of them are operators.
    pub operators: usize,
}

/// What all viewers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMessage {
    /// By one of them.
    Chat {
        /// The session that said it; `None` for one who does not watch.
        session: Option<String>,
        /// The name.
        from: String,
        /// The words.
        text: String,
        /// When, in milliseconds since the Unix epoch.
        time: u64,
    },
    /// By the board.
    Notice {
        /// Whether something is wrong.
        warning: bool,
        /// The words.
        text: String,
    },
}

/// The table of viewers; a cheap handle.
#[derive(Debug, Clone)]
pub struct SessionRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<SessionTable>,
    presence: watch::Sender<Presence>,
    messages: Broadcast<ServerMessage>,
    metrics: Metrics,
    status: status::StatusPublisher,
}

#[derive(Debug, Default)]
struct SessionTable {
    /// Counts the arrivals, which is their order.
    arrivals: u64,
    /// By arrival.
    records: BTreeMap<u64, SessionRecord>,
}

#[derive(Debug)]
struct SessionRecord {
    info: SessionInfo,
    connected: bool,
    preferences: watch::Sender<Preferences>,
    selection: watch::Sender<Selection>,
    end: CancellationToken,
    reason: Arc<OnceLock<EndReason>>,
}

impl SessionTable {
    fn find(&mut self, id: &str) -> Option<&mut SessionRecord> {
        self.records.values_mut().find(|record| record.info.id == id)
    }

    /// The first name of the row `viewer 1`, `viewer 2` and so on that nobody has.
    fn free_name(&self) -> String {
        let taken = |name: &str| self.records.values().any(|record| record.info.name == name);
        let mut names = (1..).map(|number| format!("viewer {number}"));
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

impl SessionRecord {
    fn end(&self, reason: EndReason) {
        // The first reason is the true one.
        let _ = self.reason.set(reason);
        self.end.cancel();
    }
}

impl SessionRegistry {
    /// An empty table, which tells `metrics` and the status how many there are.
    pub fn new(metrics: Metrics, status: status::StatusPublisher) -> Self {
        let (table, presence, messages) = (Mutex::default(), watch::Sender::default(), Broadcast::new(MESSAGE_BACKLOG));
        Self(Arc::new(Inner { table, presence, messages, metrics, status }))
    }

    /// Enters a viewer, whose place is given back when the guard drops.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn register(
        &self,
        session: NewSession,
        limits: Limits,
    ) -> Result<(SessionGuard, watch::Receiver<Preferences>), CapacityError> {
        let NewSession { id, owner, role, camera, playout_delay, end } = session;
        let preferences = Preferences {
            camera,
            selection_seq: 0,
            paused: false,
            muted: false,
            latency: Latency::default(),
            keyframe: 0,
            low_latency: playout_delay,
        };
        let (preferences, selection) = (watch::Sender::new(preferences), watch::Sender::new(Selection::of(camera)));
        let (followed, reason, handle_end) = (preferences.subscribe(), Arc::default(), end.clone());
        let mut table = self.lock();
        if table.records.len() >= limits.viewers {
            return Err(CapacityError::Full(table.records.len()));
        }
        let negotiating = table.records.values().filter(|record| !record.connected).count();
        if negotiating >= limits.negotiating {
            return Err(CapacityError::Negotiating(negotiating));
        }
        table.arrivals += 1;
        let arrival = table.arrivals;
        let info = SessionInfo { id: id.clone(), name: table.free_name(), owner, role, camera, since: auth::now() };
        let record = SessionRecord { info, connected: false, preferences, selection, end, reason: Arc::clone(&reason) };
        table.records.insert(arrival, record);
        drop(table);
        self.0.metrics.viewers_accepted.inc();
        self.publish();
        let handle = SessionHandle { id, end: handle_end, reason };
        Ok((SessionGuard { registry: self.clone(), arrival, handle }, followed))
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<SessionInfo> {
        self.lock().records.values().map(|record| record.info.clone()).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<SessionInfo> {
        self.lock().find(id).map(|record| record.info.clone())
    }

    /// What one of them wishes.
    pub fn preferences(&self, id: &str) -> Option<Preferences> {
        self.lock().find(id).map(|record| record.preferences.borrow().clone())
    }

    /// Names a viewer; `false` when there is none.
    pub fn rename(&self, id: &str, name: &str) -> bool {
        let mut table = self.lock();
        let Some(record) = table.find(id) else { return false };
        record.info.name = name.into();
        drop(table);
        self.publish();
        true
    }

    /// Changes what a viewer wishes; `false` when there is none. Cameras are chosen by [`select`](Self::select).
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Preferences)) -> bool {
        let mut table = self.lock();
        let Some(record) = table.find(id) else { return false };
        record.preferences.send_if_modified(|preferences| {
            let before = preferences.clone();
            change(preferences);
            *preferences != before
        });
        true
    }

    /// Has a viewer sent the pictures of another camera, from its next key frame on. Returns when the session goes over to
    /// it, which is at once for a camera whose pictures are known; [`selection`](Self::selection) tells of the first picture.
    ///
    /// # Errors
    ///
    /// As [`SelectError`] says.
    pub async fn select(&self, id: &str, camera: usize) -> Result<(), SelectError> {
        let (selection_seq, mut selection) = {
            let mut table = self.lock();
            let record = table.find(id).ok_or(SelectError::Unknown)?;
            record.preferences.send_modify(|preferences| {
                preferences.camera = camera;
                preferences.selection_seq += 1;
            });
            let selection_seq = record.preferences.borrow().selection_seq;
            (selection_seq, record.selection.subscribe())
        };
        let answered = selection.wait_for(|selection| selection.acked_seq >= selection_seq).await;
        let answered = answered.map_err(|_| SelectError::Unknown)?;
        match &answered.rejected {
            Some(reason) if answered.acked_seq == selection_seq => Err(SelectError::Rejected(reason.clone())),
            // A later choice was answered in this one's place.
            _ => Ok(()),
        }
    }

    /// Follows which camera a viewer is sent.
    pub fn selection(&self, id: &str) -> Option<watch::Receiver<Selection>> {
        self.lock().find(id).map(|record| record.selection.subscribe())
    }

    /// Sends a viewer away; `false` when there is none.
    pub fn kick(&self, id: &str) -> bool {
        self.end(id, EndReason::Kicked)
    }

    /// Ends a session; `false` when there is none.
    pub fn end(&self, id: &str, reason: EndReason) -> bool {
        let mut table = self.lock();
        let Some((&arrival, record)) = table.records.iter().find(|(_, record)| record.info.id == id) else {
            return false;
        };
        record.end(reason);
        table.records.remove(&arrival);
        drop(table);
        self.publish();
        true
    }

    /// Ends all sessions of an owner, and tells how many.
    pub fn end_sessions_of(&self, owner: &str, reason: EndReason) -> usize {
        let mut table = self.lock();
        let records = std::mem::take(&mut table.records).into_iter();
        let (ended, kept): (BTreeMap<_, _>, _) = records.partition(|(_, record)| record.info.owner == owner);
        table.records = kept;
        drop(table);
        ended.values().for_each(|record| record.end(reason));
        if !ended.is_empty() {
            self.publish();
        }
        ended.len()
    }

    /// Follows who is there.
    pub fn watch(&self) -> watch::Receiver<Presence> {
        self.0.presence.subscribe()
    }

    /// Tells all viewers something.
    pub fn broadcast(&self, message: ServerMessage) {
        self.0.messages.publish(message);
    }

    /// What is said from now on.
    pub fn subscribe(&self) -> Subscriber<ServerMessage> {
        self.0.messages.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who is there.
    fn publish(&self) {
        let inner = &self.0;
        // Under the lock, so that what is told last is what is true.
        let table = self.lock();
        let viewers = || table.records.values().map(|record| &record.info);
        let cameras: Vec<usize> = viewers().map(|viewer| viewer.camera).collect();
        inner.metrics.viewers.set(cameras.len() as i64);
        inner.status.viewers(cameras.len(), &cameras);
        let names = viewers().map(|viewer| viewer.name.clone()).collect();
        let operators = viewers().filter(|viewer| viewer.role == Role::Operator).count();
        let presence = Presence { names, operators };
        inner.presence.send_if_modified(|known| {
            let changed = *known != presence;
            *known = presence;
            changed
        });
    }
}

mod entry;
mod preferences;
#[cfg(test)]
mod tests;
