//! The error for a camera that has no suitable mode: what was requested, and a summary of what it offers.

use super::{CaptureMode, Config, distance};
use crate::device::v4l2::{FrameInterval, FrameSize};
use crate::media::PixelFormat;

/// The maximum length of the summary of a camera's modes, in characters: some lines on a page. A webcam needs half of
/// it; a test driver with every mode is truncated.
const OFFER_LIMIT: usize = 600;

/// The maximum number of rates that are listed individually; of more, only the slowest and the fastest are shown.
const RATE_LIMIT: usize = 4;

/// Constraints that no mode meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiationError {
    /// The constraints, as written in the configuration.
    pub requested: String,
    /// What is available instead.
    pub supported: String,
}

impl NegotiationError {
    /// The error for a camera with these modes.
    pub fn new(offers: &[CaptureMode], config: &Config) -> Self {
        Self { requested: requested(config), supported: offered(offers) }
    }
}

fn requested(config: &Config) -> String {
    let Config { width, height, fps, format, .. } = config;
    let format = format.map_or_else(String::new, |format| format!("format {}, ", format.name()));
    format!("{format}width {width}, height {height}, fps {fps}")
}

/// The modes of a camera. Formats with the same sizes and rates are grouped, and so are sizes with the same rates.
fn offered(offers: &[CaptureMode]) -> String {
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    for part in offers.chunk_by(|one, other| one.fourcc == other.fourcc) {
        let (name, sizes) = (part[0].pixel.name(), sizes(part));
        match groups.iter_mut().find(|(_, same)| *same == sizes) {
            Some((names, _)) if names.contains(&name) => {}
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], sizes)),
        }
    }
    if groups.is_empty() {
        let names = PixelFormat::ALL.map(PixelFormat::name).join(", ");
        return format!(
            "it has none of the formats that can be used: {names}; `porthole devices` shows what it offers"
        );
    }
    let mut text = String::from("it offers ");
    for (index, (names, sizes)) in groups.iter().enumerate() {
        let group = format!("{} in {sizes}", names.join(", "));
        if text.len() + group.len() > OFFER_LIMIT {
            // Of a first group that is too long by itself, as much as fits.
            let left = if index == 0 { OFFER_LIMIT - text.len() } else { 0 };
            text.extend(group.chars().take(left));
            return text + " and more; `porthole devices` lists it all";
        }
        text += if index > 0 { "; " } else { "" };
        text += &group;
    }
    text
}

/// The sizes of one format with their rates.
fn sizes(offers: &[CaptureMode]) -> String {
    let groups = offers.chunk_by(|one, other| one.intervals == other.intervals);
    let text = |group: &[CaptureMode]| {
        let sizes: Vec<String> = group.iter().map(size).collect();
        sizes.join(", ") + &rates(&group[0].intervals)
    };
    groups.map(text).collect::<Vec<_>>().join(", ")
}

fn size(mode: &CaptureMode) -> String {
    match mode.size {
        None => "sizes that the driver does not list".to_owned(),
        Some(FrameSize::Discrete { width, height }) => format!("{width}x{height}"),
        Some(FrameSize::Stepwise { width, height }) => {
            format!("{}x{} to {}x{}", width.0, height.0, width.1, height.1)
        }
    }
}

fn rates(intervals: &[FrameInterval]) -> String {
    let mut rates: Vec<f64> = Vec::new();
    let mut range = false;
    for interval in intervals {
        match *interval {
            FrameInterval::Discrete(interval) => rates.extend(interval.rate()),
            FrameInterval::Range { min, max } => {
                range = true;
                rates.extend(max.rate().into_iter().chain(min.rate()));
            }
        }
    }
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    match rates.as_slice() {
        [] => String::new(),
        [slowest, .., fastest] if range || rates.len() > RATE_LIMIT => {
            format!(" at {} to {}", distance::short(*slowest), distance::short(*fastest))
        }
        few => format!(" at {}", few.iter().map(|rate| distance::short(*rate)).collect::<Vec<_>>().join("/")),
    }
}
