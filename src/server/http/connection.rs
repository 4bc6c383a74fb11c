//! One connection: encrypted or not, its requests in turn, and the limits of time and memory that each has.
//!
//! Whether a request is let in is decided in `gate`, how many connections there may be in `places`.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use warp::http::StatusCode;
use warp::reply::{Reply as _, Response};

use super::connection_limit::ConnectionPermit;
use super::forwarded::ConnInfo;
use super::response::{ErrorResponse, problem_for};
use super::{Encryption, LocalAddr, Middleware, Routes, body, tls};

/// The time a client has to send a request's header, and to begin with the next request; a slower one holds a connection
/// for nothing.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// The time in which a request is answered once its header is there: its body has 10 s, an offer another 2 s until the
/// pictures are known, and a slow board some for the connection.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// How long the other end may take no data that waits for it; then it is gone, or holds the answer back on purpose.
const UNSENT_TIME: Duration = Duration::from_secs(30);

/// The memory for a request's line and headers: several times what browsers send with all cookies, and 8 MiB for all
/// connections together.
const MAX_HEADER: usize = 32 * 1024;

/// Headers of a request; a browser sends some 20, and a proxy adds a few.
const MAX_HEADERS: usize = 100;

/// What all connections serve: the routes behind the gate, encrypted or not.
pub struct ServerContext {
    /// Decides which requests are let in.
    pub gate: Middleware,
    /// Answers them.
    pub routes: Routes,
    /// Encrypts connections, where that is configured.
    pub encryption: Option<Encryption>,
}

/// Serves the requests of one connection until it closes, or loses its place.
///
/// # Errors
///
/// When the client breaks the protocol, or a limit of time.
pub async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    site: Arc<ServerContext>,
    place: ConnectionPermit,
    watcher: Watcher,
) -> anyhow::Result<()> {
    // An answer is written in one piece; holding it back for more would only delay the first picture.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNSENT_TIME.as_millis() as u32);
    let place = Arc::new(place);
    let kept = place.clone();
    tokio::select! {
        biased;
        () = kept.lost() => Ok(()),
        done = begin(stream, peer, site, place, watcher) => done,
    }
}

async fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    site: Arc<ServerContext>,
    place: Arc<ConnectionPermit>,
    watcher: Watcher,
) -> anyhow::Result<()> {
    let via = stream.local_addr().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip());
    let line = ConnInfo { peer: peer.ip(), via, encrypted: false };
    match &site.encryption {
        Some(encryption) if tls::is_encrypted(&stream).await? => {
            let stream = encryption.accept(stream).await?;
            requests(stream, ConnInfo { encrypted: true, ..line }, site, place, watcher).await?;
        }
        _ => requests(stream, line, site, place, watcher).await?,
    }
    Ok(())
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    line: ConnInfo,
    site: Arc<ServerContext>,
    place: Arc<ConnectionPermit>,
    watcher: Watcher,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let (site, place) = (site.clone(), place.clone());
        async move {
            place.set_busy(true);
            let response = site.respond(request, line).await;
            place.set_busy(false);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

impl ServerContext {
    async fn respond(&self, request: Request<Incoming>, line: ConnInfo) -> Response {
        let (mut head, body) = request.into_parts();
        let (dress, admitted) = self.gate.admit(&mut head, line);
        head.extensions.insert(LocalAddr(line.via));
        let answered = async {
            admitted?;
            let body = body::read(body).await?;
            let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
            let routed = routes.call(Request::from_parts(head, Full::new(body))).await;
            Ok(routed.unwrap_or_else(|never| match never {}))
        };
        let mut response = match timeout(REQUEST_TIME, answered).await {
            Ok(answered) => answered.unwrap_or_else(|early: ErrorResponse| early.into_response()),
            Err(_) => {
                let detail = format!("the request was not answered within {} s", REQUEST_TIME.as_secs());
                tracing::warn!("{detail}");
                problem_for(StatusCode::SERVICE_UNAVAILABLE, 5, &detail).into_response()
            }
        };
        dress.put_on(response.headers_mut());
        response
    }
}
