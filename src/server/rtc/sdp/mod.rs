//! All SDP text in one place: offers, answers, candidates, trickle fragments and H.264 profiles.
//!
//! Pure: text in, values out. Nothing here knows a connection.

pub mod bundle;
pub mod candidates;
pub mod h264;
pub mod offer;
pub mod sctpmap;
pub mod sections;
pub mod trickle;
