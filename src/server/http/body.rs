//! Reads a request's body into memory, with limits on size and time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;
use warp::http::StatusCode;

use super::response::{ErrorResponse, problem};

/// Maximum size of a body. A browser's offer has 6 KiB.
const MAX_BODY: usize = 64 * 1024;

/// Timeout for receiving a body. On the slowest mobile network an offer takes a second.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the whole body, or returns the error response if it is too long, too slow or incomplete.
pub async fn read(body: Incoming) -> Result<Bytes, ErrorResponse> {
    let too_long = || error_response(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB");
    // Reject by `Content-Length`, before the body is sent.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_long());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(error_response(StatusCode::BAD_REQUEST, &format!("the body could not be read: {error}"))),
        Err(_) => {
            let seconds = BODY_TIMEOUT.as_secs();
            Err(error_response(StatusCode::REQUEST_TIMEOUT, &format!("the body did not arrive within {seconds} s")))
        }
    }
}

fn error_response(status: StatusCode, detail: &str) -> ErrorResponse {
    problem(status, detail).into()
}
