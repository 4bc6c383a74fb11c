//! WHEP signalling (draft-ietf-wish-whep, RFC 9725): POST an offer, PATCH candidates, DELETE the session.
//!
//! Peer connections and their resources belong to `rtc`.

use std::net::IpAddr;

use bytes::Bytes;
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::if_match::Precondition;
use super::request::RequestHead;
use super::response::{ErrorResponse, HttpResponse, no_content, problem, response, retryable_problem, text};
use super::{Context, link_header};
use crate::server::auth::Principal;
use crate::server::rtc::{
    AcceptError, CameraStream, OfferError, RemoteIce, RestartError, Restarted, SdpFragment, TrickleError,
};

/// `Retry-After` in seconds for a rejected viewer: within that time others leave and cameras come back.
const RETRY_AFTER: u64 = 5;

/// The media type of offers and answers (RFC 8866 section 8.1).
pub const SDP: &str = "application/sdp";

/// The media type of late candidates (RFC 8840 section 10.1).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

impl Context {
    /// `GET /whep` and `/whep/{camera}`: whether there is such a camera.
    pub(super) fn probe_camera(&self, camera: Option<&str>) -> Result<HttpResponse, ErrorResponse> {
        self.stream(camera).map(|_| no_content())
    }

    /// `GET /whep/session/{id}`: whether there is such a session.
    pub(super) fn probe_session(&self, id: &str) -> HttpResponse {
        if self.0.sessions.contains(id) { no_content() } else { trickle_problem(&TrickleError::Unknown) }
    }

    /// `POST /whep` and `/whep/{camera}`.
    pub(super) async fn offer(
        &self,
        camera: Option<&str>,
        head: &RequestHead,
        body: &Bytes,
        local: IpAddr,
        client: IpAddr,
        owner: &Principal,
    ) -> Result<HttpResponse, ErrorResponse> {
        let headers = &head.headers;
        let stream = self.stream(camera)?;
        expect_media_type(headers, SDP, "the offer")?;
        let sdp = std::str::from_utf8(body)
            .map_err(|_| error_response(StatusCode::BAD_REQUEST, "the body is not an SDP offer: it is not UTF-8"))?;
        let accepted = self
            .0
            .sessions
            .create_session(stream, sdp, local, client, owner)
            .await
            .map_err(|refusal| Box::new(accept_problem(&refusal)))?;
        self.check_session_access(owner)?;
        let mut response = response(StatusCode::CREATED, SDP, accepted.answer.into());
        let location = location(head, camera.is_some(), &accepted.id);
        let headers = response.headers_mut();
        set(headers, header::LOCATION, &location);
        set(headers, header::ETAG, &format!("\"{}\"", accepted.etag));
        headers.insert("accept-patch", HeaderValue::from_static(FRAGMENT));
        for link in link_header::headers(accepted.ice_servers.iter()) {
            headers.append(header::LINK, link);
        }
        Ok(response)
    }

    /// The stream of the camera of that name, or of the first one.
    pub(super) fn stream(&self, camera: Option<&str>) -> Result<&CameraStream, ErrorResponse> {
        let streams = &self.0.streams;
        let found = match camera {
            None => streams.first(),
            Some(name) => streams.iter().find(|stream| stream.name == name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
            let named = camera.unwrap_or_default();
            error_response(
                StatusCode::NOT_FOUND,
                &format!("no camera is called {named:?}; there are: {}", names.join(", ")),
            )
        })
    }

    /// `PATCH /whep/session/{id}`: candidates, or an ICE restart.
    pub(super) async fn patch(
        &self,
        id: &str,
        headers: &HeaderMap,
        body: &Bytes,
        local: IpAddr,
    ) -> Result<HttpResponse, ErrorResponse> {
        let sessions = &self.0.sessions;
        if !sessions.contains(id) {
            return Err(trickle_problem(&TrickleError::Unknown).into());
        }
        expect_media_type(headers, FRAGMENT, "candidates")?;
        let precondition = Precondition::of(headers);
        if precondition == Precondition::Missing {
            let detail = "send If-Match with the ETag of the answer";
            return Err(error_response(StatusCode::PRECONDITION_REQUIRED, detail));
        }
        let fragment = SdpFragment::parse(&String::from_utf8_lossy(body))
            .map_err(|malformed| error_response(StatusCode::BAD_REQUEST, &malformed.to_string()))?;
        let (tags, candidates) = match (precondition, fragment.into_restart()) {
            (Precondition::Any, Ok(remote)) => match sessions.etag_of_offer(id, &remote) {
                // Many players trickle the candidates of their offer so.
                Some(etag) => (vec![etag], remote.candidates),
                None => return self.restart(id, remote, local).await,
            },
            (Precondition::Any, Err(_)) => {
                let detail = "If-Match: * asks for an ICE restart; send a new ice-ufrag and ice-pwd with it";
                return Err(error_response(StatusCode::BAD_REQUEST, detail));
            }
            (Precondition::OneOf(tags), Ok(remote)) => (tags, remote.candidates),
            (Precondition::OneOf(tags), Err(fragment)) => (tags, fragment.candidates),
            (Precondition::Missing | Precondition::Malformed, _) => {
                let detail = "If-Match is neither * nor a list of entity tags in quotes";
                return Err(error_response(StatusCode::BAD_REQUEST, detail));
            }
        };
        let mut outcome = Err(TrickleError::Stale);
        for tag in tags {
            outcome = sessions.trickle(id, &tag, candidates.clone()).await;
            if outcome != Err(TrickleError::Stale) {
                break;
            }
        }
        outcome.map(|()| no_content()).map_err(|error| trickle_problem(&error).into())
    }

    /// Restarts ICE: takes the viewer's new credentials and returns ours.
    async fn restart(&self, id: &str, remote: RemoteIce, local: IpAddr) -> Result<HttpResponse, ErrorResponse> {
        let Restarted { etag, fragment } = self.0.sessions.restart(id, remote, local).await.map_err(|error| {
            let status = match error {
                RestartError::Unknown => StatusCode::NOT_FOUND,
                RestartError::Credentials(..) => StatusCode::BAD_REQUEST,
                RestartError::Failed(_) => {
                    tracing::error!("{error}");
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            error_response(status, &error.to_string())
        })?;
        let mut response = response(StatusCode::OK, FRAGMENT, fragment.into());
        set(response.headers_mut(), header::ETAG, &format!("\"{etag}\""));
        Ok(response)
    }

    /// `DELETE /whep/session/{id}`.
    pub(super) fn delete(&self, id: &str) -> HttpResponse {
        if self.0.sessions.end(id) { text(StatusCode::OK, "") } else { trickle_problem(&TrickleError::Unknown) }
    }
}

/// The URL of a session, relative to the endpoint, so that it stays right behind a proxy that adds a path prefix. A token in
/// the query of the endpoint is one in that of the session.
fn location(head: &RequestHead, camera: bool, id: &str) -> String {
    let to_session = match (camera, head.path.ends_with('/')) {
        (false, false) => "whep/session",
        (false, true) | (true, false) => "session",
        (true, true) => "../session",
    };
    match head.query_token() {
        // A token consists of letters, digits and underscores; what is none has authorized nothing.
        Some(token) if token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') => {
            format!("{to_session}/{id}?token={token}")
        }
        _ => format!("{to_session}/{id}"),
    }
}

pub fn accept_problem(refusal: &AcceptError) -> HttpResponse {
    let status = match refusal {
        AcceptError::Offer(OfferError::Malformed(_)) => StatusCode::BAD_REQUEST,
        AcceptError::Offer(OfferError::NotAcceptable(_)) => StatusCode::NOT_ACCEPTABLE,
        AcceptError::Full(_) | AcceptError::Negotiating(_) | AcceptError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        AcceptError::Failed(_) => {
            tracing::error!("{refusal}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let detail = refusal.to_string();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        retryable_problem(status, RETRY_AFTER, &detail)
    } else {
        problem(status, &detail)
    }
}

fn error_response(status: StatusCode, detail: &str) -> ErrorResponse {
    problem(status, detail).into()
}

fn trickle_problem(error: &TrickleError) -> HttpResponse {
    let status = match error {
        TrickleError::Unknown => StatusCode::NOT_FOUND,
        TrickleError::Stale => StatusCode::PRECONDITION_FAILED,
    };
    problem(status, &error.to_string())
}

/// The media type without its parameters, in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Rejects a body of another media type.
fn expect_media_type(headers: &HeaderMap, wanted: &str, what: &str) -> Result<(), ErrorResponse> {
    if media_type(headers) == wanted {
        return Ok(());
    }
    Err(error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("send {what} with Content-Type: {wanted}")))
}

impl Context {
    /// Adds the STUN and TURN servers to the response to `OPTIONS` at an endpoint, where some players look for them. Those with
    /// a password are for whoever may watch.
    pub(super) fn add_ice_servers(&self, headers: &mut HeaderMap, may_watch: bool) {
        let servers = self.0.sessions.ice_servers();
        for link in link_header::headers(servers.iter().filter(|server| may_watch || server.credential.is_none())) {
            headers.append(header::LINK, link);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("names made of hexadecimal digits should be header values");
    headers.insert(name, value);
}
