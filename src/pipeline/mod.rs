//! The video and audio pipelines: threads that capture, encode, broadcast and look for motion, one that plays what somebody
//! says, one that has them shown, the privacy switch that blocks them all, and the recorder.
//!
//! Who subscribes does not matter here.

pub mod audio;
pub mod ducking;
pub mod mjpeg;
pub mod motion;
pub mod privacy;
pub mod recorder;
pub mod screen;
pub mod speaker;
pub mod video;
