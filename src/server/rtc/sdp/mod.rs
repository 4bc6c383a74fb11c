//! All SDP: offers, answers, candidates, trickle fragments and H.264 profiles.
//!
//! Pure: text in, values out. Connections are in `session`, sockets in `mux`.

pub mod bundle;
pub mod candidates;
pub mod h264;
pub mod offer;
pub mod sctpmap;
pub mod sections;
pub mod trickle;
