//! Which V4L2 cameras there are: the first that can be used, and all with everything they offer.
//!
//! How the list is printed is in `camera/list.rs`.

use std::io;

use super::super::list::{CameraInfo, FormatInfo, SizeInfo};
use super::negotiate::pixel_format;
use crate::v4l2::{BufferType, Capability, Device, FormatDescription, FrameSize};

/// Where the nodes are.
const DEV: &str = "/dev";

/// The path of the first node, by number, that gives pictures in a format that can be converted.
pub fn first_capture_device() -> Option<String> {
    nodes().into_iter().find(|path| {
        let Ok(device) = Device::open(path) else { return false };
        device.capability().is_ok_and(|capability| capability.captures())
            && device
                .formats(BufferType::VideoCapture)
                .is_ok_and(|formats| formats.iter().any(|format| pixel_format(format.fourcc).is_some()))
    })
}

/// Every node that gives pictures, by number. One that cannot be opened or asked is listed with the reason.
pub fn list() -> Vec<CameraInfo> {
    nodes().into_iter().filter_map(|path| describe(&path).transpose().map(|found| named(path, found))).collect()
}

fn named(path: String, found: io::Result<CameraInfo>) -> CameraInfo {
    match found {
        Ok(camera) => CameraInfo { path, ..camera },
        Err(error) => CameraInfo { path, problem: Some(error.to_string()), ..CameraInfo::default() },
    }
}

/// What a node offers; `None` where it is something else than a camera.
fn describe(path: &str) -> io::Result<Option<CameraInfo>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let kind = match &capability {
        capability if capability.captures() => BufferType::VideoCapture,
        capability if capability.captures_mplane() => BufferType::VideoCaptureMplane,
        _ => return Ok(None),
    };
    let formats: Vec<FormatInfo> =
        device.formats(kind)?.into_iter().map(|format| format_info(&device, kind, format)).collect();
    let problem = match kind {
        BufferType::VideoCaptureMplane => Some("it is multi-planar, which porthole cannot capture yet".to_owned()),
        BufferType::VideoCapture if formats.iter().all(|format| format.usable.is_none()) => {
            Some("none of its formats can be converted".to_owned())
        }
        BufferType::VideoCapture => None,
    };
    let Capability { driver, card, bus, .. } = capability;
    // A node without controls is a camera all the same.
    let controls = device.controls().unwrap_or_default();
    Ok(Some(CameraInfo { path: path.to_owned(), card, driver, bus, formats, controls, problem }))
}

fn format_info(device: &Device, kind: BufferType, format: FormatDescription) -> FormatInfo {
    let FormatDescription { fourcc, description, emulated } = format;
    // A driver that cannot tell its sizes or rates has none on the list.
    let sizes = device.frame_sizes(fourcc).unwrap_or_default();
    let sizes = sizes
        .into_iter()
        .map(|size| {
            let (width, height) = FrameSize::nearest(size, u32::MAX, u32::MAX);
            SizeInfo { size, intervals: device.frame_intervals(fourcc, width, height).unwrap_or_default() }
        })
        .collect();
    let usable = pixel_format(fourcc).filter(|_| kind == BufferType::VideoCapture && !emulated);
    FormatInfo { fourcc, description, usable, sizes }
}

/// The nodes `/dev/video<number>`, by number.
fn nodes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(DEV) else { return Vec::new() };
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| format!("{DEV}/video{number}")).collect()
}
