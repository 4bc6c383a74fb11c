//! H.264 encoders: the trait that each implements.
//!
//! An encoder lives on its camera's encode thread. Who watches, and when a key frame is due, does not belong here.

mod openh264;

use crate::media::{EncodedFrame, RawFrame, VideoFormat};

/// How pictures are encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Target bitrate in bit/s.
    pub bitrate: u32,
    /// Frames from one key frame to the next when nobody asks for one, in seconds.
    pub keyframe_interval: u32,
    /// Threads of the software encoder; 0 takes half of the cores.
    pub threads: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { bitrate: 2_000_000, keyframe_interval: 60, threads: 0 }
    }
}
