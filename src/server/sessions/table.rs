//! The table of sessions: their records, in order of arrival, and which of them gives way when places are short.
//!
//! Pure: the time is an argument, and nothing here notifies anybody.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{DelayReport, EndReason, Preferences, Selection, SessionInfo};
use crate::util::fair_share;

/// When places are short, a session that has not connected for this long gives way to any other: a browser connects
/// within a second, and through a relay within three.
const PATIENCE: Duration = Duration::from_secs(5);

/// Limits on the number of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All sessions.
    pub viewers: usize,
    /// Sessions that have not connected yet.
    pub negotiating: usize,
}

/// Why another session is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityError {
    /// The limit on sessions is reached; how many there are.
    Full(usize),
    /// The limit on negotiating sessions is reached; how many there are.
    Negotiating(usize),
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct SessionTable {
    /// Counts registrations; the number gives the order of arrival.
    pub arrivals: u64,
    /// By order of arrival.
    pub records: BTreeMap<u64, SessionRecord>,
}

/// A session and what it is doing.
#[derive(Debug)]
pub(super) struct SessionRecord {
    pub info: SessionInfo,
    /// The viewer's address.
    pub client: IpAddr,
    /// Whether the viewer is a server that we publish to, which takes nobody's place.
    pub is_publication: bool,
    pub arrived: Instant,
    pub connected: bool,
    pub video_epoch: Option<u32>,
    /// What its page has reported of its delay since the session has asked.
    pub fresh_report: Option<DelayReport>,
    pub preferences: watch::Sender<Preferences>,
    pub selection: watch::Sender<Selection>,
    pub end: CancellationToken,
    pub reason: Arc<OnceLock<EndReason>>,
    pub attachment: Option<Attachment>,
}

/// What the session's task attached to its record; its type is known only there.
pub(super) type Attachment = Arc<dyn Any + Send + Sync>;

impl SessionTable {
    /// The session with this ID.
    pub fn find(&mut self, id: &str) -> Option<&mut SessionRecord> {
        self.records.values_mut().find(|record| record.info.id == id)
    }

    /// Makes room for a session of `client` at `now`. Returns the one that gave way for it.
    pub fn make_room(
        &mut self,
        client: IpAddr,
        now: Instant,
        limits: Limits,
    ) -> Result<Option<SessionRecord>, CapacityError> {
        let viewers = || self.records.iter().filter(|(_, record)| !record.is_publication);
        let all = viewers().count();
        let waiting = || viewers().filter(|(_, record)| !record.connected);
        let clients: Vec<IpAddr> = waiting().map(|(_, record)| record.client).collect();
        let negotiating = clients.len();
        if all < limits.viewers && negotiating < limits.negotiating {
            return Ok(None);
        }
        let holder = fair_share::gives_way(&clients, client);
        let of_holder = waiting().find(|(_, record)| Some(record.client) == holder);
        let overdue = || waiting().find(|(_, record)| now.saturating_duration_since(record.arrived) > PATIENCE);
        let oldest = of_holder.or_else(overdue).map(|(arrival, _)| *arrival);
        let displaced = oldest.and_then(|oldest| self.records.remove(&oldest));
        match &displaced {
            Some(record) => record.end(EndReason::Closed),
            None if all >= limits.viewers => return Err(CapacityError::Full(all)),
            None => return Err(CapacityError::Negotiating(negotiating)),
        }
        Ok(displaced)
    }

    /// The first of the names `viewer 1`, `viewer 2` and so on that is free.
    pub fn free_name(&self) -> String {
        let taken = |name: &str| self.records.values().any(|record| record.info.name == name);
        let mut names = (1..).map(|number| format!("viewer {number}"));
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

impl SessionRecord {
    /// Ends the session; it stays in the table.
    pub fn end(&self, reason: EndReason) {
        // The first reason wins.
        let _ = self.reason.set(reason);
        self.end.cancel();
    }
}
