//! Rate control: what each viewer's network carries, when each packet is sent, what is sent again or twice, which bitrate
//! the encoder gets, which frames and which rendition each viewer, and when a viewer is behind.
//!
//! All of it is pure: time is an argument, and nothing here knows sockets, RTCP types of a library, or encoders. The
//! session feeds it and carries out what it decides; `tests/rate` replays it against simulated links.

pub mod allocation;
pub mod estimator;
pub mod feedback;
pub mod history;
pub mod layers;
pub mod live_edge;
pub mod pacer;
mod patience;
pub mod redundancy;
pub mod rendition;
pub mod repair;
