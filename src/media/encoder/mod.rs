//! H.264 encoders: the trait that each implements, the key frame scheduler, and the decoding of frames for images.
//!
//! An encoder lives on its camera's encode thread. What a camera has encoded itself goes through the `passthrough`
//! encoder. Viewers do not belong here.

mod complexity;
pub(crate) mod keyframe;
mod openh264;
mod passthrough;
mod rate;
mod target;
mod threads;

pub use openh264::{StreamDecoder, decode};
pub use target::BitrateTarget;

use crate::media::convert;
use crate::media::convert::Planes;
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};

/// The least width and height that the software encoder takes, that of a macroblock; its own error is only a number.
const MIN_SIDE: u32 = 16;

/// The largest NAL unit of a stream with small ones: what an RTP packet carries besides its headers.
pub const SMALL_NAL: usize = 1_140;

/// The configuration of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Target bitrate in bit/s.
    pub bitrate: u32,
    /// The interval between key frames without requests, in seconds.
    pub keyframe_interval: u32,
    /// Threads of the software encoder; with 0 it uses one, and more only while one is too slow.
    pub threads: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { bitrate: 2_000_000, keyframe_interval: 60, threads: 0 }
    }
}

/// Why a frame was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The frame is damaged or in a format that can't be converted; the next one may be better.
    #[error(transparent)]
    Convert(#[from] convert::Error),
    /// The camera's stream is broken up to its next key frame.
    #[error("waiting for the camera's next key frame")]
    AwaitingKey,
    /// The frame was dropped, because the stream would be more than a second behind its bitrate.
    #[error("the stream is a second behind its bitrate")]
    Backlog,
    /// The camera's own stream cannot be played, and will not recover by itself.
    #[error("{encoder}: {reason}")]
    Stream {
        /// The encoder of the stream.
        encoder: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The codec failed; a new encoder may help.
    #[error("{encoder}: {reason}")]
    Codec {
        /// Which encoder.
        encoder: &'static str,
        /// Its error.
        reason: String,
    },
}

/// Is given the pictures that an encoder has converted, so that another encoder need not convert them again.
pub type PictureTap<'a> = dyn FnMut(&Planes<'_>) + 'a;

/// An H.264 encoder: no B-frames, SPS and PPS before every IDR.
pub trait Encoder: Send {
    /// Encodes one frame, with `key` as an IDR if the encoder can be asked. `None` if there is nothing to show yet.
    fn encode(&mut self, frame: &RawFrame, key: bool) -> Result<Option<EncodedFrame>, Error> {
        self.encode_tapped(frame, key, &mut |_| {})
    }

    /// As [`encode`](Self::encode); `tap` is given the converted picture before that. What a camera encoded is not decoded
    /// for it.
    fn encode_tapped(
        &mut self,
        frame: &RawFrame,
        key: bool,
        tap: &mut PictureTap<'_>,
    ) -> Result<Option<EncodedFrame>, Error>;

    /// Converts a frame for `tap` alone. What encoding takes is released until the next frame is encoded, as a key frame.
    fn tap(&mut self, _frame: &RawFrame, _tap: &mut PictureTap<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// The share of the time between two frames that encoding takes.
    fn load(&self) -> f64 {
        0.0
    }

    /// Sets the bitrate of the frames from now on to `bitrate` bit/s. If the camera encodes, it is set there instead.
    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error>;

    /// Whether the NAL units of the frames from now on shall have [`SMALL_NAL`] bytes at most. What a camera encoded stays
    /// as it is, and so may a macroblock that takes more.
    fn set_small_nals(&mut self, _small: bool) {}

    /// Whether every other frame shall be one that no other needs. Where that changes, the next frame is a key frame. What a
    /// camera encoded stays as it is.
    fn set_layers(&mut self, _layered: bool) {}

    /// The profile and level that its stream requires of a decoder; `None` until known.
    fn profile(&self) -> Option<Profile>;

    /// Damaged frames that it took all the same, since it was opened.
    fn damaged_shown(&self) -> u64 {
        0
    }

    /// The encoder's name in the status and the log.
    fn name(&self) -> &'static str;
}

/// Makes the encoder for frames of `format`.
///
/// # Errors
///
/// [`Error::Codec`] when no encoder takes the format.
pub fn open(config: &Config, format: &VideoFormat) -> Result<Box<dyn Encoder>, Error> {
    if format.pixel != PixelFormat::H264 && (format.width < MIN_SIDE || format.height < MIN_SIDE) {
        let reason = format!(
            "{}x{} is too small; let the camera deliver {MIN_SIDE}x{MIN_SIDE} pixels or more",
            format.width, format.height
        );
        return Err(Error::Codec { encoder: openh264::NAME, reason });
    }
    match format.pixel {
        PixelFormat::H264 => Ok(Box::new(passthrough::Passthrough::default())),
        _ => Ok(Box::new(openh264::OpenH264::open(config, format))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Colorimetry;

    #[test]
    fn a_size_below_a_macroblock_is_named() {
        let format = |width, height| VideoFormat {
            pixel: PixelFormat::I420,
            width,
            height,
            stride: width,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let error =
            |width, height| open(&Config::default(), &format(width, height)).err().map(|error| error.to_string());
        let expected = "openh264: 8x8 is too small; let the camera deliver 16x16 pixels or more";
        assert_eq!(error(8, 8).as_deref(), Some(expected));
        assert!(error(640, 8).is_some() && error(8, 480).is_some());
        assert_eq!(error(16, 16), None);
    }
}
