//! The bounds of an estimate, by what the stream needs.

/// What the video needs, as a multiple of its bitrate: headers, and frames that vary in size.
const NEEDED: f64 = 1.15;

/// The most that an estimate may be, as a multiple of the video's bitrate and in addition to that and the audio, in bit/s:
/// enough to repair what a path loses at random.
const USEFUL: f64 = 1.5;
const USEFUL_EXTRA: u32 = 90_000;

/// The bounds of an estimate, in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimatorConfig {
    /// The estimate at first, until there is feedback that says otherwise.
    pub start: u32,
    /// What the stream needs.
    pub needed: u32,
    /// The least estimate.
    pub min: u32,
    /// The most that a viewer can use.
    pub max: u32,
}

impl EstimatorConfig {
    /// For video of `bitrate` bit/s and audio that takes `audio` bit/s. The path is taken to carry it: on a fast one the first
    /// picture would come later otherwise, and a slow one shows at once.
    pub fn for_stream(bitrate: u32, audio: u32) -> Self {
        let max = scaled(bitrate, USEFUL, audio.saturating_add(USEFUL_EXTRA));
        Self { start: max, needed: scaled(bitrate, NEEDED, audio), min: 40_000, max }
    }
}

fn scaled(bitrate: u32, factor: f64, extra: u32) -> u32 {
    ((f64::from(bitrate) * factor) as u32).saturating_add(extra)
}
