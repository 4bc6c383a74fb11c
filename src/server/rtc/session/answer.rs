//! What a viewer gets for an offer that is accepted.

use crate::server::rtc::config::IceServer;

/// An accepted viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhepAnswer {
    /// The session's unguessable name.
    pub id: String,
    /// Names the ICE session, for `If-Match`.
    pub etag: String,
    /// The SDP answer with all candidates.
    pub answer: String,
    /// The STUN and TURN servers, with credentials for this viewer.
    pub ice_servers: Vec<IceServer>,
}
