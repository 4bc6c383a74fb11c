//! Why a session is not created, its candidates are not used, or ICE is not restarted.
//!
//! Errors in the text of an offer or a fragment are in `sdp`.

use super::sdp::offer_error::OfferError;
use crate::server::sessions::CapacityError;

/// Why a session is not created.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The offer can't be answered.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The limit of viewers is reached.
    #[error("{0} viewers are watching, which is the limit; try again later or raise [rtc] max_viewers")]
    Full(usize),
    /// The limit of connecting viewers is reached.
    #[error("{0} viewers are connecting, which is the limit; try again in a few seconds")]
    Negotiating(usize),
    /// The program is stopping.
    #[error("porthole is stopping")]
    Stopping,
    /// The WebRTC library failed.
    #[error("the offer could not be answered: {0:#}")]
    Failed(anyhow::Error),
}

impl From<CapacityError> for AcceptError {
    fn from(error: CapacityError) -> Self {
        match error {
            CapacityError::Full(viewers) => Self::Full(viewers),
            CapacityError::Negotiating(viewers) => Self::Negotiating(viewers),
        }
    }
}

/// Why candidates are not added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrickleError {
    /// There is no such session.
    #[error("no such session: it has ended or never existed")]
    Unknown,
    /// The ETag names another ICE session.
    #[error("the entity tag is not that of the current ICE session")]
    Stale,
}

/// Why ICE is not restarted; the session goes on as before, except after [`Self::Failed`].
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// There is no such session.
    #[error("no such session: it has ended or never existed")]
    Unknown,
    /// The viewer's credentials are malformed.
    #[error("{0} is not what RFC 8839 section 5.4 asks for: {1} letters, digits, + or /")]
    Credentials(&'static str, &'static str),
    /// The WebRTC library failed.
    #[error("ICE could not be restarted: {0:#}")]
    Failed(anyhow::Error),
}
