//! A viewer's preferences, and the outcome of its camera selections.

use crate::model::protocol::{Latency, Quality};

/// The playout delay of [`Latency::Smooth`]: from three frames at 15 frames per second up to what somebody who moves a
/// camera's controls still accepts.
const SMOOTH: PlayoutDelay = PlayoutDelay { min_ms: 200, max_ms: 1_000 };

/// How long a browser shall buffer video before playout, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayoutDelay {
    /// At least this long.
    pub min_ms: u16,
    /// At most this long.
    pub max_ms: u16,
}

/// What a viewer wants to be sent; its session applies changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// The camera, by its index in the status.
    pub camera: usize,
    /// Counts camera selections; [`Selection::acked_seq`] is the last one that was acknowledged.
    pub(super) selection_seq: u64,
    /// Whether video is paused.
    pub paused: bool,
    /// Whether audio is muted.
    pub muted: bool,
    /// The latency mode.
    pub latency: Latency,
    /// The rendition of the video.
    pub quality: Quality,
    /// The most to be sent in bit/s, by an operator's order.
    pub limit: Option<u32>,
    /// Counts requested key frames.
    pub keyframe: u64,
    /// The playout delay of [`Latency::Low`] in this session.
    pub(super) low_latency: PlayoutDelay,
}

impl Preferences {
    /// Those of a new session, which starts with this camera and has this playout delay by default.
    pub(super) fn new(camera: usize, low_latency: PlayoutDelay) -> Self {
        Self {
            camera,
            selection_seq: 0,
            paused: false,
            muted: false,
            latency: Latency::default(),
            quality: Quality::default(),
            limit: None,
            keyframe: 0,
            low_latency,
        }
    }

    /// Whether a camera was selected since `before`, even the same one again.
    pub fn selection_changed_since(&self, before: &Self) -> bool {
        self.selection_seq != before.selection_seq
    }

    /// The playout delay to ask of the browser.
    pub fn playout_delay(&self) -> PlayoutDelay {
        match self.latency {
            Latency::Low => self.low_latency,
            Latency::Smooth => SMOOTH,
        }
    }
}

/// The outcome of a viewer's camera selections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The camera whose video is sent, by its index in the status.
    pub camera: usize,
    /// The last selection that was acknowledged.
    pub(super) acked_seq: u64,
    /// Why that selection was rejected.
    pub(super) rejected: Option<String>,
}

impl Selection {
    pub(super) fn of(camera: usize) -> Self {
        Self { camera, acked_seq: 0, rejected: None }
    }
}

/// Why a camera selection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is no such session.
    #[error("no such session: it has ended or never existed")]
    Unknown,
    /// What the session negotiated does not allow it.
    #[error("{0}")]
    Rejected(String),
}
