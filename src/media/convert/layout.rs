//! Locates the rows and planes of an uncompressed frame in its bytes, and checks that none is missing.
//!
//! Processing the bytes does not belong here.

use super::Error;
use crate::media::{PixelFormat, RawFrame, VideoFormat};

/// The largest width and height, in pixels: what a JPEG can have at most, and far beyond any camera. It keeps every
/// product of sizes below from overflowing.
const MAX_SIDE: u32 = 65_500;

/// The maximum stride in bytes: that of the widest frame in the format with the most bytes per pixel, with a margin.
const MAX_STRIDE: u32 = MAX_SIDE * 4;

/// A validated [`VideoFormat`]: no size is zero, no row is longer than its stride, no product overflows.
pub(super) struct Layout {
    pub pixel: PixelFormat,
    pub width: usize,
    pub height: usize,
    /// The stride of the first plane in bytes, at least one row.
    pub stride: usize,
}

/// A plane inside a frame's bytes, starting at its first row. The padding after the last row may be missing.
#[derive(Clone, Copy)]
pub(super) struct YuvPlane<'a> {
    pub data: &'a [u8],
    /// Stride in bytes.
    pub stride: usize,
}

/// The size of a plane: bytes per row without padding, and rows. Both are zero if the format has no such plane.
#[derive(Clone, Copy)]
struct PlaneShape {
    row: usize,
    lines: usize,
}

impl PlaneShape {
    const NONE: Self = Self { row: 0, lines: 0 };

    /// The length of a plane in bytes, without the padding after its last row.
    const fn min_len(self, stride: usize) -> usize {
        if self.lines == 0 { 0 } else { stride * (self.lines - 1) + self.row }
    }
}

impl Layout {
    pub fn of(format: &VideoFormat) -> Result<Self, Error> {
        let &VideoFormat { pixel, width, height, stride, .. } = format;
        let row = row_bytes(pixel, width);
        let sensible = (2..=MAX_SIDE).contains(&width) && (2..=MAX_SIDE).contains(&height);
        if !sensible || (stride != 0 && stride < row) || stride > MAX_STRIDE {
            return Err(Error::Format { pixel, width, height, stride });
        }
        Ok(Self { pixel, width: width as usize, height: height as usize, stride: stride.max(row) as usize })
    }

    /// The size that is converted: an odd last column or row is cropped.
    pub const fn even(&self) -> (usize, usize) {
        (self.width & !1, self.height & !1)
    }

    /// The planes of a frame, each complete except for the padding after its last row. Planes that the format lacks are
    /// empty.
    pub fn planes<'a>(&self, frame: &'a RawFrame) -> Result<[YuvPlane<'a>; 3], Error> {
        let shapes = self.shapes();
        match &frame.chroma {
            Some(chroma) if shapes[1].lines > 0 => {
                let stride = self.own_chroma_stride(chroma.stride)?;
                let whole = |data: &'a [u8], stride, shape: PlaneShape, what| {
                    longer(data, shape.min_len(stride), what).map(|()| YuvPlane { data, stride })
                };
                Ok([
                    whole(&frame.data, self.stride, shapes[0], "the frame's first plane")?,
                    whole(&chroma.second, stride, shapes[1], "the frame's second plane")?,
                    whole(&chroma.third, stride, shapes[2], "the frame's third plane")?,
                ])
            }
            _ => {
                longer(&frame.data, self.min_len(), "the frame")?;
                let mut rest: &[u8] = &frame.data;
                Ok([0, 1, 2].map(|plane| {
                    let stride = self.stride_in_one_piece(plane);
                    let (data, after) = rest.split_at(rest.len().min(stride * shapes[plane].lines));
                    rest = after;
                    YuvPlane { data, stride }
                }))
            }
        }
    }

    /// The minimum length of a contiguous frame: the padding after the last row may be missing.
    pub fn min_len(&self) -> usize {
        if self.pixel.is_compressed() {
            // A start and an end marker.
            return 4;
        }
        let shapes = self.shapes();
        let last = shapes.iter().rposition(|shape| shape.lines > 0).unwrap_or(0);
        let before: usize = (0..last).map(|plane| self.stride_in_one_piece(plane) * shapes[plane].lines).sum();
        before + shapes[last].min_len(self.stride_in_one_piece(last))
    }

    /// Stride in bytes of a plane of a contiguous frame (the kernel's rule for `bytesperline`).
    const fn stride_in_one_piece(&self, plane: usize) -> usize {
        match self.pixel {
            PixelFormat::I420 | PixelFormat::Yv12 if plane > 0 => self.stride.div_ceil(2),
            _ => self.stride,
        }
    }

    /// Stride in bytes of chroma planes in separate buffers, for which the driver reports `stride`.
    fn own_chroma_stride(&self, stride: u32) -> Result<usize, Error> {
        let row = self.shapes()[1].row;
        if (stride != 0 && (stride as usize) < row) || stride > MAX_STRIDE {
            let (width, height) = (self.width as u32, self.height as u32);
            return Err(Error::Format { pixel: self.pixel, width, height, stride });
        }
        Ok(row.max(stride as usize))
    }

    fn shapes(&self) -> [PlaneShape; 3] {
        let first = PlaneShape { row: row_bytes(self.pixel, self.width as u32) as usize, lines: self.height };
        let (half_width, half_height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        match self.pixel {
            PixelFormat::I420 | PixelFormat::Yv12 => {
                let chroma = PlaneShape { row: half_width, lines: half_height };
                [first, chroma, chroma]
            }
            PixelFormat::Nv12 | PixelFormat::Nv21 => {
                [first, PlaneShape { row: half_width * 2, lines: half_height }, PlaneShape::NONE]
            }
            PixelFormat::Grey
            | PixelFormat::Yuyv
            | PixelFormat::Uyvy
            | PixelFormat::Rgb24
            | PixelFormat::Bgr24
            | PixelFormat::Mjpeg
            | PixelFormat::H264 => [first, PlaneShape::NONE, PlaneShape::NONE],
        }
    }
}

fn longer(data: &[u8], need: usize, what: &'static str) -> Result<(), Error> {
    if data.len() < need {
        return Err(Error::Truncated { what, have: data.len(), need });
    }
    Ok(())
}

/// Bytes in a line of the first plane without padding; zero for compressed frames.
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

/// The minimum length of a contiguous frame of this format; `None` if the format is invalid.
pub fn min_len(format: &VideoFormat) -> Option<usize> {
    Layout::of(format).ok().map(|layout| layout.min_len())
}

/// The minimum length of each plane of a frame whose planes are in separate memory, with `chroma_stride` for the chroma
/// planes; zero for a plane that the format lacks. `None` if the format is invalid.
pub fn min_lens(format: &VideoFormat, chroma_stride: u32) -> Option<[usize; 3]> {
    let layout = Layout::of(format).ok()?;
    let shapes = layout.shapes();
    if shapes[1].lines == 0 {
        return Some([layout.min_len(), 0, 0]);
    }
    let chroma = layout.own_chroma_stride(chroma_stride).ok()?;
    Some([shapes[0].min_len(layout.stride), shapes[1].min_len(chroma), shapes[2].min_len(chroma)])
}
