//! A speaker on ALSA, which is given 20 ms of sound whenever it has less than that left.
//!
//! `open` negotiates what the card can do, `feeder` converts to it. Retrying after an error does not belong here.

use std::time::{Duration, Instant};

use alsa::pcm::{PCM, State, Status};

use super::open::{Opened, call_error};
use super::{CLOCK_LOG_INTERVAL, RESUME_POLL, card_of, clock, label_of, mixer, open};
use crate::capture::audio::feeder::Feeder;
use crate::capture::audio::loopback::Loopback;
use crate::capture::audio::resample::frame_at;
use crate::capture::audio::sample_format::Encoding;
use crate::capture::audio::speaker::{Config, PcmSink, SinkRequest};
use crate::capture::audio::{Error, SAMPLE_RATE, SoundRole, sample_format};
use crate::media::Timestamp;
use crate::media::voice::FarEndSender;

/// What is opened here.
const ROLE: SoundRole = SoundRole::Speaker;

/// The most that a driver's own delay, beyond its ring buffer, is believed: more than that of USB and of a sound server. A driver
/// that says more is wrong.
const MAX_DRIVER_DELAY: Duration = Duration::from_millis(500);

/// An open speaker.
pub struct AlsaPlayback {
    /// The name with which it was opened, for messages.
    device: String,
    label: String,
    pcm: PCM,
    /// Whether it is a sound card, which plays in real time.
    is_card: bool,
    /// Whether the driver's timestamps are of `CLOCK_MONOTONIC`.
    stamped: bool,
    rate: u32,
    device_channels: usize,
    encoding: Encoding,
    /// Samples that the driver's ring buffer holds.
    buffer: usize,
    /// When no more samples than this are queued, the next frame is due. It grows with each underrun.
    refill: usize,
    feeder: Feeder,
    /// Where the echo canceller hears what is played.
    loopback: Option<Loopback>,
    /// A frame as the device takes it.
    bytes: Vec<u8>,
    /// Since when it plays, and what it was given since it was prepared.
    begun: Option<Timestamp>,
    written: u64,
    underruns: u64,
    frames: u32,
}

impl AlsaPlayback {
    /// Opens the playback device `device`, any name that ALSA knows, and sets its mixer. It begins to play with the first
    /// samples. What it plays is passed on to `far_end`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn open(device: &str, config: &Config, far_end: Option<FarEndSender>) -> Result<Self, Error> {
        let Opened { pcm, rate, channels, encoding, period, buffer, stamped } = open::open(device, ROLE, 1)?;
        let card = card_of(&pcm);
        if let Some(card) = card {
            mixer::apply(card, device, ROLE, config.volume, true)?;
        }
        let label = label_of(card, device);
        let frame = frame_at(rate);
        // Some cards tell what they have played only once in a period.
        let refill = frame.max(2 * period).min(buffer.saturating_sub(frame));
        tracing::info!(
            "{label}: {rate} Hz, {channels} channels of {}, {period} samples a period of {buffer}{}",
            encoding.name(),
            if rate == SAMPLE_RATE { "" } else { "; resampled from 48000 Hz" },
        );
        Ok(Self {
            device: device.into(),
            label,
            pcm,
            is_card: card.is_some(),
            stamped,
            rate,
            device_channels: channels,
            encoding,
            buffer,
            refill,
            feeder: Feeder::new(rate),
            loopback: far_end.map(|far_end| Loopback::new(rate, far_end)),
            bytes: Vec::new(),
            begun: None,
            written: 0,
            underruns: 0,
            frames: 0,
        })
    }

    /// How many samples the device has not played yet, and when that was so.
    fn queued(&mut self) -> Result<(usize, Timestamp), alsa::Error> {
        let (samples, at) = if self.is_card { self.queued_on_card()? } else { self.queued_in_file()? };
        if self.begun.is_some() {
            self.feeder.observe(samples, at);
        }
        Ok((samples, at))
    }

    fn queued_on_card(&self) -> Result<(usize, Timestamp), alsa::Error> {
        let status = self.status()?;
        Ok((self.queued_by(&status), self.time_of(&status)))
    }

    /// The status of a card that has not stopped.
    fn status(&self) -> Result<Status, alsa::Error> {
        let status = self.pcm.status()?;
        let error = match status.get_state() {
            State::XRun => libc::EPIPE,
            State::Suspended => libc::ESTRPIPE,
            State::Disconnected => libc::ENODEV,
            _ => return Ok(status),
        };
        Err(alsa::Error::new("snd_pcm_status", error))
    }

    fn queued_by(&self, status: &Status) -> usize {
        self.buffer.saturating_sub(usize::try_from(status.get_avail()).unwrap_or(0))
    }

    fn time_of(&self, status: &Status) -> Timestamp {
        let stamped = self.stamped && self.begun.is_some();
        let stamp = stamped.then(|| status.get_htstamp()).and_then(clock::monotonic);
        stamp.map_or_else(Timestamp::now, Timestamp::from_monotonic)
    }

    /// The same of a device that is no card: a file, or ALSA's null device, takes everything at once. It is paced here.
    fn queued_in_file(&self) -> Result<(usize, Timestamp), alsa::Error> {
        let now = Timestamp::now();
        let elapsed = self.begun.map_or(Duration::ZERO, |begun| now.saturating_since(begun));
        let played = (elapsed.as_secs_f64() * f64::from(self.rate)) as u64;
        let queued = self.written.checked_sub(played);
        queued.map(|queued| (queued as usize, now)).ok_or_else(|| alsa::Error::new("snd_pcm_status", libc::EPIPE))
    }

    /// When the last sample that it was given is heard, by the driver's own account of its delay; `None` while it does not play.
    fn heard(&self) -> Option<Timestamp> {
        self.begun?;
        if !self.is_card {
            let (queued, at) = self.queued_in_file().ok()?;
            return Some(at.saturating_add(self.duration(queued)));
        }
        let status = self.status().ok()?;
        let queued = self.queued_by(&status);
        let delay = usize::try_from(status.get_delay()).unwrap_or(0);
        let more = self.duration(delay.saturating_sub(queued));
        let more = if more > MAX_DRIVER_DELAY { Duration::ZERO } else { more };
        Some(self.time_of(&status).saturating_add(self.duration(queued) + more))
    }

    /// The time that so many samples take.
    fn duration(&self, samples: usize) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate))
    }

    /// Gives the device the frame in `bytes`, and starts it once it has enough.
    fn write(&mut self) -> Result<(), alsa::Error> {
        // More than it takes can't be: a frame fits beside what is left when one is asked for.
        let written = self.pcm.io_bytes().writei(&self.bytes)?;
        self.written += written as u64;
        self.feeder.note_written(written);
        if self.begun.is_none() && self.written > self.refill as u64 {
            self.pcm.start()?;
            self.begun = Some(Timestamp::now());
        }
        Ok(())
    }

    /// Makes the device ready again after an underrun or a suspend.
    fn recover(&mut self, error: alsa::Error) -> Result<(), Error> {
        match error.errno().abs() {
            // No room, or a signal.
            libc::EAGAIN | libc::EINTR => return Ok(()),
            libc::EPIPE => {
                self.underruns += 1;
                // On a busy processor this thread comes later than a card with so little waits.
                let frame = frame_at(self.rate);
                self.refill = (self.refill + frame).min(self.buffer.saturating_sub(frame)).max(self.refill);
                tracing::debug!("{}: underrun; from now on {} samples are queued", self.label, self.refill);
            }
            libc::ESTRPIPE => match self.pcm.resume() {
                Err(error) if error.errno().abs() == libc::EAGAIN => {
                    std::thread::sleep(RESUME_POLL);
                    return Ok(());
                }
                // Hardware that cannot resume is prepared, as after an underrun.
                _ => tracing::debug!("{}: the device was suspended", self.label),
            },
            _ => return Err(call_error(&self.device, ROLE, error)),
        }
        self.feeder.restart();
        if let Some(loopback) = &mut self.loopback {
            loopback.restart();
        }
        (self.begun, self.written) = (None, 0);
        // Stopping it never fails.
        let _ = self.pcm.drop();
        self.pcm.prepare().map_err(|error| call_error(&self.device, ROLE, error))
    }
}

impl PcmSink for AlsaPlayback {
    fn label(&self) -> &str {
        &self.label
    }

    fn ready(&mut self, wait: Duration) -> Result<Option<SinkRequest>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            let pause = match self.queued() {
                Ok((samples, at)) if samples <= self.refill => {
                    // By the card's clock, whenever this thread comes to ask.
                    let due = at.saturating_sub(self.duration(self.refill - samples));
                    return Ok(Some(SinkRequest { samples: self.feeder.needs(), due }));
                }
                Ok((samples, _)) => self.duration(samples - self.refill),
                Err(error) => {
                    self.recover(error)?;
                    Duration::ZERO
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(pause.min(left));
        }
    }

    fn play(&mut self, samples: &[f32], stretch: f64) -> Result<(), Error> {
        let frame = self.feeder.frame(samples, stretch);
        self.bytes.clear();
        sample_format::write(&mut self.bytes, frame, self.encoding, self.device_channels);
        if let Some(loopback) = &mut self.loopback {
            loopback.add(frame);
        }
        self.frames = self.frames.wrapping_add(1);
        if self.frames.is_multiple_of(CLOCK_LOG_INTERVAL) {
            tracing::debug!("{}: the card's clock is {:+.1} ppm fast", self.label, self.feeder.deviation_ppm());
        }
        self.write().or_else(|error| self.recover(error))?;
        let heard = self.loopback.as_ref().and_then(|_| self.heard());
        if let (Some(loopback), Some(heard)) = (&mut self.loopback, heard) {
            loopback.heard(heard);
        }
        Ok(())
    }

    fn underruns(&self) -> u64 {
        self.underruns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A speaker whose sound goes into a file, through ALSA's own plugin for that.
    fn open(folder: &tempfile::TempDir) -> (AlsaPlayback, std::path::PathBuf) {
        let path = folder.path().join("heard.raw");
        let sink = AlsaPlayback::open(&format!("file:{},raw", path.display()), &Config::default(), None);
        (sink.expect("should open"), path)
    }

    /// Plays so many frames of a level; the times at which they were due.
    fn play(sink: &mut AlsaPlayback, level: f32, count: usize) -> Vec<Timestamp> {
        let play = |_| {
            let request = sink.ready(Duration::from_secs(30)).expect("should be ready").expect("in time");
            sink.play(&vec![level; request.samples], 1.0).expect("should play");
            request.due
        };
        (0..count).map(play).collect()
    }

    #[test]
    fn sound_is_asked_for_at_the_pace_of_the_clock_and_played_as_it_is() {
        let folder = tempfile::tempdir().expect("should be made");
        let (mut sink, path) = open(&folder);
        let begun = Instant::now();
        let due = play(&mut sink, 0.25, 25);
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(440), "{took:?} for half a second");
        let steps: Vec<Duration> = due[2..].windows(2).map(|pair| pair[1].saturating_since(pair[0])).collect();
        assert!(
            steps.iter().all(|step| step.abs_diff(Duration::from_millis(20)) < Duration::from_millis(2)),
            "{steps:?}"
        );
        drop(sink);
        let heard = std::fs::read(path).expect("should be there");
        let samples: Vec<i16> =
            heard.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect();
        // The plugin keeps back what would still be in a card.
        assert!(samples.len() >= 25 * 960 - 6_000, "{}", samples.len());
        assert!(samples[2_000..].iter().all(|sample| sample.abs_diff(8_192) < 3), "0.25 of full scale");
    }

    #[test]
    fn a_speaker_that_ran_out_of_sound_goes_on_and_counts_it() {
        let folder = tempfile::tempdir().expect("should be made");
        let (mut sink, _) = open(&folder);
        play(&mut sink, 0.0, 5);
        sink.recover(alsa::Error::new("snd_pcm_writei", libc::EAGAIN)).expect("should go on");
        assert_eq!(sink.underruns(), 0, "nothing was lost");
        sink.recover(alsa::Error::new("snd_pcm_writei", libc::EPIPE)).expect("should be prepared");
        assert_eq!((sink.underruns(), sink.begun), (1, None));
        play(&mut sink, 0.0, 5);
        assert_eq!((sink.underruns(), sink.begun.is_some()), (1, true));
        let gone = sink.recover(alsa::Error::new("snd_pcm_writei", libc::ENODEV)).expect_err("is gone").to_string();
        assert!(gone.contains("unplugged; plug the speaker in again"), "{gone}");
    }
}
