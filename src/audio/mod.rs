//! Sound sources: the trait that each implements, and the table of sources.
//!
//! A source lives on its own thread and blocks there. Encoding does not belong here.

mod alsa;
pub mod tone;

use std::time::Duration;

use crate::inventory::SoundCardInfo;
use crate::media::PcmFrame;

/// The one sampling rate inside the program, in hertz; Opus in WebRTC is always 48 kHz (RFC 7587 section 4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples of one channel in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 960;

/// What the microphone shall be and give.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `auto`, `tone`, `off` or the name of an ALSA capture device.
    pub device: String,
    /// Channels: 1 or 2.
    pub channels: u16,
    /// Opus bitrate in bit/s.
    pub bitrate: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { device: "auto".into(), channels: 1, bitrate: 64_000 }
    }
}

/// Why a microphone gives no sound.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such device.
    #[error("open {device}: no such sound device; `porthole devices` lists the sound cards there are")]
    NotFound {
        /// The device's name.
        device: String,
    },
    /// Another program holds the device.
    #[error("open {device}: busy; another program holds the microphone (fuser -v /dev/snd/*)")]
    Busy {
        /// The device's name.
        device: String,
    },
    /// The device went away while it was in use.
    #[error("{device}: unplugged; plug the microphone in again")]
    Unplugged {
        /// The device's name.
        device: String,
    },
    /// ALSA answered a call with an error.
    #[error("{device}: {call}: {source}")]
    Io {
        /// The device's name.
        device: String,
        /// The call that failed.
        call: &'static str,
        /// ALSA's answer.
        source: std::io::Error,
    },
}

/// An open sound source. Dropping it closes the device.
pub trait PcmSource: Send {
    /// What people call the source.
    fn label(&self) -> &str;

    /// Channels in each frame: 1 or 2.
    fn channels(&self) -> u16;

    /// Waits for the next 20 ms of sound, `wait` at most; `None` when none came in that time.
    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error>;
}

/// Which source `auto` means: the first ALSA capture device; where there is none, the tone if `pattern_camera` (the
/// picture is the test pattern too), otherwise none. `None` means that there is no sound.
pub fn resolve(device: &str, pattern_camera: bool) -> Option<String> {
    match device {
        "off" => None,
        "auto" => alsa::first_capture_device().or(pattern_camera.then(|| "tone".into())),
        other => Some(other.into()),
    }
}

/// Opens the source that `device` names, an answer of [`resolve`].
///
/// # Errors
///
/// As [`Error`] says; the next call may succeed, since devices come and go.
pub fn open(device: &str, channels: u16) -> Result<Box<dyn PcmSource>, Error> {
    match device {
        "tone" => Ok(Box::new(tone::Tone::open(channels))),
        name => Ok(Box::new(alsa::Capture::open(name, channels)?)),
    }
}

/// The sound cards of this machine; empty where there are none.
pub fn list() -> Vec<SoundCardInfo> {
    alsa::list()
}
