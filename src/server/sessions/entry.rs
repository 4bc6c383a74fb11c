//! A viewer's place in the table, as its session holds it, and as those know it who serve the viewer beside the session.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::{Preferences, SessionRecord, SessionRegistry};

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody asked for it: the viewer, or an operator.
    Closed,
    /// An operator has sent the viewer away.
    Kicked,
    /// The viewer's right to watch is gone.
    Revoked,
    /// The program stops.
    Stopping,
}

impl EndReason {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed by the board",
            Self::Kicked => "an operator has ended this session",
            Self::Revoked => "the right to watch is gone; sign in again",
            Self::Stopping => "the board is stopping",
        }
    }

    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Kicked => "kicked",
            Self::Revoked => "revoked",
            Self::Stopping => "stopping",
        }
    }
}

/// A session's name and its end, for those who serve its viewer beside the session's own task; a cheap handle.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    pub(super) id: String,
    pub(super) end: CancellationToken,
    pub(super) reason: Arc<OnceLock<EndReason>>,
}

impl SessionHandle {
    /// The session's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends the session.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Why the board ends the session.
    pub fn reason(&self) -> EndReason {
        // Nobody has ended this one alone.
        self.reason.get().copied().unwrap_or(EndReason::Stopping)
    }
}

/// A viewer's place in the table; given back when it drops, also by a panic of the session's task.
#[derive(Debug)]
pub struct SessionGuard {
    pub(super) registry: SessionRegistry,
    pub(super) arrival: u64,
    pub(super) handle: SessionHandle,
}

impl SessionGuard {
    /// The session's name and its end.
    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// Notes that the viewer has connected.
    pub fn set_connected(&self) {
        self.update(|record| record.connected = true);
    }

    /// Tells that the choice in `wishes` is followed from the camera's next key frame on.
    pub fn accept_selection(&self, preferences: &Preferences) {
        self.acknowledge(preferences, None);
    }

    /// Tells why the choice in `wishes` is not followed, and takes it back.
    pub fn reject_selection(&self, preferences: &Preferences, reason: String) {
        self.update(|record| {
            record.preferences.send_modify(|latest| {
                if latest.selection_seq == preferences.selection_seq {
                    latest.camera = record.info.camera;
                }
            });
        });
        self.acknowledge(preferences, Some(reason));
    }

    fn acknowledge(&self, preferences: &Preferences, rejected: Option<String>) {
        self.update(|record| {
            record.selection.send_modify(|selection| {
                selection.acked_seq = preferences.selection_seq;
                selection.rejected = rejected;
            });
        });
    }

    /// Tells that the viewer is sent the pictures of `camera` now.
    pub fn set_camera(&self, camera: usize) {
        self.update(|record| {
            record.info.camera = camera;
            record.selection.send_modify(|selection| selection.camera = camera);
        });
        self.registry.publish();
    }

    fn update(&self, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(record) = self.registry.lock().records.get_mut(&self.arrival) {
            change(record);
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        // In its own statement: a row's channels wake their followers when they drop, outside the lock.
        let record = self.registry.lock().records.remove(&self.arrival);
        if record.is_some() {
            self.registry.publish();
        }
    }
}
