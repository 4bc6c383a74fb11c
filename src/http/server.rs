//! The listener and its connections: time limits, a bound on connections, and a stop that does not wait for idle ones.
//!
//! Warp serves the requests; its own accept loop has neither limits nor a way to survive a table of open files that is
//! full.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warp::reply::{Reply as _, Response};

use super::{Context, Gate, Routes, Via, body};

/// Connections at once: enough for every viewer's browser, which holds up to six, and a monitor; few enough that a
/// board's memory and file table hold them.
const MAX_CONNECTIONS: usize = 256;

/// The time a client has to send a request's header; a slower one holds a connection for nothing.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// How long requests in progress may take at the stop.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// The pause after a failed accept, when the process has no file left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the listener.
///
/// # Errors
///
/// When the address is in use or not this machine's; the message says what to do.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(listen).await {
        // A kernel without IPv6 cannot bind [::]; every address is then every IPv4 address.
        Err(error) if listen.ip().is_unspecified() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, listen.port())).await
        }
        bound => bound,
    };
    let port = listen.port();
    bound.map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("port {port} is in use; stop the other program (ss -ltnp 'sport = :{port}') or choose another with --listen")
            }
            io::ErrorKind::AddrNotAvailable => format!("{} is no address of this machine; see `ip address`", listen.ip()),
            io::ErrorKind::PermissionDenied => format!("port {port} is reserved for root; choose one above 1023"),
            _ => error.to_string(),
        };
        anyhow::anyhow!("listen on {listen}: {next}")
    })
}

/// The running server.
pub struct Server {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Serves every route on the listener.
    pub fn start(listener: TcpListener, context: Context, gate: Gate) -> Self {
        let stop = CancellationToken::new();
        let routes = super::routes(context);
        let task = tokio::spawn(accept(listener, Arc::new(Site { gate, routes }), stop.clone()));
        Self { task, stop }
    }

    /// Stops accepting, lets requests in progress end, and closes the listener.
    ///
    /// # Errors
    ///
    /// When the accept loop panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the HTTP server's task failed")
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.expect("the semaphore should stay open"),
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve(stream, site.clone(), &graceful);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("connection from {peer}: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("accept a connection: {error}");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections were still busy at the stop");
    }
}

/// Serves the requests of one connection until it closes.
fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = Result<(), hyper::Error>> + use<> {
    // An answer is written in one piece; holding it back for more would only delay the first picture.
    let _ = stream.set_nodelay(true);
    let via = stream.local_addr().map_or(Via(Ipv4Addr::LOCALHOST.into()), |address| Via(address.ip()));
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.respond(request, via).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    graceful.watch(connection)
}

/// What all connections serve: the routes behind the gate.
struct Site {
    gate: Gate,
    routes: Routes,
}

impl Site {
    async fn respond(&self, request: Request<Incoming>, via: Via) -> Response {
        let (mut head, body) = request.into_parts();
        let (visit, admitted) = self.gate.admit(&head);
        let body = match admitted {
            Ok(()) => body::read(body).await,
            Err(early) => Err(early),
        };
        let mut response = match body {
            Ok(body) => {
                head.extensions.insert(via);
                let routes = TowerToHyperService::new(warp::service(self.routes.clone()));
                let routed = routes.call(Request::from_parts(head, Full::new(body))).await;
                routed.unwrap_or_else(|never| match never {})
            }
            Err(early) => early.into_response(),
        };
        visit.dress(response.headers_mut());
        response
    }
}
