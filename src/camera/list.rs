//! The cameras there are, as `porthole devices` shows them.
//!
//! Asking the kernel does not belong here.

use std::fmt;

use crate::media::PixelFormat;

pub use crate::v4l2::{Control, ControlKind, FourCc, Fraction, FrameInterval, FrameSize, MenuItem};

/// A V4L2 node that gives pictures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CameraInfo {
    /// Its path.
    pub path: String,
    /// The name of the hardware.
    pub card: String,
    /// The kernel driver.
    pub driver: String,
    /// Where it is attached.
    pub bus: String,
    /// The pixel formats it offers, in the driver's order.
    pub formats: Vec<FormatInfo>,
    /// Its controls, in the driver's order.
    pub controls: Vec<Control>,
    /// Why it cannot be used; `None` when it can.
    pub problem: Option<String>,
}

/// A pixel format on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatInfo {
    /// The kernel's name of it.
    pub fourcc: FourCc,
    /// The driver's words for it.
    pub description: String,
    /// The format of ours that it is; `None` when it cannot be converted.
    pub usable: Option<PixelFormat>,
    /// The sizes in it; empty where the driver does not tell.
    pub sizes: Vec<SizeInfo>,
}

/// A size, or a range of sizes, on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct SizeInfo {
    /// In pixels.
    pub size: FrameSize,
    /// The times between frames at that size (of a range: at the largest); empty where the driver does not tell.
    pub intervals: Vec<FrameInterval>,
}

/// A table for people, over several lines, without a newline at the end.
impl fmt::Display for CameraInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if !self.card.is_empty() {
            write!(f, "  {} ({}, {})", self.card, self.driver, self.bus)?;
        }
        if let Some(problem) = &self.problem {
            write!(f, "\n  cannot be used: {problem}")?;
        }
        for format in &self.formats {
            write!(f, "\n  {}", format.fourcc)?;
            match format.usable {
                Some(_) => write!(f, "  {}", format.description)?,
                None => write!(f, "  {} (not used by porthole)", format.description)?,
            }
            // Of a format that is of no use the sizes are of no use either.
            for size in format.sizes.iter().filter(|_| format.usable.is_some()) {
                write!(f, "\n    {size}")?;
            }
        }
        if !self.controls.is_empty() {
            write!(f, "\n  controls")?;
        }
        for control in &self.controls {
            write!(f, "\n    {}", ControlLine(control))?;
        }
        Ok(())
    }
}

impl fmt::Display for SizeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            FrameSize::Discrete { width, height } => write!(f, "{width}x{height}")?,
            FrameSize::Stepwise { width: w, height: h } => {
                write!(f, "{}x{} to {}x{} in steps of {}x{}", w.0, h.0, w.1, h.1, w.2, h.2)?;
            }
        }
        for (index, interval) in self.intervals.iter().enumerate() {
            write!(f, "{}", if index == 0 { " at " } else { ", " })?;
            match interval {
                FrameInterval::Discrete(fraction) => write!(f, "{}", Rate(*fraction))?,
                FrameInterval::Range { min, max } => write!(f, "{} to {}", Rate(*max), Rate(*min))?,
            }
        }
        if self.intervals.is_empty() { Ok(()) } else { write!(f, " frames/s") }
    }
}

/// A rate in frames a second, with no more digits than it needs.
struct Rate(Fraction);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rate() {
            Some(rate) if (rate - rate.round()).abs() < 0.005 => write!(f, "{rate:.0}"),
            Some(rate) => write!(f, "{rate:.2}"),
            None => write!(f, "?"),
        }
    }
}

/// A control on one line.
struct ControlLine<'a>(&'a Control);

impl fmt::Display for ControlLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = self.0;
        let Control { name, min, max, step, default, .. } = control;
        match control.kind {
            ControlKind::Class => return write!(f, "-- {name} --"),
            ControlKind::Boolean => write!(f, "{name}: on or off, default {}", switch(*default))?,
            ControlKind::Menu | ControlKind::IntegerMenu => write!(f, "{name}: default {}", self.item(*default))?,
            ControlKind::Button => write!(f, "{name}: an action")?,
            ControlKind::String => write!(f, "{name}: a text of {min} to {max} characters")?,
            ControlKind::Bitmask => write!(f, "{name}: bits of {max:#x}, default {default:#x}")?,
            ControlKind::Other(kind) => write!(f, "{name}: of type {kind:#x}")?,
            ControlKind::Integer | ControlKind::Integer64 => {
                write!(f, "{name}: {min} to {max}")?;
                if *step > 1 {
                    write!(f, " in steps of {step}")?;
                }
                write!(f, ", default {default}")?;
            }
        }
        if let Some(value) = control.value {
            match control.kind {
                ControlKind::Boolean => write!(f, ", now {}", switch(value))?,
                ControlKind::Menu | ControlKind::IntegerMenu => write!(f, ", now {}", self.item(value))?,
                ControlKind::Bitmask => write!(f, ", now {value:#x}")?,
                _ => write!(f, ", now {value}")?,
            }
        }
        for (holds, note) in [(control.read_only, "read only"), (control.inactive, "inactive")] {
            if holds {
                write!(f, ", {note}")?;
            }
        }
        for item in &control.menu {
            write!(f, "\n      {}: {}", item.index, item.name)?;
        }
        Ok(())
    }
}

impl ControlLine<'_> {
    fn item(&self, value: i64) -> String {
        self.0
            .menu
            .iter()
            .find(|item| item.index == value)
            .map_or_else(|| value.to_string(), |item| format!("{value} ({})", item.name))
    }
}

const fn switch(value: i64) -> &'static str {
    if value == 0 { "off" } else { "on" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_shown_with_all_it_has() {
        let interval = |numerator, denominator| Fraction { numerator, denominator };
        let control = Control {
            id: 1,
            name: "Brightness".into(),
            kind: ControlKind::Integer,
            min: -64,
            max: 64,
            step: 1,
            default: 0,
            value: Some(5),
            read_only: false,
            inactive: false,
            menu: Vec::new(),
        };
        let frequency = Control {
            name: "Power Line Frequency".into(),
            kind: ControlKind::Menu,
            default: 1,
            value: Some(2),
            inactive: true,
            menu: vec![MenuItem { index: 1, name: "50 Hz".into() }],
            ..control.clone()
        };
        let format = |fourcc, usable, sizes| FormatInfo {
            fourcc: FourCc::new(fourcc),
            description: "words".into(),
            usable,
            sizes,
        };
        let sizes = vec![
            SizeInfo {
                size: FrameSize::Discrete { width: 640, height: 480 },
                intervals: vec![
                    FrameInterval::Discrete(interval(1, 30)),
                    FrameInterval::Discrete(interval(2, 15)),
                    FrameInterval::Discrete(interval(0, 1)),
                ],
            },
            SizeInfo { size: FrameSize::Stepwise { width: (16, 1920, 2), height: (16, 1080, 2) }, intervals: vec![] },
        ];
        let camera = CameraInfo {
            path: "/dev/video0".into(),
            card: "HD Webcam".into(),
            driver: "uvcvideo".into(),
            bus: "usb-1".into(),
            formats: vec![format(b"YUYV", Some(PixelFormat::Yuyv), sizes), format(b"H264", None, Vec::new())],
            controls: vec![control, frequency],
            problem: None,
        };
        let shown = "\
/dev/video0  HD Webcam (uvcvideo, usb-1)
  YUYV  words
    640x480 at 30, 7.50, ? frames/s
    16x16 to 1920x1080 in steps of 2x2
  H264  words (not used by porthole)
  controls
    Brightness: -64 to 64, default 0, now 5
    Power Line Frequency: default 1 (50 Hz), now 2, inactive
      1: 50 Hz";
        assert_eq!(camera.to_string(), shown);
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
