//! The public data formats as plain values: status, metrics, device inventory and the control protocol.
//!
//! Devices, threads and the network do not belong here.

pub mod inventory;
pub mod metrics;
pub mod protocol;
pub mod status;
