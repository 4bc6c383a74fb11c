//! The HTTP server: the viewer page, WHEP signalling, status and metrics, on one listener.
//!
//! A request arrives in `server` and `connection`. `request` decodes its route, which `route` lists; `router` has
//! `middleware` check it, and calls the handler: WHEP is in `whep`, the embedded files are in `assets`, signing in and
//! tokens in `login`, commands, snapshots and status in `api`, MJPEG streams in `mjpeg`, events in `events`, recordings in
//! `recordings`, announcements in `say`.

mod api;
mod assets;
mod body;
mod camera_streamer;
mod certificate;
mod connection;
mod connection_handle;
mod events;
mod forwarded;
mod hostnames;
mod if_match;
mod link_header;
mod login;
mod long_lived;
mod middleware;
mod mjpeg;
mod origin;
mod range;
mod reader_limit;
mod recordings;
mod request;
mod response;
mod route;
mod router;
mod say;
mod security_headers;
mod server;
mod tls;
mod whep;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

pub use middleware::Middleware;
pub use server::{Server, adopt, bind, check_listen};
pub use tls::Encryption;

use reader_limit::ReaderLimiter;

use crate::model::metrics::Metrics;
use crate::model::status;
use crate::pipeline::recorder::Recorder;
use crate::server::auth::Auth;
use crate::server::dispatch::Dispatcher;
use crate::server::rtc::{CameraStream, SessionManager};

/// Configuration of the HTTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The address to listen on. `[::]` is every IPv4 and IPv6 address; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether connections may be encrypted, and with which certificate.
    pub tls: Tls,
    /// Whether plain HTTP is redirected to HTTPS, if HTTPS is enabled.
    pub redirect: bool,
    /// Host names that are accepted in `Host`, besides this device's own names and addresses.
    pub hosts: Vec<String>,
    /// Origins of other pages that may use the signalling endpoint (CORS) and show images.
    pub origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-*` headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
}

/// TLS of HTTP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// No TLS.
    Off,
    /// A self-signed certificate that porthole generates once and stores.
    SelfSigned,
    /// PEM files: a certificate with its chain, and its private key.
    Files {
        /// The certificate and its intermediate certificates.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            tls: Tls::Off,
            redirect: true,
            hosts: Vec::new(),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The handles that the handlers of requests use.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    sessions: SessionManager,
    streams: Vec<CameraStream>,
    status: status::StatusPublisher,
    metrics: Metrics,
    auth: Auth,
    dispatcher: Dispatcher,
    recorder: Recorder,
    streams_read: ReaderLimiter,
    events_read: ReaderLimiter,
    recordings_read: ReaderLimiter,
}

/// MJPEG streams to one address: the cameras of a household's wall display, or a few browsers behind one router, and fewer than
/// there may be viewers.
const MAX_STREAMS: usize = 12;

/// Readers of events at one address: each program needs one.
const MAX_EVENT_READERS: usize = 12;

/// Recordings that are read at the same time from one address: a player has up to three requests under way.
const MAX_RECORDING_READERS: usize = 12;

impl Context {
    /// A context with these handles. `streams` are in the order of the configuration.
    pub fn new(
        sessions: SessionManager,
        streams: Vec<CameraStream>,
        status: status::StatusPublisher,
        metrics: Metrics,
        auth: Auth,
        dispatcher: Dispatcher,
        recorder: Recorder,
    ) -> Self {
        Self(Arc::new(Inner {
            sessions,
            streams,
            status,
            metrics,
            auth,
            dispatcher,
            recorder,
            streams_read: ReaderLimiter::new(MAX_STREAMS),
            events_read: ReaderLimiter::new(MAX_EVENT_READERS),
            recordings_read: ReaderLimiter::new(MAX_RECORDING_READERS),
        }))
    }

    /// Ends what is being sent to a principal who may no longer read, besides the sessions.
    pub fn end_responses_to(&self, principal: &str) {
        self.0.events_read.end_all_of(principal);
        self.0.streams_read.end_all_of(principal);
        self.0.recordings_read.end_all_of(principal);
    }
}
