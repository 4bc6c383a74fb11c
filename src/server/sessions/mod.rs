//! The registry of viewer sessions: who is watching, each viewer's preferences, and messages to all viewers.
//!
//! A session registers here and follows its [`Preferences`]; commands look a session up by its ID. Connections
//! belong to `rtc`, which attaches to a session's record what it has to look up itself; permissions belong to
//! `dispatch`. Nothing here waits for a viewer.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::metrics::Metrics;
use crate::model::status;
use crate::model::status::{Layers, Rendition};
use crate::server::auth;
use crate::server::auth::Role;
use crate::util::broadcast::{Broadcast, Subscriber};
use crate::util::lock::{Mutex, MutexGuard};

pub use entry::{DelayReport, EndReason, SessionGuard, SessionHandle};
pub use info::{Presence, ServerMessage, SessionInfo, ViewerNetwork};
pub use preferences::{PlayoutDelay, Preferences, SelectError, Selection};
pub use session_id::random_id;
pub use table::{CapacityError, Limits};
use table::{SessionRecord, SessionTable};

/// Messages buffered for a subscriber that lags: more than people type in the second it takes to catch up.
const MESSAGE_BACKLOG: usize = 64;

/// A session to register.
#[derive(Debug)]
pub struct NewSession {
    /// The session's unguessable ID.
    pub id: String,
    /// Who watches, as [`auth::Principal`] names them.
    pub owner: String,
    /// The role of whoever is watching.
    pub role: Role,
    /// The viewer's address, as far as trusted proxies know it.
    pub client: IpAddr,
    /// When the viewer asked for it.
    pub arrived: Instant,
    /// The initial camera, by its index in the status.
    pub camera: usize,
    /// The default playout delay.
    pub playout_delay: PlayoutDelay,
    /// Cancelled to end the session.
    pub end: CancellationToken,
}

/// The session registry; a cheap handle.
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

impl SessionRegistry {
    /// An empty registry, which publishes the number of viewers to `metrics` and `status`.
    pub fn new(metrics: Metrics, status: status::StatusPublisher) -> Self {
        let (table, presence, messages) = (Mutex::default(), watch::Sender::default(), Broadcast::new(MESSAGE_BACKLOG));
        Self(Arc::new(Inner { table, presence, messages, metrics, status }))
    }

    /// Registers a session; it is removed when the guard drops. When a limit is reached, a session that has not
    /// connected gives way if its address has more of those than the newcomer's, or if it is unlikely to connect any more.
    ///
    /// # Errors
    ///
    /// When a limit is reached.
    pub fn register(
        &self,
        session: NewSession,
        limits: Limits,
    ) -> Result<(SessionGuard, watch::Receiver<Preferences>), CapacityError> {
        let mut table = self.lock();
        let displaced = table.make_room(session.client.to_canonical(), session.arrived, limits)?;
        let registered = self.add(table, session, None);
        // Outside the lock: it wakes subscribers, and drops the attachment.
        drop(displaced);
        self.0.metrics.viewers_accepted.inc();
        self.publish();
        Ok(registered)
    }

    /// Registers the session of a server that we publish to, which is not held to any limit, nor counted for one.
    pub fn register_publication(
        &self,
        session: NewSession,
        name: &str,
    ) -> (SessionGuard, watch::Receiver<Preferences>) {
        let registered = self.add(self.lock(), session, Some(name));
        self.publish();
        registered
    }

    fn add(
        &self,
        mut table: MutexGuard<'_, SessionTable>,
        session: NewSession,
        publication: Option<&str>,
    ) -> (SessionGuard, watch::Receiver<Preferences>) {
        let NewSession { id, owner, role, client, arrived, camera, playout_delay, end } = session;
        let preferences = watch::Sender::new(Preferences::new(camera, playout_delay));
        let (followed, reason, handle_end) = (preferences.subscribe(), Arc::default(), end.clone());
        table.arrivals += 1;
        let arrival = table.arrivals;
        let info = SessionInfo {
            id: id.clone(),
            name: publication.map_or_else(|| table.free_name(), Into::into),
            owner,
            role,
            camera,
            rendition: Rendition::default(),
            layers: Layers::default(),
            since: auth::now(),
            undecoded: false,
            network: ViewerNetwork::default(),
            delay: None,
            skips: 0,
            left_out: 0,
        };
        let record = SessionRecord {
            info,
            client: client.to_canonical(),
            is_publication: publication.is_some(),
            arrived,
            connected: false,
            video_epoch: None,
            fresh_report: None,
            preferences,
            selection: watch::Sender::new(Selection::of(camera)),
            end,
            reason: Arc::clone(&reason),
            attachment: None,
        };
        table.records.insert(arrival, record);
        drop(table);
        let handle = SessionHandle { id, end: handle_end, reason };
        (SessionGuard { registry: self.clone(), arrival, handle }, followed)
    }

    /// All sessions, in order of arrival.
    pub fn list(&self) -> Vec<SessionInfo> {
        self.lock().records.values().map(|record| record.info.clone()).collect()
    }

    /// Who is watching, as [`auth::Principal`] names them.
    pub fn owners(&self) -> BTreeSet<String> {
        self.lock().records.values().map(|record| record.info.owner.clone()).collect()
    }

    /// One session.
    pub fn get(&self, id: &str) -> Option<SessionInfo> {
        self.lock().find(id).map(|record| record.info.clone())
    }

    /// The RTP timestamp of [`Timestamp::default`](crate::media::Timestamp) in a session's video, from which those of its
    /// frames follow; `None` if there is no such session, or it has no video yet.
    pub fn video_epoch(&self, id: &str) -> Option<u32> {
        self.lock().find(id)?.video_epoch
    }

    /// What a session's task has attached to its record with [`SessionGuard::attach`]; `None` if there is no such
    /// session, or nothing of this type attached yet.
    pub fn attachment<T: Any + Send + Sync>(&self, id: &str) -> Option<Arc<T>> {
        let attachment = self.lock().find(id)?.attachment.clone();
        attachment?.downcast().ok()
    }

    /// A session's preferences.
    pub fn preferences(&self, id: &str) -> Option<Preferences> {
        self.lock().find(id).map(|record| record.preferences.borrow().clone())
    }

    /// Renames a viewer; `false` when there is no such session.
    pub fn rename(&self, id: &str, name: &str) -> bool {
        let mut table = self.lock();
        let Some(record) = table.find(id) else { return false };
        record.info.name = name.into();
        drop(table);
        self.publish();
        true
    }

    /// Changes a session's preferences; `false` when there is no such session. To change the camera use
    /// [`select`](Self::select).
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

    /// Switches a session to another camera, from that camera's next key frame on. Returns once the session has
    /// accepted the switch, which is at once for a camera whose format is known. [`selection`](Self::selection) reports
    /// when the first frame is sent.
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
        let acked = selection.wait_for(|selection| selection.acked_seq >= selection_seq).await;
        let acked = acked.map_err(|_| SelectError::Unknown)?;
        match &acked.rejected {
            Some(reason) if acked.acked_seq == selection_seq => Err(SelectError::Rejected(reason.clone())),
            // A later selection superseded this one.
            _ => Ok(()),
        }
    }

    /// Subscribes to the camera that a session is sent.
    pub fn selection(&self, id: &str) -> Option<watch::Receiver<Selection>> {
        self.lock().find(id).map(|record| record.selection.subscribe())
    }

    /// Ends a session on an operator's behalf; `false` when there is no such session.
    pub fn kick(&self, id: &str) -> bool {
        self.end(id, EndReason::Kicked)
    }

    /// Ends a session; `false` when there is no such session.
    pub fn end(&self, id: &str, reason: EndReason) -> bool {
        let mut table = self.lock();
        let Some((&arrival, record)) = table.records.iter().find(|(_, record)| record.info.id == id) else {
            return false;
        };
        record.end(reason);
        let record = table.records.remove(&arrival);
        drop(table);
        // Outside the lock: it wakes subscribers, and drops the attachment.
        drop(record);
        self.publish();
        true
    }

    /// Ends all sessions of an owner and returns how many there were.
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

    /// Subscribes to who is watching.
    pub fn watch(&self) -> watch::Receiver<Presence> {
        self.0.presence.subscribe()
    }

    /// Sends a message to all viewers.
    pub fn broadcast(&self, message: ServerMessage) {
        self.0.messages.publish(message);
    }

    /// Subscribes to messages from now on.
    pub fn subscribe(&self) -> Subscriber<ServerMessage> {
        self.0.messages.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.0.table.lock()
    }

    /// Publishes who is watching.
    fn publish(&self) {
        let inner = &self.0;
        // Under the lock, so that the last value published is the current one.
        let table = self.lock();
        let viewers = || table.records.values().map(|record| &record.info);
        let cameras: Vec<usize> = viewers().map(|viewer| viewer.camera).collect();
        let undecoded: Vec<usize> = viewers().filter(|viewer| viewer.undecoded).map(|viewer| viewer.camera).collect();
        inner.metrics.viewers.set(cameras.len() as i64);
        inner.status.viewers(&cameras, &undecoded);
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
mod info;
mod preferences;
mod session_id;
mod table;
#[cfg(test)]
mod tests;
