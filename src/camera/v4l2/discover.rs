//! Which V4L2 nodes there are, and what a single node is.
//!
//! What each of them offers is in `describe`.

use std::io;

use super::identity::Answer;
use super::pixel_format;
use crate::v4l2::{Capability, Device};

/// Where the nodes are.
const DEV: &str = "/dev";

/// Asks a node what it is; `None` where it is something else than a camera.
pub fn ask(path: &str) -> io::Result<Option<Answer>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let Some(kind) = capability.capture_kind() else { return Ok(None) };
    let formats = device.formats(kind);
    let usable = formats.is_ok_and(|formats| formats.iter().any(|format| pixel_format(format.fourcc).is_some()));
    let Capability { card, bus, .. } = capability;
    Ok(Some(Answer { card, bus, usable }))
}

/// The nodes `/dev/video<number>`, by number.
pub fn nodes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(DEV) else { return Vec::new() };
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("{DEV}/video{number}")).collect()
}
