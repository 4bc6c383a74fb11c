//! WHIP as its client speaks it (RFC 9725): the offer is posted, redirects are followed, and the session is deleted at the
//! end. Candidates are in the offer, so nothing is trickled.

use std::net::IpAddr;
use std::time::Duration;

use super::config::BearerToken;
use super::destination::Destination;
use super::failure::PublishFailure;
use crate::server::client::{
    ClientError, ClientRequest, ClientResponse, HttpClient, HttpUrl, Method, REQUEST_TIMEOUT, header, is_local,
};

/// Redirects of one offer: from a balancer to a region to a machine, and one to spare.
const MAX_REDIRECTS: usize = 4;

/// How long the end of a session may take: the server may be gone, and the next attempt waits for it.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// A request to a server.
#[derive(Debug)]
struct WhipRequest<'a> {
    /// POST or DELETE.
    method: Method,
    url: &'a HttpUrl,
    token: Option<&'a BearerToken>,
    /// The offer, if one is sent.
    offer: Option<&'a str>,
    /// As of [`ClientRequest::public_only`].
    public_only: bool,
}

impl WhipRequest<'_> {
    async fn send(&self, client: &HttpClient, limit: Duration) -> Result<ClientResponse, ClientError> {
        let mut headers = Vec::new();
        headers.extend(self.token.map(|token| (header::AUTHORIZATION, token.authorization())));
        if self.offer.is_some() {
            let sdp = [header::CONTENT_TYPE, header::ACCEPT].map(|name| (name, "application/sdp".to_owned()));
            headers.extend(sdp);
        }
        let body = self.offer.unwrap_or_default().to_owned().into();
        let (method, url, public_only) = (self.method.clone(), self.url, self.public_only);
        client.send(ClientRequest { method, url, headers, body, public_only }, limit).await
    }
}

/// A session that a server has accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct WhipSession {
    /// The SDP answer.
    pub answer: String,
    /// The address of the server that has sent it.
    pub server: Option<IpAddr>,
    /// The session's URL, if the server names one that can be used.
    url: Option<HttpUrl>,
    /// The token that the server was sent.
    token: Option<BearerToken>,
    /// As of [`WhipRequest::public_only`].
    public_only: bool,
}

/// Posts an offer.
///
/// # Errors
///
/// See [`PublishFailure`].
pub async fn post(
    client: &HttpClient,
    url: &HttpUrl,
    token: Option<&BearerToken>,
    offer: &str,
) -> Result<WhipSession, PublishFailure> {
    let mut destination = Destination::new(url, token);
    let mut public_only = false;
    for _ in 0..=MAX_REDIRECTS {
        let (url, token) = (destination.url(), destination.token());
        let request = WhipRequest { method: Method::POST, url, token, offer: Some(offer), public_only };
        let response = request.send(client, REQUEST_TIMEOUT).await?;
        match response.status {
            // Those that keep the method (RFC 9110 section 15.4).
            307 | 308 => {
                public_only = leads_to_public(&response);
                let redirected = destination.redirected(response.location.as_deref());
                destination = redirected.map_err(PublishFailure::Response)?;
            }
            200 | 201 => {
                let session = WhipSession::of(&request, &response);
                return session.checked(&response, client).await;
            }
            _ => return Err(PublishFailure::refused(&response, &destination)),
        }
    }
    Err(PublishFailure::Response(format!("the server redirects more than {MAX_REDIRECTS} times")))
}

/// Whether a `Location` in this response may only lead to public addresses: a server on the internet must not make us send
/// requests to what it cannot reach itself.
fn leads_to_public(response: &ClientResponse) -> bool {
    !response.address.is_some_and(is_local)
}

impl WhipSession {
    /// The session that the response to a request describes. Its URL is on the host that was asked, as it gets the token, too.
    fn of(request: &WhipRequest<'_>, response: &ClientResponse) -> Self {
        let from = request.url;
        let url = response.location.as_deref().and_then(|location| from.resolve(location));
        let url = url.filter(|url| url.host() == from.host() && (url.is_encrypted() || !from.is_encrypted()));
        if url.is_none() {
            tracing::debug!("the server names no URL for its session that can be used, so it will not be told the end");
        }
        Self {
            answer: response.body.clone(),
            server: response.address,
            url,
            token: request.token.cloned(),
            public_only: leads_to_public(response),
        }
    }

    /// The session, if the response has an answer; otherwise the server is told that the session has ended.
    async fn checked(self, response: &ClientResponse, client: &HttpClient) -> Result<Self, PublishFailure> {
        let failure = match &response.broken {
            Some(broken) => PublishFailure::Unreachable(broken.clone()),
            None if self.answer.trim_start().starts_with("v=0") => return Ok(self),
            None => PublishFailure::Response(format!(
                "the server's response (status {}) is no SDP; is url that of a WHIP endpoint?",
                response.status
            )),
        };
        self.delete(client).await;
        Err(failure)
    }

    /// Tells the server that the session has ended.
    pub async fn delete(&self, client: &HttpClient) {
        let Some(url) = &self.url else { return };
        let (token, public_only) = (self.token.as_ref(), self.public_only);
        let request = WhipRequest { method: Method::DELETE, url, token, offer: None, public_only };
        match request.send(client, DELETE_TIMEOUT).await {
            Ok(response) => tracing::debug!("the server has ended its session: status {}", response.status),
            Err(error) => tracing::debug!("the server does not learn of the end: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_at_the_location_on_the_host_that_answered() {
        let url = |text: &str| HttpUrl::parse(text).expect(text);
        let token = BearerToken::parse("token");
        let of = |from: &str, location: Option<&str>| {
            let (from, location) = (url(from), location.map(String::from));
            let request = WhipRequest {
                method: Method::POST,
                url: &from,
                token: token.as_ref(),
                offer: Some("v=0"),
                public_only: false,
            };
            let address = Some([192, 168, 1, 5].into());
            let public = ClientResponse { status: 201, location, ..ClientResponse::default() };
            let local = ClientResponse { address, ..public.clone() };
            let session = WhipSession::of(&request, &public);
            assert!(session.public_only && session.token == token && !WhipSession::of(&request, &local).public_only);
            session.url
        };
        assert_eq!(of("http://a/whip", Some("/session/1")), Some(url("http://a/session/1")));
        assert_eq!(of("http://a/whip", Some("http://a:81/1")), Some(url("http://a:81/1")));
        assert_eq!(of("http://a/whip", None), None);
        assert_eq!(of("https://a/whip", Some("http://a/1")), None, "the token stays encrypted");
        assert_eq!(of("https://a/whip", Some("https://b/1")), None, "another host");
    }
}
