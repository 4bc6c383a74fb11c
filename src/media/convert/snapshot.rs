//! Encodes one frame as a JPEG for a snapshot or photo; a camera's own JPEG is kept as it is.
//!
//! Getting the frame from a camera does not belong here.

use turbojpeg::{Compressor, Subsamp, Transform, YuvImage};

use super::jpeg::{EOI, is_complete_jpeg, is_jpeg, segments};
use super::range::{AS_IS, FULL_CHROMA, FULL_LUMA, to_full_range};
use super::{Converter, Error, converted_color, matrix};
use crate::media::{PixelFormat, RawFrame};

/// The JPEG quality of encoded snapshots, 1 to 100. Above this files grow quickly without a visible difference.
const QUALITY: i32 = 95;

/// A frame copied out of its camera's buffer, not yet encoded as a JPEG.
#[derive(Debug)]
pub struct StillImage {
    width: usize,
    height: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The camera's own JPEG.
    Jpeg(Vec<u8>),
    /// Full-range I420: the planes one after another, without padding.
    Planes(Vec<u8>),
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
    /// Copies a frame out of its camera's buffer, which can be released after this.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Encoded`] for H.264.
    pub fn of(frame: &RawFrame) -> Result<Self, Error> {
        if frame.format.pixel == PixelFormat::Mjpeg {
            if !is_jpeg(&frame.data) {
                return Err(Error::Jpeg("it has no beginning".into()));
            }
            let header = turbojpeg::read_header(&frame.data).map_err(library)?;
            let mut data = frame.data.to_vec();
            if !is_complete_jpeg(&data) {
                // Some cameras leave the end out; not every image viewer accepts that.
                data.extend_from_slice(EOI);
            }
            let content = Content::Jpeg(data);
            return Ok(Self { width: header.width, height: header.height, content });
        }
        let mut converter = Converter::new();
        let planes = converter.i420(frame)?;
        let mut content = Vec::with_capacity(planes.width * planes.height * 3 / 2);
        let of_plane = |plane: &[u8], stride: usize, width: usize, height: usize, range, content: &mut Vec<u8>| {
            plane.chunks(stride).take(height).for_each(|line| to_full_range(&line[..width], content, range));
        };
        let (width, height) = (planes.width, planes.height);
        let color = converted_color(&frame.format);
        let (luma, chroma) = if color.full_range { (AS_IS, AS_IS) } else { (FULL_LUMA, FULL_CHROMA) };
        of_plane(planes.y, planes.y_stride, width, height, luma, &mut content);
        of_plane(planes.u, planes.uv_stride, width / 2, height / 2, chroma, &mut content);
        of_plane(planes.v, planes.uv_stride, width / 2, height / 2, chroma, &mut content);
        matrix::to_bt601(&mut content, width, height, color);
        Ok(Self { width, height, content: Content::Planes(content) })
    }

    /// Encodes the frame, or returns the camera's own JPEG. Huffman tables, which MJPEG cameras may omit but image
    /// viewers require, are added without changing a sample.
    ///
    /// # Errors
    ///
    /// [`Error::Jpeg`] if the library rejects the data.
    pub fn into_jpeg(self) -> Result<EncodedJpeg, Error> {
        let Self { width, height, content } = self;
        let data = match content {
            Content::Jpeg(data) if has_huffman_tables(&data) => data,
            Content::Jpeg(data) => {
                turbojpeg::transform(&Transform::default(), &data).map_err(library)?.as_ref().to_vec()
            }
            Content::Planes(planes) => {
                let mut compressor = Compressor::new().map_err(library)?;
                compressor.set_quality(QUALITY).map_err(library)?;
                let image = YuvImage { pixels: planes.as_slice(), width, align: 1, height, subsamp: Subsamp::Sub2x2 };
                compressor.compress_yuv_to_owned(image).map_err(library)?.as_ref().to_vec()
            }
        };
        Ok(EncodedJpeg { width: width as u32, height: height as u32, data })
    }
}

/// Whether a JPEG defines Huffman tables before its first scan (ITU-T T.81 section B.2).
fn has_huffman_tables(data: &[u8]) -> bool {
    segments(data).any(|(marker, _)| marker == 0xc4)
}

fn library(error: turbojpeg::Error) -> Error {
    Error::Jpeg(error.to_string())
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
    fn missing_huffman_tables_are_added() {
        let jpeg = StillImage::of(&wedge()).expect("still").into_jpeg().expect("jpeg");
        let bare = without_tables(&jpeg.data);
        assert!(bare.len() < jpeg.data.len() && !has_huffman_tables(&bare));
        let whole = StillImage::of(&mjpeg(bare)).expect("still").into_jpeg().expect("jpeg");
        assert!(has_huffman_tables(&whole.data));
        let planes = |data: &[u8]| {
            let frame = mjpeg(data.to_vec());
            Converter::new().i420(&frame).expect("decodes").y.to_vec()
        };
        assert_eq!(planes(&whole.data), planes(&jpeg.data));
    }

    /// Removes the segments with Huffman tables, which MJPEG cameras may omit.
    fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let (mut bare, mut rest) = (jpeg[..2].to_vec(), &jpeg[2..]);
        while rest[1] != 0xda {
            let (segment, others) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            if segment[1] != 0xc4 {
                bare.extend_from_slice(segment);
            }
            rest = others;
        }
        bare.extend_from_slice(rest);
        bare
    }

    #[test]
    fn invalid_frames_are_rejected() {
        assert!(matches!(StillImage::of(&mjpeg(vec![0xff, 0xd8, 0xff, 0xda])), Err(Error::Jpeg(_))));
        assert!(StillImage::of(&mjpeg(vec![0xff, 0xd8, 0xff, 0xd9])).is_err());
        let own = RawFrame::new(Timestamp::default(), format(PixelFormat::H264), vec![0, 0, 0, 1].into());
        assert!(matches!(StillImage::of(&own), Err(Error::Encoded)));
        for bytes in
            [&[][..], &[0xff, 0xd8], &[0xff, 0xd8, 0xff, 0xff, 0xff, 0xff], &[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff]]
        {
            assert!(!has_huffman_tables(bytes), "{bytes:?}");
        }
    }
}
