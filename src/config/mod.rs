//! The configuration file.

use crate::{audio, http, rtc, video};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The least severe log level that is written.
    pub log_level: tracing::Level,
    /// The HTTP server.
    pub http: http::Config,
    /// The cameras; never empty.
    pub cameras: Vec<video::Config>,
    /// The microphone.
    pub audio: audio::Config,
    /// WebRTC.
    pub rtc: rtc::Config,
}
