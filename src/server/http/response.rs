//! Builds responses: text, JSON, empty, and errors as problem details (RFC 9457).

use bytes::Bytes;
use warp::http::{HeaderValue, Response, StatusCode, header};

/// A response with a complete body.
pub type HttpResponse = Response<Bytes>;

/// A response that ends the handling of a request early; boxed, because it is much larger than the other values that
/// are returned.
pub type ErrorResponse = Box<HttpResponse>;

/// A response that may not be cached.
pub fn response(status: StatusCode, media_type: &'static str, body: Bytes) -> HttpResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A plain text response.
pub fn text(status: StatusCode, text: &'static str) -> HttpResponse {
    response(status, "text/plain; charset=utf-8", text.into())
}

/// 204 No Content.
pub fn no_content() -> HttpResponse {
    let mut response = text(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// An error. `detail` tells people what is wrong with the request and what would be right.
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    response(status, "application/problem+json", body.to_string().into())
}

/// A temporary error: the client may try again after so many seconds.
pub fn retryable_problem(status: StatusCode, seconds: u64, detail: &str) -> HttpResponse {
    let mut response = problem(status, detail);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}
