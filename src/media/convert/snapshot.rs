//! Encodes one frame as a JPEG for a snapshot or photo; a camera's own JPEG is kept as it is.
//!
//! Getting the frame from a camera does not belong here.

use super::camera_jpeg::standalone;
use super::jpeg_encoder::{JpegEncoder, JpegPlanes};
use super::{Converter, Error};
use crate::media::{PixelFormat, RawFrame};

/// The JPEG quality of encoded snapshots, 1 to 100. Above this files grow quickly without a visible difference.
const QUALITY: u8 = 95;

/// A frame copied out of its camera's buffer, not yet encoded as a JPEG.
#[derive(Debug)]
pub struct StillImage(Content);

#[derive(Debug)]
enum Content {
    /// The camera's own JPEG.
    Jpeg(EncodedJpeg),
    Planes(JpegPlanes),
}

/// A frame encoded as a JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedJpeg {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The JPEG file.
    pub data: Vec<u8>,
}

impl StillImage {
    /// Copies a frame out of its camera's buffer, which can be released after this. A camera's own JPEG gets the end and
    /// the Huffman tables that cameras may leave out but image viewers require.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Encoded`] for H.264.
    pub fn of(frame: &RawFrame) -> Result<Self, Error> {
        if frame.format.pixel == PixelFormat::Mjpeg {
            return EncodedJpeg::of_camera(&frame.data).map(|jpeg| Self(Content::Jpeg(jpeg)));
        }
        let mut planes = JpegPlanes::default();
        planes.fill(&mut Converter::new(), frame)?;
        Ok(Self(Content::Planes(planes)))
    }

    /// Encodes the frame, or returns the camera's own JPEG.
    ///
    /// # Errors
    ///
    /// [`Error::Jpeg`] if the library fails.
    pub fn into_jpeg(self) -> Result<EncodedJpeg, Error> {
        match self.0 {
            Content::Jpeg(jpeg) => Ok(jpeg),
            Content::Planes(planes) => {
                let data = JpegEncoder::default().encode(&planes, QUALITY)?;
                Ok(EncodedJpeg { width: planes.width as u32, height: planes.height as u32, data })
            }
        }
    }
}

impl EncodedJpeg {
    /// A camera's own JPEG, with the parts that cameras leave out.
    ///
    /// # Errors
    ///
    /// [`Error::Jpeg`] if it is none, or its header is damaged.
    pub fn of_camera(data: &[u8]) -> Result<Self, Error> {
        let data = standalone(data)?;
        let header = turbojpeg::read_header(&data).map_err(|error| Error::Jpeg(error.to_string()))?;
        Ok(Self { width: header.width as u32, height: header.height as u32, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Colorimetry, Timestamp, VideoFormat};

    fn format(pixel: PixelFormat) -> VideoFormat {
        VideoFormat { pixel, width: 64, height: 48, stride: 64, fps: 30.0, color: Colorimetry::SRGB }
    }

    /// A horizontal grey ramp in limited-range I420.
    fn wedge() -> RawFrame {
        let luma = (0..64 * 48).map(|at| 16 + (at % 64) as u8 * 3);
        let data: Vec<u8> = luma.chain(std::iter::repeat_n(128, 64 * 48 / 2)).collect();
        RawFrame::new(Timestamp::default(), format(PixelFormat::I420), data.into())
    }

    fn mjpeg(data: Vec<u8>) -> RawFrame {
        RawFrame::new(Timestamp::default(), format(PixelFormat::Mjpeg), data.into())
    }

    #[test]
    fn raw_frame_becomes_a_full_range_jpeg() {
        let jpeg = StillImage::of(&wedge()).expect("still").into_jpeg().expect("jpeg");
        assert_eq!((jpeg.width, jpeg.height), (64, 48));
        // Decoded like a camera's JPEG, it is the same frame again.
        let frame = mjpeg(jpeg.data);
        let mut converter = Converter::new();
        let planes = converter.i420(&frame).expect("decodes");
        let original = wedge();
        let worst = planes.y.iter().zip(&original.data[..64 * 48]).map(|(got, sent)| got.abs_diff(*sent)).max();
        assert!(worst <= Some(3), "{worst:?}");
    }

    #[test]
    fn full_range_and_bt709_keep_their_colours() {
        // Pure green and a grey (ITU-T H.273 equations 38 to 43, rounded).
        let full = |matrix| Colorimetry { matrix, full_range: true, ..Colorimetry::SRGB };
        for (color, green) in [
            (Colorimetry::SRGB, [145, 54, 34]),
            (Colorimetry::BT709, [173, 42, 26]),
            (full(Colorimetry::MATRIX_BT601), [150, 44, 21]),
            (full(1), [182, 30, 12]),
        ] {
            let planes = [vec![green[0]; 64 * 48], vec![green[1]; 32 * 24], vec![green[2]; 32 * 24]].concat();
            let format = VideoFormat { color, ..format(PixelFormat::I420) };
            let frame = RawFrame::new(Timestamp::default(), format, planes.into());
            let jpeg = StillImage::of(&frame).expect("still").into_jpeg().expect("jpeg");
            let image = turbojpeg::decompress(&jpeg.data, turbojpeg::PixelFormat::RGB).expect("decode");
            let rgb = &image.pixels[..3];
            assert!(rgb[0] <= 3 && rgb[1] >= 252 && rgb[2] <= 3, "{color:?}: {rgb:?}");
        }
    }

    #[test]
    fn jpeg_of_the_camera_is_kept_byte_for_byte() {
        let jpeg = StillImage::of(&wedge()).expect("still").into_jpeg().expect("jpeg");
        let again = StillImage::of(&mjpeg(jpeg.data.clone())).expect("still").into_jpeg().expect("jpeg");
        assert_eq!(again, jpeg);
    }

    #[test]
    fn invalid_frames_are_rejected() {
        assert!(matches!(StillImage::of(&mjpeg(vec![0xff, 0xd8, 0xff, 0xda])), Err(Error::Jpeg(_))));
        assert!(StillImage::of(&mjpeg(vec![0xff, 0xd8, 0xff, 0xd9])).is_err());
        let own = RawFrame::new(Timestamp::default(), format(PixelFormat::H264), vec![0, 0, 0, 1].into());
        assert!(matches!(StillImage::of(&own), Err(Error::Encoded)));
    }
}
