//! The URL of a server, such as a WHIP endpoint or a webhook. Paths and queries may be secrets, so they are not logged.

use std::fmt;

use url::{Host, Position, Url, form_urlencoded};

/// The longest URL in bytes; Cloudflare's have about 150.
const URL_LIMIT: usize = 2048;

/// Parts of a path from this length on may be secrets: shorter ones are names, such as that of a stream.
const SECRET_PART: usize = 8;

/// Values in a query from this length on may be secrets.
const SECRET_VALUE: usize = 4;

/// An `http` or `https` URL without credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// Parses an absolute URL.
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok().filter(|_| text.len() <= URL_LIMIT)?;
        // Credentials would be in everything that names the URL; there is a token for them.
        let is_plain = url.username().is_empty() && url.password().is_none();
        url.set_fragment(None);
        (matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain).then_some(Self(url))
    }

    /// The URL that a `Location` in a response from this one means (RFC 9110 section 10.2.2).
    pub fn resolve(&self, location: &str) -> Option<Self> {
        Self::parse(self.0.join(location).ok()?.as_str())
    }

    /// Scheme, host and port: what may be shown.
    pub fn server(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether what is sent there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host's name or address.
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.into(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// The text without what of this URL may be a secret: the longer parts of the path and the values of the query, as they are
    /// written, and decoded.
    pub fn removed_from(&self, text: &str) -> String {
        let parts = self.0.path_segments().into_iter().flatten().filter(|part| part.len() >= SECRET_PART);
        let pairs = self.0.query().into_iter().flat_map(|query| query.split('&'));
        let values = pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let written: Vec<&str> = parts.chain(values.filter(|value| value.len() >= SECRET_VALUE)).collect();
        let decode = |text: &&str| form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name).collect::<String>();
        let decoded = written.iter().map(decode).filter(|text| text.len() >= SECRET_VALUE);
        let mut secrets: Vec<String> = decoded.chain(written.iter().map(|text| (*text).to_owned())).collect();
        // The longest first, of which others may be a part.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// The value of the header `Host`.
    pub(super) fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }

    /// What a request line names: path and query.
    pub(super) fn target(&self) -> &str {
        &self.0[Position::BeforePath..Position::AfterQuery]
    }
}

impl fmt::Debug for HttpUrl {
    /// Without path and query, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({}/***)", self.server())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect(text)
    }

    #[test]
    fn url_has_the_parts_of_a_request() {
        let parts = |text: &str| {
            let url = url(text);
            (url.server(), url.host(), url.port(), url.authority().to_owned(), url.target().to_owned())
        };
        let owned = |[server, host, authority, target]: [&str; 4], port| {
            (server.to_owned(), host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        assert_eq!(
            parts("https://SFU.example.org/key/webRTC/publish?a=b#c"),
            owned(["https://sfu.example.org", "sfu.example.org", "sfu.example.org", "/key/webRTC/publish?a=b"], 443)
        );
        assert_eq!(
            parts("http://[2001:db8::1]:8889"),
            owned(["http://[2001:db8::1]:8889", "2001:db8::1", "[2001:db8::1]:8889", "/"], 8889)
        );
        assert_eq!(format!("{:?}", url("https://a.b/secret?key=1")), "HttpUrl(https://a.b/***)");
    }

    #[test]
    fn what_may_be_a_secret_is_removed_from_text() {
        let secret = url("https://a/live/abcdefgh/abcdefghijkl?v=1&key=secret&s3cr3t");
        assert_eq!(
            secret.removed_from("/live/abcdefgh/abcdefghijkl?v=1&key=secret&s3cr3t"),
            "/live/***/***?v=1&key=***&***"
        );
        assert_eq!(url("http://a/").removed_from("plain text"), "plain text");
    }

    #[test]
    fn only_http_without_credentials_is_accepted() {
        let long = format!("http://a/{}", "x".repeat(URL_LIMIT));
        for text in
            ["", "a.b/c", "/whip", "whip://a/b", "file:///a", "http://user@a/", "http://u:p@a/", "http://", &long]
        {
            assert_eq!(HttpUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn location_is_resolved_against_the_url_of_the_request() {
        let from = url("https://a.b/x/whip?y");
        for (location, expected) in [
            ("https://c.d/e", Some("https://c.d/e")),
            ("//c.d:1/e", Some("https://c.d:1/e")),
            ("/resource/1", Some("https://a.b/resource/1")),
            ("resource/1?k=v", Some("https://a.b/x/resource/1?k=v")),
            ("?id=1", Some("https://a.b/x/whip?id=1")),
            ("../1", Some("https://a.b/1")),
            ("https://u:p@c.d/e", None),
            ("ftp://c.d/e", None),
            ("http://[::", None),
        ] {
            assert_eq!(from.resolve(location), expected.map(url), "{location}");
        }
    }

    proptest! {
        #[test]
        fn no_location_panics_or_leaves_http(location in "\\PC{0,60}") {
            if let Some(url) = url("http://a/b").resolve(&location) {
                prop_assert!(url.server().starts_with("http") && !url.host().is_empty());
                prop_assert!(url.target().is_ascii() && url.authority().is_ascii());
            }
        }
    }
}
