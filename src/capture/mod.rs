//! Sources of frames and samples: cameras (V4L2, programs, the test pattern) and audio (ALSA, the test tone).
//!
//! What is done with a frame does not belong here.

pub mod audio;
pub mod camera;
