//! The video and audio pipelines: threads that capture, encode and broadcast, and the privacy switch that blocks both.
//!
//! Who subscribes does not matter here.

pub mod audio;
pub mod mjpeg;
pub mod privacy;
pub mod video;
