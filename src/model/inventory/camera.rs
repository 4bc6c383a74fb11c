//! A camera: its names, its formats, and the mode that would be selected.
//!
//! Its controls are in `control.rs`.

use std::fmt;

use serde::{Serialize, Serializer};

use super::control::{Control, Controls};
use crate::media::PixelFormat;

/// A V4L2 capture node.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CameraInfo {
    /// Its path.
    pub path: String,
    /// Its identity, independent of its path: a name that the configuration accepts. Empty when it cannot be queried.
    pub identity: String,
    /// The name of the hardware.
    pub card: String,
    /// The kernel driver.
    pub driver: String,
    /// The bus that it is attached to.
    pub bus: String,
    /// The pixel formats it offers, in the driver's order.
    pub formats: Vec<FormatInfo>,
    /// Its controls, in the driver's order.
    pub controls: Vec<Control>,
    /// The mode that is selected without constraints in the configuration; `null` when it cannot be used.
    pub choice: Option<ChoiceInfo>,
    /// Why it cannot be used; `null` when it can.
    pub problem: Option<String>,
}

/// The mode that would be selected, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChoiceInfo {
    /// The name of the pixel format in the configuration.
    pub format: &'static str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second; `null` when the driver does not report it.
    pub fps: Option<f64>,
    /// The reason, for people.
    pub reason: String,
}

/// A V4L2 node that encodes H.264.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EncoderInfo {
    /// Its path.
    pub path: String,
    /// The name of the hardware.
    pub card: String,
    /// The kernel driver.
    pub driver: String,
    /// The bus that it is attached to.
    pub bus: String,
}

impl fmt::Display for EncoderInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {} ({}, {})", self.path, self.card, self.driver, self.bus)
    }
}

impl fmt::Display for ChoiceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.width, self.height)?;
        if let Some(fps) = self.fps {
            write!(f, " at {} frames/s", RateInfo { min: fps, max: fps })?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A pixel format of a camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormatInfo {
    /// The kernel's four-character code.
    pub fourcc: String,
    /// The driver's description.
    pub description: String,
    /// Its name in the configuration; `null` when it cannot be converted.
    #[serde(serialize_with = "pixel_format")]
    pub usable: Option<PixelFormat>,
    /// Its sizes; empty when the driver does not report them.
    pub sizes: Vec<SizeInfo>,
}

/// A size, or a range of sizes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeInfo {
    /// In pixels.
    pub width: Span,
    /// In pixels.
    pub height: Span,
    /// The frame rates at that size (of a range: at the largest); empty when the driver does not report them.
    pub rates: Vec<RateInfo>,
}

/// A range of numbers; smallest and largest are the same if there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
    /// The step, at least 1.
    pub step: u32,
}

impl Span {
    /// One number.
    pub const fn one(number: u32) -> Self {
        Self { min: number, max: number, step: 1 }
    }
}

/// A range of frame rates per second; both are the same if there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateInfo {
    /// The slowest.
    pub min: f64,
    /// The fastest.
    pub max: f64,
}

fn pixel_format<S: Serializer>(format: &Option<PixelFormat>, serializer: S) -> Result<S::Ok, S::Error> {
    format.map(PixelFormat::name).serialize(serializer)
}

/// A table for people, over several lines, without a newline at the end.
impl fmt::Display for CameraInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if !self.card.is_empty() {
            write!(f, "  {} ({}, {})", self.card, self.driver, self.bus)?;
        }
        if !self.identity.is_empty() {
            write!(f, "\n  identity: {}", self.identity)?;
        }
        if let Some(problem) = &self.problem {
            write!(f, "\n  cannot be used: {problem}")?;
        }
        if let Some(choice) = &self.choice {
            write!(f, "\n  auto: {choice}")?;
        }
        let (usable, others): (Vec<_>, Vec<_>) = self.formats.iter().partition(|format| format.usable.is_some());
        for format in usable {
            write!(f, "\n  {}  {}", format.fourcc, format.description)?;
            for size in &format.sizes {
                write!(f, "\n    {size}")?;
            }
        }
        if !others.is_empty() {
            let others: Vec<&str> = others.iter().map(|format| format.fourcc.as_str()).collect();
            write!(f, "\n  not used by porthole: {}", others.join(", "))?;
        }
        for line in Controls(&self.controls).to_string().lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SizeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (w, h) = (self.width, self.height);
        write!(f, "{}x{}", w.min, h.min)?;
        if w.min != w.max || h.min != h.max {
            write!(f, " to {}x{} in steps of {}x{}", w.max, h.max, w.step, h.step)?;
        }
        for (index, rate) in self.rates.iter().enumerate() {
            write!(f, "{}{rate}", if index == 0 { " at " } else { ", " })?;
        }
        if self.rates.is_empty() { Ok(()) } else { write!(f, " frames/s") }
    }
}

/// With as few digits as necessary.
impl fmt::Display for RateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |rate: f64| {
            if (rate - rate.round()).abs() < 0.005 { format!("{rate:.0}") } else { format!("{rate:.2}") }
        };
        write!(f, "{}", shown(self.min))?;
        // A single rate has exactly equal bounds, not just close ones.
        if self.min < self.max { write!(f, " to {}", shown(self.max)) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::control::tests::frequency;
    use super::*;

    pub fn camera() -> CameraInfo {
        let format = |fourcc: &str, usable, sizes| FormatInfo {
            fourcc: fourcc.into(),
            description: "words".into(),
            usable,
            sizes,
        };
        let rate = |rate| RateInfo { min: rate, max: rate };
        let sizes = vec![
            SizeInfo { width: Span::one(640), height: Span::one(480), rates: vec![rate(30.0), rate(7.5)] },
            SizeInfo {
                width: Span { min: 16, max: 1920, step: 2 },
                height: Span { min: 16, max: 1080, step: 2 },
                rates: vec![RateInfo { min: 1.0, max: 29.97 }],
            },
            SizeInfo { width: Span::one(32), height: Span::one(16), rates: Vec::new() },
        ];
        CameraInfo {
            path: "/dev/video0".into(),
            identity: "usb:046d:082d:5AF2".into(),
            card: "HD Webcam".into(),
            driver: "uvcvideo".into(),
            bus: "usb-1".into(),
            formats: vec![
                format("YUYV", Some(PixelFormat::Yuyv), sizes),
                format("XXXX", None, Vec::new()),
                format("YYYY", None, Vec::new()),
            ],
            controls: vec![frequency()],
            choice: Some(ChoiceInfo {
                format: "YUYV",
                width: 640,
                height: 480,
                fps: Some(30.0),
                reason: "the nearest to 1280x720".into(),
            }),
            problem: None,
        }
    }

    #[test]
    fn a_camera_is_shown_with_all_it_has() {
        let shown = "\
/dev/video0  HD Webcam (uvcvideo, usb-1)
  identity: usb:046d:082d:5AF2
  auto: YUYV 640x480 at 30 frames/s: the nearest to 1280x720
  YUYV  words
    640x480 at 30, 7.50 frames/s
    16x16 to 1920x1080 in steps of 2x2 at 1 to 29.97 frames/s
    32x16
  not used by porthole: XXXX, YYYY
  User Controls
    power_line_frequency  0x00980918  menu          default 0 (Disabled), now 2 (60 Hz)
        0: Disabled
        1: 50 Hz
        2: 60 Hz";
        assert_eq!(camera().to_string(), shown);
    }

    #[test]
    fn a_camera_that_cannot_be_asked_is_shown_with_the_reason() {
        let camera = CameraInfo {
            path: "/dev/video3".into(),
            problem: Some("permission denied".into()),
            ..CameraInfo::default()
        };
        assert_eq!(camera.to_string(), "/dev/video3\n  cannot be used: permission denied");
    }
}
