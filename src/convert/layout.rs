//! Where the lines and planes of an uncompressed picture lie.
//!
//! Touching the bytes does not belong here.

use super::{Error, Planes};
use crate::media::{PixelFormat, VideoFormat};

/// The largest width and height, in pixels: what a JPEG can have at most, and far beyond any camera. It keeps every
/// product of sizes below from overflowing.
const MAX_SIDE: u32 = 65_500;

/// A checked [`VideoFormat`]: no size is zero, no line longer than its stride, no product overflows.
pub(super) struct Layout {
    pub pixel: PixelFormat,
    pub width: usize,
    pub height: usize,
    /// Bytes from line to line of the first plane, at least one line's.
    pub stride: usize,
}

impl Layout {
    pub fn of(format: &VideoFormat) -> Result<Self, Error> {
        let &VideoFormat { pixel, width, height, stride, .. } = format;
        let row = row_bytes(pixel, width);
        let sensible = (2..=MAX_SIDE).contains(&width) && (2..=MAX_SIDE).contains(&height);
        if !sensible || (stride != 0 && stride < row) || stride > MAX_SIDE * 4 {
            return Err(Error::Format { pixel, width, height, stride });
        }
        Ok(Self { pixel, width: width as usize, height: height as usize, stride: stride.max(row) as usize })
    }

    /// The size that is converted: the last odd column and line are left out.
    pub const fn even(&self) -> (usize, usize) {
        (self.width & !1, self.height & !1)
    }

    /// Bytes from line to line of a chroma plane of I420.
    pub const fn chroma_stride(&self) -> usize {
        self.stride.div_ceil(2)
    }

    /// Where the chroma planes of I420 begin.
    pub const fn i420_chroma(&self) -> (usize, usize) {
        let u = self.stride * self.height;
        (u, u + self.chroma_stride() * self.height.div_ceil(2))
    }

    /// The bytes that a whole picture has at least: the padding after the last line may be missing.
    pub const fn min_len(&self) -> usize {
        let chroma_lines = self.height.div_ceil(2);
        match self.pixel {
            PixelFormat::I420 | PixelFormat::Yv12 => {
                let (_, v) = self.i420_chroma();
                v + self.chroma_stride() * (chroma_lines - 1) + self.width.div_ceil(2)
            }
            PixelFormat::Nv12 | PixelFormat::Nv21 => {
                self.stride * (self.height + chroma_lines - 1) + self.width.div_ceil(2) * 2
            }
            PixelFormat::Grey => self.stride * (self.height - 1) + self.width,
            PixelFormat::Yuyv | PixelFormat::Uyvy => self.stride * (self.height - 1) + self.width.div_ceil(2) * 4,
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => self.stride * (self.height - 1) + self.width * 3,
            PixelFormat::Mjpeg | PixelFormat::H264 => 4,
        }
    }

    /// The planes of an I420 picture where they lie; `None` where the padding after the last line is missing.
    pub fn lend_i420<'a>(&self, data: &'a [u8]) -> Option<Planes<'a>> {
        let (width, height) = self.even();
        let (u, v) = self.i420_chroma();
        let chroma = self.chroma_stride() * (height / 2);
        Some(Planes {
            width,
            height,
            y: data.get(..self.stride * height)?,
            u: data.get(u..u + chroma)?,
            v: data.get(v..v + chroma)?,
            y_stride: self.stride,
            uv_stride: self.chroma_stride(),
        })
    }
}

/// Bytes in a line of the first plane without padding; zero for JPEG.
pub const fn row_bytes(pixel: PixelFormat, width: u32) -> u32 {
    match pixel {
        PixelFormat::I420 | PixelFormat::Yv12 | PixelFormat::Grey => width,
        // Two chroma samples for two pixels, the last pair of an odd width included.
        PixelFormat::Nv12 | PixelFormat::Nv21 => width.div_ceil(2).saturating_mul(2),
        PixelFormat::Yuyv | PixelFormat::Uyvy => width.div_ceil(2).saturating_mul(4),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => width.saturating_mul(3),
        PixelFormat::Mjpeg | PixelFormat::H264 => 0,
    }
}

/// The bytes that a whole picture of this format has at least; `None` for a format that makes no sense.
pub fn min_len(format: &VideoFormat) -> Option<usize> {
    Layout::of(format).ok().map(|layout| layout.min_len())
}
