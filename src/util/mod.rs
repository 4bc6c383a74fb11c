//! General utilities: locks, channels between threads, backoff, rate limits, child processes, the state directory.
//!
//! Nothing here knows about frames, devices or the network.

pub(crate) mod address_rate;
pub(crate) mod backoff;
pub(crate) mod broadcast;
pub(crate) mod connection_limit;
pub(crate) mod drop_log;
pub(crate) mod fair_share;
pub(crate) mod heartbeat;
pub(crate) mod last_line;
pub(crate) mod lock;
pub(crate) mod mailbox;
pub mod malloc;
pub(crate) mod pending;
pub(crate) mod piped_program;
pub(crate) mod process_group;
pub(crate) mod redact;
pub(crate) mod retry;
pub(crate) mod state_dir;
pub(crate) mod suggest;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod token_bucket;
