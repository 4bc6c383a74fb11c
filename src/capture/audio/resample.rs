//! From a sound card's rate to 48 kHz and back, at a ratio that follows the card's drifting clock; hides the crate `rubato`.
//!
//! A windowed sinc of 64 points is used at every ratio, also near 1. Measured with a sine: the noise lies 139 dB below a
//! tone of 1 kHz and 107 dB below one of 10 kHz, from 44.1 kHz as from 48 kHz, which is below the last of 16 bits; it takes
//! 0.2 % of a core of a PC in mono. ALSA's plug layer interpolates linearly (62 and 20 dB) and cannot follow a clock; a cubic
//! interpolator would take a sixth of the time but hisses audibly, 34 dB below a tone of 10 kHz.
//!
//! Which ratio it shall be is decided in `media::clock_drift`.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};

use super::{FRAME_SAMPLES, FRAMES, SAMPLE_RATE};

/// Points of the filter: with them it is flat to 15 kHz at 44.1 kHz.
const POINTS: usize = 64;

/// Points between two samples at which the filter is known; between those it is interpolated linearly. This many put
/// the error below the last of 16 bits, in 32 kB that fit a small processor's cache.
const BETWEEN: usize = 128;

/// How far the ratio may be from its nominal value, as a factor: more than `clock_drift` ever asks for.
const LEEWAY: f64 = 1.01;

/// What changes the rate, so that the clocks can be tested through hours without computing each sample.
pub(super) trait Resample {
    /// Input samples of each channel that the output lags behind the input.
    const DELAY: usize;
    /// Input samples of each channel that the next frame needs.
    fn needs(&self) -> usize;
    /// The next frame from the first `needs` samples of each channel, which must be there.
    fn frame(&mut self, input: &[f32]) -> &[f32];
    /// Has the next frame glide to so many times the nominal output for the same input.
    fn stretch(&mut self, stretch: f64);
    /// Forgets the audio so far, and the ratio.
    fn reset(&mut self);
}

/// Turns audio of one rate into frames of another.
pub(super) struct Resampler {
    inner: Async<f32>,
    channels: usize,
    frame: usize,
    output: Vec<f32>,
}

impl Resampler {
    /// From `rate` hertz, at least one, in interleaved `channels` to frames of 20 ms at 48 kHz.
    pub(super) fn new(rate: u32, channels: usize) -> Self {
        Self::with_frame(f64::from(SAMPLE_RATE) / f64::from(rate.max(1)), FRAME_SAMPLES, channels)
    }

    /// From one channel at 48 kHz to frames of 20 ms at `rate` hertz.
    pub(super) fn to(rate: u32) -> Self {
        Self::with_frame(f64::from(rate.max(1)) / f64::from(SAMPLE_RATE), frame_at(rate), 1)
    }

    fn with_frame(ratio: f64, frame: usize, channels: usize) -> Self {
        let filter = SincInterpolationParameters::new(POINTS, WindowFunction::Blackman2)
            .oversampling_factor(BETWEEN)
            .interpolation(SincInterpolationType::Linear);
        let inner = Async::new_sinc(ratio, LEEWAY, &filter, frame, channels, FixedAsync::Output)
            .expect("a positive ratio and a frame of samples should make a resampler");
        Self { inner, channels, frame, output: vec![0.0; frame * channels] }
    }
}

/// Samples of a frame of 20 ms at `rate` hertz.
pub(super) fn frame_at(rate: u32) -> usize {
    (rate / FRAMES).max(1) as usize
}

impl Resample for Resampler {
    const DELAY: usize = POINTS / 2;

    fn needs(&self) -> usize {
        self.inner.input_frames_next()
    }

    fn frame(&mut self, input: &[f32]) -> &[f32] {
        let needs = self.needs();
        let whole = "a frame's worth of samples should be there";
        let input = InterleavedSlice::new(input, self.channels, needs).expect(whole);
        let mut output = InterleavedSlice::new_mut(&mut self.output, self.channels, self.frame).expect(whole);
        self.inner.process_into_buffer(&input, &mut output, None).expect(whole);
        &self.output
    }

    fn stretch(&mut self, stretch: f64) {
        let stretch = stretch.clamp(1.0 / LEEWAY, LEEWAY);
        if let Some(inner) = self.inner.as_adjustable() {
            // Refused only outside the limits that it was clamped to.
            let _ = inner.set_resample_ratio_relative(stretch, true);
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

/// Turns a whole sound of one channel into 48 kHz, in pieces of any length, without the lag of the filter.
pub struct SoundResampler {
    rate: u32,
    /// `None` for a sound that has this rate already.
    resampler: Option<Resampler>,
    /// What was not resampled yet.
    pending: Vec<f32>,
    /// Samples at 48 kHz that are still left out, because they lie before the sound.
    lag: usize,
    /// Samples that were pushed, and how many have become of them.
    pushed: u64,
    made: u64,
}

impl SoundResampler {
    /// From `rate` hertz, at least one.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1);
        let resampler = (rate != SAMPLE_RATE).then(|| Resampler::new(rate, 1));
        let lag = (Resampler::DELAY as f64 * f64::from(SAMPLE_RATE) / f64::from(rate)).round() as usize;
        Self { rate, resampler, pending: Vec::new(), lag, pushed: 0, made: 0 }
    }

    /// Takes a piece of the sound, and appends to `output` what can be made of it so far.
    pub fn push(&mut self, samples: &[f32], output: &mut Vec<f32>) {
        let before = output.len();
        self.pushed += samples.len() as u64;
        if let Some(resampler) = &mut self.resampler {
            self.pending.extend_from_slice(samples);
            let mut at = 0;
            while self.pending.len() - at >= resampler.needs() {
                let needs = resampler.needs();
                let frame = resampler.frame(&self.pending[at..at + needs]);
                let left_out = self.lag.min(frame.len());
                self.lag -= left_out;
                output.extend_from_slice(&frame[left_out..]);
                at += needs;
            }
            self.pending.drain(..at);
        } else {
            output.extend_from_slice(samples);
        }
        self.made += (output.len() - before) as u64;
    }

    /// Appends the rest of the sound.
    pub fn finish(mut self, output: &mut Vec<f32>) {
        let whole = self.pushed * u64::from(SAMPLE_RATE) / u64::from(self.rate);
        let end = output.len() + whole.saturating_sub(self.made) as usize;
        while output.len() < end {
            let silence = vec![0.0; self.resampler.as_ref().map_or(0, Resample::needs)];
            self.push(&silence, output);
        }
        output.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A second of a sine at half of full scale, from `rate` hertz to 48 kHz.
    fn resampled(rate: u32, hertz: f64, stretch: f64) -> Vec<f64> {
        let mut resampler = Resampler::new(rate, 1);
        resampler.stretch(stretch);
        let phase = TAU * hertz / f64::from(rate);
        let input: Vec<f32> = (0..2 * rate).map(|at| (0.5 * (phase * f64::from(at)).sin()) as f32).collect();
        let mut output = Vec::new();
        let mut at = 0;
        while input.len() - at >= resampler.needs() {
            let needs = resampler.needs();
            output.extend(resampler.frame(&input[at..at + needs]).iter().map(|sample| f64::from(*sample)));
            at += needs;
        }
        // The first frame glides to the ratio and holds the filter's own begin.
        output.drain(..2 * FRAME_SAMPLES);
        output.truncate(SAMPLE_RATE as usize);
        output
    }

    /// The power of a sine of `hertz` at 48 kHz against all else, in decibels.
    fn signal_to_noise(samples: &[f64], hertz: f64) -> f64 {
        let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let wave = |at: usize| (TAU * hertz * at as f64 / f64::from(SAMPLE_RATE)).sin_cos();
        for (at, x) in samples.iter().enumerate() {
            let (s, c) = wave(at);
            (ss, cc, sc, xs, xc) = (ss + s * s, cc + c * c, sc + s * c, xs + s * x, xc + c * x);
        }
        let determinant = ss * cc - sc * sc;
        let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
        let noise: f64 =
            samples.iter().enumerate().map(|(at, x)| x - a * wave(at).0 - b * wave(at).1).map(|e| e * e).sum();
        10.0 * ((a * a + b * b) / 2.0 * samples.len() as f64 / noise).log10()
    }

    #[test]
    fn resampled_tones_keep_their_pitch_without_added_noise() {
        for (rate, hertz, least) in [
            (48_000, 1_000.0, 120.0),
            (48_000, 10_000.0, 100.0),
            (44_100, 1_000.0, 120.0),
            (44_100, 10_000.0, 100.0),
            (16_000, 1_000.0, 110.0),
            (96_000, 10_000.0, 100.0),
        ] {
            let clean = signal_to_noise(&resampled(rate, hertz, 1.0), hertz);
            assert!(clean > least, "{hertz} Hz from {rate} Hz: {clean:.1} dB");
            // A card that is 200 ppm fast by its own count: the pitch falls by as much.
            let steered = signal_to_noise(&resampled(rate, hertz, 1.0002), hertz / 1.0002);
            assert!(steered > least, "{hertz} Hz from {rate} Hz, stretched: {steered:.1} dB");
        }
    }

    #[test]
    fn tones_for_a_speaker_of_another_rate_keep_their_pitch() {
        for (rate, hertz) in [(44_100, 1_000.0), (16_000, 1_000.0), (96_000, 10_000.0), (8_000, 440.0)] {
            let mut resampler = Resampler::to(rate);
            let phase = TAU * hertz / f64::from(SAMPLE_RATE);
            let input: Vec<f32> = (0..2 * SAMPLE_RATE).map(|at| (0.5 * (phase * f64::from(at)).sin()) as f32).collect();
            let (mut at, mut output) = (0, Vec::new());
            while input.len() - at >= resampler.needs() {
                let needs = resampler.needs();
                let frame = resampler.frame(&input[at..at + needs]);
                assert_eq!(frame.len(), rate as usize / 50);
                output.extend(frame.iter().map(|sample| f64::from(*sample)));
                at += needs;
            }
            // As if it had been played at 48 kHz.
            let clean = signal_to_noise(&output[rate as usize / 10..], hertz * 48_000.0 / f64::from(rate));
            assert!(clean > 90.0, "{hertz} Hz to {rate} Hz: {clean:.1} dB");
        }
    }

    #[test]
    fn a_whole_sound_keeps_its_pitch_its_length_and_its_place() {
        for (rate, piece) in
            [(8_000u32, 1_152), (16_000, 7), (22_050, 4_096), (44_100, 1_000), (48_000, 960), (192_000, 8_192)]
        {
            let phase = TAU * 440.0 / f64::from(rate);
            // A second and a half, with an odd end.
            let count = rate * 3 / 2 + 13;
            let sound: Vec<f32> = (0..count).map(|at| (0.5 * (phase * f64::from(at)).sin()) as f32).collect();
            let (mut resampler, mut output) = (SoundResampler::new(rate), Vec::new());
            sound.chunks(piece).for_each(|piece| resampler.push(piece, &mut output));
            resampler.finish(&mut output);
            assert_eq!(output.len() as u64, u64::from(count) * 48_000 / u64::from(rate), "{rate} Hz");
            // Where it should be, to a sample or two.
            let expected = |at: usize| 0.5 * (TAU * 440.0 * at as f64 / 48_000.0).sin();
            let furthest = (4_800..output.len() - 4_800)
                .map(|at| (f64::from(output[at]) - expected(at)).abs())
                .fold(0.0, f64::max);
            assert!(furthest < 0.06, "{rate} Hz: {furthest}");
        }
        let (mut resampler, mut output) = (SoundResampler::new(44_100), Vec::new());
        resampler.push(&[], &mut output);
        resampler.finish(&mut output);
        assert!(output.is_empty());
    }

    #[test]
    fn content_above_nyquist_is_not_aliased() {
        let output = resampled(96_000, 30_000.0, 1.0);
        let loudest = output.iter().fold(0.0f64, |loudest, sample| loudest.max(sample.abs()));
        assert!(loudest < 0.5e-4, "80 dB below the tone, but {loudest}");
    }

    #[test]
    fn output_lags_by_the_reported_delay() {
        for rate in [16_000u32, 44_100, 48_000] {
            let mut resampler = Resampler::new(rate, 2);
            // An impulse on the right channel, a fifth of a frame after the begin.
            let at = rate as usize / 250;
            let mut input = vec![0.0; 2 * resampler.needs()];
            input[2 * at + 1] = 1.0;
            let output = resampler.frame(&input);
            let peak = (0..FRAME_SAMPLES).max_by(|a, b| output[2 * a + 1].total_cmp(&output[2 * b + 1])).unwrap_or(0);
            let expected = (at + Resampler::DELAY) as f64 * f64::from(SAMPLE_RATE) / f64::from(rate);
            assert!((peak as f64 - expected).abs() <= 4.0, "{rate} Hz: at {peak} and not {expected}");
            assert!(output.chunks(2).all(|frame| frame[0].abs() < 1e-6), "nothing on the left");
        }
    }
}
