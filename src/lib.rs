//! porthole: a camera that any browser can watch live.

pub mod audio;
pub mod camera;
pub mod config;
pub mod convert;
pub mod encoder;
pub mod http;
pub mod media;
pub mod rtc;
mod v4l2;
pub mod video;
