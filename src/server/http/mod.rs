//! HTTP: the viewer page, signalling, status and metrics, on one listener.
//!
//! A request comes in through `server` (connections), `gate` (whether it is let in, by the table in `rules`), and the
//! routes that are put together here: what WHEP asks for is in `whep`, the embedded files are in `assets`, who
//! signs in in `sign_in`, commands and single pictures in `command`.

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

/// Where the page and the signalling endpoint are served.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The address to listen on. `[::]` stands for every IPv4 and IPv6 address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether and with which certificate connections may be encrypted.
    pub tls: Tls,
    /// Whether plain HTTP is answered with the address of the encrypted page, where there is one.
    pub redirect: bool,
    /// Names, beside this machine's own and its addresses, under which the page may be asked for (`Host`).
    pub hosts: Vec<String>,
    /// Origins of other pages that may use the signalling endpoint (CORS).
    pub origins: Vec<String>,
    /// Reverse proxies whose word about the viewer's address and scheme is taken (`X-Forwarded-*`).
    pub trusted_proxies: Vec<IpNet>,
}

/// Encryption of HTTP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// None.
    Off,
    /// A certificate that porthole makes once and keeps.
    SelfSigned,
    /// PEM files: a certificate with its chain, and its private key.
    Files {
        /// The certificate and those between it and its authority.
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

/// What the routes need.
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
    /// Routes to these handles. `feeds` stand in the order of the configuration.
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

/// The local address of the connection that a request came in on; the server puts it beside each request.
#[derive(Debug, Clone, Copy)]
struct LocalAddr(IpAddr);

type Routes = BoxedFilter<(HttpResponse,)>;

/// Every route of the server.
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

/// Passes `GET` and `HEAD`.
fn read() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

impl Context {
    fn status(&self) -> HttpResponse {
        let body = serde_json::to_vec_pretty(&self.0.status.report()).expect("the status should be printable as JSON");
        response(StatusCode::OK, "application/json", body.into())
    }
}
