//! What matters of a server's response to a request of ours.

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhipResponse {
    /// The status code.
    pub status: u16,
    /// `Location` as it was sent.
    pub location: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: String,
}
