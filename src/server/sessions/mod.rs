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
    present: watch::Sender<Presence>,
    said: Broadcast<ServerMessage>,
    metrics: Metrics,
    board: status::StatusPublisher,
}

#[derive(Debug, Default)]
struct SessionTable {
    /// Counts the arrivals, which is their order.
    arrivals: u64,
    /// By arrival.
    rows: BTreeMap<u64, SessionRecord>,
}

#[derive(Debug)]
struct SessionRecord {
    viewer: SessionInfo,
    connected: bool,
    wishes: watch::Sender<Preferences>,
    selection: watch::Sender<Selection>,
    end: CancellationToken,
    reason: Arc<OnceLock<EndReason>>,
}

impl SessionTable {
    fn find(&mut self, id: &str) -> Option<&mut SessionRecord> {
        self.rows.values_mut().find(|row| row.viewer.id == id)
    }

    /// The first name of the row `viewer 1`, `viewer 2` and so on that nobody has.
    fn free_name(&self) -> String {
        let taken = |name: &str| self.rows.values().any(|row| row.viewer.name == name);
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
    pub fn new(metrics: Metrics, board: status::StatusPublisher) -> Self {
        let (table, present, said) = (Mutex::default(), watch::Sender::default(), Broadcast::new(MESSAGE_BACKLOG));
        Self(Arc::new(Inner { table, present, said, metrics, board }))
    }

    /// Enters a viewer, whose place is given back when the guard drops.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn enter(
        &self,
        newcomer: NewSession,
        limits: Limits,
    ) -> Result<(SessionGuard, watch::Receiver<Preferences>), CapacityError> {
        let NewSession { id, owner, role, camera, playout_delay, end } = newcomer;
        let wishes = Preferences {
            camera,
            choice: 0,
            paused: false,
            muted: false,
            latency: Latency::default(),
            keyframe: 0,
            low: playout_delay,
        };
        let (wishes, selection) = (watch::Sender::new(wishes), watch::Sender::new(Selection::of(camera)));
        let (followed, reason, seat_end) = (wishes.subscribe(), Arc::default(), end.clone());
        let mut table = self.lock();
        if table.rows.len() >= limits.viewers {
            return Err(CapacityError::Full(table.rows.len()));
        }
        let negotiating = table.rows.values().filter(|row| !row.connected).count();
        if negotiating >= limits.negotiating {
            return Err(CapacityError::Negotiating(negotiating));
        }
        table.arrivals += 1;
        let arrival = table.arrivals;
        let viewer = SessionInfo { id: id.clone(), name: table.free_name(), owner, role, camera, since: auth::now() };
        let row = SessionRecord { viewer, connected: false, wishes, selection, end, reason: Arc::clone(&reason) };
        table.rows.insert(arrival, row);
        drop(table);
        self.0.metrics.viewers_accepted.inc();
        self.publish();
        let seat = SessionHandle { id, end: seat_end, reason };
        Ok((SessionGuard { viewers: self.clone(), arrival, seat }, followed))
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<SessionInfo> {
        self.lock().rows.values().map(|row| row.viewer.clone()).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<SessionInfo> {
        self.lock().find(id).map(|row| row.viewer.clone())
    }

    /// What one of them wishes.
    pub fn wishes(&self, id: &str) -> Option<Preferences> {
        self.lock().find(id).map(|row| row.wishes.borrow().clone())
    }

    /// Names a viewer; `false` when there is none.
    pub fn name(&self, id: &str, name: &str) -> bool {
        let mut table = self.lock();
        let Some(row) = table.find(id) else { return false };
        row.viewer.name = name.into();
        drop(table);
        self.publish();
        true
    }

    /// Changes what a viewer wishes; `false` when there is none. Cameras are chosen by [`select`](Self::select).
    pub fn wish(&self, id: &str, change: impl FnOnce(&mut Preferences)) -> bool {
        let mut table = self.lock();
        let Some(row) = table.find(id) else { return false };
        row.wishes.send_if_modified(|wishes| {
            let before = wishes.clone();
            change(wishes);
            *wishes != before
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
        let (choice, mut selection) = {
            let mut table = self.lock();
            let row = table.find(id).ok_or(SelectError::Unknown)?;
            row.wishes.send_modify(|wishes| {
                wishes.camera = camera;
                wishes.choice += 1;
            });
            let choice = row.wishes.borrow().choice;
            (choice, row.selection.subscribe())
        };
        let answered = selection.wait_for(|selection| selection.answers >= choice).await;
        let answered = answered.map_err(|_| SelectError::Unknown)?;
        match &answered.refused {
            Some(reason) if answered.answers == choice => Err(SelectError::Refused(reason.clone())),
            // A later choice was answered in this one's place.
            _ => Ok(()),
        }
    }

    /// Follows which camera a viewer is sent.
    pub fn selection(&self, id: &str) -> Option<watch::Receiver<Selection>> {
        self.lock().find(id).map(|row| row.selection.subscribe())
    }

    /// Sends a viewer away; `false` when there is none.
    pub fn kick(&self, id: &str) -> bool {
        self.end(id, EndReason::Kicked)
    }

    /// Ends a session; `false` when there is none.
    pub fn end(&self, id: &str, reason: EndReason) -> bool {
        let mut table = self.lock();
        let Some((&arrival, row)) = table.rows.iter().find(|(_, row)| row.viewer.id == id) else { return false };
        row.end(reason);
        table.rows.remove(&arrival);
        drop(table);
        self.publish();
        true
    }

    /// Ends all sessions of an owner, and tells how many.
    pub fn end_owned(&self, owner: &str, reason: EndReason) -> usize {
        let mut table = self.lock();
        let rows = std::mem::take(&mut table.rows).into_iter();
        let (ended, kept): (BTreeMap<_, _>, _) = rows.partition(|(_, row)| row.viewer.owner == owner);
        table.rows = kept;
        drop(table);
        ended.values().for_each(|row| row.end(reason));
        if !ended.is_empty() {
            self.publish();
        }
        ended.len()
    }

    /// Follows who is there.
    pub fn watch(&self) -> watch::Receiver<Presence> {
        self.0.present.subscribe()
    }

    /// Tells all viewers something.
    pub fn say(&self, said: ServerMessage) {
        self.0.said.publish(said);
    }

    /// What is said from now on.
    pub fn hear(&self) -> Subscriber<ServerMessage> {
        self.0.said.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who is there.
    fn publish(&self) {
        let inner = &self.0;
        // Under the lock, so that what is told last is what is true.
        let table = self.lock();
        let viewers = || table.rows.values().map(|row| &row.viewer);
        let cameras: Vec<usize> = viewers().map(|viewer| viewer.camera).collect();
        inner.metrics.viewers.set(cameras.len() as i64);
        inner.board.viewers(cameras.len(), &cameras);
        let names = viewers().map(|viewer| viewer.name.clone()).collect();
        let operators = viewers().filter(|viewer| viewer.role == Role::Operator).count();
        let present = Presence { names, operators };
        inner.present.send_if_modified(|known| {
            let changed = *known != present;
            *known = present;
            changed
        });
    }
}

mod entry;
mod preferences;
#[cfg(test)]
mod tests;
