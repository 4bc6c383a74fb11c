//! The current state, for people: the page, `/api/status`, the log, LEDs and the service manager.
//!
//! Counters are in `metrics`; it is written and read with `publisher`.

mod publisher;

use serde::Serialize;

use crate::media::Timestamp;
use crate::model::inventory::Control;

pub use publisher::StatusPublisher;

/// The state of a camera or a microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum PipelineState {
    /// Switched off in the configuration, or `auto` found none.
    Off,
    /// Closed, because nobody watches or the privacy switch is on.
    #[default]
    Idle,
    /// Being opened.
    Starting,
    /// Delivering.
    Live,
    /// Unavailable; `fault` says why.
    Fault,
}

/// A rendition of a camera's video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Rendition {
    /// The camera's own size.
    #[default]
    Main,
    /// Half of its width and height.
    Small,
}

/// Which frames of a stream a viewer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// All of them.
    #[default]
    All,
    /// Those that others need.
    Base,
}

/// The kind of a camera's fault, for programs and for LEDs that blink a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Not present.
    Away,
    /// In use by another program, or by another camera of the configuration.
    Busy,
    /// Present, but delivers no frames: it failed, fell silent, or its program has ended.
    Broken,
    /// It cannot satisfy the configuration.
    Settings,
    /// Its frames cannot be encoded.
    Encoder,
}

/// One camera.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct CameraStatus {
    /// Its name in URLs.
    pub name: String,
    /// The device as configured.
    pub device: String,
    /// The source in use or last used.
    pub source: Option<String>,
    /// The camera's identity, independent of its path: a name that the configuration accepts.
    pub identity: Option<String>,
    /// Whether the source is the built-in test pattern.
    pub pattern: bool,
    /// Its state.
    pub state: PipelineState,
    /// Width in pixels, as negotiated.
    pub width: Option<u32>,
    /// Height in pixels, as negotiated.
    pub height: Option<u32>,
    /// Frames per second, as negotiated.
    pub fps: Option<f64>,
    /// Pixel format, as negotiated.
    pub format: Option<&'static str>,
    /// The encoder in use.
    pub encoder: Option<&'static str>,
    /// The target bitrate in bit/s.
    pub bitrate: Option<u32>,
    /// Its controls: current while it is open, the last known values when it is closed.
    pub controls: Vec<Control>,
    /// Viewers of this camera.
    pub watched: usize,
    /// Those of them whose players decode nothing of what they receive.
    pub undecoded: usize,
    /// Why there is no video.
    pub fault: Option<String>,
    /// The kind of the fault.
    pub trouble: Option<FaultKind>,
    /// Since when the camera is in fault, in seconds since the Unix epoch.
    pub since: Option<u64>,
    /// What moves in its picture; `None` while that is not looked for.
    pub motion: Option<MotionStatus>,
}

/// Whether anything moves in a camera's picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct MotionStatus {
    /// Whether anything does now.
    pub moving: bool,
    /// When the last motion began, in seconds since the Unix epoch.
    pub began: Option<u64>,
    /// Its score, 1 to 100.
    pub score: Option<u8>,
}

/// The microphone.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Audio {
    /// The device as configured.
    pub device: String,
    /// The source in use or last used.
    pub source: Option<String>,
    /// Its state.
    pub state: PipelineState,
    /// Why there is no audio.
    pub fault: Option<String>,
    /// Whether Opus is encoded, which it is while somebody hears it.
    pub encoding: bool,
}

/// The speaker, through which viewers talk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct SpeakerStatus {
    /// The device as configured.
    pub device: String,
    /// The device in use or last used.
    pub source: Option<String>,
    /// Its state.
    pub state: PipelineState,
    /// Why nobody is heard.
    pub fault: Option<String>,
    /// What the microphone does while somebody talks: `half` or `full`, as configured, or `half` while the processor is too slow
    /// for full duplex.
    pub mode: &'static str,
    /// The role that may talk.
    pub allow: String,
    /// Who talks.
    pub talker: Option<String>,
}

/// What shows the picture of who talks (`[screen]` in the configuration).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ScreenStatus {
    /// Its state: live while somebody is shown.
    pub state: PipelineState,
    /// Why nobody is, for operators.
    pub fault: Option<String>,
}

/// The connection to the MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Mqtt {
    /// Whether there is one.
    pub connected: bool,
    /// Why there is none, or what the broker refuses.
    pub fault: Option<String>,
}

/// A camera's publication to a server (`[[publish]]` in the configuration).
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct PublishStatus {
    /// Scheme, host and port of the server, for operators. The rest of its address may be a secret.
    pub server: Option<String>,
    /// The camera's name.
    pub camera: String,
    /// Its state; idle while it shall not be published.
    pub state: PipelineState,
    /// Why it is not published, for operators.
    pub fault: Option<String>,
}

/// What is or was recorded on this machine (`[recording]` in the configuration).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct RecordingStatus {
    /// `off`, `always`, `manual` or `events`.
    pub mode: &'static str,
    /// The role that may see recordings.
    pub allow: &'static str,
    /// Whether something that should be recorded is not, because it cannot be stored.
    pub failed: bool,
    /// Why, for operators.
    pub fault: Option<String>,
    /// Each camera, in the order of the configuration; none when recording is off.
    pub cameras: Vec<CameraRecording>,
}

/// Whether a camera is being recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct CameraRecording {
    /// The camera's name.
    pub camera: String,
    /// Whether it is.
    pub recording: bool,
    /// The ID of the recording that is being written.
    pub id: Option<u64>,
    /// Why it is: `always`, `manual` or `motion`.
    pub cause: Option<&'static str>,
    /// When that recording starts, in seconds since the Unix epoch.
    pub since: Option<i64>,
}

/// The time-lapses that are made on this machine (`[timelapse]` in the configuration).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct TimelapseStatus {
    /// Whether pictures are missing in them, because they cannot be stored.
    pub failed: bool,
    /// Why, for operators.
    pub fault: Option<String>,
    /// Each camera, in the order of the configuration.
    pub cameras: Vec<CameraTimelapse>,
}

/// The time-lapse of a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct CameraTimelapse {
    /// The camera's name.
    pub camera: String,
    /// The ID, as of recordings, of the one that is being written.
    pub id: Option<u64>,
    /// When it starts, in seconds since the Unix epoch.
    pub since: Option<i64>,
}

/// The whole status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The cameras in the order of the configuration.
    pub cameras: Vec<CameraStatus>,
    /// The microphone.
    pub audio: Audio,
    /// The speaker.
    pub speaker: SpeakerStatus,
    /// What shows the picture of who talks; `None` where nothing does.
    pub screen: Option<ScreenStatus>,
    /// Whether the privacy switch is on: cameras and microphone are closed, whoever watches.
    pub privacy: bool,
    /// Whether the state of the privacy switch is stored, so that a restart does not change it.
    pub privacy_kept: bool,
    /// Files of the state directory that were damaged, by the names under which they were set aside.
    pub damaged_files: Vec<String>,
    /// The connection to the MQTT broker; `None` when MQTT is off.
    pub mqtt: Option<Mqtt>,
    /// Cameras that are published to servers, in the order of the configuration.
    pub publish: Vec<PublishStatus>,
    /// What is recorded on this machine; `None` when recording is off and there are no recordings of before.
    pub recording: Option<RecordingStatus>,
    /// The time-lapses that are made on this machine; `None` when there are none.
    pub timelapse: Option<TimelapseStatus>,
    /// Viewers connected or connecting.
    pub viewers: usize,
    /// Viewers allowed at once.
    pub max_viewers: usize,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            cameras: Vec::new(),
            audio: Audio::default(),
            speaker: SpeakerStatus::default(),
            screen: None,
            privacy: false,
            privacy_kept: true,
            damaged_files: Vec::new(),
            mqtt: None,
            publish: Vec::new(),
            recording: None,
            timelapse: None,
            viewers: 0,
            max_viewers: 0,
        }
    }
}

/// The status with version and uptime, as `/api/status` and the method `status` return it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The program's version.
    pub version: &'static str,
    /// The uptime in seconds.
    pub uptime_seconds: f64,
    /// The status.
    #[serde(flatten)]
    pub status: Status,
    /// The viewers, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<ViewerStatus>>,
}

/// What is known of a viewer's network; `null` where nothing is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewerStatus {
    /// The viewer's name.
    pub name: String,
    /// The camera that it is sent.
    pub camera: String,
    /// The rendition that it is sent.
    pub rendition: Rendition,
    /// Which frames of it.
    pub layers: Layers,
    /// What its network carries, in bit/s.
    pub estimate: Option<u32>,
    /// Its round trip time in milliseconds.
    pub rtt: Option<f64>,
    /// The share of packets that it lost lately.
    pub loss: Option<f64>,
    /// How long after its capture it shows a frame, in milliseconds.
    pub delay: Option<u32>,
    /// How often it was skipped to the live edge, because it was behind.
    pub skips: u64,
    /// Frames that were left out for its network without the picture standing still.
    pub left_out: u64,
}

impl From<Status> for Report {
    fn from(status: Status) -> Self {
        let uptime_seconds = Timestamp::now().since_start().as_secs_f64();
        Self { version: env!("CARGO_PKG_VERSION"), uptime_seconds, status, sessions: None }
    }
}

impl Status {
    /// Leaves out what is for operators alone: servers, and why they are away, which may name addresses, users and files.
    pub fn hide_from_viewers(&mut self) {
        self.screen.iter_mut().for_each(|screen| screen.fault = None);
        self.mqtt.iter_mut().for_each(|mqtt| mqtt.fault = None);
        self.recording.iter_mut().for_each(|recording| recording.fault = None);
        self.timelapse.iter_mut().for_each(|timelapse| timelapse.fault = None);
        self.publish.iter_mut().for_each(|publication| (publication.server, publication.fault) = (None, None));
    }
}
