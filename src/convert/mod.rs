//! Raw pictures of every layout into I420, the one layout that the encoder and the snapshot take. Pure functions on
//! bytes.
//!
//! The result has even sizes, because 4:2:0 has one chroma sample for two by two pixels and encoders ask for it: of a
//! picture with an odd width or height the last column or line is cut off. The values are of limited range (16 to 235
//! for luma), which is what a player takes a stream for that says nothing of its range; JPEG has full range and is
//! brought to it. Scaling does not belong here.

mod jpeg;
mod layout;

use crate::media::{PixelFormat, RawFrame, VideoFormat};

pub use jpeg::is_whole_jpeg;
pub use layout::{min_len, row_bytes};

use jpeg::Jpeg;
use layout::Layout;

/// Why a picture cannot be converted. One bad picture says nothing about the next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format makes no sense: a size below 2x2 or beyond all cameras, or a line that is longer than its stride.
    #[error("{width}x{height} {} with {stride} bytes a line is no picture that can be converted", pixel.name())]
    Format {
        /// Layout of the bytes.
        pixel: PixelFormat,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes a line.
        stride: u32,
    },
    /// The picture ends too early.
    #[error("the picture has {have} bytes and needs {need}")]
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes that the format needs.
        need: usize,
    },
    /// The JPEG is of another size than the camera was set to.
    #[error("the JPEG is {jpeg_width}x{jpeg_height}, the camera was set to {width}x{height}")]
    JpegSize {
        /// Width of the JPEG in pixels.
        jpeg_width: usize,
        /// Height of the JPEG in pixels.
        jpeg_height: usize,
        /// Width asked for in pixels.
        width: u32,
        /// Height asked for in pixels.
        height: u32,
    },
    /// The JPEG is damaged, or of a kind that no camera gives.
    #[error("decode the JPEG: {0}")]
    Jpeg(String),
}

/// A picture in I420: three planes, each with `stride * lines` bytes exactly.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
    /// Luma, `height` lines.
    pub y: &'a [u8],
    /// Blue difference, `height / 2` lines.
    pub u: &'a [u8],
    /// Red difference, `height / 2` lines.
    pub v: &'a [u8],
    /// Bytes from line to line of `y`.
    pub y_stride: usize,
    /// Bytes from line to line of `u` and of `v`.
    pub uv_stride: usize,
}

/// Converts picture after picture and keeps its memory between them.
#[derive(Debug, Default)]
pub struct Converter {
    tight: Tight,
    jpeg: Jpeg,
}

impl Converter {
    /// A converter that has no memory yet; it takes what the first picture needs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture in I420. One that is in I420 already is lent through without a copy.
    ///
    /// # Errors
    ///
    /// As [`Error`] says. The converter is as good as before.
    pub fn i420<'a>(&'a mut self, frame: &'a RawFrame) -> Result<Planes<'a>, Error> {
        let layout = Layout::of(&frame.format)?;
        let data: &[u8] = &frame.data;
        if frame.format.pixel == PixelFormat::Mjpeg {
            self.jpeg.decode(data, &layout, &mut self.tight)?;
            return Ok(self.tight.planes());
        }
        let need = layout.min_len();
        if data.len() < need {
            return Err(Error::Truncated { have: data.len(), need });
        }
        match frame.format.pixel {
            PixelFormat::I420 => {
                if let Some(planes) = layout.lend_i420(data) {
                    return Ok(planes);
                }
                i420(data, &layout, &mut self.tight);
            }
            PixelFormat::Nv12 => nv12(data, &layout, &mut self.tight),
            PixelFormat::Yuyv => yuyv(data, &layout, &mut self.tight)?,
            pixel => {
                let VideoFormat { width, height, stride, .. } = frame.format;
                return Err(Error::Format { pixel, width, height, stride });
            }
        }
        Ok(self.tight.planes())
    }
}

/// An I420 picture without padding, in memory of our own.
#[derive(Debug, Default)]
struct Tight {
    width: usize,
    height: usize,
    data: Vec<u8>,
    /// One line of U and V of a 4:2:2 picture, between unpacking and averaging.
    lines: [Vec<u8>; 4],
}

impl Tight {
    /// The planes of a picture of this (even) size, to be filled.
    fn resize(&mut self, width: usize, height: usize) -> (&mut [u8], &mut [u8], &mut [u8]) {
        (self.width, self.height) = (width, height);
        self.data.resize(width * height * 3 / 2, 0);
        split(&mut self.data, width * height)
    }

    fn planes(&self) -> Planes<'_> {
        let (y, chroma) = self.data.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(y.len() / 4);
        Planes { width: self.width, height: self.height, y, u, v, y_stride: self.width, uv_stride: self.width / 2 }
    }
}

fn split(data: &mut [u8], luma: usize) -> (&mut [u8], &mut [u8], &mut [u8]) {
    let (y, chroma) = data.split_at_mut(luma);
    let (u, v) = chroma.split_at_mut(luma / 4);
    (y, u, v)
}

/// Copies the lines of a plane, from a foreign stride to none.
fn copy_lines(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (line, target) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        target.copy_from_slice(&line[..width]);
    }
}

fn i420(data: &[u8], layout: &Layout, tight: &mut Tight) {
    let (width, height) = layout.even();
    let (u_start, v_start) = layout.i420_chroma();
    let (y, u, v) = tight.resize(width, height);
    copy_lines(data, layout.stride, y, width);
    copy_lines(&data[u_start..], layout.chroma_stride(), u, width / 2);
    copy_lines(&data[v_start..], layout.chroma_stride(), v, width / 2);
}

fn nv12(data: &[u8], layout: &Layout, tight: &mut Tight) {
    let (width, height) = layout.even();
    let (luma, chroma) = data.split_at(layout.stride * layout.height);
    let (y, u, v) = tight.resize(width, height);
    copy_lines(luma, layout.stride, y, width);
    let targets = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
    for (line, (u, v)) in chroma.chunks(layout.stride).zip(targets) {
        // In this form, without an index, the compiler makes vector code of it.
        for ((pair, u), v) in line[..width].chunks_exact(2).zip(u).zip(v) {
            (*u, *v) = (pair[0], pair[1]);
        }
    }
}

/// YUYV has chroma on every line: that of two lines is averaged. The crate's own way to 4:2:0 takes now the upper, now
/// the lower line's, depending on the column and the processor.
fn yuyv(data: &[u8], layout: &Layout, tight: &mut Tight) -> Result<(), Error> {
    let (width, height) = layout.even();
    let mut scratch = std::mem::take(&mut tight.lines);
    for line in &mut scratch {
        line.resize(width / 2, 0);
    }
    let [u_upper, v_upper, u_lower, v_lower] = &mut scratch;
    let (y, u, v) = tight.resize(width, height);
    let chroma = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
    for ((lines, y), (u, v)) in data.chunks(layout.stride * 2).zip(y.chunks_exact_mut(width * 2)).zip(chroma) {
        let (upper, lower) = lines.split_at(layout.stride);
        let (y_upper, y_lower) = y.split_at_mut(width);
        yuyv_line(&upper[..width * 2], y_upper, u_upper, v_upper)?;
        yuyv_line(&lower[..width * 2], y_lower, u_lower, v_lower)?;
        average(u_upper, u_lower, u);
        average(v_upper, v_lower, v);
    }
    tight.lines = scratch;
    Ok(())
}

fn yuyv_line(packed: &[u8], y: &mut [u8], u: &mut [u8], v: &mut [u8]) -> Result<(), Error> {
    let width = y.len() as u32;
    let packed = yuv::YuvPackedImage { yuy: packed, yuy_stride: width * 2, width, height: 1 };
    let mut planar = yuv::YuvPlanarImageMut {
        y_plane: yuv::BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: yuv::BufferStoreMut::Borrowed(u),
        u_stride: width / 2,
        v_plane: yuv::BufferStoreMut::Borrowed(v),
        v_stride: width / 2,
        width,
        height: 1,
    };
    yuv::yuyv422_to_yuv422(&mut planar, &packed).map_err(|_| Error::Format {
        pixel: PixelFormat::Yuyv,
        width,
        height: 1,
        stride: width * 2,
    })
}

/// The mean of two lines, halves rounded up.
fn average(one: &[u8], other: &[u8], to: &mut [u8]) {
    for ((one, other), to) in one.iter().zip(other).zip(to) {
        *to = (u16::from(*one) + u16::from(*other)).div_ceil(2) as u8;
    }
}

/// The shape of the pictures that [`Converter::i420`] gives for pictures of `format`.
pub const fn converted_size(format: &VideoFormat) -> (u32, u32) {
    (format.width & !1, format.height & !1)
}

#[cfg(test)]
mod tests;
