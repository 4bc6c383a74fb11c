//! What viewers wish to be sent, and what becomes of it.

use crate::model::protocol::Latency;

/// The least and the most delay of [`Latency::Smooth`] in milliseconds: from three pictures at 15 a second, up to what a person at
/// the controls of a camera still bears.
const SMOOTH: (u16, u16) = (200, 1_000);

/// What one viewer wishes to be sent; its session follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// The camera, by its place in the status.
    pub camera: usize,
    /// How often a camera was chosen: [`Selection::answers`] tells which choice was answered.
    pub(super) selection_seq: u64,
    /// No pictures.
    pub paused: bool,
    /// No sound.
    pub muted: bool,
    /// How long the browser shall hold pictures back.
    pub latency: Latency,
    /// Counts the key frames that were asked for.
    pub keyframe: u64,
    /// What [`Latency::Low`] is in this session: the least and the most delay in milliseconds.
    pub(super) low_latency: (u16, u16),
}

impl Preferences {
    /// Whether a camera was chosen since these were `before`, be it the same one again.
    pub fn selection_changed_since(&self, before: &Self) -> bool {
        self.selection_seq != before.selection_seq
    }

    /// How long the browser shall hold pictures back: the least and the most in milliseconds.
    pub fn playout_delay(&self) -> (u16, u16) {
        match self.latency {
            Latency::Low => self.low_latency,
            Latency::Smooth => SMOOTH,
        }
    }
}

/// What became of a viewer's choice of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The camera whose pictures the viewer is sent, by its place in the status.
    pub camera: usize,
    /// The last choice that was answered.
    pub(super) acked_seq: u64,
    /// Why that choice was refused.
    pub(super) rejected: Option<String>,
}

impl Selection {
    pub(super) fn of(camera: usize) -> Self {
        Self { camera, acked_seq: 0, rejected: None }
    }
}

/// Why a viewer is not shown the camera that it chose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is no such session.
    #[error("no such session; it has ended, or never was")]
    Unknown,
    /// What was negotiated does not allow it.
    #[error("{0}")]
    Rejected(String),
}
