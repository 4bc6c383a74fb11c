//! Why a camera is not published, in words for whoever set it up, and whether trying again soon may help. Pure.

use std::time::Duration;

use super::destination::Destination;
use crate::server::client::{ClientError, ClientResponse, on_one_line, shortened};
use crate::util::redact::redact;

/// The longest wait that a server's `Retry-After` can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Why a camera is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// There was no response.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused.
    #[error("{words}")]
    Refused {
        /// The status code.
        status: u16,
        /// What it means.
        words: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The response cannot be used.
    #[error("{0}")]
    Response(String),
    /// The server answered, but no media could be sent.
    #[error("no media connection to the server came about; does a firewall block UDP between it and this machine?")]
    NotConnected,
    /// The connection broke after this time, or the server ended it.
    #[error("the server ended the media connection, or is no longer heard")]
    Lost(Duration),
}

impl From<ClientError> for PublishFailure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unreachable(words) => Self::Unreachable(words),
            ClientError::Local(server) => {
                let wrong = "an address of this machine or of a local network; use the URL that it redirects to";
                Self::Response(format!("the server redirects to {server}, {wrong}"))
            }
        }
    }
}

impl PublishFailure {
    /// What a response from this destination means that is no answer.
    pub fn refused(response: &ClientResponse, destination: &Destination<'_>) -> Self {
        let status = response.status;
        let elsewhere = format!(
            "the server redirects to {}, which refuses; the token goes only to the host of url, so use the URL that it \
             redirects to",
            destination.url().server()
        );
        let meaning = match (status, destination.token()) {
            (401 | 403, _) if destination.is_elsewhere() => elsewhere.as_str(),
            (401, None) => "the server asks for a token; set token in its [[publish]] section",
            (401, Some(_)) => "the server does not accept the token; check token in its [[publish]] section",
            (403, None) => "the server does not let anybody publish there without a token, or at all",
            (403, Some(_)) => "the token does not allow publishing there",
            (404 | 405 | 410, _) => {
                "there is no WHIP endpoint; check the path in url, and whether the server has this stream"
            }
            (406 | 415, _) => "the server does not take what porthole sends: H.264, and Opus",
            (409, _) => "somebody else publishes there already",
            (429, _) => "the server is asked too often",
            (503, _) => "the server is not ready, or full",
            (500.., _) => "the server failed",
            (300..=399, _) => "the server redirects in a way that WHIP does not know; use the URL that it redirects to",
            _ => "the server refused",
        };
        let said = match words_of(response, destination) {
            words if words.is_empty() => String::new(),
            words => format!(", and says: {words}"),
        };
        let retry_after = response.retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        Self::Refused { status, words: format!("{meaning} (status {status}{said})"), retry_after }
    }

    /// Whether nothing will change until somebody changes something.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 300..=399 | 401 | 403 | 405 | 406 | 410 | 415),
            Self::Response(_) => true,
            Self::Unreachable(_) | Self::NotConnected | Self::Lost(_) => false,
        }
    }
}

/// What a server says in the body of its response, on one line and without secrets; nothing of pages for browsers.
fn words_of(response: &ClientResponse, destination: &Destination<'_>) -> String {
    if response.body.trim_start().starts_with('<') {
        return String::new();
    }
    shortened(&redact(&destination.without_secrets(&on_one_line(&response.body))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::client::HttpUrl;
    use crate::server::publish::BearerToken;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect(text)
    }

    fn response(status: u16, body: &str) -> ClientResponse {
        ClientResponse { status, body: body.into(), ..ClientResponse::default() }
    }

    #[test]
    fn refusal_says_what_to_do_and_repeats_no_secret() {
        let (token, url) = (BearerToken::parse("s3cr3t-t0k3n"), url("https://a/live/k3yk3yk3y/whip?sign=geheim"));
        let words = |status, body: &str, token| {
            PublishFailure::refused(&response(status, body), &Destination::new(&url, token)).to_string()
        };
        assert_eq!(
            words(401, "", None),
            "the server asks for a token; set token in its [[publish]] section (status 401)"
        );
        assert_eq!(
            words(401, "{\"error\":\r\n\t\"unknown user\"}", token.as_ref()),
            "the server does not accept the token; check token in its [[publish]] section (status 401, and says: \
             {\"error\": \"unknown user\"})"
        );
        let echoed = words(403, "not s3cr3t-t0k3n, nor http://a:b@c/ nor token=xyz", token.as_ref());
        assert!(echoed.starts_with("the token does not allow publishing there"), "{echoed}");
        assert!(!echoed.contains("s3cr3t") && !echoed.contains("a:b") && !echoed.contains("xyz"), "{echoed}");
        let echoed = words(404, "no stream at /live/k3yk3yk3y/whip?sign=geheim", None);
        assert!(echoed.ends_with("says: no stream at /live/***/whip?sign=***)"), "{echoed}");
        assert_eq!(words(502, "<html>Bad gateway</html>", None), "the server failed (status 502)");
        assert!(words(400, &"x".repeat(9_999), None).len() < 300);
        for status in 100..=999 {
            assert!(words(status, "", None).contains(&format!("status {status}")));
        }
    }

    #[test]
    fn refusal_of_another_host_asks_for_its_url() {
        let (configured, token) = (url("https://a/whip"), BearerToken::parse("token"));
        let destination =
            Destination::new(&configured, token.as_ref()).redirected(Some("https://b/whip")).expect("a URL");
        let words = PublishFailure::refused(&response(401, ""), &destination).to_string();
        assert!(words.starts_with("the server redirects to https://b, which refuses;"), "{words}");
        assert!(words.contains("use the URL that it redirects to"), "{words}");
    }

    #[test]
    fn wait_that_a_server_asks_for_is_bounded() {
        let asked = |retry_after| {
            let response = ClientResponse { status: 503, retry_after, ..ClientResponse::default() };
            match PublishFailure::refused(&response, &Destination::new(&url("http://a/"), None)) {
                PublishFailure::Refused { retry_after, .. } => retry_after,
                _ => None,
            }
        };
        assert_eq!(asked(None), None);
        assert_eq!(asked(Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(asked(Some(u64::MAX)), Some(MAX_RETRY_AFTER));
    }
}
