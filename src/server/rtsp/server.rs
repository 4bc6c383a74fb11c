//! The listener: a limit on connections, and a shutdown that ends every one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::RtspContext;
use super::connection;
use super::limits::RequestLimits;
use crate::model::metrics::RejectReason;
use crate::server::listen;
use crate::util::connection_limit::ConnectionLimiter;

/// Maximum number of connections: each viewer has one, and there are several times as many as usually watch.
const MAX_CONNECTIONS: usize = 64;

/// The pause after a failed accept, when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long shutdown waits for the connections to close.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(300);

/// How to choose another port, for messages.
const ANOTHER_PORT: &str = "choose another in [rtsp] listen";

/// Checks that the listener could be opened, except that its port may be in use: porthole itself may be running.
///
/// # Errors
///
/// When the address is not one of this device, or its port is reserved; the message says what to do.
pub fn check_listen(listen: SocketAddr) -> anyhow::Result<()> {
    listen::check(listen, ANOTHER_PORT)
}

/// The running server.
pub struct RtspServer {
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl RtspServer {
    /// Opens the listener and serves.
    ///
    /// # Errors
    ///
    /// When the address is in use or not one of this device; the message says what to do.
    pub async fn start(listen: SocketAddr, context: RtspContext) -> anyhow::Result<Self> {
        let listener = listen::bind(listen, ANOTHER_PORT).await.context("start RTSP")?;
        let address = listener.local_addr().context("read the address of the RTSP listener")?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(accept(listener, context, tasks.clone(), stop.clone()));
        Ok(Self { address, tasks, stop })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.tasks.wait()).await.is_err() {
            tracing::debug!("{} RTSP connections were still open at shutdown", self.tasks.len());
        }
    }
}

async fn accept(listener: TcpListener, context: RtspContext, tasks: TaskTracker, stop: CancellationToken) {
    let (limiter, limits) = (ConnectionLimiter::new(MAX_CONNECTIONS), Arc::new(RequestLimits::new()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match limiter.try_acquire(peer.ip()) {
                Some(permit) => {
                    tasks.spawn(connection::serve(stream, peer, context.clone(), limits.clone(), permit, stop.clone()));
                }
                None => context.metrics.count_rejected(RejectReason::Connections),
            },
            Err(error) => {
                tracing::warn!("accept an RTSP connection: {error}");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}
