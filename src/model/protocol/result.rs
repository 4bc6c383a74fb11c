//! What requests are answered with when they are carried out: the form of each `result`.

use serde::Serialize;

use super::method::Latency;
use crate::model::inventory::{CameraInfo, Control, SoundCardInfo};
use crate::model::status::{PipelineState, Report};

/// The result of a request; which method has which stands in `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// It is done, and there is nothing more to be said.
    Done {},
    /// What is true now, and who asks.
    Status {
        /// As `GET /api/status` has it.
        #[serde(flatten)]
        report: Box<Report>,
        /// Who asks.
        you: CallerInfo,
    },
    /// What the machine has.
    Devices {
        /// Its cameras.
        cameras: Vec<CameraInfo>,
        /// Its sound cards.
        sounds: Vec<SoundCardInfo>,
    },
    /// What can be watched.
    Cameras {
        /// In the order of the configuration.
        cameras: Vec<CameraSummary>,
        /// Which of them is watched in this session; `null` outside one.
        selected: Option<String>,
    },
    /// What is watched from now on.
    Selected {
        /// The camera's name.
        camera: String,
        /// Its width in pixels, as far as it is known.
        width: Option<u32>,
        /// Its height in pixels, as far as it is known.
        height: Option<u32>,
    },
    /// Controls as they stand.
    Controls {
        /// The camera's name.
        camera: String,
        /// Its controls, or those of them that were asked for.
        controls: Vec<Control>,
    },
    /// One control as it stands.
    Control {
        /// The camera's name.
        camera: String,
        /// The control.
        control: Box<Control>,
    },
    /// What a camera and its encoder are asked for from now on.
    Video {
        /// The camera's name.
        camera: String,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Frames a second.
        fps: u32,
        /// Bits a second.
        bitrate: u32,
    },
    /// Whether this viewer is sent sound.
    Muted {
        /// True: none.
        muted: bool,
    },
    /// How long this viewer's browser shall hold pictures back.
    Latency {
        /// As it was asked for.
        mode: Latency,
        /// The least, in milliseconds.
        min: u16,
        /// The most, in milliseconds.
        max: u16,
    },
    /// A picture that is sent as a transfer.
    Snapshot(SnapshotInfo),
    /// A picture that is kept on the board.
    Photo {
        /// The camera's name.
        camera: String,
        /// The path of its file on the board.
        file: String,
        /// Its size.
        bytes: usize,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// How the privacy switch stands now.
    Privacy {
        /// True: cameras and microphone are cut.
        on: bool,
    },
    /// Who watches.
    Sessions {
        /// In the order in which they came.
        sessions: Vec<SessionSummary>,
    },
    /// When the request came and when this answer goes, in milliseconds since the Unix epoch by the stream's clock.
    Times {
        /// It came.
        received: f64,
        /// It goes.
        sent: f64,
    },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerInfo {
    /// The session; `null` outside one.
    pub session: Option<String>,
    /// What they may do.
    pub role: String,
    /// What they are called.
    pub name: String,
}

/// A camera that can be watched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraSummary {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: PipelineState,
    /// Whether it is the built-in test pattern.
    pub pattern: bool,
    /// Pixels, as negotiated.
    pub width: Option<u32>,
    /// Pixels, as negotiated.
    pub height: Option<u32>,
    /// Frames a second, as negotiated.
    pub fps: Option<f64>,
    /// Bits a second, as wished.
    pub bitrate: Option<u32>,
    /// Its viewers.
    pub watched: usize,
    /// Why it gives no picture.
    pub fault: Option<String>,
}

/// A picture that follows in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// The number in the header of its pieces.
    pub transfer: u32,
    /// Its size.
    pub bytes: usize,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Its SHA-256 digest in hexadecimal.
    pub sha256: String,
}

/// Somebody who watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionSummary {
    /// The session's name.
    pub session: String,
    /// What the viewer is called.
    pub name: String,
    /// What the viewer may do.
    pub role: String,
    /// What the viewer watches.
    pub camera: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: u64,
    /// Whether it is the session that asks.
    pub you: bool,
}
