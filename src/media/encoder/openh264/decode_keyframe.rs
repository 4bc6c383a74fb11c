//! Decodes one key frame of an H.264 stream, for callers that want a still image and no stream.
//!
//! Only a key frame can be decoded by itself. Streams are decoded by the viewers.

use bytes::Bytes;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;

use super::{Error, NAME};
use crate::media::h264;
use crate::media::{Colorimetry, EncodedFrame, PixelFormat, RawFrame, VideoFormat};

/// Decodes a key frame.
///
/// # Errors
///
/// [`Error::Codec`] where the library cannot, as with fields and with more than 8 bits a sample.
pub fn decode(frame: &EncodedFrame) -> Result<RawFrame, Error> {
    let refused = |reason: String| Error::Codec { encoder: NAME, reason };
    let failed = |error: openh264::Error| refused(format!("decode a key frame: {error}"));
    let mut decoder = Decoder::new().map_err(failed)?;
    let decoded = decoder.decode(&frame.data).map_err(failed)?;
    let Some(picture) = decoded else {
        return Err(refused("decode a key frame: it contains none".into()));
    };
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    let mut data = Vec::with_capacity(width * height * 3 / 2);
    for (plane, stride, width, height) in [
        (picture.y(), y_stride, width, height),
        (picture.u(), u_stride, width / 2, height / 2),
        (picture.v(), v_stride, width / 2, height / 2),
    ] {
        plane.chunks(stride).take(height).for_each(|line| data.extend_from_slice(&line[..width.min(line.len())]));
    }
    let (width, height) = (width as u32, height as u32);
    let color = h264::nals(&frame.data).find_map(h264::color::read).unwrap_or(Colorimetry::SRGB);
    // The rate does not matter for one frame.
    let format = VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 0.0, color };
    Ok(RawFrame::new(frame.captured, format, Bytes::from(data)))
}

#[cfg(test)]
mod tests {
    use super::super::OpenH264;
    use super::*;
    use crate::media::Timestamp;
    use crate::media::encoder::{Config, Encoder as _};

    #[test]
    fn decoded_key_frame_equals_the_encoded_frame() {
        let format = VideoFormat {
            pixel: PixelFormat::I420,
            width: 320,
            height: 180,
            stride: 320,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let luma = (0..320 * 180).map(|at| 40 + (at % 320 / 2) as u8);
        let data: Vec<u8> = luma.chain(std::iter::repeat_n(120, 320 * 180 / 2)).collect();
        let frame = RawFrame::new(Timestamp::default(), format, data.into());
        let mut encoder = OpenH264::open(&Config { threads: 1, ..Config::default() }, &format);
        let key = encoder.encode(&frame, true).expect("encode").expect("picture");
        let decoded = decode(&key).expect("decode");
        assert_eq!((decoded.format.width, decoded.format.height, decoded.data.len()), (320, 180, frame.data.len()));
        let worst = decoded.data.iter().zip(&frame.data[..]).map(|(got, sent)| got.abs_diff(*sent)).max();
        assert!(worst < Some(16), "{worst:?}");
    }

    #[test]
    fn non_key_frame_is_rejected() {
        for data in [&[][..], &[0, 0, 0, 1, 0x41, 0x98], &[0, 0, 0, 1, 0x67, 1, 2, 3], &[7; 40]] {
            let frame = EncodedFrame {
                captured: Timestamp::default(),
                key: true,
                placeholder: false,
                data: Bytes::copy_from_slice(data),
            };
            assert!(matches!(decode(&frame), Err(Error::Codec { .. })), "{data:?}");
        }
    }
}
