//! The RTSP server (RFC 2326): NVRs, VLC, ffmpeg and GStreamer play what viewers in browsers are sent, H.264 and Opus as they are
//! encoded, on the connection of the requests or by UDP.
//!
//! `server` accepts connections. A connection is one task: `connection` waits for what happens, `reader` takes apart what a client
//! sends, `requests` answers it, and `session` sends the tracks. Sessions are in the table of all viewers.

mod answer;
mod connection;
mod limits;
mod output;
pub mod reader;
mod requests;
mod sdp;
mod server;
mod session;
pub mod target;
mod track;
pub mod transport;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

pub use server::{RtspServer, check_listen};

use crate::model::metrics::Metrics;
use crate::model::status;
use crate::server::auth::Auth;
use crate::server::rtc::CameraStream;
use crate::server::sessions::SessionRegistry;

/// Configuration of the RTSP server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on; `None` for no RTSP server.
    pub listen: Option<SocketAddr>,
}

/// What all connections share; cheap handles.
#[derive(Clone)]
pub struct RtspContext {
    /// The cameras, in the order of the configuration.
    pub streams: Arc<[CameraStream]>,
    /// The table of all viewers.
    pub sessions: SessionRegistry,
    /// Who may watch.
    pub auth: Auth,
    /// The current status, which has the limit on viewers.
    pub status: status::StatusPublisher,
    /// Counters.
    pub metrics: Metrics,
}
