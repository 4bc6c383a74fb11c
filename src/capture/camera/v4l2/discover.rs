//! What a single V4L2 node is, in few words.
//!
//! What it offers is in `describe`, which nodes there are in `identity`.

use std::io;

use super::identity::NodeInfo;
use super::pixel_format;
use crate::device::v4l2::{Capability, Device};

/// Asks a node what it is; `None` where it is something else than a camera.
pub fn ask(path: &str) -> io::Result<Option<NodeInfo>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let Some(kind) = capability.capture_kind() else { return Ok(None) };
    let formats = device.formats(kind);
    let usable = formats.is_ok_and(|formats| formats.iter().any(|format| pixel_format(format.fourcc).is_some()));
    let Capability { card, bus, .. } = capability;
    Ok(Some(NodeInfo { card, bus, usable }))
}
