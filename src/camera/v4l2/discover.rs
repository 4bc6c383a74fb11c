//! Which V4L2 cameras there are, and the first that can be used.
//!
//! What each of them offers is in `describe`.

use super::pixel_format;
use crate::v4l2::Device;

/// Where the nodes are.
const DEV: &str = "/dev";

/// The path of the first node, by number, that gives pictures in a format that can be converted.
pub fn first_capture_device() -> Option<String> {
    nodes().into_iter().find(|path| {
        let Ok(device) = Device::open(path) else { return false };
        let kind = device.capability().ok().and_then(|capability| capability.capture_kind());
        kind.and_then(|kind| device.formats(kind).ok())
            .is_some_and(|formats| formats.iter().any(|format| pixel_format(format.fourcc).is_some()))
    })
}

/// The nodes `/dev/video<number>`, by number.
pub fn nodes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(DEV) else { return Vec::new() };
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("{DEV}/video{number}")).collect()
}
