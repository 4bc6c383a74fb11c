//! Commands of a viewer who wants to talk, and announcements.
//!
//! Who has the floor is decided in `floor`; announcements are decoded in `pipeline::speaker`.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Caller, Dispatcher};
use crate::media::sound_file::SoundFileError;
use crate::model::protocol::{Code, Error, Reply};
use crate::pipeline::speaker::{Announcement, AnnouncementError, AnnouncementState};
use crate::server::auth::Role;
use crate::server::floor::{Floor, FloorError};

/// After how many milliseconds it makes sense to ask again for the floor that somebody has.
pub const RETRY_MS: u64 = 500;

/// How long a speaker may take to open before an announcement is given up: a USB sound card takes less than a second.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a sound is not announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// The file is none that can be announced.
    #[error(transparent)]
    File(#[from] AnnouncementError),
    /// It does not get the floor.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// Another file is being received or decoded.
    #[error("another sound is being received; try again in a moment")]
    Busy,
    /// The configuration names no speaker, and none was found.
    #[error("no speaker was found; plug one in, or name one in [speaker] of the configuration")]
    NoSpeaker,
    /// The speaker fails.
    #[error("the speaker cannot be used: {0}")]
    Speaker(String),
    /// It was interrupted before it began.
    #[error("the sound was interrupted before it was heard")]
    Cut,
}

impl From<AnnounceError> for Error {
    fn from(error: AnnounceError) -> Self {
        let message = error.to_string();
        match error {
            AnnounceError::File(_) => Self::new(Code::Params, message),
            AnnounceError::Busy | AnnounceError::Floor(FloorError::Taken(_)) => Self::busy(RETRY_MS, message),
            AnnounceError::Floor(_) | AnnounceError::NoSpeaker | AnnounceError::Speaker(_) | AnnounceError::Cut => {
                Self::new(Code::Refused, message)
            }
        }
    }
}

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

    /// Takes the floor from the caller, if they have it. Operators end an announcement, too.
    pub(super) fn stop_talk(&self, caller: &Caller) -> Reply {
        if let Some(session) = &caller.session {
            self.floor().stop(session);
        }
        if caller.role >= Role::Operator {
            self.floor().stop_announcement();
        }
        Reply::Done {}
    }

    /// Permission to receive the file of an announcement and decode it: for one at a time, because it takes memory.
    ///
    /// # Errors
    ///
    /// When there is another one.
    pub fn admit_announcement(&self) -> Result<OwnedSemaphorePermit, AnnounceError> {
        self.0.announcement_limiter.clone().try_acquire_owned().map_err(|_| AnnounceError::Busy)
    }

    /// Plays a sound file on the board's speaker, for a caller who is an operator. Returns how long it is heard, as soon as it is.
    ///
    /// # Errors
    ///
    /// See [`AnnounceError`].
    pub async fn announce(&self, caller: &Caller, file: Bytes) -> Result<Duration, AnnounceError> {
        // Before the work.
        self.floor().check_announcement()?;
        // Decoding blocks for a moment.
        let decoded = spawn_blocking(move || Announcement::read(file)).await;
        let announcement = decoded.unwrap_or_else(|error| {
            tracing::error!("decode a sound: {error}");
            Err(SoundFileError::Damaged("the decoder has failed".into()).into())
        })?;
        let (length, mut progress) = (announcement.length(), announcement.watch());
        self.floor().announce(announcement, &self.name(caller))?;
        let begun = timeout(BEGIN_TIMEOUT, progress.wait_for(|state| *state != AnnouncementState::Waiting)).await;
        match begun.map(|begun| begun.map(|state| state.clone())) {
            Ok(Ok(AnnouncementState::Playing | AnnouncementState::Played)) => Ok(length),
            Ok(Ok(AnnouncementState::NoSpeaker)) => Err(AnnounceError::NoSpeaker),
            Ok(Ok(AnnouncementState::Failed(why))) => Err(AnnounceError::Speaker(why)),
            // Closed when it has lost the floor.
            Ok(Ok(AnnouncementState::Cut | AnnouncementState::Waiting) | Err(_)) => Err(AnnounceError::Cut),
            Err(_) => {
                self.floor().stop_announcement();
                Err(AnnounceError::Speaker(format!("it did not open within {} s", BEGIN_TIMEOUT.as_secs())))
            }
        }
    }
}
