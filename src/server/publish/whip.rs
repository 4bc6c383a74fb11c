//! WHIP as its client speaks it (RFC 9725): the offer is posted, redirects are followed, and the session is deleted at the
//! end. Candidates are in the offer, so nothing is trickled.

use std::time::Duration;

use hyper::Method;

use super::client::{REQUEST_TIMEOUT, WhipClient, WhipRequest};
use super::config::BearerToken;
use super::failure::PublishFailure;
use super::whip_response::WhipResponse;
use super::whip_url::WhipUrl;

/// Redirects of one offer: from a balancer to a region to a machine, and one to spare.
const MAX_REDIRECTS: usize = 4;

/// How long the end of a session may take: the server may be gone, and the next attempt waits for it.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// A session that a server has answered.
#[derive(Debug, PartialEq, Eq)]
pub struct WhipSession {
    /// The SDP answer.
    pub answer: String,
    /// The session's URL, if the server names one that can be used.
    url: Option<WhipUrl>,
}

/// Posts an offer.
///
/// # Errors
///
/// See [`PublishFailure`].
pub async fn post(
    client: &WhipClient,
    url: &WhipUrl,
    token: Option<&BearerToken>,
    offer: &str,
) -> Result<WhipSession, PublishFailure> {
    let mut at = url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let request = WhipRequest { method: Method::POST, url: &at, token, offer: Some(offer) };
        let response = client.send(&request, REQUEST_TIMEOUT).await?;
        match response.status {
            // Those that keep the method (RFC 9110 section 15.4).
            307 | 308 => at = redirected(&at, &response)?,
            200 | 201 => return WhipSession::of(&at, response),
            _ => return Err(PublishFailure::refused(&response, token)),
        }
    }
    Err(PublishFailure::Response(format!("the server redirects more than {MAX_REDIRECTS} times")))
}

/// Where a redirect leads. The server that was asked has the token already, but it must not make us send it unencrypted.
fn redirected(from: &WhipUrl, response: &WhipResponse) -> Result<WhipUrl, PublishFailure> {
    let to = response.location.as_deref().and_then(|location| from.resolve(location));
    let to = to.ok_or_else(|| PublishFailure::Response("the server redirects, but not to a URL".into()))?;
    if from.is_encrypted() && !to.is_encrypted() {
        let wrong = format!("the server redirects from https to {}, where nothing is encrypted", to.server());
        return Err(PublishFailure::Response(wrong));
    }
    Ok(to)
}

impl WhipSession {
    /// The session that a response from this URL describes.
    fn of(from: &WhipUrl, response: WhipResponse) -> Result<Self, PublishFailure> {
        let WhipResponse { location, body, status, .. } = response;
        if !body.trim_start().starts_with("v=0") {
            let wrong = format!("the server's response (status {status}) is no SDP; is url that of a WHIP endpoint?");
            return Err(PublishFailure::Response(wrong));
        }
        let url = location.and_then(|location| from.resolve(&location));
        let url = url.filter(|url| url.is_encrypted() || !from.is_encrypted());
        if url.is_none() {
            tracing::debug!("the server names no URL for its session, so it will not be told the end");
        }
        Ok(Self { answer: body, url })
    }

    /// Tells the server that the session has ended.
    pub async fn delete(&self, client: &WhipClient, token: Option<&BearerToken>) {
        let Some(url) = &self.url else { return };
        let request = WhipRequest { method: Method::DELETE, url, token, offer: None };
        match client.send(&request, DELETE_TIMEOUT).await {
            Ok(response) => tracing::debug!("the server has ended its session: status {}", response.status),
            Err(error) => tracing::debug!("the server does not learn of the end: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> WhipUrl {
        WhipUrl::parse(text).expect(text)
    }

    fn response(location: Option<&str>, body: &str) -> WhipResponse {
        let location = location.map(String::from);
        WhipResponse { status: 201, location, body: body.into(), ..WhipResponse::default() }
    }

    #[test]
    fn answer_is_sdp_and_its_session_is_at_the_location() {
        let (plain, encrypted) = (url("http://a/whip"), url("https://a/whip"));
        let of = |from, location, body| WhipSession::of(from, response(location, body)).map(|session| session.url);
        assert_eq!(of(&plain, Some("/session/1"), "v=0\r\n"), Ok(Some(url("http://a/session/1"))));
        assert_eq!(of(&plain, None, "v=0\r\n"), Ok(None));
        assert_eq!(of(&encrypted, Some("http://a/1"), "v=0\r\n"), Ok(None), "the token stays encrypted");
        let wrong = of(&plain, Some("/1"), "<html>").expect_err("no SDP").to_string();
        assert!(wrong.contains("status 201") && wrong.contains("WHIP endpoint"), "{wrong}");
    }

    #[test]
    fn redirects_lead_to_urls_and_stay_encrypted() {
        let to =
            |from: &str, location| redirected(&url(from), &response(location, "")).map_err(|error| error.to_string());
        assert_eq!(to("http://a/b", Some("https://c/d")), Ok(url("https://c/d")));
        assert_eq!(to("https://a/b", Some("/d?e")), Ok(url("https://a/d?e")));
        let wrong = to("https://a/b", Some("http://c/secret")).expect_err("not encrypted");
        assert!(wrong.contains("http://c,") && !wrong.contains("secret"), "{wrong}");
        assert!(to("https://a/b", None).is_err() && to("https://a/b", Some("mailto:a")).is_err());
    }
}
