//! All SDP: offers, answers, candidates, trickle fragments and H.264 profiles.
//!
//! Pure: text in, values out. Connections are in `peer`, sockets in `mux`.

pub mod accepted;
pub mod answer;
pub mod bundle;
pub mod candidates;
pub mod description;
pub mod formats;
pub mod h264;
pub mod offer;
pub mod offer_error;
pub mod our_offer;
pub mod sections;
pub mod transport;
pub mod trickle;
