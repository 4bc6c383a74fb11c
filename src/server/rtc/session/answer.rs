//! What becomes of an offer: the answer, or why there is none.

use crate::server::rtc::IceServer;
use crate::server::rtc::sdp::offer;

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

/// Why a viewer is refused.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The offer can't be answered.
    #[error(transparent)]
    Offer(#[from] offer::OfferError),
    /// There are enough viewers.
    #[error("{0} viewers watch already, which is the limit; try again later or raise [rtc] max_viewers")]
    Full(usize),
    /// Enough viewers are connecting at this moment.
    #[error("{0} viewers are connecting at this moment, which is the limit; try again in some seconds")]
    Negotiating(usize),
    /// The program stops.
    #[error("porthole is stopping")]
    Stopping,
    /// The WebRTC stack failed.
    #[error("the offer could not be answered: {0:#}")]
    Failed(anyhow::Error),
}
