//! Lists every V4L2 camera with everything it offers, in the form of the inventory.
//!
//! Printing the list belongs to `model::inventory`; which nodes exist is in `identity`.

use std::io;

use super::super::Config;
use super::discover::NodeInfo;
use super::identity::V4l2Sysfs;
use super::{NegotiationError, SelectedMode, choose, offers, pixel_format};
use crate::device::v4l2::{BufferType, Capability, Device, FormatDescription, FourCc, FrameInterval, FrameSize};
use crate::model::inventory::{CameraInfo, ChoiceInfo, EncoderInfo, FormatInfo, RateInfo, SizeInfo, Span};

/// Every capture node, by number. One that cannot be opened or queried is listed with the reason.
pub fn list() -> Vec<CameraInfo> {
    let sysfs = V4l2Sysfs::default();
    let found = |path: String| describe(&sysfs, &path).transpose().map(|found| named(path, found));
    sysfs.nodes().into_iter().filter_map(found).collect()
}

/// Every node that encodes H.264, by number. One that cannot be queried is left out.
pub fn encoders() -> Vec<EncoderInfo> {
    V4l2Sysfs::default().nodes().iter().filter_map(|path| encoder(path)).collect()
}

fn encoder(path: &str) -> Option<EncoderInfo> {
    let device = Device::open(path).ok()?;
    let capability = device.capability().ok().filter(Capability::converts)?;
    let encodes = [BufferType::VideoCaptureMplane, BufferType::VideoCapture].into_iter().any(|kind| {
        let formats = device.formats(kind).unwrap_or_default();
        formats.iter().any(|format| format.fourcc == FourCc::new(b"H264"))
    });
    let Capability { driver, card, bus, .. } = capability;
    encodes.then(|| EncoderInfo { path: path.to_owned(), card, driver, bus })
}

fn named(path: String, found: io::Result<CameraInfo>) -> CameraInfo {
    match found {
        Ok(camera) => CameraInfo { path, ..camera },
        Err(error) => CameraInfo { path, problem: Some(error.to_string()), ..CameraInfo::default() },
    }
}

/// What a node offers; `None` if it is not a camera.
fn describe(sysfs: &V4l2Sysfs, path: &str) -> io::Result<Option<CameraInfo>> {
    let device = Device::open(path)?;
    let capability = device.capability()?;
    let Some(kind) = capability.capture_kind() else { return Ok(None) };
    let formats: Vec<FormatInfo> =
        device.formats(kind)?.into_iter().map(|format| format_info(&device, format)).collect();
    let usable = formats.iter().any(|format| format.usable.is_some());
    let chosen = if usable { choice(&device, kind) } else { Err("none of its formats can be converted".to_owned()) };
    let (choice, problem) = match chosen {
        Ok(choice) => (Some(choice), None),
        Err(problem) => (None, Some(problem)),
    };
    let Capability { driver, card, bus, .. } = capability;
    // A node without controls is still a camera.
    let controls = device.controls().unwrap_or_default();
    let answer = NodeInfo { card: card.clone(), bus: bus.clone(), usable };
    let identity = sysfs.describe(path, Some(answer), None).identity.to_string();
    Ok(Some(CameraInfo { path: path.to_owned(), identity, card, driver, bus, formats, controls, choice, problem }))
}

/// The mode that would be chosen with the default configuration; otherwise why there is none.
fn choice(device: &Device, kind: BufferType) -> Result<ChoiceInfo, String> {
    let config = Config::default();
    let offers = offers(device, kind, &config).map_err(|error| error.to_string())?;
    let SelectedMode { pixel, width, height, interval, reason, .. } = choose(&offers, &config)
        .map_err(|NegotiationError { requested, supported }| format!("{requested}: {supported}"))?;
    Ok(ChoiceInfo { format: pixel.name(), width, height, fps: interval.rate(), reason })
}

fn format_info(device: &Device, format: FormatDescription) -> FormatInfo {
    let FormatDescription { fourcc, description, emulated } = format;
    // A driver that cannot report its sizes or rates has none in the list.
    let sizes = device.frame_sizes(fourcc).unwrap_or_default();
    let sizes = sizes
        .into_iter()
        .map(|size| {
            let (width, height) = FrameSize::nearest(size, u32::MAX, u32::MAX);
            let intervals = device.frame_intervals(fourcc, width, height).unwrap_or_default();
            size_info(size, &intervals)
        })
        .collect();
    let usable = pixel_format(fourcc).filter(|_| !emulated);
    FormatInfo { fourcc: fourcc.to_string(), description, usable, sizes }
}

fn size_info(size: FrameSize, intervals: &[FrameInterval]) -> SizeInfo {
    let span = |(min, max, step): (u32, u32, u32)| Span { min, max, step };
    let (width, height) = match size {
        FrameSize::Discrete { width, height } => (Span::one(width), Span::one(height)),
        FrameSize::Stepwise { width, height } => (span(width), span(height)),
    };
    // A rate of zero is left out.
    let rates = intervals.iter().filter_map(|interval| match *interval {
        FrameInterval::Discrete(interval) => interval.rate().map(|rate| RateInfo { min: rate, max: rate }),
        FrameInterval::Range { min, max } => Some(RateInfo { min: max.rate()?, max: min.rate()? }),
    });
    SizeInfo { width, height, rates: rates.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::v4l2::Fraction;

    #[test]
    fn frame_intervals_become_rates() {
        let fraction = |numerator, denominator| Fraction { numerator, denominator };
        let intervals = [
            FrameInterval::Discrete(fraction(2, 15)),
            FrameInterval::Discrete(fraction(0, 1)),
            FrameInterval::Range { min: fraction(1, 60), max: fraction(1, 5) },
        ];
        let size = FrameSize::Stepwise { width: (16, 1920, 2), height: (16, 1080, 8) };
        let info = size_info(size, &intervals);
        assert_eq!(info.rates, [RateInfo { min: 7.5, max: 7.5 }, RateInfo { min: 5.0, max: 60.0 }]);
        assert_eq!((info.width.max, info.height.step), (1920, 8));
        let one = size_info(FrameSize::Discrete { width: 640, height: 480 }, &[]);
        assert_eq!((one.width, one.height), (Span::one(640), Span::one(480)));
    }
}
