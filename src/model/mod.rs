//! Promises to the outside as plain values: status, metrics, inventory, and the control protocol.
//!
//! No device, no thread and no network belongs here.

pub mod inventory;
pub mod metrics;
pub mod protocol;
pub mod status;
