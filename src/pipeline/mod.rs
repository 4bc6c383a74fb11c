//! The video and audio pipelines: threads that capture, encode, broadcast and look for motion, the privacy switch that blocks
//! them, and the recorder.
//!
//! Who subscribes does not matter here.

pub mod audio;
pub mod mjpeg;
pub mod motion;
pub mod privacy;
pub mod recorder;
pub mod video;
