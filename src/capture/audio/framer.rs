//! Turns what a sound card delivers, at its own rate and by its own clock, into frames of 20 ms by the system clock.
//!
//! The frames lie on a grid of full seconds, each ending where the next begins, so that silence inserted for a lost
//! device lies on the same grid. Pure; time is an argument. The clocks are compared in `media::clock_drift`.

use std::time::Duration;

use super::FRAMES;
use super::resample::{Resample, Resampler};
use super::sample_format::to_i16;
use crate::media::clock_drift::{ClockDrift, DriftEstimate};
use crate::media::pacer::FrameClock;
use crate::media::{PcmFrame, Timestamp};

/// The maximum difference in seconds between a frame's timestamp and the capture time of its audio; beyond it, starting
/// over is better than correcting for minutes. Audio and video must be in sync within 40 ms.
const MAX_OFFSET: f64 = 0.03;

/// Frames the audio of one opening of a card.
pub(super) struct Framer<R = Resampler> {
    rate: u32,
    channels: usize,
    clock: FrameClock,
    resampler: R,
    drift: ClockDrift,
    /// Interleaved samples that are not framed yet.
    input: Vec<f32>,
    /// The card's index of the first pending sample.
    first_pending: u64,
    /// Samples per channel to skip, so that the next frame begins on the grid.
    skip: u64,
    /// The tick of the next frame, once the card's clock is known.
    tick: Option<u64>,
    /// The first tick without a frame.
    next_tick: u64,
    /// Whether audio was lost since the last frame.
    gap: bool,
}

impl Framer {
    /// A framer for a card with a rate of `rate` hertz and `channels` channels.
    pub(super) fn new(rate: u32, channels: usize) -> Self {
        Self::with(rate, channels, Resampler::new(rate, channels))
    }
}

impl<R: Resample> Framer<R> {
    fn with(rate: u32, channels: usize, resampler: R) -> Self {
        Self {
            rate,
            channels,
            clock: FrameClock::new(FRAMES),
            resampler,
            drift: ClockDrift::new(rate),
            input: Vec::new(),
            first_pending: 0,
            skip: 0,
            tick: None,
            next_tick: 0,
            gap: false,
        }
    }

    /// Records that, at `at`, `waiting` samples per channel were ready on the card and not pushed yet.
    pub(super) fn observe(&mut self, waiting: usize, at: Timestamp) -> DriftEstimate {
        self.drift.observe(self.pushed() + waiting as u64, at)
    }

    /// How much later than `at` a real card would have had those samples.
    pub(super) fn lead(&self, waiting: usize, at: Timestamp) -> Duration {
        let due = self.drift.time((self.pushed() + waiting as u64) as f64);
        due.map_or(Duration::ZERO, |due| due.saturating_since(at))
    }

    /// The buffer to which interleaved samples are appended.
    pub(super) fn input(&mut self) -> &mut Vec<f32> {
        &mut self.input
    }

    /// The next frame, if there is enough audio. The card must have been observed before.
    pub(super) fn frame(&mut self) -> Option<PcmFrame> {
        let tick = match self.tick {
            Some(tick) => tick,
            None => self.begin()?,
        };
        self.skip_leading();
        let needs = self.resampler.needs();
        if self.skip > 0 || self.input.len() < needs * self.channels {
            return None;
        }
        let samples = self.resampler.frame(&self.input).iter().map(|sample| to_i16(*sample)).collect();
        self.drop_input(needs);
        self.tick = Some(tick + 1);
        self.next_tick = tick + 1;
        let frame = PcmFrame { captured: self.clock.start(tick), gap: std::mem::take(&mut self.gap), samples };
        let lag = self.lag(tick + 1)?;
        if lag.abs() > MAX_OFFSET {
            self.restart();
        } else {
            self.resampler.stretch(self.drift.steer(lag));
        }
        Some(frame)
    }

    /// Starts over after audio was lost: the card counts from zero, and the next frame has a gap before it.
    pub(super) fn restart(&mut self) {
        self.drift = ClockDrift::new(self.rate);
        self.resampler.reset();
        self.input.clear();
        (self.first_pending, self.skip, self.tick, self.gap) = (0, 0, None, true);
    }

    /// The deviation of the card's clock from the system clock in ppm, as far as known.
    pub(super) fn deviation_ppm(&self) -> f64 {
        self.drift.deviation_ppm()
    }

    /// Chooses the first tick that begins after the card did and has had no frame, and how many samples come before it.
    fn begin(&mut self) -> Option<u64> {
        let begun = self.drift.time(-(R::DELAY as f64))?;
        let tick = self.next_tick.max(self.clock.tick(begun) + 1);
        self.skip = self.drift.samples(self.lag(tick)?).round() as u64;
        self.tick = Some(tick);
        Some(tick)
    }

    /// Skips the samples before the first frame.
    fn skip_leading(&mut self) {
        let there = self.input.len() / self.channels;
        let count = there.min(usize::try_from(self.skip).unwrap_or(there));
        self.skip -= count as u64;
        self.drop_input(count);
    }

    /// Drops the oldest samples of each channel.
    fn drop_input(&mut self, count: usize) {
        self.input.drain(..count * self.channels);
        self.first_pending += count as u64;
    }

    /// Samples per channel that were pushed since the card started.
    fn pushed(&self) -> u64 {
        self.first_pending + (self.input.len() / self.channels) as u64
    }

    /// How much older than the start of `tick` the next audio is, in seconds.
    fn lag(&self, tick: u64) -> Option<f64> {
        self.drift.lag(self.first_pending as f64 - R::DELAY as f64, self.clock.start(tick))
    }
}

#[cfg(test)]
mod tests;
