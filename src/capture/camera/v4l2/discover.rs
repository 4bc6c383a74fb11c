//! Asks one V4L2 node whether it is a camera, and for what names it.
//!
//! Everything that a camera offers is in `enumerate`; which nodes exist, and which camera each belongs to, is in `identity`.

use std::io;

use super::layout::Known;
use crate::device::v4l2::{Capability, Device};

/// What a node answers when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// What its driver calls it.
    pub card: String,
    /// Where it is attached.
    pub bus: String,
    /// Whether it gives pictures in a format that can be converted.
    pub usable: bool,
}

/// Asks a node what it is; `None` where it is something else than a camera.
pub fn probe(path: &str) -> io::Result<Option<NodeInfo>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let Some(kind) = capability.capture_kind() else { return Ok(None) };
    let formats = device.formats(kind);
    let usable = formats.is_ok_and(|formats| formats.iter().any(|format| Known::of(format.fourcc).is_some()));
    let Capability { card, bus, .. } = capability;
    Ok(Some(NodeInfo { card, bus, usable }))
}
