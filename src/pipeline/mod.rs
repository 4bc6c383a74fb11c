//! The threads from a source to its broadcast, for video and for audio, and the privacy switch that blocks both.
//!
//! Who subscribes does not matter here.

pub mod audio;
pub mod privacy;
pub mod video;
