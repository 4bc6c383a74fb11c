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
    pub(super) viewers: SessionRegistry,
    pub(super) arrival: u64,
    pub(super) seat: SessionHandle,
}

impl SessionGuard {
    /// The session's name and its end.
    pub fn seat(&self) -> &SessionHandle {
        &self.seat
    }

    /// Notes that the viewer has connected.
    pub fn connected(&self) {
        self.change(|row| row.connected = true);
    }

    /// Tells that the choice in `wishes` is followed from the camera's next key frame on.
    pub fn accept(&self, wishes: &Preferences) {
        self.answer(wishes, None);
    }

    /// Tells why the choice in `wishes` is not followed, and takes it back.
    pub fn refuse(&self, wishes: &Preferences, reason: String) {
        self.change(|row| {
            row.wishes.send_modify(|latest| {
                if latest.choice == wishes.choice {
                    latest.camera = row.viewer.camera;
                }
            });
        });
        self.answer(wishes, Some(reason));
    }

    fn answer(&self, wishes: &Preferences, refused: Option<String>) {
        self.change(|row| {
            row.selection.send_modify(|selection| {
                selection.answers = wishes.choice;
                selection.refused = refused;
            });
        });
    }

    /// Tells that the viewer is sent the pictures of `camera` now.
    pub fn plays(&self, camera: usize) {
        self.change(|row| {
            row.viewer.camera = camera;
            row.selection.send_modify(|selection| selection.camera = camera);
        });
        self.viewers.publish();
    }

    fn change(&self, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(row) = self.viewers.lock().rows.get_mut(&self.arrival) {
            change(row);
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        // In its own statement: a row's channels wake their followers when they drop, outside the lock.
        let row = self.viewers.lock().rows.remove(&self.arrival);
        if row.is_some() {
            self.viewers.publish();
        }
    }
}
