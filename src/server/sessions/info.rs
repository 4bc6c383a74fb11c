//! What others see of sessions and viewers, and the messages to them. Plain values.

use std::time::Duration;

use crate::model::protocol::{MotionEvent, NoticeValues};
use crate::model::status::{Layers, Rendition};
use crate::server::auth::{Role, UnixTime};

/// A viewer's session, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session's ID. Whoever knows it can end the session.
    pub id: String,
    /// The viewer's display name.
    pub name: String,
    /// Who watches, as [`Principal`](crate::server::auth::Principal) names them.
    pub owner: String,
    /// The role of whoever is watching.
    pub role: Role,
    /// The camera whose video is sent, by its index in the status.
    pub camera: usize,
    /// The rendition of it that is sent.
    pub rendition: Rendition,
    /// Which frames of it.
    pub layers: Layers,
    /// When the session started.
    pub since: UnixTime,
    /// Whether the viewer's player decodes nothing.
    pub undecoded: bool,
    /// What is known of the viewer's network.
    pub network: ViewerNetwork,
    /// How long after its capture the viewer's page shows a frame, in milliseconds, as it reports.
    pub delay: Option<u32>,
    /// How often the viewer was skipped to the live edge.
    pub skips: u64,
    /// Frames that were left out for the viewer's network without the picture standing still.
    pub left_out: u64,
}

/// What is known of a viewer's network; `None` where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewerNetwork {
    /// What it carries, in bit/s.
    pub estimate: Option<u32>,
    /// The round trip time, with the queues on the path.
    pub rtt: Option<Duration>,
    /// Packets that were lost of the last ones, of a thousand.
    pub lost_per_mille: Option<u16>,
}

impl ViewerNetwork {
    /// The round trip time in milliseconds.
    pub fn rtt_milliseconds(&self) -> Option<f64> {
        self.rtt.map(|rtt| (rtt.as_secs_f64() * 1e3).round())
    }

    /// The share of packets that were lost of the last ones.
    pub fn loss(&self) -> Option<f64> {
        self.lost_per_mille.map(|lost| f64::from(lost) / 1e3)
    }
}

/// Who is watching, without anything private.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    /// The viewers' names, in order of arrival.
    pub names: Vec<String>,
    /// How many of them are operators.
    pub operators: usize,
}

/// A message to all viewers.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// A chat message.
    Chat {
        /// The sender's session; `None` for somebody who is not watching.
        session: Option<String>,
        /// The sender's name.
        from: String,
        /// The words.
        text: String,
        /// When it was sent, in milliseconds since the Unix epoch.
        time: u64,
    },
    /// Motion has begun or ended in a camera's picture.
    Motion(MotionEvent),
    /// A notice from the server.
    Notice {
        /// Whether it is a warning.
        warning: bool,
        /// What it is about, for programs that have their own words for it.
        code: &'static str,
        /// The names in it.
        values: NoticeValues,
        /// The words.
        text: String,
    },
}
