//! Where an offer goes: to the endpoint of the configuration, or to where that redirects, and what is sent there. Pure.

use super::config::BearerToken;
use crate::server::client::HttpUrl;

/// Where an offer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination<'c> {
    /// The endpoint of the configuration.
    configured: &'c HttpUrl,
    /// The token of the configuration.
    token: Option<&'c BearerToken>,
    url: HttpUrl,
}

impl<'c> Destination<'c> {
    /// The endpoint of the configuration, with the token for it.
    pub fn new(configured: &'c HttpUrl, token: Option<&'c BearerToken>) -> Self {
        Self { configured, token, url: configured.clone() }
    }

    /// The URL.
    pub fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// Whether this is another host than that of the configuration.
    pub fn is_elsewhere(&self) -> bool {
        self.url.host() != self.configured.host()
    }

    /// The token, if it is sent there: only to the host that it is configured for, and encrypted if the configuration says so.
    pub fn token(&self) -> Option<&'c BearerToken> {
        self.token.filter(|_| !self.is_elsewhere() && (self.url.is_encrypted() || !self.configured.is_encrypted()))
    }

    /// Where a redirect to this `Location` leads.
    ///
    /// # Errors
    ///
    /// Why it is not followed.
    pub fn redirected(self, location: Option<&str>) -> Result<Self, String> {
        let to = location.and_then(|location| self.url.resolve(location));
        let to = to.ok_or("the server redirects, but not to a URL")?;
        if self.url.is_encrypted() && !to.is_encrypted() {
            return Err(format!("the server redirects from https to {}, where nothing is encrypted", to.server()));
        }
        Ok(Self { url: to, ..self })
    }

    /// The text without the token, and without what may be a secret of the URLs.
    pub fn without_secrets(&self, text: &str) -> String {
        let text = self.token.map_or_else(|| text.to_owned(), |token| token.removed_from(text));
        self.url.removed_from(&self.configured.removed_from(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect(text)
    }

    #[test]
    fn redirects_lead_to_urls_and_stay_encrypted() {
        let to = |from: &str, location| {
            let from = url(from);
            Destination::new(&from, None).redirected(location).map(|destination| destination.url().clone())
        };
        assert_eq!(to("http://a/b", Some("https://c/d")), Ok(url("https://c/d")));
        assert_eq!(to("https://a/b", Some("/d?e")), Ok(url("https://a/d?e")));
        let wrong = to("https://a/b", Some("http://c/secret")).expect_err("not encrypted");
        assert!(wrong.contains("http://c,") && !wrong.contains("secret"), "{wrong}");
        assert!(to("https://a/b", None).is_err() && to("https://a/b", Some("mailto:a")).is_err());
    }

    #[test]
    fn token_goes_only_to_the_host_of_the_configuration() {
        let (plain, encrypted, token) = (url("http://a/b"), url("https://a/b"), BearerToken::parse("token"));
        let sent = |configured, locations: &[&str]| {
            let mut destination = Destination::new(configured, token.as_ref());
            for &location in locations {
                destination = destination.redirected(Some(location)).expect(location);
            }
            destination.token().is_some()
        };
        assert!(sent(&plain, &[]) && sent(&encrypted, &[]));
        assert!(sent(&plain, &["/c"]) && sent(&plain, &["https://a:8443/c"]) && sent(&plain, &["http://a:81/c"]));
        assert!(!sent(&encrypted, &["https://b/c"]) && !sent(&plain, &["http://a.b/"]));
        assert!(sent(&encrypted, &["https://b/c", "https://a/d"]), "back at the host of the configuration");
    }

    #[test]
    fn nothing_secret_is_left_in_what_a_server_says() {
        let (configured, token) =
            (url("https://a/live/0123456789abcdef/whip?key=geh%20eim"), BearerToken::parse("t0ken"));
        let destination = Destination::new(&configured, token.as_ref());
        let destination = destination.redirected(Some("https://b/fedcba9876543210")).expect("a URL");
        assert_eq!(
            destination
                .without_secrets("POST /live/0123456789abcdef/whip?key=geh%20eim geh eim t0ken /fedcba9876543210"),
            "POST /live/***/whip?key=*** *** *** /***"
        );
    }
}
