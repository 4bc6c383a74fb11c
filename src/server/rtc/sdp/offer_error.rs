//! Why an offer cannot be answered.

use std::borrow::Cow;

/// Why an offer cannot be answered.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum OfferError {
    /// It is not SDP.
    #[error("the body is not an SDP offer ({0}); send what RTCPeerConnection.createOffer() returns")]
    Malformed(String),
    /// It is SDP that porthole cannot serve.
    #[error("{0}")]
    NotAcceptable(Cow<'static, str>),
}
