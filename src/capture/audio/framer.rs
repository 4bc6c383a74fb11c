//! From what a sound card gives, at its own rate and by its own clock, to frames of 20 ms of the system's clock.
//!
//! The frames lie on the grid of full seconds, each sharing its end with the next one's begin, so that whoever fills in
//! silence for a lost device finds the same grid. Pure; time is an argument. The clocks are compared in `drift`.

use std::time::Duration;

use super::FRAMES;
use super::clock_drift::{ClockDrift, DriftEstimate};
use super::resample::{Resample, Resampler};
use super::sample_format::to_i16;
use crate::media::pacer::FrameClock;
use crate::media::{PcmFrame, Timestamp};

/// The largest difference in seconds between a frame's time stamp and the time at which its sound was taken; beyond it,
/// beginning anew is better than correcting for minutes. Sound and picture shall be within 40 ms.
const MAX_OFFSET: f64 = 0.03;

/// The way of the sound from one opening of a card.
pub(super) struct Framer<R = Resampler> {
    rate: u32,
    channels: usize,
    clock: FrameClock,
    resampler: R,
    drift: ClockDrift,
    /// Interleaved samples that wait.
    input: Vec<f32>,
    /// The card's number of the first sample that waits.
    first_pending: u64,
    /// Samples of each channel to leave out, so that the next frame begins on the grid.
    skip: u64,
    /// The slot of the next frame, once the card's clock is known.
    slot: Option<u64>,
    /// The first slot that has had no frame.
    next_slot: u64,
    /// Whether sound was lost since the last frame.
    gap: bool,
}

impl Framer {
    /// For a card of `rate` hertz whose sound comes as `channels`.
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
            slot: None,
            next_slot: 0,
            gap: false,
        }
    }

    /// Takes note that, at `at`, the card had `waiting` samples of each channel that have not been pushed yet.
    pub(super) fn observe(&mut self, waiting: usize, at: Timestamp) -> DriftEstimate {
        self.drift.observe(self.pushed() + waiting as u64, at)
    }

    /// How much later than `at` a card would have had those samples.
    pub(super) fn lead(&self, waiting: usize, at: Timestamp) -> Duration {
        let due = self.drift.time((self.pushed() + waiting as u64) as f64);
        due.map_or(Duration::ZERO, |due| due.saturating_since(at))
    }

    /// Where the next sample goes: samples are appended here, interleaved.
    pub(super) fn input(&mut self) -> &mut Vec<f32> {
        &mut self.input
    }

    /// The next frame, where there is enough sound for one. The card must have been observed before.
    pub(super) fn frame(&mut self) -> Option<PcmFrame> {
        let slot = match self.slot {
            Some(slot) => slot,
            None => self.begin()?,
        };
        self.skip_leading();
        let needs = self.resampler.needs();
        if self.skip > 0 || self.input.len() < needs * self.channels {
            return None;
        }
        let samples = self.resampler.frame(&self.input).iter().map(|sample| to_i16(*sample)).collect();
        self.drop_input(needs);
        self.slot = Some(slot + 1);
        self.next_slot = slot + 1;
        let frame = PcmFrame { captured: self.clock.start(slot), gap: std::mem::take(&mut self.gap), samples };
        let lag = self.lag(slot + 1)?;
        if lag.abs() > MAX_OFFSET {
            self.restart();
        } else {
            self.resampler.stretch(self.drift.steer(lag));
        }
        Some(frame)
    }

    /// Begins anew after sound was lost: the card counts from zero, and the next frame has a gap before it.
    pub(super) fn restart(&mut self) {
        self.drift = ClockDrift::new(self.rate);
        self.resampler.reset();
        self.input.clear();
        (self.first_pending, self.skip, self.slot, self.gap) = (0, 0, None, true);
    }

    /// How fast the card's clock is against the system's, in ppm, as far as is known.
    pub(super) fn deviation_ppm(&self) -> f64 {
        self.drift.deviation_ppm()
    }

    /// Chooses the first slot that begins after the card did and has had no frame, and how many samples come before it.
    fn begin(&mut self) -> Option<u64> {
        let begun = self.drift.time(-(R::DELAY as f64))?;
        let slot = self.next_slot.max(self.clock.slot(begun) + 1);
        self.skip = self.drift.samples(self.lag(slot)?).round() as u64;
        self.slot = Some(slot);
        Some(slot)
    }

    /// Leaves out what comes before the first frame.
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

    /// Samples of each channel that were pushed since the card began.
    fn pushed(&self) -> u64 {
        self.first_pending + (self.input.len() / self.channels) as u64
    }

    /// How much older than the begin of `slot` the sound is that comes next, in seconds.
    fn lag(&self, slot: u64) -> Option<f64> {
        self.drift.lag(self.first_pending as f64 - R::DELAY as f64, self.clock.start(slot))
    }
}

#[cfg(test)]
mod tests;
