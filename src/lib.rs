//! porthole: a camera that any browser can watch live.

pub mod app;
pub mod audio;
pub mod broadcast;
pub mod camera;
pub mod cli;
mod command;
pub mod config;
mod control;
pub mod convert;
pub mod encoder;
mod grid;
pub mod http;
mod latest;
pub mod log;
pub mod media;
pub mod metrics;
pub mod microphone;
mod retry;
pub mod rtc;
pub mod status;
mod thread;
mod v4l2;
pub mod video;
