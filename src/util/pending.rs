//! Waiting for what may not be there, in the branches of a `select!`.

use std::time::Instant;

use tokio::time::sleep_until;

/// Waits for the future; pending forever if there is none.
pub async fn or_pending<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Waits for a time; forever if there is none.
pub async fn reached(due: Option<Instant>) {
    or_pending(due.map(|due| sleep_until(due.into()))).await;
}
