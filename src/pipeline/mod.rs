//! The video and audio pipelines: threads that capture, encode, broadcast and look for motion, one that plays what somebody
//! says, the privacy switch that blocks them all, and the recorder.
//!
//! Who subscribes does not matter here.

pub mod audio;
pub mod ducking;
pub mod mjpeg;
pub mod motion;
pub mod privacy;
pub mod recorder;
pub mod speaker;
pub mod video;
