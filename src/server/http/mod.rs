//! The HTTP server: the viewer page, WHEP signalling, status and metrics, on one listener.
//!
//! A request arrives in `server` and `connection`, is checked by `middleware` against the table in `route_table`, and
//! then reaches the routes, which are combined here: WHEP is in `whep`, the embedded files are in `assets`, signing in
//! and tokens in `login`, commands and snapshots in `api`.

mod api;
mod assets;
mod body;
mod certificate;
mod connection;
mod connection_limit;
mod forwarded;
mod hostnames;
mod if_match;
mod link_header;
mod login;
mod middleware;
mod origin;
mod rate_limit;
mod response;
mod route_table;
mod security_headers;
mod server;
mod tls;
mod whep;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use forwarded::Client;
use ipnet::IpNet;
use response::{HttpResponse, response, text};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

pub use middleware::Middleware;
pub use server::{Server, adopt, bind};
pub use tls::Encryption;

use crate::model::metrics::Metrics;
use crate::model::status;
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
    /// Origins of other pages that may use the signalling endpoint (CORS).
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

/// The handles that the routes use.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    sessions: SessionManager,
    streams: Vec<CameraStream>,
    status: status::StatusPublisher,
    metrics: Metrics,
    auth: Auth,
    dispatcher: Dispatcher,
}

impl Context {
    /// A context with these handles. `streams` are in the order of the configuration.
    pub fn new(
        sessions: SessionManager,
        streams: Vec<CameraStream>,
        status: status::StatusPublisher,
        metrics: Metrics,
        auth: Auth,
        dispatcher: Dispatcher,
    ) -> Self {
        Self(Arc::new(Inner { sessions, streams, status, metrics, auth, dispatcher }))
    }
}

/// The local address of the connection that a request arrived on; attached to every request as an extension.
#[derive(Debug, Clone, Copy)]
struct LocalAddr(IpAddr);

type Routes = BoxedFilter<(HttpResponse,)>;

/// All routes of the server.
fn routes(context: Context) -> Routes {
    let with = {
        let context = context.clone();
        warp::any().map(move || context.clone())
    };
    let status = warp::path!("api" / "status").and(read()).and(with.clone()).map(|context: Context| context.status());
    let metrics = warp::path("metrics").and(warp::path::end()).and(read()).and(with).map(|context: Context| {
        let text = context.0.metrics.text();
        response(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text.into())
    });
    let health = warp::path("healthz").and(warp::path::end()).and(read()).map(|| text(StatusCode::OK, "ok\n"));
    assets::routes()
        .or(whep::routes(context.clone()))
        .unify()
        .or(login::routes(context.clone()))
        .unify()
        .or(api::routes(context))
        .unify()
        .or(status)
        .unify()
        .or(metrics)
        .unify()
        .or(health)
        .unify()
        .recover(response::rejected)
        .unify()
        .boxed()
}

/// Matches `GET` and `HEAD`.
fn read() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

impl Context {
    fn status(&self) -> HttpResponse {
        let body = serde_json::to_vec_pretty(&self.0.status.report()).expect("the status should be printable as JSON");
        response(StatusCode::OK, "application/json", body.into())
    }
}
