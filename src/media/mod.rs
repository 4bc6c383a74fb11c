//! What a frame is, and what turns one into another: conversion, H.264 parsing, encoding, MP4, and the pacing of
//! frames; what moves in frames; and sound files.
//!
//! No device, no thread and no network belongs here.

pub(crate) mod clock_drift;
mod color;
pub mod convert;
pub mod encoder;
mod frame;
pub mod h264;
pub mod motion;
pub(crate) mod mp4;
pub(crate) mod pacer;
pub mod playout;
pub(crate) mod scale;
pub mod sound_file;
pub mod voice;

pub use color::Colorimetry;
pub use frame::{
    AudioPacket, ChromaPlanes, EncodedFrame, MonotonicTimestamps, PcmFrame, PixelFormat, RawFrame, Timestamp,
    VIDEO_RTP_RATE, VideoFormat,
};
