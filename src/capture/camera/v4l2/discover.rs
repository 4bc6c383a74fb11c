//! Asks one V4L2 node whether it is a camera, and for what names it.
//!
//! Everything that a camera offers is in `enumerate`; which nodes exist, and which camera each belongs to, is in `identity`.

use std::io;

use super::layout::Known;
use crate::device::v4l2::{Capability, Device};

/// What a node reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The driver's name for it.
    pub card: String,
    /// The bus it is attached to.
    pub bus: String,
    /// Whether it delivers frames in a supported format.
    pub usable: bool,
}

/// Queries a node; `None` if it is not a camera.
pub fn probe(path: &str) -> io::Result<Option<NodeInfo>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let Some(kind) = capability.capture_kind() else { return Ok(None) };
    let formats = device.formats(kind);
    let usable = formats.is_ok_and(|formats| formats.iter().any(|format| Known::of(format.fourcc).is_some()));
    let Capability { card, bus, .. } = capability;
    Ok(Some(NodeInfo { card, bus, usable }))
}
