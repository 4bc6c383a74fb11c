//! One connection: TLS or plain, its requests one after another, and the limits on time and memory.
//!
//! Whether a request is allowed is decided in `middleware`, how many connections there may be in `util::connection_limit`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use warp::http::Uri;

use super::connection_handle::ConnectionHandle;
use super::forwarded::{Arrival, ConnInfo};
use super::router::Router;
use super::{Encryption, Middleware, tls};
use crate::util::connection_limit::ConnectionPermit;

/// Timeout for receiving a request's header, and for the start of the next request; a slower client occupies a
/// connection for nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`); after that the peer is gone, or is stalling on
/// purpose.
const UNACKED_TIMEOUT: Duration = Duration::from_secs(30);

/// Buffer for the request line and headers: several times what browsers send with all cookies, and 8 MiB for all
/// connections together.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Maximum number of headers; a browser sends about 20, and a proxy adds a few.
const MAX_HEADERS: usize = 100;

/// Data that the kernel may keep unsent (`TCP_NOTSENT_LOWAT`). With more, a slow client would get frames of an MJPEG stream
/// that have long been replaced by newer ones; with less, the kernel would wake us for every packet.
const MAX_UNSENT: u32 = 16 * 1024;

/// What all connections share.
pub struct ServerContext {
    /// Decides which requests are allowed.
    pub middleware: Arc<Middleware>,
    /// Answers requests.
    pub router: Router,
    /// TLS, if configured.
    pub encryption: Option<Encryption>,
    /// Cancelled when the program stops.
    pub stop: CancellationToken,
}

/// Serves the requests of one connection until it closes or is evicted.
///
/// # Errors
///
/// When the client violates the protocol or exceeds a timeout.
pub async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    context: Arc<ServerContext>,
    permit: ConnectionPermit,
    watcher: Watcher,
) -> anyhow::Result<()> {
    // A response is written in one piece; waiting for more data would only delay the first frame.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKED_TIMEOUT.as_millis() as u32);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
    let permit = Arc::new(permit);
    let eviction = permit.clone();
    tokio::select! {
        biased;
        () = eviction.evicted() => Ok(()),
        done = handshake(stream, peer, context, permit, watcher) => done,
    }
}

async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    context: Arc<ServerContext>,
    permit: Arc<ConnectionPermit>,
    watcher: Watcher,
) -> anyhow::Result<()> {
    let local = stream.local_addr().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip());
    let conn = ConnInfo { peer: peer.ip(), local, encrypted: false };
    match &context.encryption {
        Some(encryption) if tls::is_encrypted(&stream).await? => {
            let stream = encryption.accept(stream).await?;
            serve_http1(stream, ConnInfo { encrypted: true, ..conn }, context, permit, watcher).await?;
        }
        _ => serve_http1(stream, conn, context, permit, watcher).await?,
    }
    Ok(())
}

async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    conn: ConnInfo,
    context: Arc<ServerContext>,
    permit: Arc<ConnectionPermit>,
    watcher: Watcher,
) -> Result<(), hyper::Error> {
    let handle = ConnectionHandle::new(permit, context.stop.clone());
    let router = TowerToHyperService::new(warp::service(context.router.clone()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let arrival = Arrival { conn, authority: request.uri().authority().cloned() };
        request.extensions_mut().insert(arrival);
        request.extensions_mut().insert(handle.clone());
        // A target that is only a host, as of CONNECT, has no path, on which warp panics. Nothing is at `*`.
        if request.uri().path_and_query().is_none() {
            *request.uri_mut() = Uri::from_static("*");
        }
        let (response, busy) = (router.call(request), handle.busy());
        async move {
            let response = response.await;
            drop(busy);
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        // A client may close its side after the request, as `nc -N` does, and still wants the response.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}
