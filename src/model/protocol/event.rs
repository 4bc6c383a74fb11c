//! What the board says without being asked.

use serde::Serialize;
use serde_json::json;

use crate::model::inventory::Control;
use crate::model::status::{PipelineState, Report};

/// An event; in JSON its name is `method` and the rest `params`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", content = "params")]
pub enum Event {
    /// What is true now, without the controls of cameras.
    #[serde(rename = "status")]
    Status(Box<Report>),
    /// A camera's state or picture is another.
    #[serde(rename = "camera.changed")]
    CameraChanged(CameraState),
    /// Controls stand otherwise.
    #[serde(rename = "control.changed")]
    ControlChanged {
        /// The camera's name.
        camera: String,
        /// Those that stand otherwise.
        controls: Vec<Control>,
    },
    /// A device came or went.
    #[serde(rename = "devices.changed")]
    DevicesChanged {},
    /// Who watches.
    #[serde(rename = "viewers")]
    Viewers {
        /// How many.
        count: usize,
        /// How many of them may steer.
        operators: usize,
        /// What they are called, in the order in which they came.
        names: Vec<String>,
    },
    /// Somebody says something.
    #[serde(rename = "chat")]
    Chat(Chat),
    /// Something that everybody should know.
    #[serde(rename = "notice")]
    Notice {
        /// How bad it is.
        level: Level,
        /// What it is.
        text: String,
    },
    /// The board ends this session.
    #[serde(rename = "session.end")]
    SessionEnd {
        /// Why, for people.
        reason: String,
        /// Why, for programs.
        code: &'static str,
    },
}

/// A camera, as far as it is seen by its viewers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraState {
    /// Its name.
    pub camera: String,
    /// What it does.
    pub state: PipelineState,
    /// Pixels, as negotiated.
    pub width: Option<u32>,
    /// Pixels, as negotiated.
    pub height: Option<u32>,
    /// Frames a second, as negotiated.
    pub fps: Option<f64>,
    /// Whether it is the built-in test pattern.
    pub pattern: bool,
    /// Why it gives no picture.
    pub fault: Option<String>,
    /// Whether this viewer's picture comes from it from now on, because the viewer chose it.
    pub selected: bool,
}

/// What somebody says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chat {
    /// Who.
    pub from: String,
    /// What.
    pub text: String,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Whether it is told to the one who said it.
    pub you: bool,
}

/// How bad something is that everybody should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not at all.
    Info,
    /// Somebody should look.
    Warning,
}

impl Event {
    /// The message.
    pub fn message(&self) -> String {
        json!(self).to_string()
    }
}
