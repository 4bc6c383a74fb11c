//! The bitrates of what one session is sent.

use super::bitrate_meter::BitrateMeter;

/// What audio takes before it is measured, in bit/s.
const USUAL_AUDIO: f64 = 60_000.0;

/// How much of the measured bitrate of video and audio is kept with each tick in which less is sent.
const STREAM_DECAY: f64 = 0.9;

/// The bitrates.
pub struct StreamMeters {
    /// Of video frames.
    pub video: BitrateMeter,
    /// Of audio.
    pub audio: BitrateMeter,
    /// Of packets sent again.
    pub repair: BitrateMeter,
}

impl StreamMeters {
    /// Meters that have measured nothing, with or without audio.
    pub fn new(has_audio: bool) -> Self {
        let usual_audio = if has_audio { USUAL_AUDIO } else { 0.0 };
        Self {
            video: BitrateMeter::new(0.0, STREAM_DECAY),
            audio: BitrateMeter::new(usual_audio, STREAM_DECAY),
            repair: BitrateMeter::new(0.0, 0.0),
        }
    }

    /// Ends an interval of so many seconds.
    pub fn tick(&mut self, seconds: f64) {
        for meter in [&mut self.video, &mut self.audio, &mut self.repair] {
            meter.tick(seconds);
        }
    }
}
