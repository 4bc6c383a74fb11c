//! Converts raw frames of every layout to I420, the one layout that the encoder and snapshots take. Pure functions on
//! bytes.
//!
//! The result has even dimensions, because 4:2:0 has one chroma sample for two by two pixels and encoders require it:
//! the last column or row of an odd size is cropped. The values are of limited range (16 to 235 for luma), which is
//! what video usually has; JPEG has full range and is converted. YUV formats keep the colours and the range that their
//! camera declares, which [`converted_color`] tells; to be encoded they are brought to [`video_color`]. Scaling is in
//! `media::scale`.

mod camera_jpeg;
mod jpeg;
mod jpeg_encoder;
mod layout;
mod luma;
mod matrix;
mod packed;
mod planar;
mod range;
mod rgb;
mod snapshot;

use crate::media::{Colorimetry, PixelFormat, RawFrame, VideoFormat};

pub use jpeg::{is_complete_jpeg, jpeg_size};
pub use jpeg_encoder::{JpegEncoder, JpegPlanes};
pub use layout::{min_len, min_lens, row_bytes};
pub use luma::LumaReader;
pub use snapshot::{EncodedJpeg, StillImage};

use jpeg::JpegDecoder;
use layout::Layout;
use matrix::MatrixConverter;

/// Why a frame cannot be converted. One bad frame says nothing about the next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format is invalid: a size below 2x2 or beyond any camera, or a row that is longer than its stride.
    #[error("cannot convert {width}x{height} {} with {stride} bytes per row", pixel.name())]
    Format {
        /// Layout of the bytes.
        pixel: PixelFormat,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes per row.
        stride: u32,
    },
    /// The camera has encoded the frame already.
    #[error("H264 needs no conversion; pass it on unchanged")]
    Encoded,
    /// The frame is truncated.
    #[error("{what} has {have} bytes and needs {need}")]
    Truncated {
        /// The frame, or which plane of it.
        what: &'static str,
        /// Its length in bytes.
        have: usize,
        /// The length that the format requires.
        need: usize,
    },
    /// The conversion library failed.
    #[error("convert {} {width}x{height}: {reason}", pixel.name())]
    Library {
        /// Layout of the bytes.
        pixel: PixelFormat,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Its message.
        reason: String,
    },
    /// The JPEG is smaller than the frame.
    #[error("the JPEG is {jpeg_width}x{jpeg_height}, smaller than the frame of {width}x{height}")]
    JpegSize {
        /// Width of the JPEG in pixels.
        jpeg_width: usize,
        /// Height of the JPEG in pixels.
        jpeg_height: usize,
        /// The frame's width in pixels.
        width: u32,
        /// The frame's height in pixels.
        height: u32,
    },
    /// The JPEG is damaged, or of a kind that no camera produces.
    #[error("decode the JPEG: {0}")]
    Jpeg(String),
}

/// A frame in I420: three planes, each with `stride * lines` bytes exactly.
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
    /// Stride in bytes of `y`.
    pub y_stride: usize,
    /// Stride in bytes of `u` and of `v`.
    pub uv_stride: usize,
}

impl Error {
    /// The `yuv` crate rejected what passed the layout's checks.
    fn library(layout: &Layout, error: &yuv::YuvError) -> Self {
        Self::Library { pixel: layout.pixel, width: layout.width, height: layout.height, reason: error.to_string() }
    }
}

/// Converts frames, and reuses its buffers.
#[derive(Debug, Default)]
pub struct Converter {
    memory: PlaneBuffers,
    jpeg: JpegDecoder,
    matrix: MatrixConverter,
}

impl Converter {
    /// A converter without buffers; they are allocated for the first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Damaged JPEGs that were converted nevertheless, since the start.
    pub fn damaged_shown(&self) -> u64 {
        self.jpeg.damaged_shown()
    }

    /// The frame in I420, with the colours of [`converted_color`]. Planes that are already laid out that way are borrowed
    /// without a copy.
    ///
    /// # Errors
    ///
    /// See [`Error`]. The converter remains usable.
    pub fn i420<'a>(&'a mut self, frame: &'a RawFrame) -> Result<Planes<'a>, Error> {
        let Self { memory, jpeg, .. } = self;
        lay_out(frame, memory, jpeg)
    }

    /// The frame in I420, with the colours of [`video_color`].
    ///
    /// # Errors
    ///
    /// As for [`Self::i420`].
    pub fn video<'a>(&'a mut self, frame: &'a RawFrame) -> Result<Planes<'a>, Error> {
        let Self { memory, jpeg, matrix } = self;
        let planes = lay_out(frame, memory, jpeg)?;
        Ok(matrix.bring(planes, converted_color(&frame.format)))
    }
}

/// The frame in I420, with the colours of [`converted_color`].
fn lay_out<'a>(
    frame: &'a RawFrame,
    memory: &'a mut PlaneBuffers,
    jpeg: &'a mut JpegDecoder,
) -> Result<Planes<'a>, Error> {
    let layout = Layout::of(&frame.format)?;
    let [first, second, third] = layout.planes(frame)?;
    match frame.format.pixel {
        PixelFormat::I420 => Ok(planar::three([first, second, third], &layout, memory)),
        PixelFormat::Yv12 => Ok(planar::three([first, third, second], &layout, memory)),
        PixelFormat::Nv12 => Ok(planar::two([first, second], &layout, memory, false)),
        PixelFormat::Nv21 => Ok(planar::two([first, second], &layout, memory, true)),
        PixelFormat::Grey => Ok(planar::grey(first, &layout, memory)),
        PixelFormat::Yuyv => packed::yuyv(first, &layout, memory),
        PixelFormat::Uyvy => packed::uyvy(first, &layout, memory),
        PixelFormat::Rgb24 => rgb::rgb24(first, &layout, memory),
        PixelFormat::Bgr24 => rgb::bgr24(first, &layout, memory),
        PixelFormat::Mjpeg => jpeg.decode(frame, &layout, memory),
        PixelFormat::H264 => Err(Error::Encoded),
    }
}

/// Planes in buffers of our own, without padding.
#[derive(Debug, Default)]
struct PlaneBuffers {
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
    /// Some lines between two steps of a conversion.
    scratch: Vec<u8>,
}

impl PlaneBuffers {
    /// All planes of a frame of this (even) size, to be filled.
    fn resize(&mut self, width: usize, height: usize) -> (&mut [u8], &mut [u8], &mut [u8]) {
        self.y.resize(width * height, 0);
        self.u.resize(width * height / 4, 0);
        self.v.resize(width * height / 4, 0);
        (&mut self.y, &mut self.u, &mut self.v)
    }

    /// What was filled.
    fn planes(&self, width: usize, height: usize) -> Planes<'_> {
        Planes { width, height, y: &self.y, u: &self.u, v: &self.v, y_stride: width, uv_stride: width / 2 }
    }
}

/// The mean of two lines, halves rounded up.
fn average(one: &[u8], other: &[u8], to: &mut [u8]) {
    for ((one, other), to) in one.iter().zip(other).zip(to) {
        *to = (u16::from(*one) + u16::from(*other)).div_ceil(2) as u8;
    }
}

/// What the values mean that [`Converter::i420`] returns for frames of `format`.
pub const fn converted_color(format: &VideoFormat) -> Colorimetry {
    match format.pixel {
        // Grey is brought to limited range.
        PixelFormat::Mjpeg | PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Grey => Colorimetry::SRGB,
        _ => format.color,
    }
}

/// What the values mean that [`Converter::video`] returns for frames of `format`: luma and chroma by BT.601 in limited range,
/// whatever the camera has. Players show that right everywhere. Some take no notice of full range, and Chromium on the
/// processor cannot show the blue of BT.709 in limited range.
pub const fn video_color(format: &VideoFormat) -> Colorimetry {
    let color = converted_color(format);
    Colorimetry { matrix: Colorimetry::MATRIX_BT601, full_range: false, ..color }
}
