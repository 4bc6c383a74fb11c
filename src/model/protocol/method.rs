//! The methods: who may call them, with which parameters. One table, and the same as types.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::schema::{Param, ParamType};
use crate::model::inventory::{Setting, Value};

/// A method.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Whether only operators may call it.
    pub operator: bool,
    /// Whether only the viewer of a session can call it.
    pub session: bool,
    /// Its parameters.
    pub params: &'static [Param],
}

/// A camera's name; configured names are shorter.
const CAMERA: Param = optional("camera", ParamType::Line(64));

const fn optional(name: &'static str, kind: ParamType) -> Param {
    Param { name, required: false, kind }
}

const fn required(name: &'static str, kind: ParamType) -> Param {
    Param { name, required: true, kind }
}

/// Pixels; no camera has more than 8K.
const SIDE: ParamType = ParamType::Number { min: 16, max: 8192, unit: "pixels" };

const fn viewer_method(name: &'static str, params: &'static [Param]) -> Method {
    Method { name, operator: false, session: false, params }
}

const fn session_method(name: &'static str, params: &'static [Param]) -> Method {
    Method { name, operator: false, session: true, params }
}

const fn operator_method(name: &'static str, params: &'static [Param]) -> Method {
    Method { name, operator: true, session: false, params }
}

/// Every method.
pub const METHODS: &[Method] = &[
    viewer_method("status", &[]),
    operator_method("devices.list", &[]),
    viewer_method("camera.list", &[]),
    session_method("camera.select", &[required("camera", CAMERA.kind)]),
    viewer_method("controls.list", &[CAMERA]),
    viewer_method("controls.get", &[CAMERA, required("name", ParamType::Line(256))]),
    operator_method("controls.set", &[CAMERA, required("values", ParamType::Values)]),
    operator_method("controls.reset", &[CAMERA, optional("names", ParamType::Names)]),
    operator_method(
        "video.set",
        &[
            CAMERA,
            optional("width", SIDE),
            optional("height", SIDE),
            optional("fps", ParamType::Number { min: 1, max: 240, unit: "frames a second" }),
            optional("bitrate", ParamType::Number { min: 50_000, max: 50_000_000, unit: "bits a second" }),
        ],
    ),
    session_method("video.keyframe", &[]),
    session_method("video.pause", &[]),
    session_method("video.resume", &[]),
    session_method("video.quality", &[required("quality", ParamType::Choice(&["auto", "low", "high"]))]),
    session_method("audio.mute", &[required("muted", ParamType::Switch)]),
    session_method("talk.start", &[]),
    viewer_method("talk.stop", &[]),
    session_method("latency.set", &[required("mode", ParamType::Choice(&["low", "smooth"]))]),
    session_method("snapshot", &[CAMERA]),
    operator_method("photo.take", &[CAMERA]),
    operator_method("privacy.toggle", &[]),
    operator_method("privacy.set", &[required("on", ParamType::Switch)]),
    operator_method("publish.start", &[CAMERA]),
    operator_method("publish.stop", &[CAMERA]),
    operator_method("record.start", &[CAMERA]),
    operator_method("record.stop", &[CAMERA]),
    session_method("session.status", &[]),
    session_method(
        "session.report",
        &[optional("delay", ParamType::Number { min: 0, max: 60_000, unit: "milliseconds" })],
    ),
    operator_method("session.list", &[]),
    operator_method(
        "session.limit",
        &[
            required("session", ParamType::Line(64)),
            optional("bitrate", ParamType::Number { min: 200_000, max: 50_000_000, unit: "bits a second" }),
        ],
    ),
    operator_method("session.kick", &[required("session", ParamType::Line(64))]),
    viewer_method("chat.send", &[required("text", ParamType::Lines(500)), optional("name", ParamType::Line(40))]),
    viewer_method("time.sync", &[]),
];

impl Method {
    /// The method of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How long a browser buffers frames before it shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// The configured delay, by default as short as possible.
    #[default]
    Low,
    /// Long enough for an unstable network.
    Smooth,
}

/// The rendition of the video that a viewer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// What its network carries.
    #[default]
    Auto,
    /// The smaller one, to save data.
    Low,
    /// The camera's own size, whatever its network carries.
    High,
}

/// A method with its parameters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "method", content = "params", deny_unknown_fields)]
#[expect(missing_docs, reason = "documented in docs/protocol.md, which a test keeps complete")]
pub enum Command {
    #[serde(rename = "status")]
    Status {},
    #[serde(rename = "devices.list")]
    DevicesList {},
    #[serde(rename = "camera.list")]
    CameraList {},
    #[serde(rename = "camera.select")]
    CameraSelect { camera: String },
    #[serde(rename = "controls.list")]
    ControlsList { camera: Option<String> },
    #[serde(rename = "controls.get")]
    ControlsGet { camera: Option<String>, name: String },
    #[serde(rename = "controls.set")]
    ControlsSet { camera: Option<String>, values: Settings },
    #[serde(rename = "controls.reset")]
    ControlsReset { camera: Option<String>, names: Option<Vec<String>> },
    #[serde(rename = "video.set")]
    VideoSet { camera: Option<String>, width: Option<u32>, height: Option<u32>, fps: Option<u32>, bitrate: Option<u32> },
    #[serde(rename = "video.keyframe")]
    VideoKeyframe {},
    #[serde(rename = "video.pause")]
    VideoPause {},
    #[serde(rename = "video.resume")]
    VideoResume {},
    #[serde(rename = "video.quality")]
    VideoQuality { quality: Quality },
    #[serde(rename = "audio.mute")]
    AudioMute { muted: bool },
    #[serde(rename = "talk.start")]
    TalkStart {},
    #[serde(rename = "talk.stop")]
    TalkStop {},
    #[serde(rename = "latency.set")]
    LatencySet { mode: Latency },
    #[serde(rename = "snapshot")]
    Snapshot { camera: Option<String> },
    #[serde(rename = "photo.take")]
    PhotoTake { camera: Option<String> },
    #[serde(rename = "privacy.set")]
    PrivacySet { on: bool },
    #[serde(rename = "privacy.toggle")]
    PrivacyToggle {},
    #[serde(rename = "publish.start")]
    PublishStart { camera: Option<String> },
    #[serde(rename = "publish.stop")]
    PublishStop { camera: Option<String> },
    #[serde(rename = "record.start")]
    RecordStart { camera: Option<String> },
    #[serde(rename = "record.stop")]
    RecordStop { camera: Option<String> },
    #[serde(rename = "session.status")]
    SessionStatus {},
    #[serde(rename = "session.report")]
    SessionReport { delay: Option<u32> },
    #[serde(rename = "session.list")]
    SessionList {},
    #[serde(rename = "session.limit")]
    SessionLimit { session: String, bitrate: Option<u32> },
    #[serde(rename = "session.kick")]
    SessionKick { session: String },
    #[serde(rename = "chat.send")]
    ChatSend { text: String, name: Option<String> },
    #[serde(rename = "time.sync")]
    TimeSync {},
}

/// Values for controls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Map<String, serde_json::Value>")]
pub struct Settings(pub Vec<Setting>);

impl From<Map<String, serde_json::Value>> for Settings {
    /// Skips values of a wrong type, which the schema has rejected before.
    fn from(values: Map<String, serde_json::Value>) -> Self {
        let value = |value| match value {
            serde_json::Value::Bool(on) => Some(Value::Switch(on)),
            serde_json::Value::Number(number) => number.as_i64().map(Value::Number),
            serde_json::Value::String(text) => Some(Value::Text(text)),
            _ => None,
        };
        let settings =
            values.into_iter().filter_map(|(control, given)| Some(Setting { control, value: value(given)? }));
        Self(settings.collect())
    }
}
