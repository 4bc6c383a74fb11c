//! The speaker: its configuration, the choice of the device, and the trait of what plays.
//!
//! A sink lives on its own thread and blocks there. Decoding, and who may be heard, do not belong here.

use std::time::Duration;

use super::select::{AudioSelector, AudioTarget};
use super::{DeviceContext, Error, Gain, SoundRole, alsa};
use crate::media::Timestamp;
use crate::media::voice;
use crate::media::voice::{FarEndReceiver, FarEndSender};

/// The configuration of the speaker.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `auto`, `camera` (the speaker of the first camera's USB device), `off`, a card's id or the name of an ALSA playback
    /// device.
    pub device: String,
    /// The volume that is set at each opening.
    pub volume: Gain,
    /// What the microphone does meanwhile.
    pub mode: TalkMode,
}

impl Default for Config {
    fn default() -> Self {
        Self { device: "off".into(), volume: Gain::Keep, mode: TalkMode::Half }
    }
}

/// What the microphone does while the speaker plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TalkMode {
    /// It is turned down, so that nobody hears themselves.
    Half,
    /// The echo of the speaker is taken out of what it hears.
    Full,
}

impl TalkMode {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::Full => "full",
        }
    }
}

/// An open speaker. Dropping it closes the device, and what it has not played yet is not heard.
pub trait PcmSink: Send {
    /// The human-readable name of the sink.
    fn label(&self) -> &str;

    /// Waits until it takes more, `wait` at most; `None` if it does not in that time.
    ///
    /// # Errors
    ///
    /// See [`Error`]. An underrun is none.
    fn ready(&mut self, wait: Duration) -> Result<Option<SinkRequest>, Error>;

    /// Plays the samples that [`ready`](Self::ready) has asked for: one channel at 48 kHz, stretched by the factor `stretch` near
    /// 1.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    fn play(&mut self, samples: &[f32], stretch: f64) -> Result<(), Error>;

    /// How often it has run out of samples.
    fn underruns(&self) -> u64;
}

/// What a sink asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkRequest {
    /// The number of samples.
    pub samples: usize,
    /// When they are due: now, or earlier if whoever asked is late. It goes on with the clock of the sink.
    pub due: Timestamp,
}

/// The configured speaker. It can be opened repeatedly and finds the same speaker again.
#[derive(Debug)]
pub struct Speaker {
    config: Config,
    context: DeviceContext,
    selector: AudioSelector,
    /// Where the echo canceller hears what is played.
    far_end: Option<FarEndSender>,
}

impl Speaker {
    /// The speaker that `config` means.
    pub fn new(config: Config, context: DeviceContext) -> Self {
        Self { selector: AudioSelector::new(&config.device, SoundRole::Speaker), config, context, far_end: None }
    }

    /// What the echo canceller of the microphone needs to know of it; `None` in half duplex, and without a speaker.
    pub fn far_end(&mut self) -> Option<FarEndReceiver> {
        if self.is_off() || self.config.mode != TalkMode::Full {
            return None;
        }
        let (sender, receiver) = voice::far_end();
        self.far_end = Some(sender);
        Some(receiver)
    }

    /// Opens the configured device: for `auto` the first ALSA playback device, or nothing (`None`) if there is none. Once
    /// opened, the same speaker is used from then on, whatever number its card gets.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the next call may succeed, since devices come and go.
    pub fn open(&mut self) -> Result<Option<Box<dyn PcmSink>>, Error> {
        let cards = AudioSelector::cards();
        let found = self.selector.find(&cards, &self.context)?;
        let AudioTarget::Device(name) = &found else { return Ok(None) };
        let sink = alsa::AlsaPlayback::open(name, &self.config, self.far_end.clone())?;
        self.selector.opened(&found, &cards);
        Ok(Some(Box::new(sink)))
    }

    /// The human-readable name of what would be opened now, without opening it; `None` if it is `off`, or `auto` finds
    /// nothing.
    pub fn source(&self) -> Option<String> {
        self.selector.source(&self.context)
    }

    /// Whether it is disabled in the configuration.
    pub fn is_off(&self) -> bool {
        self.config.device == "off"
    }

    /// Allows another speaker to be used if the one that was opened last is unplugged.
    pub fn forget_if_unplugged(&mut self) {
        self.selector.forget_if_unplugged(AudioSelector::cards);
    }

    /// The configuration of the speaker.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
