//! The forms of an answer: text, JSON, nothing, and errors as RFC 9457 describes them.

use std::convert::Infallible;

use bytes::Bytes;
use warp::Rejection;
use warp::http::{HeaderValue, Response, StatusCode, header};

/// An answer whose body is there as a whole.
pub type HttpResponse = Response<Bytes>;

/// An answer that ends the work on a request early; in a box, because it is much larger than what else is returned.
pub type ErrorResponse = Box<HttpResponse>;

/// An answer that nobody may keep.
pub fn response(status: StatusCode, media_type: &'static str, body: Bytes) -> HttpResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Plain text.
pub fn text(status: StatusCode, text: &'static str) -> HttpResponse {
    response(status, "text/plain; charset=utf-8", text.into())
}

/// 204.
pub fn no_content() -> HttpResponse {
    let mut response = text(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// An error. `detail` says for people what is wrong with this request and what would be right.
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    response(status, "application/problem+json", body.to_string().into())
}

/// An error that passes: the client may try again after so many seconds.
pub fn retryable_problem(status: StatusCode, seconds: u64, detail: &str) -> HttpResponse {
    let mut response = problem(status, detail);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// What no route took, though the address and its method are known.
pub async fn rejected(rejection: Rejection) -> Result<HttpResponse, Infallible> {
    use warp::reject::{LengthRequired, PayloadTooLarge};
    let response = if rejection.is_not_found() {
        problem(StatusCode::NOT_FOUND, "there is nothing at this address; the page is at /, signalling at /whep")
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than anything that is sent here")
    } else if rejection.find::<LengthRequired>().is_some() {
        problem(StatusCode::LENGTH_REQUIRED, "send the body with a Content-Length")
    } else {
        tracing::debug!("request not understood: {rejection:?}");
        problem(StatusCode::BAD_REQUEST, "the request could not be read")
    };
    Ok(response)
}
