//! Reads a request's body into memory, with limits on size and time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;
use warp::http::{HeaderMap, StatusCode, header};

use super::response::{ErrorResponse, problem};
use super::route::BodyLimit;

/// Maximum size of a body that is read, whatever its route allows: if we answered while the client was still sending,
/// it might not read the response.
const MAX_BODY: usize = 64 * 1024;

/// Timeout for receiving a body. On the slowest mobile network an offer takes a second.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body, or returns the error response if it is too long, too slow or incomplete.
pub async fn read(
    headers: &HeaderMap,
    chunks: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limit: BodyLimit,
) -> Result<Bytes, ErrorResponse> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Before the body is sent.
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_long(MAX_BODY));
    }
    let body = timeout(BODY_TIMEOUT, collect(chunks)).await.map_err(|_| {
        let seconds = BODY_TIMEOUT.as_secs();
        error_response(StatusCode::REQUEST_TIMEOUT, &format!("the body did not arrive within {seconds} s"))
    })??;
    if limit.length_required && declared.is_none() {
        return Err(error_response(StatusCode::LENGTH_REQUIRED, "send the body with a Content-Length"));
    }
    if body.len() > limit.max {
        return Err(too_long(limit.max));
    }
    Ok(body)
}

async fn collect(chunks: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Result<Bytes, ErrorResponse> {
    let mut chunks = pin!(chunks);
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            error_response(StatusCode::BAD_REQUEST, &format!("the body could not be read: {error}"))
        })?;
        if chunk.remaining() > MAX_BODY - body.len() {
            return Err(too_long(MAX_BODY));
        }
        body.put(chunk);
    }
    Ok(body.freeze())
}

fn too_long(limit: usize) -> ErrorResponse {
    error_response(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {} KiB", limit / 1024))
}

fn error_response(status: StatusCode, detail: &str) -> ErrorResponse {
    problem(status, detail).into()
}
