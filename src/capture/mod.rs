//! Sources of video frames and audio samples: cameras (V4L2, external programs, the test pattern) and audio (ALSA, the
//! test tone).
//!
//! What happens to a frame afterwards does not belong here.

pub mod audio;
pub mod camera;
