//! Events: messages that the server sends without a request.

use serde::Serialize;
use serde_json::json;

use crate::model::inventory::Control;
use crate::model::status::{CameraRecording, PipelineState, Report};

/// An event; in JSON its name is `method` and the rest `params`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", content = "params")]
pub enum Event {
    /// The status, without the controls of cameras.
    #[serde(rename = "status")]
    Status(Box<Report>),
    /// A camera's state or format has changed.
    #[serde(rename = "camera.changed")]
    CameraChanged(CameraState),
    /// Controls have changed.
    #[serde(rename = "control.changed")]
    ControlChanged {
        /// The camera's name.
        camera: String,
        /// Those that have changed.
        controls: Vec<Control>,
    },
    /// A device came or went.
    #[serde(rename = "devices.changed")]
    DevicesChanged {},
    /// A recording has begun or ended.
    #[serde(rename = "recording")]
    Recording(CameraRecording),
    /// Who watches.
    #[serde(rename = "viewers")]
    Viewers {
        /// How many.
        count: usize,
        /// How many of them are operators.
        operators: usize,
        /// Their names, in the order in which they joined.
        names: Vec<String>,
    },
    /// Somebody has begun to talk, or nobody talks any more.
    #[serde(rename = "talk")]
    Talk {
        /// Who talks; `null` for nobody.
        name: Option<String>,
        /// Whether it is the receiver.
        you: bool,
    },
    /// A chat message.
    #[serde(rename = "chat")]
    Chat(Chat),
    /// Motion has begun or ended in a camera's picture.
    #[serde(rename = "motion")]
    Motion(MotionEvent),
    /// Something that everybody should know.
    #[serde(rename = "notice")]
    Notice {
        /// The severity.
        level: Level,
        /// The message, in English.
        text: String,
        /// What the message is about, for programs that have their own words for it.
        code: &'static str,
        /// The names in it.
        values: NoticeValues,
    },
    /// The server ends this session.
    #[serde(rename = "session.end")]
    SessionEnd {
        /// Why, for people.
        reason: String,
        /// Why, for programs.
        code: &'static str,
    },
}

/// The part of a camera's status that viewers see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraState {
    /// Its name.
    pub camera: String,
    /// Its state.
    pub state: PipelineState,
    /// Pixels, as negotiated.
    pub width: Option<u32>,
    /// Pixels, as negotiated.
    pub height: Option<u32>,
    /// Frames per second, as negotiated.
    pub fps: Option<f64>,
    /// Whether it is the built-in test pattern.
    pub pattern: bool,
    /// Why there is no video.
    pub fault: Option<String>,
    /// Whether this viewer selected it and receives its video from now on.
    pub selected: bool,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chat {
    /// The sender's name.
    pub from: String,
    /// The text.
    pub text: String,
    /// The time, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Whether the receiver is the sender.
    pub you: bool,
}

/// Motion that has begun or ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MotionEvent {
    /// The camera's name.
    pub camera: String,
    /// Whether it has begun or ended.
    pub state: MotionPhase,
    /// How clear it is, 1 to 100; at the end, how clear it was at most.
    pub score: u8,
    /// Where it is; at the end, where all of it was.
    #[serde(rename = "box")]
    pub area: MotionBox,
    /// When the frame was captured, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// Whether motion has begun or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MotionPhase {
    /// It has begun.
    Begun,
    /// It has ended.
    Ended,
}

/// A rectangle in fractions of the picture's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MotionBox {
    /// Its left edge.
    pub x: f64,
    /// Its top edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// The names in a notice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NoticeValues {
    /// Who did it: a viewer, a token, or a button.
    pub by: String,
    /// Whom it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The camera that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
}

/// The severity of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Information.
    Info,
    /// Somebody should look.
    Warning,
}

impl Event {
    /// The message.
    pub fn message(&self) -> String {
        json!(self).to_string()
    }

    /// The name and the parameters of the message, each on one line.
    pub fn parts(&self) -> (String, String) {
        let message = json!(self);
        (message["method"].as_str().unwrap_or_default().to_owned(), message["params"].to_string())
    }
}
