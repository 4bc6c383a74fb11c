//! The settings of one publication.

use std::fmt;

use crate::server::client::HttpUrl;

/// The longest token in characters: those of LiveKit, which are JSON web tokens, have about 500.
const TOKEN_LIMIT: usize = 4096;

/// A camera that is published to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server's WHIP endpoint.
    pub url: HttpUrl,
    /// The token for it.
    pub token: Option<BearerToken>,
    /// The camera's name.
    pub camera: String,
    /// When it is published.
    pub mode: PublishMode,
}

/// When a camera is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublishMode {
    /// As long as porthole runs, or until `publish.stop`.
    #[default]
    Always,
    /// From `publish.start` to `publish.stop`.
    OnDemand,
}

/// A token as `Authorization: Bearer` carries it (RFC 6750).
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// A token, if it can stand in a header.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=TOKEN_LIMIT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The value of the header.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The text without the token.
    pub(super) fn removed_from(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for BearerToken {
    /// Without the token, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_can_stand_in_a_header_and_is_not_printed() {
        let token = BearerToken::parse("user:pass=+/").expect("a token");
        assert_eq!(
            (token.authorization().as_str(), format!("{token:?}").contains("pass")),
            ("Bearer user:pass=+/", false)
        );
        assert_eq!(token.removed_from("no user:pass=+/ here"), "no *** here");
        let long = "x".repeat(TOKEN_LIMIT + 1);
        for text in ["", "a b", "a\r\nb", "ä", &long] {
            assert_eq!(BearerToken::parse(text), None, "{text}");
        }
    }
}
