//! Encodes frames as JPEG: full-range I420 planes of BT.601, as JPEG has them, and the encoder for them. Both reuse their
//! buffers. What a camera has encoded itself is in `camera_jpeg`.

use std::fmt;

use turbojpeg::{Compressor, Subsamp, YuvImage};

use super::range::{AS_IS, FULL_CHROMA, FULL_LUMA, to_full_range};
use super::{Converter, Error, converted_color, matrix};
use crate::media::RawFrame;

/// A frame as JPEG needs it: I420 of full range, the planes one after another without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JpegPlanes {
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
    /// The planes Y, U and V.
    pub data: Vec<u8>,
}

impl JpegPlanes {
    /// Copies a frame out of its camera's buffer, which can be released after this.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Encoded`] for H.264.
    pub fn fill(&mut self, converter: &mut Converter, frame: &RawFrame) -> Result<(), Error> {
        let planes = converter.i420(frame)?;
        let (width, height) = (planes.width, planes.height);
        let color = converted_color(&frame.format);
        let (luma, chroma) = if color.full_range { (AS_IS, AS_IS) } else { (FULL_LUMA, FULL_CHROMA) };
        self.data.clear();
        self.data.reserve(width * height * 3 / 2);
        for (plane, stride, width, height, range) in [
            (planes.y, planes.y_stride, width, height, luma),
            (planes.u, planes.uv_stride, width / 2, height / 2, chroma),
            (planes.v, planes.uv_stride, width / 2, height / 2, chroma),
        ] {
            for line in plane.chunks(stride).take(height) {
                to_full_range(&line[..width], &mut self.data, range);
            }
        }
        matrix::to_bt601(&mut self.data, width, height, color);
        (self.width, self.height) = (width, height);
        Ok(())
    }
}

/// Encodes planes as JPEG files.
#[derive(Default)]
pub struct JpegEncoder(Option<Compressor>);

impl fmt::Debug for JpegEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JpegEncoder").field("open", &self.0.is_some()).finish()
    }
}

impl JpegEncoder {
    /// The planes as a JPEG file of this quality, 1 to 100.
    ///
    /// # Errors
    ///
    /// [`Error::Jpeg`] if the library fails.
    pub fn encode(&mut self, planes: &JpegPlanes, quality: u8) -> Result<Vec<u8>, Error> {
        let mut compressor = match self.0.take() {
            Some(compressor) => compressor,
            None => Compressor::new().map_err(library)?,
        };
        let JpegPlanes { width, height, data } = planes;
        let image =
            YuvImage { pixels: data.as_slice(), width: *width, align: 1, height: *height, subsamp: Subsamp::Sub2x2 };
        compressor.set_quality(quality.clamp(1, 100).into()).map_err(library)?;
        let encoded = compressor.compress_yuv_to_vec(image).map_err(library)?;
        // After a failure the library's state is unknown.
        self.0 = Some(compressor);
        Ok(encoded)
    }
}

fn library(error: turbojpeg::Error) -> Error {
    Error::Jpeg(error.to_string())
}
