//! What matters of a server's response to a request of ours, and words of a server that are repeated.

use std::net::IpAddr;

use crate::util::text;

/// The most characters of a server's own words that are repeated.
const MAX_WORDS: usize = 200;

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientResponse {
    /// The status code.
    pub status: u16,
    /// `Location` as it was sent.
    pub location: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body; empty if it could not be read.
    pub body: String,
    /// Why the body could not be read.
    pub broken: Option<String>,
    /// The address of the server.
    pub address: Option<IpAddr>,
}

/// A text without line breaks and what cannot be seen.
pub fn on_one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if text::is_invisible(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text that comes from a server, on one line.
pub fn shortened(text: &str) -> String {
    on_one_line(text).chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_server_is_short_and_on_one_line() {
        assert_eq!(shortened("valid for \"a\",\r\n\u{202e}\"b\""), "valid for \"a\", \"b\"");
        assert_eq!(shortened(&"ä".repeat(70_000)).chars().count(), MAX_WORDS);
    }
}
