//! Commands of a viewer who wants to talk.
//!
//! Who has the floor is decided in `floor`.

use super::Dispatcher;
use crate::model::protocol::{Code, Error, Reply};
use crate::server::floor::{Floor, FloorError};

/// After how many milliseconds it makes sense to ask again for the floor that somebody has.
const RETRY_MS: u64 = 500;

impl Dispatcher {
    /// Who talks.
    pub fn floor(&self) -> &Floor {
        &self.0.deps.floor
    }

    /// Gives the floor to the viewer of `session`.
    pub(super) fn start_talk(&self, session: &str) -> Result<Reply, Error> {
        let viewer = self.0.deps.sessions.get(session).ok_or_else(super::session_commands::session_ended)?;
        match self.floor().start(session, viewer.role, &viewer.name) {
            Ok(()) => Ok(Reply::Done {}),
            Err(FloorError::Role) => Err(Error::forbidden("talk.start")),
            Err(error @ FloorError::Taken(_)) => Err(Error::busy(RETRY_MS, error.to_string())),
            Err(error @ (FloorError::NoSpeaker | FloorError::NoSeat | FloorError::Privacy)) => {
                Err(Error::new(Code::Refused, error.to_string()))
            }
        }
    }

    /// Takes the floor from the viewer of `session`, if they have it.
    pub(super) fn stop_talk(&self, session: &str) -> Reply {
        self.floor().stop(session);
        Reply::Done {}
    }
}
