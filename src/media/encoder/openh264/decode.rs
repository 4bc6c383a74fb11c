//! Decodes H.264 frames for those who want images: one key frame by itself, or a camera's stream frame by frame.
//!
//! Viewers decode their streams themselves.

use std::fmt;

use bytes::Bytes;
use openh264::decoder::{DecodedYUV, Decoder};
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
    let decoded = StreamDecoder::default().decode(frame)?;
    decoded.ok_or_else(|| refused("decode a key frame: it contains none"))
}

/// Decodes a stream, which may begin at any of its key frames.
#[derive(Default)]
pub struct StreamDecoder {
    /// `None` until a key frame comes.
    decoder: Option<Decoder>,
    /// What the stream declares.
    color: Option<Colorimetry>,
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecoder").field("started", &self.decoder.is_some()).finish_non_exhaustive()
    }
}

impl StreamDecoder {
    /// Whether it waits for a key frame.
    pub fn awaits_key(&self) -> bool {
        self.decoder.is_none()
    }

    /// Decodes the next frame; `None` before the first key frame, and if there is nothing to show yet. After an error it
    /// waits for a key frame.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] where the library cannot decode it.
    pub fn decode(&mut self, frame: &EncodedFrame) -> Result<Option<RawFrame>, Error> {
        let failed = |error: openh264::Error| refused(&format!("decode a frame: {error}"));
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None if frame.key => Decoder::new().map_err(failed)?,
            None => return Ok(None),
        };
        if let Some(color) = h264::nals(&frame.data).find_map(h264::color::read) {
            self.color = Some(color);
        }
        let decoded = decoder
            .decode(&frame.data)
            .map_err(failed)?
            .map(|picture| copy(&picture, frame, self.color.unwrap_or(Colorimetry::SRGB)));
        self.decoder = Some(decoder);
        Ok(decoded)
    }

    /// Frames were lost: waits for a key frame.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

fn refused(reason: &str) -> Error {
    Error::Codec { encoder: NAME, reason: reason.into() }
}

fn copy(picture: &DecodedYUV<'_>, frame: &EncodedFrame, color: Colorimetry) -> RawFrame {
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
    // The rate does not matter for one frame.
    let format = VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 0.0, color };
    RawFrame::new(frame.captured, format, Bytes::from(data))
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
            let frame = EncodedFrame::new(Timestamp::default(), true, Bytes::copy_from_slice(data));
            assert!(matches!(decode(&frame), Err(Error::Codec { .. })), "{data:?}");
        }
    }

    #[test]
    fn stream_is_decoded_from_its_first_key_frame_on() {
        let format = VideoFormat {
            pixel: PixelFormat::I420,
            width: 64,
            height: 64,
            stride: 64,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let mut encoder = OpenH264::open(&Config { threads: 1, ..Config::default() }, &format);
        let grey = |level: u8| RawFrame::new(Timestamp::default(), format, vec![level; 64 * 64 * 3 / 2].into());
        let mut encode = |level, key| encoder.encode(&grey(level), key).expect("encode").expect("picture");
        let frames: Vec<EncodedFrame> = (0..6).map(|at| encode(60 + at * 20, at == 0 || at == 4)).collect();
        assert!(frames[4].key && !frames[1].key);
        let mut decoder = StreamDecoder::default();
        assert!(decoder.decode(&frames[1]).expect("skipped").is_none() && decoder.awaits_key());
        let middle = |frame: Option<RawFrame>| frame.expect("picture").data[32 * 64 + 32];
        for (at, frame) in frames.iter().enumerate() {
            let level = middle(decoder.decode(frame).expect("decode"));
            assert!(level.abs_diff(60 + at as u8 * 20) < 8, "frame {at}: {level}");
        }
        decoder.reset();
        assert!(decoder.decode(&frames[5]).expect("skipped").is_none());
        assert!(decoder.decode(&frames[4]).expect("decode").is_some());
    }
}
