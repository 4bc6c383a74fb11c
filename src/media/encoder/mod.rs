//! H.264 encoders: the trait that each implements, and when a key frame is due; and the way back for a single picture.
//!
//! An encoder lives on its camera's encode thread. What a camera encoded itself is passed through by one that only looks
//! after it. Who watches does not belong here.

pub mod keyframe;
mod openh264;
mod passthrough;

pub use openh264::decode;

use crate::media::convert;
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};

/// How pictures are encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Target bitrate in bit/s.
    pub bitrate: u32,
    /// Time from one key frame to the next when nobody asks for one, in seconds.
    pub keyframe_interval: u32,
    /// Threads of the software encoder; 0 takes half of the cores.
    pub threads: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { bitrate: 2_000_000, keyframe_interval: 60, threads: 0 }
    }
}

/// Why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The picture is damaged or of a shape that can't be converted; the next one may be better.
    #[error(transparent)]
    Picture(#[from] convert::Error),
    /// The camera's stream is broken up to its next key frame.
    #[error("waiting for the camera's next key frame")]
    AwaitingKey,
    /// The camera's own stream cannot be shown, and will not get better by itself.
    #[error("{encoder}: {reason}")]
    Stream {
        /// Who encodes it.
        encoder: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The codec refused; a new encoder may help.
    #[error("{encoder}: {reason}")]
    Codec {
        /// Which encoder.
        encoder: &'static str,
        /// What it said.
        reason: String,
    },
}

/// An H.264 encoder: no B-frames, SPS and PPS before every IDR.
pub trait Encoder: Send {
    /// Encodes one picture; with `key` as an IDR, where it can be asked. `None` when nothing is to be shown yet.
    fn encode(&mut self, frame: &RawFrame, key: bool) -> Result<Option<EncodedFrame>, Error>;

    /// Has the pictures from now on take `bitrate` bit/s. Where the camera encodes, that is set there.
    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error>;

    /// What its stream demands of a decoder; `None` until that is known.
    fn profile(&self) -> Option<Profile>;

    /// The encoder's name in the status and the log.
    fn name(&self) -> &'static str;
}

/// Makes the encoder for pictures of `format`.
///
/// # Errors
///
/// [`Error::Codec`] when no encoder takes the format.
pub fn open(config: &Config, format: &VideoFormat) -> Result<Box<dyn Encoder>, Error> {
    match format.pixel {
        PixelFormat::H264 => Ok(Box::new(passthrough::Passthrough::default())),
        _ => Ok(Box::new(openh264::OpenH264::open(config, format)?)),
    }
}
