//! What a viewer wishes of its own session.

use std::time::Duration;

use tokio::time::timeout;

use super::Dispatcher;
use crate::model::protocol::{Code, Command, Error, Reply};
use crate::server::sessions::{Preferences, SelectError};

/// How long it may take until a session goes over to another camera, which may have to be opened first to know its
/// format.
const SELECTING: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Carries out a command of the viewer of `session`.
    pub(super) async fn own(&self, session: &str, command: Command) -> Result<Reply, Error> {
        match command {
            Command::CameraSelect { camera } => self.select(session, &camera).await,
            Command::VideoKeyframe {} => self.wish(session, |wishes| wishes.keyframe += 1),
            Command::VideoPause {} => self.wish(session, |wishes| wishes.paused = true),
            Command::VideoResume {} => self.wish(session, |wishes| wishes.paused = false),
            Command::AudioMute { muted } => {
                self.wish(session, |wishes| wishes.muted = muted).map(|_| Reply::Muted { muted })
            }
            Command::LatencySet { mode } => {
                let (mut min, mut max) = (0, 0);
                self.wish(session, |wishes| {
                    wishes.latency = mode;
                    (min, max) = wishes.delay();
                })?;
                Ok(Reply::Latency { mode, min, max })
            }
            _ => Err(Error::new(Code::Internal, "a command that no session carries out")),
        }
    }

    async fn select(&self, session: &str, name: &str) -> Result<Reply, Error> {
        let index = self.index(name)?;
        match timeout(SELECTING, self.0.parts.viewers.select(session, index)).await {
            Ok(Ok(())) => {}
            Ok(Err(SelectError::Unknown)) => return Err(ended()),
            Ok(Err(SelectError::Refused(reason))) => return Err(Error::new(Code::Refused, reason)),
            Err(_) => {
                let message = format!("{name} gave no picture within {} s", SELECTING.as_secs());
                return Err(Error::new(Code::Unavailable, message));
            }
        }
        let camera = self.0.parts.board.snapshot().cameras.into_iter().nth(index);
        let (width, height) = camera.map(|camera| (camera.width, camera.height)).unwrap_or_default();
        Ok(Reply::Selected { camera: name.into(), width, height })
    }

    fn wish(&self, session: &str, change: impl FnOnce(&mut Preferences)) -> Result<Reply, Error> {
        if self.0.parts.viewers.wish(session, change) { Ok(Reply::Done {}) } else { Err(ended()) }
    }
}

fn ended() -> Error {
    Error::new(Code::NotFound, "the session has ended")
}
