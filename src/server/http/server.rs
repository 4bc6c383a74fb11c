//! The listener: a limit on connections, and a shutdown that does not wait for idle ones.
//!
//! Warp answers the requests, but its accept loop has no limits and does not survive running out of file descriptors.
//! What happens on a connection is in `connection`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection::{self, ServerContext};
use super::router::router;
use super::{Config, Context, Encryption, Middleware};
use crate::model::metrics::RejectReason;
use crate::server::listen;
use crate::server::rtc::Advertised;
use crate::util::connection_limit::ConnectionLimiter;

/// Maximum number of connections: enough for every viewer's browser, which opens up to six, and a monitor; few enough
/// for a small device's memory and file descriptors.
const MAX_CONNECTIONS: usize = 256;

/// How long shutdown waits for requests in progress.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(300);

/// The pause after a failed accept, when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How to choose another port, for messages.
const ANOTHER_PORT: &str = "choose another with --listen";

/// Opens the listener.
///
/// # Errors
///
/// When the address is in use or not one of this device; the message says what to do.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    listen::bind(listen, ANOTHER_PORT).await
}

/// Checks that the listener could be opened, except that its port may be in use: porthole itself may be running.
///
/// # Errors
///
/// When the address is not one of this device, or its port is reserved; the message says what to do.
pub fn check_listen(listen: SocketAddr) -> anyhow::Result<()> {
    listen::check(listen, ANOTHER_PORT)
}

/// Adopts a listening socket that the service manager has opened for us.
///
/// # Errors
///
/// When the socket cannot be registered with the runtime.
pub fn adopt(listener: std::net::TcpListener, configured: SocketAddr) -> anyhow::Result<TcpListener> {
    listener.set_nonblocking(true).context("prepare the socket of systemd")?;
    let listener = TcpListener::from_std(listener).context("wait for connections on the socket of systemd")?;
    let address = listener.local_addr().context("read the address of the socket of systemd")?;
    if address != configured {
        tracing::info!("systemd listens on {address} (porthole.socket); [http] listen = \"{configured}\" is ignored");
    }
    Ok(listener)
}

/// The running server.
pub struct Server {
    context: Arc<ServerContext>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Starts serving all routes on the listener.
    pub fn start(
        listener: TcpListener,
        context: Context,
        middleware: Middleware,
        encryption: Option<Encryption>,
    ) -> Self {
        let stop = CancellationToken::new();
        let middleware = Arc::new(middleware);
        let router = router(middleware.clone(), context);
        let context = Arc::new(ServerContext { middleware, router, encryption, stop: stop.clone() });
        let task = tokio::spawn(accept(listener, context.clone(), stop.clone()));
        Self { context, task, stop }
    }

    /// Applies another configuration from now on: host names, origins, proxies, and whether to redirect. The listen
    /// address and TLS stay as they are.
    pub fn reconfigure(&self, config: &Config, advertised: &[Advertised]) {
        self.context.middleware.reconfigure(config, advertised);
    }

    /// Stops accepting, lets requests in progress finish, and closes the listener.
    ///
    /// # Errors
    ///
    /// When the accept loop panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the HTTP server's task failed")
    }
}

async fn accept(listener: TcpListener, context: Arc<ServerContext>, stop: CancellationToken) {
    let limiter = ConnectionLimiter::new(MAX_CONNECTIONS);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(permit) = limiter.try_acquire(peer.ip()) else {
                    context.middleware.count_rejection(RejectReason::Connections);
                    continue;
                };
                let (context, watcher) = (context.clone(), graceful.watcher());
                tokio::spawn(async move {
                    if let Err(error) = connection::serve(stream, peer, context, permit, watcher).await {
                        tracing::debug!("connection from {peer}: {error}");
                    }
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
    if tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
        tracing::debug!("requests were still in progress at shutdown");
    }
}
