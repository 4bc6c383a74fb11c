//! The connection that a request arrived on, for responses that last: they keep it from being evicted as idle, and close it
//! when they end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::util::connection_limit::{BusyGuard, ConnectionPermit};

/// The connection; a cheap handle.
#[derive(Clone)]
pub struct ConnectionHandle {
    permit: Arc<ConnectionPermit>,
    stop: CancellationToken,
}

impl ConnectionHandle {
    /// A handle for the connection with this permit; `stop` is cancelled when the program stops.
    pub fn new(permit: Arc<ConnectionPermit>, stop: CancellationToken) -> Self {
        Self { permit, stop }
    }

    /// Cancelled when the program stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Closes the connection at once.
    pub fn close(&self) {
        self.permit.close();
    }

    /// Keeps the connection from being evicted as idle for as long as the guard lives.
    pub fn busy(&self) -> BusyGuard {
        self.permit.busy()
    }
}
