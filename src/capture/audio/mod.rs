//! Sound sources: the trait that each implements, and the table of sources.
//!
//! A source lives on its own thread and blocks there. Encoding does not belong here.

mod alsa;
mod clock_drift;
mod framer;
mod resample;
mod sample_format;
mod select;
pub mod test_tone;

use std::fmt;
use std::time::Duration;

use crate::media::PcmFrame;
use crate::model::inventory::SoundCardInfo;

pub use select::DeviceContext;

use select::{AudioSelector, AudioTarget};

/// The one sampling rate inside the program, in hertz; Opus in WebRTC is always 48 kHz (RFC 7587 section 4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples of one channel in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 960;

/// Frames a second.
const FRAMES: u32 = SAMPLE_RATE / FRAME_SAMPLES as u32;

/// What the microphone shall be and give.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `auto`, `camera` (the microphone of the first camera's USB device), `tone`, `off`, a card's id or the name of an
    /// ALSA capture device.
    pub device: String,
    /// Channels: 1 or 2.
    pub channels: u16,
    /// Opus bitrate in bit/s.
    pub bitrate: u32,
    /// The input gain that is set at each opening.
    pub gain: Gain,
    /// Whether nothing is to be heard.
    pub mute: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { device: "auto".into(), channels: 1, bitrate: 64_000, gain: Gain::Keep, mute: false }
    }
}

/// The gain of the microphone's input, in the sound card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gain {
    /// As it is.
    Keep,
    /// In decibels, of a card that has such a scale.
    Decibel(f32),
    /// In percent of what the card can do, 0 to 100.
    Percent(u8),
}

/// As the configuration writes it.
impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Decibel(decibel) => write!(f, "{decibel} dB"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
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
    /// The camera's own microphone is asked for, and there is none.
    #[error("the camera {what}; name a sound card in audio.device (`porthole devices` lists them)")]
    Camera {
        /// What is wrong with it.
        what: String,
    },
    /// The sound card cannot amplify as asked.
    #[error("{device}: gain {wish} is not supported; {offer}")]
    Gain {
        /// The device's name.
        device: String,
        /// What was asked for.
        wish: String,
        /// What the card can do instead.
        offer: String,
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
pub trait CaptureSource: Send {
    /// What people call the source.
    fn label(&self) -> &str;

    /// Channels in each frame: 1 or 2.
    fn channels(&self) -> u16;

    /// Waits for the next 20 ms of sound, `wait` at most; `None` when none came in that time.
    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error>;
}

/// The microphone of a configuration: opens it as often as it is asked to, and knows it again when it comes back.
#[derive(Debug)]
pub struct Microphone {
    config: Config,
    context: DeviceContext,
    selector: AudioSelector,
}

impl Microphone {
    /// The microphone that `config` means.
    pub fn new(config: Config, context: DeviceContext) -> Self {
        Self { selector: AudioSelector::new(&config.device), config, context }
    }

    /// Opens what the configuration means at this moment: of `auto` the first ALSA capture device; where there is none,
    /// the tone if the picture is the test pattern, otherwise nothing (`None`). Once opened, the same microphone is meant
    /// from then on, whatever number its card gets.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; the next call may succeed, since devices come and go.
    pub fn open(&mut self) -> Result<Option<Box<dyn CaptureSource>>, Error> {
        let cards = AudioSelector::cards();
        let found = self.selector.find(&cards, &self.context)?;
        let source: Box<dyn CaptureSource> = match &found {
            AudioTarget::Nothing => return Ok(None),
            AudioTarget::Tone => Box::new(test_tone::Tone::open(self.config.channels)),
            AudioTarget::Device(name) => Box::new(alsa::Capture::open(name, &self.config)?),
        };
        self.selector.opened(&found, &cards);
        Ok(Some(source))
    }

    /// What people call what would be opened now, without opening it: the name of a device; `None` where `off` is set, or
    /// `auto` finds nothing.
    pub fn source(&self) -> Option<String> {
        match self.selector.find(&AudioSelector::cards(), &self.context) {
            Ok(AudioTarget::Device(name)) => Some(name),
            Ok(AudioTarget::Tone) => Some("tone".into()),
            Ok(AudioTarget::Nothing) => None,
            Err(_) => Some(self.config.device.clone()),
        }
    }

    /// Whether it is switched off for good.
    pub fn is_off(&self) -> bool {
        self.config.device == "off"
    }

    /// Lets another microphone be taken if the one that was opened last is away.
    pub fn forget_if_unplugged(&mut self) {
        self.selector.forget_if_unplugged(AudioSelector::cards);
    }

    /// What the microphone shall be and give.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// The sound cards of this machine; empty where there are none.
pub fn list() -> Vec<SoundCardInfo> {
    alsa::list()
}
