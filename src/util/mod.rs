//! General utilities: locks, channels between threads, backoff, rate limits, the state directory.
//!
//! Nothing here knows about frames, devices or the network.

pub mod backoff;
pub mod broadcast;
pub mod lock;
pub mod mailbox;
pub mod malloc;
pub mod state_dir;
pub mod suggest;
pub mod thread;
pub mod token_bucket;
