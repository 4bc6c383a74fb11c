//! The public data formats as plain values: status, metrics, device inventory and the control protocol.
//!
//! Devices, threads and the network do not belong here.

pub(crate) mod inventory;
pub(crate) mod metrics;
pub mod protocol;
pub(crate) mod status;
