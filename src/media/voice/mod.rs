//! What is done to the sound of a microphone: the echo of the speaker is cancelled, noise suppressed, and the level kept. Hides the
//! crate `sonora`.
//!
//! Pure: samples in, samples out. Devices, threads and when which of it runs do not belong here; what the speaker plays comes
//! through `far_end`.

mod budget;
mod far_end;

use sonora::config::{
    AdaptiveDigital, EchoCanceller as EchoCancellation, GainController2, MaxProcessingRate, NoiseSuppression, Pipeline,
};
use sonora::{AudioProcessing, StreamConfig};

pub use budget::Budget;
pub use far_end::{FarEnd, FarEndReceiver, FarEndSender, far_end};

/// Samples a second.
const RATE: u32 = 48_000;

/// Samples of each channel that are processed at once: 10 ms.
const BLOCK: usize = RATE as usize / 100;

/// Options of the microphone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Enhancement {
    /// Whether steady noise is suppressed.
    pub noise_suppression: bool,
    /// Whether quiet voices are made louder, and loud ones limited.
    pub gain_control: bool,
}

/// Suppresses noise and keeps the level of one microphone.
pub struct Enhancer(Processor);

impl Enhancer {
    /// For interleaved samples of one or two channels; `None` if there is nothing to do.
    pub fn new(enhancement: Enhancement, channels: u16) -> Option<Self> {
        let Enhancement { noise_suppression, gain_control } = enhancement;
        if !noise_suppression && !gain_control {
            return None;
        }
        let config = sonora::Config {
            noise_suppression: noise_suppression.then(NoiseSuppression::default),
            gain_controller2: gain_control.then(|| GainController2 {
                adaptive_digital: Some(AdaptiveDigital::default()),
                ..GainController2::default()
            }),
            ..sonora::Config::default()
        };
        Some(Self(Processor::new(config, channels)))
    }

    /// Processes whole blocks of 10 ms.
    pub fn process(&mut self, samples: &mut [i16]) {
        self.0.process(samples, None);
    }
}

/// Takes the sound of a speaker out of that of a microphone in the same room: AEC3 of libwebrtc. It learns the way between them by
/// itself, delay included, and delays the microphone by 9 ms.
pub struct EchoCanceller(Processor);

impl EchoCanceller {
    /// For interleaved samples of one or two channels.
    pub fn new(channels: u16) -> Self {
        let config = sonora::Config { echo_canceller: Some(EchoCancellation::default()), ..sonora::Config::default() };
        Self(Processor::new(config, channels))
    }

    /// Takes the echo out of whole blocks of 10 ms. `far` is what the speaker played meanwhile or shortly before, in one channel;
    /// empty for silence.
    pub fn process(&mut self, samples: &mut [i16], far: &[i16]) {
        self.0.process(samples, Some(far));
    }
}

/// One instance of the library.
struct Processor {
    inner: AudioProcessing,
    /// Samples in a block of all channels.
    block: usize,
    /// A block of the microphone after processing.
    output: Vec<i16>,
    /// A block of the speaker's sound, and where the library puts a copy of it.
    far: Vec<i16>,
    unused: Vec<i16>,
}

impl Processor {
    fn new(config: sonora::Config, channels: u16) -> Self {
        let channels = channels.clamp(1, 2);
        // By default it would cut off what is above 16 kHz.
        let pipeline =
            Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() };
        let inner = AudioProcessing::builder()
            .config(sonora::Config { pipeline, ..config })
            .capture_config(StreamConfig::new(RATE, channels))
            .render_config(StreamConfig::new(RATE, 1))
            .build();
        let block = BLOCK * usize::from(channels);
        Self { inner, block, output: vec![0; block], far: vec![0; BLOCK], unused: vec![0; BLOCK] }
    }

    fn process(&mut self, samples: &mut [i16], far: Option<&[i16]>) {
        let supported = "48 kHz in one or two channels should be supported";
        for (at, block) in samples.chunks_exact_mut(self.block).enumerate() {
            if let Some(far) = far {
                let played = far.get(at * BLOCK..).unwrap_or_default();
                let count = played.len().min(BLOCK);
                self.far[..count].copy_from_slice(&played[..count]);
                self.far[count..].fill(0);
                self.inner.process_render_i16(&self.far, &mut self.unused).expect(supported);
            }
            self.inner.process_capture_i16(block, &mut self.output).expect(supported);
            block.copy_from_slice(&self.output);
        }
    }
}
