//! Commands that a viewer gives for its own session.

use std::time::Duration;

use tokio::time::timeout;

use super::{Caller, Dispatcher};
use crate::model::protocol::result::SessionSummary;
use crate::model::protocol::{Code, Command, Error, Reply};
use crate::model::status::{Report, ViewerStatus};
use crate::server::auth::Role;
use crate::server::sessions::{PlayoutDelay, Preferences, SelectError, SessionInfo};

/// Timeout for switching cameras; the other camera may have to be opened first to learn its format.
const SELECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// The status as somebody with this role sees it: for operators with what is known of each viewer's network, for viewers
    /// without what is for operators alone.
    pub fn report_for(&self, mut report: Report, role: Role) -> Report {
        if role < Role::Operator {
            report.status.hide_from_viewers();
        } else {
            let cameras = &report.status.cameras;
            let viewer = |viewer: SessionInfo| ViewerStatus {
                name: viewer.name,
                camera: cameras.get(viewer.camera).map(|camera| camera.name.clone()).unwrap_or_default(),
                rendition: viewer.rendition,
                layers: viewer.layers,
                estimate: viewer.network.estimate,
                rtt: viewer.network.rtt_milliseconds(),
                loss: viewer.network.loss(),
                delay: viewer.delay,
                skips: viewer.skips,
                left_out: viewer.left_out,
            };
            report.sessions = Some(self.0.deps.sessions.list().into_iter().map(viewer).collect());
        }
        report
    }

    /// All sessions, as `caller` sees them.
    pub(super) fn sessions(&self, caller: &Caller) -> Reply {
        let cameras = self.0.deps.status.snapshot().cameras;
        let limit = |id: &str| self.0.deps.sessions.preferences(id).and_then(|preferences| preferences.limit);
        let summary = |viewer: SessionInfo| SessionSummary {
            limit: limit(&viewer.id),
            you: caller.session.as_ref() == Some(&viewer.id),
            session: viewer.id,
            name: viewer.name,
            role: viewer.role.to_string(),
            camera: cameras.get(viewer.camera).map(|camera| camera.name.clone()).unwrap_or_default(),
            rendition: viewer.rendition,
            layers: viewer.layers,
            since: viewer.since,
            undecoded: viewer.undecoded,
            estimate: viewer.network.estimate,
            rtt: viewer.network.rtt_milliseconds(),
            loss: viewer.network.loss(),
            delay: viewer.delay,
            skips: viewer.skips,
            left_out: viewer.left_out,
        };
        Reply::Sessions { sessions: self.0.deps.sessions.list().into_iter().map(summary).collect() }
    }

    /// Bounds what a viewer is sent, in bit/s.
    pub(super) fn limit(&self, session: &str, bitrate: Option<u32>) -> Result<Reply, Error> {
        let sessions = &self.0.deps.sessions;
        if sessions.get(session).is_some() && !sessions.follows_preferences(session) {
            let message =
                "only what WebRTC viewers are sent has a bitrate that can be bounded, and this session is none";
            return Err(Error::new(Code::Refused, message));
        }
        let is_known = sessions.update(session, |preferences| preferences.limit = bitrate);
        if is_known { Ok(Reply::Done {}) } else { Err(no_such_session()) }
    }

    /// Executes a command of the viewer of `session`.
    pub(super) async fn session_command(&self, session: &str, command: Command) -> Result<Reply, Error> {
        match command {
            Command::CameraSelect { camera } => self.select(session, &camera).await,
            Command::VideoKeyframe {} => self.update(session, |preferences| preferences.keyframe += 1),
            Command::VideoPause {} => self.update(session, |preferences| preferences.paused = true),
            Command::VideoResume {} => self.update(session, |preferences| preferences.paused = false),
            Command::VideoQuality { quality } => {
                self.update(session, |preferences| preferences.quality = quality).map(|_| Reply::Quality { quality })
            }
            Command::SessionStatus {} => self.session_status(session),
            Command::SessionReport { delay } => match self.0.deps.sessions.report_delay(session, delay) {
                true => Ok(Reply::Done {}),
                false => Err(session_ended()),
            },
            Command::AudioMute { muted } => {
                self.update(session, |preferences| preferences.muted = muted).map(|_| Reply::Muted { muted })
            }
            Command::TalkStart {} => self.start_talk(session),
            Command::LatencySet { mode } => {
                let mut delay = PlayoutDelay::default();
                self.update(session, |preferences| {
                    preferences.latency = mode;
                    delay = preferences.playout_delay();
                })?;
                Ok(Reply::Latency { mode, min: delay.min_ms, max: delay.max_ms })
            }
            _ => Err(Error::new(Code::Internal, "not a session command")),
        }
    }

    async fn select(&self, session: &str, name: &str) -> Result<Reply, Error> {
        let index = self.index(name)?;
        match timeout(SELECT_TIMEOUT, self.0.deps.sessions.select(session, index)).await {
            Ok(Ok(())) => {}
            Ok(Err(SelectError::Unknown)) => return Err(session_ended()),
            Ok(Err(SelectError::Rejected(reason))) => return Err(Error::new(Code::Refused, reason)),
            Err(_) => {
                let message = format!("{name} delivered no video within {} s", SELECT_TIMEOUT.as_secs());
                return Err(Error::new(Code::Unavailable, message));
            }
        }
        let camera = self.0.deps.status.snapshot().cameras.into_iter().nth(index);
        let (width, height) = camera.map(|camera| (camera.width, camera.height)).unwrap_or_default();
        Ok(Reply::Selected { camera: name.into(), width, height })
    }

    fn session_status(&self, session: &str) -> Result<Reply, Error> {
        let sessions = &self.0.deps.sessions;
        let (viewer, preferences) =
            sessions.get(session).zip(sessions.preferences(session)).ok_or_else(session_ended)?;
        let camera = self.0.deps.status.snapshot().cameras.into_iter().nth(viewer.camera);
        Ok(Reply::Session {
            camera: camera.map(|camera| camera.name).unwrap_or_default(),
            quality: preferences.quality,
            rendition: viewer.rendition,
            layers: viewer.layers,
            estimate: viewer.network.estimate,
            rtt: viewer.network.rtt_milliseconds(),
            loss: viewer.network.loss(),
            delay: viewer.delay,
            skips: viewer.skips,
            left_out: viewer.left_out,
        })
    }

    fn update(&self, session: &str, change: impl FnOnce(&mut Preferences)) -> Result<Reply, Error> {
        if self.0.deps.sessions.update(session, change) { Ok(Reply::Done {}) } else { Err(session_ended()) }
    }
}

/// For a session that was named in a command.
pub(super) fn no_such_session() -> Error {
    Error::new(Code::NotFound, "no such session; session.list names those there are")
}

pub(super) fn session_ended() -> Error {
    Error::new(Code::NotFound, "the session has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Metrics;
    use crate::model::status::{Mqtt, PublishStatus, Status, StatusPublisher};
    use crate::server::sessions::SessionRegistry;

    #[tokio::test]
    async fn viewers_see_whether_servers_are_connected_and_operators_why_not() {
        let mqtt = Some(Mqtt { connected: false, fault: Some("read /etc/p: denied".into()) });
        let (server, fault) = (Some("http://192.0.2.1".into()), Some("refused".into()));
        let camera = PublishStatus { camera: "door".into(), ..PublishStatus::default() };
        let publish = vec![PublishStatus { server, fault, ..camera.clone() }];
        let status = StatusPublisher::new(Status { mqtt: mqtt.clone(), publish: publish.clone(), ..Status::default() });
        let metrics = Metrics::new();
        let sessions = SessionRegistry::new(metrics.clone(), status.clone());
        let dispatcher = Dispatcher::for_tests(sessions, status.clone(), metrics);
        let seen = dispatcher.report_for(status.report(), Role::Operator).status;
        assert_eq!((seen.mqtt, seen.publish), (mqtt, publish));
        let seen = dispatcher.report_for(status.report(), Role::Viewer).status;
        assert_eq!(seen.mqtt, Some(Mqtt { connected: false, fault: None }));
        assert_eq!(seen.publish, [camera]);
    }
}
