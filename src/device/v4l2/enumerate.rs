//! Lists the pixel formats, sizes and frame rates that a V4L2 node supports (`VIDIOC_ENUM_FMT`,
//! `VIDIOC_ENUM_FRAMESIZES`, `VIDIOC_ENUM_FRAMEINTERVALS`).
//!
//! Choosing among them does not belong here.

use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::{BufferType, Device};
use super::format::{FourCc, Fraction};
use super::ioctl::{Plain, ioctl, text, zeroed};

/// The maximum number of entries read from an enumeration: several times what any driver has, and a limit for drivers
/// that never report its end.
const ENUMERATION_LIMIT: u32 = 512;

/// A supported pixel format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// Layout of the bytes.
    pub fourcc: FourCc,
    /// The driver's description.
    pub description: String,
    /// Whether libv4l converts it from another format in software.
    pub emulated: bool,
}

/// A supported frame size or range of sizes, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSize {
    /// One size.
    Discrete {
        /// Width.
        width: u32,
        /// Height.
        height: u32,
    },
    /// Every size from the smallest to the largest in steps; a step is at least 1.
    Stepwise {
        /// Smallest, largest and step of the width.
        width: (u32, u32, u32),
        /// Smallest, largest and step of the height.
        height: (u32, u32, u32),
    },
}

impl FrameSize {
    /// The supported size that is nearest to the given one.
    pub fn nearest(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Discrete { width, height } => (width, height),
            Self::Stepwise { width: w, height: h } => (snap(width, w), snap(height, h)),
        }
    }
}

/// Rounds to the nearest step within the range. Tolerates a range whose minimum exceeds its maximum.
fn snap(value: u32, (min, max, step): (u32, u32, u32)) -> u32 {
    let range = max.saturating_sub(min);
    let step = step.max(1);
    let above = value.saturating_sub(min).min(range);
    let down = above - above % step;
    let up = down.saturating_add(step);
    min + if up <= range && up - above <= above - down { up } else { down }
}

/// A supported frame interval or range of intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameInterval {
    /// One interval.
    Discrete(Fraction),
    /// Every interval from the shortest to the longest.
    Range {
        /// The shortest.
        min: Fraction,
        /// The longest.
        max: Fraction,
    },
}

impl Device {
    /// Lists the supported pixel formats.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn formats(&self, kind: BufferType) -> io::Result<Vec<FormatDescription>> {
        let mut formats = Vec::new();
        for index in 0..ENUMERATION_LIMIT {
            let mut entry: sys::v4l2_fmtdesc = zeroed();
            entry.index = index;
            entry.type_ = kind.raw();
            // SAFETY: the request is made for this struct, which holds no pointers.
            if !more(unsafe { ioctl(self.fd(), vidioc::VIDIOC_ENUM_FMT, &mut entry) })? {
                break;
            }
            formats.push(FormatDescription {
                fourcc: FourCc(entry.pixelformat),
                description: text(&entry.description),
                emulated: entry.flags & sys::V4L2_FMT_FLAG_EMULATED != 0,
            });
        }
        Ok(formats)
    }

    /// Lists the supported sizes of a pixel format; empty if the driver does not enumerate them.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn frame_sizes(&self, fourcc: FourCc) -> io::Result<Vec<FrameSize>> {
        let mut sizes = Vec::new();
        for index in 0..ENUMERATION_LIMIT {
            let mut entry: sys::v4l2_frmsizeenum = zeroed();
            entry.index = index;
            entry.pixel_format = fourcc.0;
            if !self.next_entry(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut entry)? {
                break;
            }
            let discrete = entry.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE;
            let size = if discrete {
                // SAFETY: both variants consist of integers, so any bytes are valid; the type field says which it is.
                let size = unsafe { entry.__bindgen_anon_1.discrete };
                FrameSize::Discrete { width: size.width, height: size.height }
            } else {
                // SAFETY: as above.
                let size = unsafe { entry.__bindgen_anon_1.stepwise };
                FrameSize::Stepwise {
                    width: (size.min_width, size.max_width, size.step_width.max(1)),
                    height: (size.min_height, size.max_height, size.step_height.max(1)),
                }
            };
            // A driver that repeats an entry repeats it forever.
            if sizes.last() == Some(&size) {
                break;
            }
            sizes.push(size);
            if !discrete {
                // A range is the only entry.
                break;
            }
        }
        Ok(sizes)
    }

    /// Lists the supported frame intervals of a pixel format and size; empty if the driver does not enumerate them.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn frame_intervals(&self, fourcc: FourCc, width: u32, height: u32) -> io::Result<Vec<FrameInterval>> {
        let mut intervals = Vec::new();
        for index in 0..ENUMERATION_LIMIT {
            let mut entry: sys::v4l2_frmivalenum = zeroed();
            entry.index = index;
            entry.pixel_format = fourcc.0;
            entry.width = width;
            entry.height = height;
            if !self.next_entry(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut entry)? {
                break;
            }
            let discrete = entry.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE;
            let interval = if discrete {
                // SAFETY: both variants consist of integers, so any bytes are valid; the type field says which it is.
                FrameInterval::Discrete(Fraction::from_sys(unsafe { entry.__bindgen_anon_1.discrete }))
            } else {
                // SAFETY: as above.
                let range = unsafe { entry.__bindgen_anon_1.stepwise };
                FrameInterval::Range { min: Fraction::from_sys(range.min), max: Fraction::from_sys(range.max) }
            };
            // As for the sizes.
            if intervals.last() == Some(&interval) {
                break;
            }
            intervals.push(interval);
            if !discrete {
                break;
            }
        }
        Ok(intervals)
    }

    fn next_entry<T: Plain>(&self, request: vidioc::_IOC_TYPE, entry: &mut T) -> io::Result<bool> {
        // SAFETY: both callers pass the struct that the request is made for; neither holds pointers.
        more(unsafe { ioctl(self.fd(), request, entry) })
    }
}

/// Whether an enumeration continues: `EINVAL` is its end, and `ENOTTY` means that the driver does not support it.
pub(super) fn more(answer: io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_step_of_a_size_range_is_found() {
        let range = FrameSize::Stepwise { width: (16, 1920, 2), height: (16, 1080, 8) };
        assert_eq!(range.nearest(1280, 720), (1280, 720));
        assert_eq!(range.nearest(641, 485), (642, 488));
        assert_eq!(range.nearest(9999, 1), (1920, 16));
    }

    #[test]
    fn invalid_range_is_tolerated() {
        let zero = FrameSize::Stepwise { width: (0, 0, 0), height: (100, 50, 0) };
        assert_eq!(zero.nearest(1280, 720), (0, 100));
        let huge = FrameSize::Stepwise { width: (1, u32::MAX, u32::MAX), height: (0, u32::MAX, 1) };
        assert_eq!(huge.nearest(u32::MAX, u32::MAX), (1, u32::MAX));
    }
}
