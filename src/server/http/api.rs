//! Commands and snapshots for scripts: `POST /api/command` and `GET /snapshot.jpg`.
//!
//! Commands are executed and permitted in `dispatch`; their format is defined in `crate::model::protocol`.

use bytes::Bytes;
use serde::Deserialize;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::response::{HttpResponse, problem, response};
use super::{Context, read, whep};
use crate::model::protocol::{Code, Error};
use crate::server::auth::Principal;
use crate::server::dispatch::{Caller, Snapshot};

const JSON: &str = "application/json";

/// Query parameters of a snapshot.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotQuery {
    camera: Option<String>,
}

/// `POST /api/command` and `GET /snapshot.jpg`.
pub fn routes(context: Context) -> BoxedFilter<(HttpResponse,)> {
    let with = warp::any().map(move || context.clone());
    let body = warp::body::bytes();
    // The middleware rejects requests without one.
    let caller = warp::ext::get::<Principal>().map(|principal: Principal| Caller::principal(&principal));
    let headers = warp::header::headers_cloned();
    let command =
        warp::path!("api" / "command").and(warp::post()).and(headers).and(body).and(caller).and(with.clone()).then(
            |headers: HeaderMap, body: Bytes, caller: Caller, context: Context| async move {
                context.command(&headers, &body, &caller).await
            },
        );
    let snapshot = warp::path!("snapshot.jpg").and(read()).and(warp::query()).and(caller).and(with).then(
        |SnapshotQuery { camera }: SnapshotQuery, caller: Caller, context: Context| async move {
            context.snapshot(camera.as_deref(), &caller).await
        },
    );
    command.or(snapshot).unify().boxed()
}

impl Context {
    async fn command(&self, headers: &HeaderMap, body: &Bytes, caller: &Caller) -> HttpResponse {
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

    async fn snapshot(&self, camera: Option<&str>, caller: &Caller) -> HttpResponse {
        match self.0.dispatcher.snapshot(caller, camera).await {
            Ok(Snapshot { data, .. }) => response(StatusCode::OK, Snapshot::MEDIA_TYPE, data),
            Err(error) => with_retry_after(problem(status(&error), &error.message), &error),
        }
    }
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
