//! Commands, snapshots, status and metrics for scripts.
//!
//! Commands are executed and permitted in `dispatch`; their format is defined in `crate::model::protocol`.

use bytes::Bytes;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::request::RequestHead;
use super::response::{ErrorResponse, HttpResponse, problem, response};
use super::{Context, whep};
use crate::model::protocol::{Code, Error};
use crate::server::auth::Role;
use crate::server::dispatch::{Caller, Snapshot};

const JSON: &str = "application/json";

impl Context {
    /// `GET /api/status`.
    pub(super) fn status(&self, role: Role) -> HttpResponse {
        let report = self.0.dispatcher.report_for(self.0.status.report(), role);
        let body = serde_json::to_vec_pretty(&report).expect("the status should be printable as JSON");
        response(StatusCode::OK, JSON, body.into())
    }

    /// `GET /metrics`.
    pub(super) fn metrics(&self) -> HttpResponse {
        let text = self.0.metrics.text();
        response(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text.into())
    }

    /// `POST /api/command`.
    pub(super) async fn command(&self, headers: &HeaderMap, body: &Bytes, caller: &Caller) -> HttpResponse {
        // The media type keeps out HTML forms of other sites, which can only send text.
        if whep::media_type(headers) != JSON {
            let detail = "send the request with Content-Type: application/json";
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        }
        let (text, outcome) = self.0.dispatcher.handle_message(caller, body).await;
        let status = outcome.as_ref().map_or_else(status, |_| StatusCode::OK);
        let response = response(status, JSON, text.into());
        match outcome {
            Ok(_) => response,
            Err(error) => with_retry_after(response, &error),
        }
    }

    /// The camera that a request for an image names, by its number in the action or by its name; `None` for the first.
    pub(super) fn camera<'a>(
        &'a self,
        number: Option<usize>,
        head: &'a RequestHead,
    ) -> Result<Option<&'a str>, ErrorResponse> {
        let Some(number) = number else { return Ok(head.parameter("camera")) };
        let streams = &self.0.streams;
        let detail = || format!("there is no camera number {number}; there are {}, counted from 0", streams.len());
        let stream = streams.get(number).ok_or_else(|| problem(StatusCode::NOT_FOUND, &detail()))?;
        Ok(Some(&stream.name))
    }

    /// `GET /snapshot.jpg`.
    pub(super) async fn snapshot(&self, camera: Option<&str>, caller: &Caller) -> HttpResponse {
        match self.0.dispatcher.snapshot(caller, camera).await {
            Ok(Snapshot { data, .. }) => {
                let mut response = response(StatusCode::OK, Snapshot::MEDIA_TYPE, data);
                // Each request gets another image, of which parts do not fit together; so a range is ignored (RFC 9110
                // section 14.3), and clients are asked to send none.
                response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
                response
            }
            Err(error) => protocol_problem(&error),
        }
    }
}

/// A protocol error as a response.
pub fn protocol_problem(error: &Error) -> HttpResponse {
    with_retry_after(problem(status(error), &error.message), error)
}

/// The HTTP status of a protocol error.
fn status(error: &Error) -> StatusCode {
    match error.code {
        Code::Parse | Code::Request | Code::Method | Code::Params => StatusCode::BAD_REQUEST,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Refused | Code::SessionRequired => StatusCode::CONFLICT,
        Code::Busy => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Adds `Retry-After` if the error has one.
fn with_retry_after(mut response: HttpResponse, error: &Error) -> HttpResponse {
    if let Some(milliseconds) = error.retry() {
        let seconds = HeaderValue::from(milliseconds.div_ceil(1000).max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
