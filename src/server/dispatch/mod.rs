//! Executes commands of viewers, scripts and the shell on the device: the one place that knows which handle serves a
//! command and who may give it.
//!
//! Requests and replies are defined in `model::protocol`. Transport belongs to `rtc` for data channels, to `http`, and
//! to `unix_socket` for the shell.

mod camera_commands;
mod events;
mod mjpeg;
mod permissions;
mod publish_commands;
mod record_commands;
mod session_commands;
mod talk_commands;
pub mod unix_socket;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};

pub use camera_commands::{CameraHandle, Snapshot};
pub use events::EventStream;
pub use mjpeg::MjpegStream;
pub use permissions::Caller;
pub use talk_commands::{AnnounceError, RETRY_MS};

use crate::media::{Timestamp, VIDEO_RTP_RATE};
use crate::model::inventory::{CameraInfo, SoundCardInfo};
use crate::model::metrics::Metrics;
use crate::model::protocol;
use crate::model::protocol::result::CallerInfo;
use crate::model::protocol::{Code, Command, Error, MotionEvent, NoticeValues, ParseError, Reply, Request};
use crate::model::status;
use crate::pipeline::privacy::{PrivacyChange, PrivacySwitch};
use crate::pipeline::recorder::Recorder;
use crate::server::auth::Role;
use crate::server::floor::Floor;
use crate::server::photos::Photos;
use crate::server::publish_switches::PublishSwitches;
use crate::server::sessions::{ServerMessage, SessionHandle, SessionRegistry};
use crate::util::broadcast::{RecvError, Subscriber};
use crate::util::lock::Mutex;
use crate::util::text;
use crate::util::token_bucket::{Bucket, Rate};

/// Rate limit of chat messages per caller: a fast typist sends a line every two seconds.
const CHAT_RATE: Rate = Rate::new(5, 1);

/// How many callers the chat rate limit keeps track of. Far more than can watch; it bounds the memory that programs
/// with many tokens can use.
const MAX_CHAT_BUCKETS: usize = 256;

/// Lists the cameras and sound cards of the device. Queries the kernel and blocks.
pub type Devices = dyn Fn() -> (Vec<CameraInfo>, Vec<SoundCardInfo>) + Send + Sync;

/// The handles that commands are executed with.
pub struct DispatcherDeps {
    /// The cameras, in the order of the status.
    pub cameras: Vec<CameraHandle>,
    /// The viewers' sessions.
    pub sessions: SessionRegistry,
    /// The current status.
    pub status: status::StatusPublisher,
    /// Counters.
    pub metrics: Metrics,
    /// Lists the device's hardware.
    pub devices: Box<Devices>,
    /// Who talks.
    pub floor: Floor,
    /// The privacy switch of cameras and microphone.
    pub privacy: PrivacySwitch,
    /// Photos stored on the device.
    pub photos: Photos,
    /// What is published to servers.
    pub publish: PublishSwitches,
    /// Recordings.
    pub recorder: Recorder,
}

/// Executes commands; a cheap handle.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    deps: DispatcherDeps,
    /// Counts hotplug events.
    device_changes: watch::Sender<u64>,
    /// The chat rate limit of each caller.
    chat_buckets: Mutex<HashMap<String, Bucket>>,
    /// One device scan at a time: it opens every device.
    device_scan: Arc<Semaphore>,
    /// One file of an announcement at a time: it is large.
    announcement_limiter: Arc<Semaphore>,
    /// Limits concurrent and queued snapshots.
    snapshot_limiter: camera_commands::SnapshotLimiter,
}

impl Dispatcher {
    /// A dispatcher that executes commands with these handles.
    pub fn new(deps: DispatcherDeps) -> Self {
        let snapshot_limiter = camera_commands::SnapshotLimiter::default();
        let (device_changes, chat_buckets) = (watch::Sender::default(), Mutex::default());
        let [device_scan, announcement_limiter] = [1, 1].map(|permits| Arc::new(Semaphore::new(permits)));
        let inner = Inner { deps, device_changes, chat_buckets, device_scan, announcement_limiter, snapshot_limiter };
        Self(Arc::new(inner))
    }

    /// A dispatcher without cameras, for tests of other modules.
    #[cfg(test)]
    pub fn for_tests(sessions: SessionRegistry, status: status::StatusPublisher, metrics: Metrics) -> Self {
        let devices = Box::new(|| (Vec::new(), Vec::new()));
        use crate::server::floor;
        // Nothing can be written there, so nothing is stored.
        let nowhere = crate::util::state_dir::StateDir::open(Some("/dev/null/porthole".as_ref()));
        let photos = Photos::open(&crate::server::photos::Config::default(), &nowhere);
        let privacy = PrivacySwitch::new(status.clone(), Vec::new(), nowhere.clone());
        let publish = PublishSwitches::default();
        let library = crate::pipeline::recorder::Library::open(None, &nowhere);
        let recorder = Recorder::off(&crate::pipeline::recorder::Config::default(), library);
        let floor = Floor::new(floor::Config::default(), None, None, status.clone(), metrics.clone());
        let cameras = Vec::new();
        let deps =
            DispatcherDeps { cameras, sessions, status, metrics, devices, floor, privacy, photos, publish, recorder };
        Self::new(deps)
    }

    /// Notifies viewers that a device was plugged in or removed.
    pub fn notify_device_change(&self) {
        self.0.device_changes.send_modify(|count| *count += 1);
    }

    /// Tells viewers of motion, which all of them may see: each may watch every camera. Ends with the camera.
    pub async fn tell_motion(self, mut events: Subscriber<MotionEvent>) {
        loop {
            match events.recv().await {
                Ok(motion) => self.0.deps.sessions.broadcast(ServerMessage::Motion(motion)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The caller for the viewer of a session.
    pub fn viewer(&self, session: &SessionHandle) -> Caller {
        // A session that has just ended is no longer in the registry.
        let role = self.0.deps.sessions.get(session.id()).map_or(Role::Viewer, |viewer| viewer.role);
        Caller::viewer(session.id(), role)
    }

    /// Subscribes to the events that are sent to the viewer of a session.
    pub fn events(&self, session: &str) -> EventStream {
        let DispatcherDeps { sessions, status, metrics, floor, .. } = &self.0.deps;
        EventStream {
            session: session.into(),
            status: status.watch(),
            presence: sessions.watch(),
            messages: sessions.subscribe(),
            selection: sessions.selection(session),
            talk: floor.watch(),
            device_changes: self.0.device_changes.subscribe(),
            metrics: metrics.clone(),
            last_sent: Default::default(),
        }
    }

    /// Subscribes to the events for a program that watches nothing.
    pub fn events_for_program(&self) -> EventStream {
        self.events("")
    }

    /// Executes a request that arrived at `received`. For snapshots use [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    ///
    /// The error to send as the reply.
    pub async fn dispatch(&self, caller: &Caller, request: Request, received: Timestamp) -> Result<Reply, Error> {
        let Request { method, command, .. } = request;
        caller.authorize(method)?;
        self.0.deps.metrics.commands.inc();
        if method.operator {
            tracing::info!("{} ({}): {method}", self.name(caller), caller.role);
        }
        if let Some(session) = caller.session.as_deref().filter(|_| method.session) {
            return self.session_command(session, command).await;
        }
        match command {
            Command::Status {} => Ok(Reply::Status {
                report: Box::new(self.report_for(self.0.deps.status.report(), caller.role)),
                you: self.caller_info(caller),
            }),
            Command::DevicesList {} => self.devices().await,
            Command::CameraList {} => Ok(self.camera_list(caller)),
            Command::ControlsList { camera } => self.controls_list(caller, camera).await,
            Command::ControlsGet { camera, name } => self.control(caller, camera, &name).await,
            Command::ControlsSet { camera, values } => self.controls_set(caller, camera, values.0).await,
            Command::ControlsReset { camera, names } => self.controls_reset(caller, camera, names).await,
            Command::VideoSet { camera, width, height, fps, bitrate } => {
                let request = camera_commands::VideoSetRequest { size: width.zip(height), fps, bitrate };
                self.video_set(caller, camera, request).await
            }
            Command::PhotoTake { camera } => self.take_photo(caller, camera).await,
            Command::PrivacySet { on } => self.privacy(caller, Some(on)).await,
            Command::PrivacyToggle {} => self.privacy(caller, None).await,
            Command::PublishStart { camera } => self.publish(caller, camera.as_deref(), true),
            Command::PublishStop { camera } => self.publish(caller, camera.as_deref(), false),
            Command::RecordStart { camera } => self.record(caller, camera.as_deref(), true),
            Command::RecordStop { camera } => self.record(caller, camera.as_deref(), false),
            Command::SessionList {} => Ok(self.sessions(caller)),
            Command::SessionLimit { session, bitrate } => self.limit(&session, bitrate),
            Command::SessionKick { session } => self.kick(caller, &session),
            Command::ChatSend { text, name } => self.send_chat(caller, &text, name.as_deref()),
            Command::TalkStop {} => Ok(self.stop_talk(caller)),
            Command::TimeSync {} => {
                let milliseconds = |time: Timestamp| time.unix().as_secs_f64() * 1e3;
                let epoch = caller.session.as_deref().and_then(|session| self.0.deps.sessions.video_epoch(session));
                let sent = Timestamp::now();
                let video = epoch.map(|epoch| sent.rtp(VIDEO_RTP_RATE).wrapping_add(epoch));
                Ok(Reply::Times { received: milliseconds(received), sent: milliseconds(sent), video })
            }
            // Session commands are handled above.
            Command::CameraSelect { .. }
            | Command::VideoKeyframe {}
            | Command::VideoPause {}
            | Command::VideoResume {}
            | Command::VideoQuality { .. }
            | Command::SessionStatus {}
            | Command::SessionReport { .. }
            | Command::AudioMute { .. }
            | Command::TalkStart {}
            | Command::LatencySet { .. }
            | Command::Snapshot { .. } => Err(Error::session(method.name)),
        }
    }

    /// Parses a message that has just arrived and executes its command: the reply as JSON, and the same as a value.
    pub async fn handle_message(&self, caller: &Caller, message: &[u8]) -> (String, Result<Reply, Error>) {
        let received = Timestamp::now();
        let (id, outcome) = match Request::parse(message) {
            Ok(request) => (request.id.clone(), self.dispatch(caller, request, received).await),
            Err(ParseError { id, error }) => (id, Err(error)),
        };
        (protocol::answer(&id.unwrap_or_default(), &outcome), outcome)
    }

    /// Executes the command of a button on the device. Nobody waits for the reply; errors are logged.
    pub async fn run_button_command(&self, request: &str) {
        if let (_, Err(error)) = self.handle_message(&Caller::button(), request.as_bytes()).await {
            tracing::warn!("a button's command {request} failed: {}", error.message);
        }
    }

    /// Sets the privacy switch, or toggles it when `on` is `None`.
    async fn privacy(&self, caller: &Caller, on: Option<bool>) -> Result<Reply, Error> {
        let (switch, by) = (self.0.deps.privacy.clone(), self.name(caller));
        // Blocking, because the switch is stored in a file.
        let name = by.clone();
        let change = tokio::task::spawn_blocking(move || switch.set(on, &name));
        let PrivacyChange { on, changed, kept } =
            change.await.map_err(|error| internal("set the privacy switch", &error))?;
        if on {
            // Nobody is heard any more, and the floor is free when the switch is turned off again.
            self.0.deps.floor.clear();
        }
        if changed {
            let (code, now) = if on { ("privacy.on", "off") } else { ("privacy.off", "on again") };
            let unkept = if kept { "" } else { ", but a restart may undo this: it could not be stored" };
            let text = format!("{by} has switched cameras and microphone {now}{unkept}");
            let values = NoticeValues { by, ..NoticeValues::default() };
            self.0.deps.sessions.broadcast(ServerMessage::Notice { warning: !kept, code, values, text });
        }
        Ok(Reply::Privacy { on, kept })
    }

    /// The caller's display name.
    fn name(&self, caller: &Caller) -> String {
        let viewer = caller.session.as_ref().and_then(|session| self.0.deps.sessions.get(session));
        viewer.map_or_else(|| caller.name.clone(), |viewer| viewer.name)
    }

    fn caller_info(&self, caller: &Caller) -> CallerInfo {
        CallerInfo { session: caller.session.clone(), role: caller.role.to_string(), name: self.name(caller) }
    }

    async fn devices(&self) -> Result<Reply, Error> {
        let Ok(device_scan) = self.0.device_scan.clone().try_acquire_owned() else {
            return Err(Error::busy(500, "the devices are already being listed"));
        };
        let dispatcher = self.clone();
        let listing = tokio::task::spawn_blocking(move || {
            let listed = (dispatcher.0.deps.devices)();
            drop(device_scan);
            listed
        });
        let (cameras, sounds) = listing.await.map_err(|error| internal("list the devices", &error))?;
        Ok(Reply::Devices { cameras, sounds })
    }

    fn kick(&self, caller: &Caller, session: &str) -> Result<Reply, Error> {
        let sessions = &self.0.deps.sessions;
        let name = sessions.get(session).map(|viewer| viewer.name);
        let (Some(name), true) = (name, sessions.kick(session)) else {
            return Err(session_commands::no_such_session());
        };
        let by = self.name(caller);
        tracing::info!("{by} ended the session of {name}");
        let text = format!("{by} ended the session of {name}");
        self.broadcast_notice("session.kicked", text, NoticeValues { by, name: Some(name), camera: None });
        Ok(Reply::Done {})
    }

    fn send_chat(&self, caller: &Caller, text: &str, name: Option<&str>) -> Result<Reply, Error> {
        self.check_chat_rate(caller, Instant::now())?;
        let text = text::lines(text);
        if text.is_empty() {
            return Err(Error::param("text", "it has nothing that can be seen"));
        }
        let name = name.map(text::name);
        if name.as_deref() == Some("") {
            return Err(Error::param("name", "it has nothing that can be seen; choose another"));
        }
        let sessions = &self.0.deps.sessions;
        let from = match (name.as_deref(), &caller.session) {
            (Some(name), session) => {
                let other = |viewer: &crate::server::sessions::SessionInfo| {
                    viewer.name == name && Some(&viewer.id) != session.as_ref()
                };
                if sessions.list().iter().any(other) {
                    return Err(Error::param("name", format!("another viewer is called {name:?}")));
                }
                if let Some(session) = session {
                    sessions.rename(session, name);
                }
                name.to_owned()
            }
            (None, _) => self.name(caller),
        };
        // The wall clock, because people compare it with their own.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        sessions.broadcast(ServerMessage::Chat { session: caller.session.clone(), from, text, time });
        Ok(Reply::Done {})
    }

    fn check_chat_rate(&self, caller: &Caller, now: Instant) -> Result<(), Error> {
        let mut chat_buckets = self.0.chat_buckets.lock();
        if chat_buckets.len() >= MAX_CHAT_BUCKETS {
            chat_buckets.retain(|_, bucket| !bucket.is_full(CHAT_RATE, now));
        }
        if chat_buckets.len() >= MAX_CHAT_BUCKETS && !chat_buckets.contains_key(&caller.rate_limit_key) {
            return Err(Error::busy(1000, "too many people are chatting"));
        }
        let bucket = chat_buckets.entry(caller.rate_limit_key.clone()).or_insert_with(|| Bucket::new(CHAT_RATE, now));
        bucket
            .try_acquire(CHAT_RATE, now)
            .map_err(|wait| Error::busy(wait.as_millis() as u64 + 1, "too many messages; slow down"))
    }

    /// Sends a notice to all viewers.
    fn broadcast_notice(&self, code: &'static str, text: String, values: NoticeValues) {
        self.0.deps.sessions.broadcast(ServerMessage::Notice { warning: false, code, values, text });
    }
}

/// Logs an internal error and makes it a reply.
fn internal(what: &str, error: &dyn std::fmt::Display) -> Error {
    tracing::error!("{what}: {error}");
    Error::new(Code::Internal, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn buttons_have_the_operator_role() {
        let (metrics, status) = (Metrics::new(), status::StatusPublisher::new(status::Status::default()));
        let sessions = SessionRegistry::new(metrics.clone(), status.clone());
        let mut messages = sessions.subscribe();
        let dispatcher = Dispatcher::for_tests(sessions, status.clone(), metrics);
        for (request, on) in [
            (r#"{"method":"privacy.toggle"}"#, true),
            (r#"{"method":"privacy.set","params":{"on":true}}"#, true),
            (r#"{"method":"privacy.set"}"#, true),
            (r#"{"method":"snapshot"}"#, true),
            ("nothing", true),
            (r#"{"method":"privacy.set","params":{"on":false}}"#, false),
        ] {
            dispatcher.run_button_command(request).await;
            assert_eq!(status.snapshot().privacy, on, "{request}");
        }
        for (expected, words) in [
            (
                "privacy.on",
                "a button has switched cameras and microphone off, but a restart may undo this: it could not be stored",
            ),
            (
                "privacy.off",
                "a button has switched cameras and microphone on again, but a restart may undo this: it could not be stored",
            ),
        ] {
            let Ok(ServerMessage::Notice { text, code, values, .. }) = messages.recv().await else {
                panic!("viewers should be notified: {words}")
            };
            assert_eq!((text.as_str(), code, values.by.as_str()), (words, expected, "a button"));
        }
    }

    #[tokio::test]
    async fn names_and_messages_have_nothing_that_cannot_be_seen() {
        let (metrics, status) = (Metrics::new(), status::StatusPublisher::new(status::Status::default()));
        let sessions = SessionRegistry::new(metrics.clone(), status.clone());
        let mut messages = sessions.subscribe();
        let dispatcher = Dispatcher::for_tests(sessions, status, metrics);
        let send = async |params: serde_json::Value| {
            let request = serde_json::json!({ "method": "chat.send", "params": params }).to_string();
            dispatcher.handle_message(&Caller::shell(), request.as_bytes()).await.1
        };
        send(serde_json::json!({ "text": "a\n\u{202e}b\u{200b}", "name": "\u{202e}An\u{200b}n\u{2069}e\u{301}" }))
            .await
            .unwrap();
        let Ok(ServerMessage::Chat { from, text, .. }) = messages.recv().await else { panic!("no message") };
        assert_eq!((from.as_str(), text.as_str()), ("Ann\u{e9}", "a\nb"));
        for (params, wrong) in [
            (serde_json::json!({ "text": "\u{202e}\u{200b}" }), "text"),
            (serde_json::json!({ "text": "a", "name": "\u{2066} \u{2069}" }), "name"),
        ] {
            let error = send(params).await.unwrap_err();
            assert_eq!((error.code, &error.data["param"]), (Code::Params, &serde_json::json!(wrong)));
        }
    }
}
