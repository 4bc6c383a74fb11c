//! Signalling as draft-ietf-wish-whep and RFC 9725 describe it: POST an offer, PATCH candidates, DELETE the session.
//!
//! Connections and their resources belong to `rtc`.

use bytes::Bytes;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Answer, Context, Via, answer, plain, problem};
use crate::rtc::{Fragment, Refusal, Refused, RemoteIce, RestartError, Restarted, TrickleError};

/// The longest offer or fragment. A browser's offer has 6 KiB.
const MAX_BODY: u64 = 64 * 1024;

/// After how many seconds a refused viewer may try again (`Retry-After`).
const RETRY_AFTER: &str = "5";

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// `POST /whep`, `POST /whep/{camera}`, `PATCH` and `DELETE /whep/session/{id}`.
pub fn routes(context: Context) -> BoxedFilter<(Answer,)> {
    let with = warp::any().map(move || context.clone());
    let body = warp::body::content_length_limit(MAX_BODY).and(warp::body::bytes());
    let via = warp::ext::get::<Via>();
    let headers = warp::header::headers_cloned();
    let first = warp::path("whep").and(warp::path::end()).map(|| None).boxed();
    let named = warp::path!("whep" / String).map(Some).boxed();
    let session = warp::path!("whep" / "session" / String).boxed();
    let offer = first.or(named).unify().and(warp::post()).and(headers).and(body).and(via).and(with.clone()).then(
        |camera: Option<String>, headers: HeaderMap, body: Bytes, via: Via, context: Context| async move {
            context.offer(camera.as_deref(), &headers, &body, via).await
        },
    );
    let patch = session.clone().and(warp::patch()).and(headers).and(body).and(via).and(with.clone()).then(
        |id: String, headers: HeaderMap, body: Bytes, via: Via, context: Context| async move {
            context.patch(&id, &headers, &body, via).await
        },
    );
    let delete = session.and(warp::delete()).and(with).map(|id: String, context: Context| context.delete(&id));
    offer.or(patch).unify().or(delete).unify().boxed()
}

impl Context {
    async fn offer(&self, camera: Option<&str>, headers: &HeaderMap, body: &Bytes, via: Via) -> Answer {
        if media_type(headers) != SDP {
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the offer with Content-Type: application/sdp");
        }
        let Ok(sdp) = std::str::from_utf8(body) else {
            return problem(StatusCode::BAD_REQUEST, "the body is not an SDP offer: it is not UTF-8");
        };
        let feeds = &self.0.feeds;
        let found = match camera {
            None => feeds.first(),
            Some(name) => feeds.iter().find(|feed| feed.name == name),
        };
        let Some(feed) = found else {
            let names: Vec<&str> = feeds.iter().map(|feed| feed.name.as_str()).collect();
            let detail =
                format!("no camera is called {:?}; there are: {}", camera.unwrap_or_default(), names.join(", "));
            return problem(StatusCode::NOT_FOUND, &detail);
        };
        match self.0.service.accept(feed, sdp, via.0, "").await {
            Ok(accepted) => {
                let mut response = answer(StatusCode::CREATED, SDP, accepted.answer.into());
                // Relative to the endpoint, so that it stays right behind a proxy that adds a path prefix.
                let location = match camera {
                    None => format!("whep/session/{}", accepted.id),
                    Some(_) => format!("session/{}", accepted.id),
                };
                set(&mut response, header::LOCATION, &location);
                set(&mut response, header::ETAG, &format!("\"{}\"", accepted.etag));
                set(&mut response, HeaderName::from_static("accept-patch"), FRAGMENT);
                response
            }
            Err(refusal) => refused(&refusal),
        }
    }

    async fn patch(&self, id: &str, headers: &HeaderMap, body: &Bytes, via: Via) -> Answer {
        if !self.0.service.contains(id) {
            return problem(StatusCode::NOT_FOUND, &TrickleError::Unknown.to_string());
        }
        if media_type(headers) != FRAGMENT {
            let detail = "send candidates with Content-Type: application/trickle-ice-sdpfrag";
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        }
        let Some(etag) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
            return problem(StatusCode::PRECONDITION_REQUIRED, "send If-Match with the ETag of the answer");
        };
        let fragment = match Fragment::parse(&String::from_utf8_lossy(body)) {
            Ok(fragment) => fragment,
            Err(malformed) => return problem(StatusCode::BAD_REQUEST, &malformed.to_string()),
        };
        let etag = etag.trim_matches('"');
        let fragment = match fragment.into_restart() {
            Ok(remote) if etag == "*" => return self.restart(id, remote, via).await,
            Ok(remote) => Fragment { candidates: remote.candidates, ..Fragment::default() },
            Err(fragment) => fragment,
        };
        match self.0.service.trickle(id, etag, fragment.candidates).await {
            Ok(()) => no_content(),
            Err(error @ TrickleError::Unknown) => problem(StatusCode::NOT_FOUND, &error.to_string()),
            Err(error @ TrickleError::Stale) => problem(StatusCode::PRECONDITION_FAILED, &error.to_string()),
        }
    }

    /// An ICE restart: the viewer's new credentials for ours.
    async fn restart(&self, id: &str, remote: RemoteIce, via: Via) -> Answer {
        match self.0.service.restart(id, remote, via.0).await {
            Ok(Restarted { etag, fragment }) => {
                let mut response = answer(StatusCode::OK, FRAGMENT, fragment.into());
                set(&mut response, header::ETAG, &format!("\"{etag}\""));
                response
            }
            Err(error @ RestartError::Unknown) => problem(StatusCode::NOT_FOUND, &error.to_string()),
            Err(error @ RestartError::Credentials(..)) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error @ RestartError::Failed(_)) => {
                tracing::error!("{error}");
                problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
            }
        }
    }

    fn delete(&self, id: &str) -> Answer {
        if self.0.service.end(id) {
            plain(StatusCode::OK, "")
        } else {
            problem(StatusCode::NOT_FOUND, &TrickleError::Unknown.to_string())
        }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let status = match refusal {
        Refusal::Offer(Refused::Malformed(_)) => StatusCode::BAD_REQUEST,
        Refusal::Offer(Refused::NotAcceptable(_)) => StatusCode::NOT_ACCEPTABLE,
        Refusal::Full(_) | Refusal::Negotiating(_) | Refusal::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Failed(_) => {
            tracing::error!("{refusal}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let response = problem(status, &refusal.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { retry_later(response) } else { response }
}

/// The media type without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn no_content() -> Answer {
    let mut response = plain(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

fn retry_later(mut response: Answer) -> Answer {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

fn set(response: &mut Answer, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("names made of hexadecimal digits should be header values");
    response.headers_mut().insert(name, value);
}
