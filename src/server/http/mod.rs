//! The HTTP server: the viewer page, WHEP signalling, status and metrics, on one listener.
//!
//! A request arrives in `server` and `connection`, is decoded and checked by `middleware` with the table in `route_table`,
//! and is handed to its handler by one match here: WHEP is in `whep`, the embedded files are in `assets`, signing in and
//! tokens in `login`, commands and snapshots in `api`.

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

use bytes::Bytes;
use ipnet::IpNet;
use middleware::AllowedRequest;
use response::{ErrorResponse, HttpResponse, problem, response, text};
use route_table::Route;
use warp::http::request::Parts;
use warp::http::{Method, StatusCode};

pub use middleware::Middleware;
pub use server::{Server, adopt, bind};
pub use tls::Encryption;

use crate::model::metrics::Metrics;
use crate::model::status;
use crate::server::auth::{Auth, Principal, Role};
use crate::server::dispatch::{Caller, Dispatcher};
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

impl Context {
    /// Handles a request that the middleware has allowed.
    async fn handle(
        &self,
        allowed: AllowedRequest,
        local: IpAddr,
        request: &Parts,
        body: &Bytes,
    ) -> Result<HttpResponse, ErrorResponse> {
        let AllowedRequest { route, client, principal } = allowed;
        let headers = &request.headers;
        let method = if request.method == Method::HEAD { "GET" } else { request.method.as_str() };
        let response = match (route, method) {
            (Route::Asset(asset), "GET") => assets::file(asset),
            (Route::Health, "GET") => text(StatusCode::OK, "ok\n"),
            (Route::Status, "GET") => self.status(),
            (Route::Metrics, "GET") => self.metrics(),
            (Route::Login, "GET") => self.session_info(headers),
            (Route::Login, "POST") => {
                login::check_length(headers)?;
                self.sign_in(headers, body, client).await
            }
            (Route::Login, "DELETE") => self.sign_out(headers, client).await,
            (Route::Tokens, "GET") => {
                login::require_operator(principal)?;
                self.tokens()
            }
            (Route::Tokens, "POST") => {
                login::check_length(headers)?;
                self.add_token(&login::require_operator(principal)?, headers, body).await
            }
            (Route::Token(name), "DELETE") => self.revoke_token(&login::require_operator(principal)?, &name).await,
            (Route::Command, "POST") => self.command(headers, body, &caller(principal)?).await,
            (Route::Snapshot, "GET") => {
                self.snapshot(request.uri.query().unwrap_or_default(), &caller(principal)?).await
            }
            (Route::Endpoint(camera), "GET") => self.head_endpoint(camera.as_deref())?,
            (Route::Endpoint(camera), "POST") => {
                self.offer(camera.as_deref(), headers, body, local, &owner(principal)).await?
            }
            (Route::Session(id), "GET") => self.head_session(&id),
            (Route::Session(id), "PATCH") => self.patch(&id, headers, body, local).await?,
            (Route::Session(id), "DELETE") => self.delete(&id),
            // The middleware has rejected methods that the route does not support.
            _ => problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not support the method"),
        };
        Ok(response)
    }

    fn status(&self) -> HttpResponse {
        let body = serde_json::to_vec_pretty(&self.0.status.report()).expect("the status should be printable as JSON");
        response(StatusCode::OK, "application/json", body.into())
    }

    fn metrics(&self) -> HttpResponse {
        let text = self.0.metrics.text();
        response(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text.into())
    }
}

/// Who gives a command. The middleware rejects requests without a principal.
fn caller(principal: Option<Principal>) -> Result<Caller, ErrorResponse> {
    let principal = principal.ok_or_else(|| login::unauthorized("sign in first"))?;
    Ok(Caller::principal(&principal))
}

/// Who owns a session. The middleware rejects requests without a principal; a session without an owner ends by itself,
/// and has the lowest role.
fn owner(principal: Option<Principal>) -> Principal {
    principal.unwrap_or(Principal { role: Role::Viewer, id: String::new() })
}
