//! What matters of a server's response to a request of ours.

use std::net::IpAddr;

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhipResponse {
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
