//! Audio sources and sinks: the traits that they implement, the configuration and errors they share, and the choice of the
//! microphone; that of the speaker is in `speaker`.
//!
//! A source or sink lives on its own thread and blocks there. Encoding and decoding do not belong here.

mod alsa;
mod feeder;
mod framer;
mod loopback;
mod resample;
mod sample_format;
mod select;
pub mod speaker;
pub mod test_tone;

use std::fmt;
use std::time::Duration;

use crate::media::PcmFrame;
use crate::media::voice::Enhancement;
use crate::model::inventory::SoundCardInfo;

pub use resample::SoundResampler;
pub use select::DeviceContext;

use select::{AudioSelector, AudioTarget};

/// The only sample rate inside the program, in hertz; Opus in WebRTC is always 48 kHz (RFC 7587 section 4.1).
pub const SAMPLE_RATE: u32 = 48_000;

/// Samples per channel in a frame of 20 ms.
pub const FRAME_SAMPLES: usize = 960;

/// Frames per second.
const FRAMES: u32 = SAMPLE_RATE / FRAME_SAMPLES as u32;

/// The configuration of the microphone.
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
    /// Whether the microphone is muted.
    pub mute: bool,
    /// What is done to its sound.
    pub enhancement: Enhancement,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device: "auto".into(),
            channels: 1,
            bitrate: 64_000,
            gain: Gain::Keep,
            mute: false,
            enhancement: Enhancement::default(),
        }
    }
}

/// The gain of the sound card's input, or the volume of its output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gain {
    /// Unchanged.
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

/// What a sound device is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundRole {
    /// A source.
    Microphone,
    /// A sink.
    Speaker,
}

impl SoundRole {
    /// The key of its device in the configuration.
    fn device_key(self) -> &'static str {
        match self {
            Self::Microphone => "audio.device",
            Self::Speaker => "speaker.device",
        }
    }

    /// How loud it is, as the last part of the key in the configuration.
    fn level(self) -> &'static str {
        match self {
            Self::Microphone => "gain",
            Self::Speaker => "volume",
        }
    }
}

impl fmt::Display for SoundRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}

/// Why a microphone delivers no audio, or a speaker plays none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such device.
    #[error("open {device}: no such audio device; `porthole devices` lists the sound cards there are")]
    NotFound {
        /// The device's name.
        device: String,
    },
    /// Another program holds the device.
    #[error("open {device}: busy; another program holds the {role} (fuser -v /dev/snd/*)")]
    Busy {
        /// The device's name.
        device: String,
        /// What it is.
        role: SoundRole,
    },
    /// The device was unplugged while in use.
    #[error("{device}: unplugged; plug the {role} in again")]
    Unplugged {
        /// The device's name.
        device: String,
        /// What it is.
        role: SoundRole,
    },
    /// The camera's own device is configured, and there is none.
    #[error("the camera {what}; name a sound card in {} (`porthole devices` lists them)", .role.device_key())]
    Camera {
        /// What is wrong with it.
        what: String,
        /// Of which device.
        role: SoundRole,
    },
    /// The sound card does not support the configured gain or volume.
    #[error("{device}: {} {requested} is not supported; {supported}", .role.level())]
    Gain {
        /// The device's name.
        device: String,
        /// What it is.
        role: SoundRole,
        /// What was requested.
        requested: String,
        /// What the card supports instead.
        supported: String,
    },
    /// An ALSA call failed.
    #[error("{device}: {call}: {source}")]
    Io {
        /// The device's name.
        device: String,
        /// The call that failed.
        call: &'static str,
        /// ALSA's error.
        source: std::io::Error,
    },
}

/// An open audio source. Dropping it closes the device.
pub trait CaptureSource: Send {
    /// The human-readable name of the source.
    fn label(&self) -> &str;

    /// Channels in each frame: 1 or 2.
    fn channels(&self) -> u16;

    /// Waits for the next 20 ms of audio, `wait` at most; `None` when none came in that time.
    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error>;
}

/// The configured microphone. It can be opened repeatedly and finds the same microphone again.
#[derive(Debug)]
pub struct Microphone {
    config: Config,
    context: DeviceContext,
    selector: AudioSelector,
}

impl Microphone {
    /// The microphone that `config` means.
    pub fn new(config: Config, context: DeviceContext) -> Self {
        Self { selector: AudioSelector::new(&config.device, SoundRole::Microphone), config, context }
    }

    /// Opens the configured device: for `auto` the first ALSA capture device, or if there is none, the tone if the
    /// video is the test pattern, otherwise nothing (`None`). Once opened, the same microphone is used from then on,
    /// whatever number its card gets.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the next call may succeed, since devices come and go.
    pub fn open(&mut self) -> Result<Option<Box<dyn CaptureSource>>, Error> {
        let cards = AudioSelector::cards();
        let found = self.selector.find(&cards, &self.context)?;
        let source: Box<dyn CaptureSource> = match &found {
            AudioTarget::Nothing => return Ok(None),
            AudioTarget::Tone => Box::new(test_tone::Tone::open(self.config.channels)),
            AudioTarget::Device(name) => Box::new(alsa::AlsaCapture::open(name, &self.config)?),
        };
        self.selector.opened(&found, &cards);
        Ok(Some(source))
    }

    /// The human-readable name of what would be opened now, without opening it; `None` if it is `off`, or `auto` finds
    /// nothing.
    pub fn source(&self) -> Option<String> {
        self.selector.source(&self.context)
    }

    /// Whether audio is disabled in the configuration.
    pub fn is_off(&self) -> bool {
        self.config.device == "off"
    }

    /// Allows another microphone to be used if the one that was opened last is unplugged.
    pub fn forget_if_unplugged(&mut self) {
        self.selector.forget_if_unplugged(AudioSelector::cards);
    }

    /// The configuration of the microphone.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// The sound cards of this host; empty if there are none.
pub fn list() -> Vec<SoundCardInfo> {
    alsa::list()
}
