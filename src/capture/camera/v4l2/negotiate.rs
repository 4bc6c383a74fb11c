//! Which pixel format, size and frame rate to request from a camera. The choice itself is a pure function of the modes
//! on offer.
//!
//! Constraints are those of `getUserMedia` (W3C Media Capture and Streams, section 5.2.1): modes outside `min` and
//! `max` are rejected, and of the others the one nearest to the ideals wins, by the same fitness distance as in
//! browsers. Among equals the one that costs the least CPU wins (`cost.rs`), with two exceptions:
//!
//! - Grey formats are chosen only if no colour format qualifies, however cheap they are.
//! - H.264 from the camera costs almost no CPU, but the camera dictates the stream: most have no control for the
//!   bitrate and none to force a key frame (a viewer who joins waits for the next one, and so does everybody after a
//!   loss), the stream cannot be scaled, and not every browser decodes every profile. It is chosen only if no other
//!   format comes as close to the constraints, or if the configuration names it.
//!
//! Retries do not belong here, nor do ioctls other than those that enumerate the modes.

mod cost;
mod distance;
mod refusal;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::io;

pub use self::refusal::NegotiationError;
use super::super::Config;
use super::layout::{Known, preference};
use crate::device::v4l2::{BufferType, Device, FourCc, Fraction, FrameInterval, FrameSize};
use crate::media::PixelFormat;
pub use distance::short;
use distance::{Distance, FrameRate};

/// One mode that a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureMode {
    /// The V4L2 pixel format.
    pub fourcc: FourCc,
    /// Our pixel format.
    pub pixel: PixelFormat,
    /// Size in pixels, or a range of them; `None` if the driver does not report its sizes.
    pub size: Option<FrameSize>,
    /// Times between frames; empty if the driver does not report its rates.
    pub intervals: Vec<FrameInterval>,
}

/// The mode to request, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedMode {
    /// The V4L2 pixel format.
    pub fourcc: FourCc,
    /// Our pixel format.
    pub pixel: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Time between frames.
    pub interval: Fraction,
    /// Why this one, in human-readable form.
    pub reason: String,
}

/// The choice and its reason on one line.
impl fmt::Display for SelectedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pixel, width, height, interval, reason, .. } = self;
        write!(
            f,
            "{} {width}x{height} at {} frames/s: {reason}",
            pixel.name(),
            distance::short(interval.rate().unwrap_or(0.0))
        )
    }
}

/// The modes that the camera offers in supported formats. For a range of sizes, the rates are those of the size that
/// would be chosen.
///
/// # Errors
///
/// The kernel's errno.
pub fn offers(device: &Device, kind: BufferType, config: &Config) -> io::Result<Vec<CaptureMode>> {
    let mut offers: Vec<CaptureMode> = Vec::new();
    let mut failure = None;
    for format in device.formats(kind)? {
        // Formats that libv4l emulates in software do not exist for the kernel.
        let Some(known) = Known::of(format.fourcc).filter(|_| !format.emulated) else { continue };
        if offers.iter().any(|mode| mode.fourcc == known.fourcc) {
            continue;
        }
        match offers_of(device, known, config) {
            Ok(modes) => offers.extend(modes),
            Err(error) if is_unplugged(&error) => return Err(error),
            // The driver does not know its way about this one; the others may do.
            Err(error) => {
                tracing::debug!("sizes and rates of {}: {error}; the format is left out", known.fourcc);
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if offers.is_empty() => Err(error),
        _ => Ok(offers),
    }
}

/// The modes of one format.
fn offers_of(device: &Device, known: Known, config: &Config) -> io::Result<Vec<CaptureMode>> {
    let Known { fourcc, pixel, .. } = known;
    let sizes = device.frame_sizes(fourcc)?;
    if sizes.is_empty() {
        return Ok(vec![CaptureMode { fourcc, pixel, size: None, intervals: Vec::new() }]);
    }
    let mode = |size: FrameSize| {
        let (width, height) =
            distance::size(size, config).unwrap_or_else(|| size.nearest(config.width.target(), config.height.target()));
        let intervals = match device.frame_intervals(fourcc, width, height) {
            Err(error) if is_unplugged(&error) => return Err(error),
            // As for a driver that reports none.
            intervals => intervals.unwrap_or_default(),
        };
        Ok(CaptureMode { fourcc, pixel, size: Some(size), intervals })
    };
    sizes.into_iter().map(mode).collect()
}

fn is_unplugged(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// The best of a camera's modes; see the text of this module.
///
/// # Errors
///
/// What was requested and what is available instead, if no mode is acceptable.
pub fn choose(offers: &[CaptureMode], config: &Config) -> Result<SelectedMode, NegotiationError> {
    let candidates: Vec<ModeCandidate> = offers
        .iter()
        .filter(|mode| config.format.is_none_or(|format| format == mode.pixel))
        .flat_map(|mode| ModeCandidate::all(mode, config))
        .collect();
    let best = candidates
        .iter()
        .min_by(|one, other| one.compare(other))
        .ok_or_else(|| NegotiationError::new(offers, config))?;
    let reason = reason(best, &candidates, config);
    let ModeCandidate { mode, size: (width, height), rate, .. } = *best;
    Ok(SelectedMode { fourcc: mode.fourcc, pixel: mode.pixel, width, height, interval: rate.interval, reason })
}

/// Whether the mode that the driver set is acceptable. A rate that it does not report is assumed to be.
pub fn is_acceptable(width: u32, height: u32, fps: Option<f64>, config: &Config) -> bool {
    config.width.allows(width)
        && config.height.allows(height)
        && fps.is_none_or(|fps| distance::allows(&config.fps, fps))
}

/// One acceptable size and rate of a mode.
#[derive(Debug)]
struct ModeCandidate<'a> {
    mode: &'a CaptureMode,
    size: (u32, u32),
    rate: FrameRate,
    distance: Distance,
    /// Share of a processor; see `cost.rs`.
    cost: f64,
}

impl<'a> ModeCandidate<'a> {
    fn all(mode: &'a CaptureMode, config: &Config) -> Vec<Self> {
        let size = match mode.size {
            // The requested size is set, and the driver's reply is checked.
            None => Some((config.width.target(), config.height.target())),
            Some(size) => distance::size(size, config),
        };
        let Some(size) = size else { return Vec::new() };
        let candidate = |rate: FrameRate| {
            let distance = Distance::of(size, rate, config);
            // 29.97 frames per second are not cheaper than 30: both are the requested rate.
            let fps = if distance::is_close(distance.rate) { config.fps.target().into() } else { rate.fps };
            Self { mode, size, rate, distance, cost: cost::share(mode.pixel, size, fps) }
        };
        distance::rates(&mode.intervals, &config.fps).into_iter().map(candidate).collect()
    }

    fn compare(&self, other: &Self) -> Ordering {
        let is = |pixel| (self.mode.pixel == pixel).cmp(&(other.mode.pixel == pixel));
        is(PixelFormat::Grey)
            .then_with(|| self.distance.ideal.total_cmp(&other.distance.ideal))
            .then_with(|| is(PixelFormat::H264))
            .then_with(|| self.distance.range.total_cmp(&other.distance.range))
            .then_with(|| self.cost.total_cmp(&other.cost))
            .then_with(|| self.distance.rate.total_cmp(&other.distance.rate))
            .then_with(|| preference(self.mode.fourcc).cmp(&preference(other.mode.fourcc)))
    }
}

fn reason(best: &ModeCandidate<'_>, candidates: &[ModeCandidate<'_>], config: &Config) -> String {
    let requested = format!("{}x{} at {} frames/s", config.width.target(), config.height.target(), config.fps.target());
    if best.mode.size.is_none() {
        return format!("the driver does not list its sizes; requesting {requested}");
    }
    let reached =
        if best.distance.ideal > 0.0 { format!("the nearest to {requested}") } else { "as requested".to_owned() };
    let as_near = |candidate: &&ModeCandidate<'_>| {
        candidate.distance.ideal <= best.distance.ideal && candidate.distance.range <= best.distance.range
    };
    let mut names: Vec<&str> = candidates.iter().filter(as_near).map(|candidate| candidate.mode.pixel.name()).collect();
    names.sort_unstable();
    names.dedup();
    let encodes = names.contains(&PixelFormat::H264.name());
    names.retain(|name| ![PixelFormat::H264, PixelFormat::Grey].map(PixelFormat::name).contains(name));
    match best.mode.pixel {
        _ if config.format.is_some() => format!("{reached}, in the configured format"),
        PixelFormat::H264 => format!("{reached}, available only in H264; passed through as the camera encodes it"),
        PixelFormat::Grey => format!("{reached}, available only in grey"),
        _ => {
            let among = if names.len() > 1 {
                format!("the least CPU of {}", names.join(", "))
            } else {
                format!("only in {}", names.join(""))
            };
            let by_name = if encodes {
                "; H264 is used only if configured, because key frames then depend on the camera"
            } else {
                ""
            };
            format!("{reached}, {among}{by_name}")
        }
    }
}
