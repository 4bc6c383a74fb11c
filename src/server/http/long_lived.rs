//! What long-lived responses have in common: they keep their connection from being evicted as idle, and when they end the
//! connection ends with them, also if the client has stopped reading.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use warp::http::StatusCode;

use super::connection_handle::ConnectionHandle;
use super::reader_limit::ReaderPermit;
use super::response::{ErrorResponse, retryable_problem};
use crate::model::metrics::{Metrics, RejectReason};
use crate::util::connection_limit::BusyGuard;

/// How long a response that has ended may take to send what is under way; a client that has stopped reading never would.
const END_GRACE: Duration = Duration::from_secs(1);

/// After how many seconds a client may ask again that has too many.
const RETRY_AFTER: u64 = 5;

/// Lives as long as the response's body.
pub struct LongLived {
    _busy: BusyGuard,
    _permit: ReaderPermit,
    _done: DropGuard,
}

impl LongLived {
    /// A response on `connection` that is over when `end` is cancelled.
    pub fn new(connection: &ConnectionHandle, permit: ReaderPermit, end: CancellationToken) -> Self {
        let done = CancellationToken::new();
        tokio::spawn(close_when_ended(connection.clone(), end, done.clone()));
        Self { _busy: connection.busy(), _permit: permit, _done: done.drop_guard() }
    }
}

/// Closes the connection of a response that has ended and is still being sent.
async fn close_when_ended(connection: ConnectionHandle, end: CancellationToken, done: CancellationToken) {
    tokio::select! {
        () = done.cancelled() => return,
        () = end.cancelled() => {}
    }
    if timeout(END_GRACE, done.cancelled()).await.is_err() {
        connection.close();
    }
}

/// The response to a client that reads `max` already.
pub fn too_many(metrics: &Metrics, client: IpAddr, max: usize) -> ErrorResponse {
    metrics.count_rejected(RejectReason::Readers);
    let detail = format!("{client} reads {max} streams already; close one of them");
    retryable_problem(StatusCode::TOO_MANY_REQUESTS, RETRY_AFTER, &detail).into()
}
