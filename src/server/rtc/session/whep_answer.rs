//! The result of an accepted WHEP offer: the SDP answer, the session's id and ETag, and the ICE servers.

use crate::server::rtc::config::IceServer;

/// The answer to a WHEP offer, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhepAnswer {
    /// The session's unguessable id.
    pub id: String,
    /// Names the ICE session, for `If-Match`.
    pub etag: String,
    /// The SDP answer with all candidates.
    pub answer: String,
    /// The STUN and TURN servers, with credentials for this viewer.
    pub ice_servers: Vec<IceServer>,
}

/// An offer of our own, for players that answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhepOffer {
    /// The unguessable id of the session that an answer starts.
    pub id: String,
    /// The SDP offer with all candidates.
    pub sdp: String,
    /// The STUN and TURN servers, with credentials for this viewer.
    pub ice_servers: Vec<IceServer>,
}
