//! The network side: authentication, viewer sessions, the control protocol, WebRTC, RTSP, HTTP, and hooks.
//!
//! It receives subscriptions and handles from the pipeline, and knows neither devices nor capture.

pub mod auth;
pub(crate) mod client;
pub(crate) mod dispatch;
pub(crate) mod floor;
pub(crate) mod hooks;
pub mod http;
mod listen;
pub(crate) mod mqtt;
pub(crate) mod photos;
pub mod publish;
pub(crate) mod publish_switches;
pub mod rtc;
pub mod rtsp;
pub(crate) mod sessions;
