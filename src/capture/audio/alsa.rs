//! A microphone on ALSA, as frames of 20 ms at 48 kHz, each with the capture time of its first sample; a speaker is in
//! `playback`.
//!
//! `open` negotiates what the card can do, `framer` cuts its samples into frames. Retrying after an error does not
//! belong here.

mod cards;
mod clock;
mod mixer;
mod open;
mod playback;

use std::time::{Duration, Instant};

use alsa::pcm::PCM;

pub use cards::{cards, list};
pub use playback::AlsaPlayback;

use self::open::{Opened, call_error};
use super::framer::Framer;
use super::sample_format;
use super::sample_format::Encoding;
use super::{CaptureSource, Config, Error, FRAMES, SAMPLE_RATE, SoundRole};
use crate::media::clock_drift::DriftEstimate;
use crate::media::{PcmFrame, Timestamp};

/// What is opened here.
const ROLE: SoundRole = SoundRole::Microphone;

/// How often to check whether a suspended device is back; meanwhile ALSA has nothing to wait on.
const RESUME_POLL: Duration = Duration::from_millis(50);

/// Frames between two log lines about the card's clock: one minute.
const CLOCK_LOG_INTERVAL: u32 = 60 * FRAMES;

/// The maximum wait for a device that is not a sound card, to pace its audio in real time: two frames, because each
/// read returns one.
const MAX_PACING_WAIT: Duration = Duration::from_millis(40);

/// An open microphone.
pub struct AlsaCapture {
    /// The name with which it was opened, for messages.
    device: String,
    label: String,
    /// Channels of our frames.
    channels: u16,
    pcm: PCM,
    /// Whether it is a sound card, which delivers samples in real time.
    is_card: bool,
    /// Whether the driver's timestamps are of `CLOCK_MONOTONIC`.
    stamped: bool,
    /// Channels of the device.
    device_channels: usize,
    encoding: Encoding,
    /// The minimum number of samples per channel for a read: 20 ms, or a period if that is shorter.
    period: usize,
    /// The buffer for such a read.
    bytes: Vec<u8>,
    framer: Framer,
    frames: u32,
}

impl AlsaCapture {
    /// Opens the capture device `device`, any name that ALSA knows, sets its mixer and starts it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn open(device: &str, config: &Config) -> Result<Self, Error> {
        let channels = config.channels.clamp(1, 2);
        let opened = open::open(device, ROLE, channels)?;
        let Opened { pcm, rate, channels: device_channels, encoding, period, buffer, stamped } = opened;
        // A longer one is read in frames.
        let period = period.min((rate / FRAMES).max(1) as usize);
        let card = card_of(&pcm);
        if let Some(card) = card {
            mixer::apply(card, device, ROLE, config.gain, !config.mute)?;
        }
        pcm.start().map_err(|error| call_error(device, ROLE, error))?;
        let label = label_of(card, device);
        tracing::info!(
            "{label}: {rate} Hz, {device_channels} channels of {}, {period} samples a period of {buffer}{}{}",
            encoding.name(),
            if rate == SAMPLE_RATE { "" } else { "; resampled to 48000 Hz" },
            if stamped { "" } else { "; the driver has no monotonic timestamps, the time of reading is used" },
        );
        Ok(Self {
            device: device.into(),
            label,
            channels,
            pcm,
            is_card: card.is_some(),
            stamped,
            device_channels,
            encoding,
            period,
            bytes: vec![0; period * device_channels * encoding.bytes()],
            framer: Framer::new(rate, usize::from(channels)),
            frames: 0,
        })
    }

    /// Reads the available samples, if there are enough; returns a frame once it is complete.
    fn read(&mut self) -> Result<Option<PcmFrame>, alsa::Error> {
        if let Some(frame) = self.framer.frame() {
            return Ok(Some(frame));
        }
        let status = self.pcm.status()?;
        let available = usize::try_from(status.get_avail()).unwrap_or(0);
        if available < self.period {
            return Ok(None);
        }
        let stamp = self.stamped.then(|| status.get_htstamp()).and_then(clock::monotonic);
        let mut at = stamp.map_or_else(Timestamp::now, Timestamp::from_monotonic);
        if !self.is_card {
            // A file, or ALSA's null device, delivers samples as fast as they are read; they are paced here.
            let lead = self.framer.lead(available, at);
            if lead <= MAX_PACING_WAIT {
                std::thread::sleep(lead);
                at = at.saturating_add(lead);
            }
        }
        self.compare_clocks(available, at);
        let read = self.pcm.io_bytes().readi(&mut self.bytes)?;
        let bytes = &self.bytes[..read * self.device_channels * self.encoding.bytes()];
        let (from, to) = (self.device_channels, usize::from(self.channels));
        sample_format::append(self.framer.input(), bytes, self.encoding, from, to);
        Ok(self.framer.frame())
    }

    /// Compares the sample count, including the `available` ones, with the time.
    fn compare_clocks(&mut self, available: usize, at: Timestamp) {
        match self.framer.observe(available, at) {
            DriftEstimate::Steady => return,
            DriftEstimate::Early(by) => tracing::debug!("{}: {by:?} more audio than time; starting over", self.label),
            DriftEstimate::Lost => tracing::debug!("{}: less audio than time; starting over", self.label),
        }
        self.framer.restart();
        // The first reading after a restart is always steady.
        self.framer.observe(available, at);
    }

    /// Restarts the device after an overrun or a suspend; the samples of the current frame are lost.
    fn recover(&mut self, error: alsa::Error) -> Result<(), Error> {
        match error.errno().abs() {
            // No data yet, or a signal: nothing was lost.
            libc::EAGAIN | libc::EINTR => return Ok(()),
            libc::EPIPE => tracing::debug!("{}: overrun, audio was lost", self.label),
            libc::ESTRPIPE => match self.pcm.resume() {
                // Not awake yet. ALSA's own recovery would retry forever.
                Err(error) if error.errno().abs() == libc::EAGAIN => {
                    std::thread::sleep(RESUME_POLL);
                    return Ok(());
                }
                // Hardware that cannot resume is restarted, as after an overrun.
                _ => tracing::debug!("{}: the device was suspended, audio was lost", self.label),
            },
            _ => return Err(call_error(&self.device, ROLE, error)),
        }
        self.framer.restart();
        // Some drivers continue by themselves after a resume and refuse to be started twice; stopping them never fails.
        let _ = self.pcm.drop();
        self.pcm.prepare().and_then(|()| self.pcm.start()).map_err(|error| call_error(&self.device, ROLE, error))
    }

    fn log_clock(&mut self) {
        self.frames = self.frames.wrapping_add(1);
        if self.frames.is_multiple_of(CLOCK_LOG_INTERVAL) {
            tracing::debug!("{}: the card's clock is {:+.1} ppm fast", self.label, self.framer.deviation_ppm());
        }
    }
}

impl CaptureSource for AlsaCapture {
    fn label(&self) -> &str {
        &self.label
    }

    fn channels(&self) -> u16 {
        self.channels
    }

    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            match self.read() {
                Ok(Some(frame)) => {
                    self.log_clock();
                    return Ok(Some(frame));
                }
                Ok(None) => {}
                Err(error) => self.recover(error)?,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Rounded up, so that the last fraction of a millisecond is waited for and not spun away.
            let milliseconds = left.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX.unsigned_abs());
            if let Err(error) = self.pcm.wait(Some(milliseconds)) {
                self.recover(error)?;
            }
        }
    }
}

/// The name of a device for people.
fn label_of(card: Option<i32>, device: &str) -> String {
    let name = card.and_then(|card| alsa::Card::new(card).get_name().ok());
    name.map_or_else(|| device.to_owned(), |card| format!("{card} ({device})"))
}

/// The number of the card, where the device is one.
fn card_of(pcm: &PCM) -> Option<i32> {
    let card = pcm.info().ok()?.get_card();
    (card >= 0).then_some(card)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(channels: u16) -> AlsaCapture {
        // ALSA's own null device: it is there on every machine, gives silence, and is not paced.
        AlsaCapture::open("null", &Config { channels, ..Config::default() }).expect("should open")
    }

    fn next(capture: &mut AlsaCapture) -> PcmFrame {
        capture.next(Duration::from_secs(30)).expect("should read").expect("should have audio")
    }

    #[test]
    fn sound_comes_in_frames_of_20_ms_at_the_pace_of_the_clock() {
        let mut capture = open(2);
        let first = next(&mut capture);
        for number in 1..20 {
            let frame = next(&mut capture);
            assert_eq!(frame.samples.len(), super::super::FRAME_SAMPLES * 2);
            assert_eq!(frame.captured.saturating_since(first.captured), Duration::from_millis(20) * number);
            assert!(!frame.gap);
            let lead = frame.captured.saturating_since(Timestamp::now());
            assert!(lead < Duration::from_millis(20), "{lead:?} in the future");
        }
        assert_eq!((capture.channels(), capture.label()), (2, "null"));
    }

    #[test]
    fn overrun_marks_a_gap_on_the_next_frame() {
        let mut capture = open(1);
        let before = next(&mut capture);
        assert!(!before.gap);
        capture.recover(alsa::Error::new("snd_pcm_readi", libc::EAGAIN)).expect("should go on");
        assert!(!next(&mut capture).gap, "nothing was lost");
        capture.recover(alsa::Error::new("snd_pcm_readi", libc::EPIPE)).expect("should start again");
        let after = next(&mut capture);
        assert!(after.gap && after.captured > before.captured);
        assert!(!next(&mut capture).gap);
    }
}
