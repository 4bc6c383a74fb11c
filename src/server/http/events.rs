//! `GET /api/events`: what viewers are told on their data channels, as server-sent events (HTML standard, section 9.2) for
//! programs.
//!
//! What the events are is in `crate::model::protocol`, when there is one in `dispatch`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use warp::Reply as _;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::Context;
use super::long_lived::{LongLived, too_many};
use super::request::RequestHead;
use super::response::{ErrorResponse, no_content};
use crate::server::auth::Principal;
use crate::server::dispatch::EventStream;

/// After this long without an event a comment is sent, so that proxies do not take the connection for dead, and a client that
/// is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Context {
    /// `GET /api/events`.
    pub(super) fn events(
        &self,
        head: &RequestHead,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<Response, ErrorResponse> {
        let mut response = if head.method == Method::HEAD {
            no_content().into_response()
        } else {
            let end = head.connection.stop().child_token();
            let permit = self.0.events_read.try_acquire(client, &principal.id, end.clone());
            let permit = permit.map_err(|max| too_many(&self.0.metrics, client, max))?;
            // Access that was revoked before the permit existed has ended nothing.
            self.check_access(Some(principal))?;
            let long_lived = LongLived::new(&head.connection, permit, end.clone());
            let body = Body { events: self.0.dispatcher.events_for_program(), end, _long_lived: long_lived };
            warp::reply::stream(stream::unfold(body, Body::next)).into_response()
        };
        *response.status_mut() = StatusCode::OK;
        set_headers(response.headers_mut());
        Ok(response)
    }
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// The body of the response.
struct Body {
    events: EventStream,
    end: CancellationToken,
    _long_lived: LongLived,
}

impl Body {
    /// The next event, when the connection has room for it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let next = timeout(KEEP_ALIVE, self.events.next());
        let text = tokio::select! {
            biased;
            () = self.end.cancelled() => return None,
            event = next => match event {
                Ok(event) => {
                    let (name, parameters) = event.parts();
                    format!("event: {name}\ndata: {parameters}\n\n")
                }
                Err(_) => ":\n\n".to_owned(),
            },
        };
        Some((Ok(text.into()), self))
    }
}
