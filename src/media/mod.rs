//! What a frame is, and what turns one into another: conversion, H.264 parsing, encoding, MP4, and the pacing of
//! frames; what moves in frames; sound files; and what a talker shows.
//!
//! No device, no thread and no network belongs here.

pub(crate) mod clock_drift;
mod color;
pub mod convert;
pub mod encoder;
mod frame;
pub mod h264;
pub(crate) mod ivf;
pub mod motion;
pub(crate) mod mp4;
pub(crate) mod pacer;
pub mod playout;
pub(crate) mod scale;
mod screen_frame;
pub mod sound_file;
pub mod voice;

pub use color::Colorimetry;
pub use frame::{
    AudioPacket, ChromaPlanes, EncodedFrame, MonotonicTimestamps, PcmFrame, PixelFormat, RawFrame, Timestamp,
    VIDEO_RTP_RATE, VideoFormat,
};
pub use screen_frame::{ScreenCodec, ScreenFrame};
