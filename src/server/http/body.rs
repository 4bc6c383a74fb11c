//! Reads a request's body into memory, with limits on size and time.

use std::pin::pin;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;
use warp::http::{HeaderMap, StatusCode, header};

use super::response::{ErrorResponse, problem};
use super::route::BodyLimit;

/// A body of this size is read even if its route allows less: if we answered while the client was still sending, it might not
/// read the response.
const LEAST_MAX: usize = 64 * 1024;

/// A mebibyte.
const MIB: usize = 1024 * 1024;

/// Reads the whole body, or returns the error response if it is too long, too slow or incomplete.
pub async fn read(
    headers: &HeaderMap,
    chunks: impl Stream<Item = Result<impl Buf, warp::Error>>,
    limit: BodyLimit,
) -> Result<Bytes, ErrorResponse> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let most = limit.max.max(LEAST_MAX);
    // Before the body is sent.
    if declared.is_some_and(|length| length > most as u64) {
        return Err(too_long(most));
    }
    // Memory at once for a large one, of which there is one at a time.
    let expected = declared.filter(|_| most > LEAST_MAX).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let body = timeout(limit.time, collect(chunks, expected, most)).await.map_err(|_| {
        let seconds = limit.time.as_secs();
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

/// Collects a body of probably `expected` bytes, and at most `most`.
async fn collect(
    chunks: impl Stream<Item = Result<impl Buf, warp::Error>>,
    expected: usize,
    most: usize,
) -> Result<Bytes, ErrorResponse> {
    let mut chunks = pin!(chunks);
    let mut body = BytesMut::with_capacity(expected);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            error_response(StatusCode::BAD_REQUEST, &format!("the body could not be read: {error}"))
        })?;
        if chunk.remaining() > most - body.len() {
            return Err(too_long(most));
        }
        body.put(chunk);
    }
    Ok(body.freeze())
}

fn too_long(limit: usize) -> ErrorResponse {
    let (limit, unit) = if limit < MIB { (limit / 1024, "KiB") } else { (limit / MIB, "MiB") };
    error_response(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is longer than {limit} {unit}"))
}

fn error_response(status: StatusCode, detail: &str) -> ErrorResponse {
    problem(status, detail).into()
}
