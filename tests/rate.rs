//! Rate control in virtual time: the estimator, the pacer and the repair of the program against simulated links.
//!
//! Each run is deterministic for its seed and takes milliseconds. The figures are those that a viewer would notice: frozen
//! time, delay, how much of the link is used, and the queue that builds up.

// The figures of a run are shown when its assertions fail.
#![allow(clippy::print_stdout)]

#[path = "rate/competing.rs"]
mod competing;
#[path = "rate/flow.rs"]
mod flow;
#[path = "rate/link.rs"]
mod link;
#[path = "rate/random.rs"]
mod random;
#[path = "rate/scenarios.rs"]
mod scenarios;
#[path = "rate/simulation.rs"]
mod simulation;
#[path = "rate/tcp.rs"]
mod tcp;
#[path = "rate/viewer.rs"]
mod viewer;
