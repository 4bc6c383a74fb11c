//! The results of requests: the value of `result` in a response.

use serde::Serialize;

use super::method::{Latency, Quality};
use crate::model::inventory::{CameraInfo, Control, SoundCardInfo};
use crate::model::status::{Layers, PipelineState, Rendition, Report};

/// The result of a request; `docs/protocol.md` lists the method of each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// Done, without a result.
    Done {},
    /// The status, and the caller.
    Status {
        /// As in `GET /api/status`.
        #[serde(flatten)]
        report: Box<Report>,
        /// The caller.
        you: CallerInfo,
    },
    /// The devices of the machine.
    Devices {
        /// Its cameras.
        cameras: Vec<CameraInfo>,
        /// Its sound cards.
        sounds: Vec<SoundCardInfo>,
    },
    /// The cameras.
    Cameras {
        /// In the order of the configuration.
        cameras: Vec<CameraSummary>,
        /// The one that this session watches; `null` outside one.
        selected: Option<String>,
    },
    /// The newly selected camera.
    Selected {
        /// The camera's name.
        camera: String,
        /// Its width in pixels, as far as it is known.
        width: Option<u32>,
        /// Its height in pixels, as far as it is known.
        height: Option<u32>,
    },
    /// Controls with their current values.
    Controls {
        /// The camera's name.
        camera: String,
        /// Its controls, or the requested ones.
        controls: Vec<Control>,
    },
    /// One control with its current value.
    Control {
        /// The camera's name.
        camera: String,
        /// The control.
        control: Box<Control>,
    },
    /// The requested video settings.
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
    /// The rendition that this viewer wants.
    Quality {
        /// As requested.
        quality: Quality,
    },
    /// Whether this viewer is sent audio.
    Muted {
        /// True: none.
        muted: bool,
    },
    /// The playout delay of this viewer.
    Latency {
        /// The requested mode.
        mode: Latency,
        /// The least, in milliseconds.
        min: u16,
        /// The most, in milliseconds.
        max: u16,
    },
    /// A snapshot that is sent as a transfer.
    Snapshot(SnapshotInfo),
    /// Whether a camera is being recorded from now on.
    Record {
        /// The camera's name.
        camera: String,
        /// False: it was stopped.
        on: bool,
    },
    /// A photo that was stored on this machine.
    Photo {
        /// The camera's name.
        camera: String,
        /// The path of its file on this machine.
        file: String,
        /// Its size.
        bytes: usize,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The state of the privacy switch.
    Privacy {
        /// True: cameras and microphone are blocked.
        on: bool,
        /// Whether it is stored, so that a restart does not change it.
        kept: bool,
    },
    /// What this viewer is sent, and what is known of its network.
    Session {
        /// The camera.
        camera: String,
        /// The rendition that it wants.
        quality: Quality,
        /// The rendition that is sent.
        rendition: Rendition,
        /// Which frames of it.
        layers: Layers,
        /// What its network carries in bit/s; `null` while nothing is known.
        estimate: Option<u32>,
        /// Its round trip time in milliseconds.
        rtt: Option<f64>,
        /// The share of packets that it lost lately.
        loss: Option<f64>,
        /// How long after its capture it shows a frame, in milliseconds; `null` while it has not reported that.
        delay: Option<u32>,
        /// How often it was skipped to the live edge, because it was behind.
        skips: u64,
        /// Frames that were left out for its network without the picture standing still.
        left_out: u64,
    },
    /// Who watches.
    Sessions {
        /// In the order in which they joined.
        sessions: Vec<SessionSummary>,
    },
    /// When the request was received and this response is sent, in milliseconds since the Unix epoch by the media clock.
    Times {
        /// Received.
        received: f64,
        /// Sent.
        sent: f64,
        /// The RTP timestamp of a frame captured when this response is sent, in the caller's session; `null` outside one.
        video: Option<u32>,
    },
}

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerInfo {
    /// The session; `null` outside one.
    pub session: Option<String>,
    /// The role.
    pub role: String,
    /// The name.
    pub name: String,
}

/// A camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraSummary {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: PipelineState,
    /// Whether it is the built-in test pattern.
    pub pattern: bool,
    /// Pixels, as negotiated.
    pub width: Option<u32>,
    /// Pixels, as negotiated.
    pub height: Option<u32>,
    /// Frames a second, as negotiated.
    pub fps: Option<f64>,
    /// The target bitrate in bit/s.
    pub bitrate: Option<u32>,
    /// Its viewers.
    pub watched: usize,
    /// Why there is no video.
    pub fault: Option<String>,
}

/// A snapshot that follows in binary messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// The number in the header of its messages.
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

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionSummary {
    /// The session's name.
    pub session: String,
    /// The viewer's name.
    pub name: String,
    /// The viewer's role.
    pub role: String,
    /// The selected camera.
    pub camera: String,
    /// The rendition of it that is sent.
    pub rendition: Rendition,
    /// Which frames of it.
    pub layers: Layers,
    /// When it was created, in seconds since the Unix epoch.
    pub since: u64,
    /// Whether it is the caller's session.
    pub you: bool,
    /// Whether the viewer's player decodes nothing of what it receives.
    pub undecoded: bool,
    /// What its network carries in bit/s; `null` while nothing is known.
    pub estimate: Option<u32>,
    /// Its round trip time in milliseconds.
    pub rtt: Option<f64>,
    /// The share of packets that it lost lately.
    pub loss: Option<f64>,
    /// How long after its capture it shows a frame, in milliseconds; `null` while it has not reported that.
    pub delay: Option<u32>,
    /// How often it was skipped to the live edge, because it was behind.
    pub skips: u64,
    /// Frames that were left out for its network without the picture standing still.
    pub left_out: u64,
    /// The most that it is sent in bit/s, by an operator's order; `null` if there is none.
    pub limit: Option<u32>,
}
