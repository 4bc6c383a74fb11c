//! TODO-DOC

pub mod bundle;
pub mod candidates;
pub mod h264;
pub mod offer;
pub mod sctpmap;
pub mod trickle;
