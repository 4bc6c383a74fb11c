//! Tests with simulated sound cards that have clocks of their own: minutes with real samples, and hours without.

use std::f64::consts::TAU;
use std::time::Duration;

use super::super::FRAME_SAMPLES;
use super::*;

/// A sound card: its samples' times, and the moments at which a program looks at it.
struct Card<'a> {
    rate: f64,
    /// How much faster than nominal it counts at a time, in ppm.
    ppm: &'a dyn Fn(f64) -> f64,
    /// How late the reading with this number is, in seconds.
    late: &'a dyn Fn(u64) -> f64,
    /// Seconds since the card began.
    time: f64,
    /// Samples it has counted.
    count: f64,
    readings: u64,
}

/// When the simulated cards begin: no round number.
const BEGIN: f64 = 50.003_7;

/// Seconds between two readings: a period of 20 ms.
const PERIOD: f64 = 0.02;

impl<'a> Card<'a> {
    fn new(rate: f64, ppm: &'a dyn Fn(f64) -> f64, late: &'a dyn Fn(u64) -> f64) -> Self {
        Self { rate, ppm, late, time: 0.0, count: 0.0, readings: 0 }
    }

    /// A period passes: samples that have been counted in all, and when that is read.
    fn read(&mut self) -> (u64, Timestamp) {
        self.time += PERIOD;
        self.count += PERIOD * self.rate * (1.0 + (self.ppm)(self.time) * 1e-6);
        self.readings += 1;
        (self.count as u64, at(self.time + (self.late)(self.readings)))
    }

    /// When the sample with this index was captured, near the present: seconds since the card began.
    fn taken(&self, index: f64) -> f64 {
        self.time - (self.count - index) / (self.rate * (1.0 + (self.ppm)(self.time) * 1e-6))
    }
}

fn at(time: f64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs_f64(BEGIN + time))
}

/// How long after the card began it was, in seconds.
fn since_begin(time: Timestamp) -> f64 {
    time.saturating_since(at(0.0)).as_secs_f64()
}

/// A number from 0 to 1 that looks random.
fn chance(number: u64) -> f64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)
}

/// Counts as the real one does, and gives silence.
struct Counter {
    ratio: f64,
    stretch: [f64; 2],
    /// The input index of the last output sample, against the first that waits.
    last: f64,
    /// The largest change of the ratio from a frame to the next.
    steepest: f64,
    silence: Vec<f32>,
}

impl Counter {
    fn new(rate: f64) -> Self {
        let last = 1.0 - 2.0 * Self::DELAY as f64;
        Self { ratio: 48_000.0 / rate, stretch: [1.0; 2], last, steepest: 0.0, silence: vec![0.0; FRAME_SAMPLES] }
    }

    fn end(&self) -> f64 {
        let [from, to] = self.stretch.map(|stretch| 1.0 / (self.ratio * stretch));
        self.last + FRAME_SAMPLES as f64 * (from + to) / 2.0
    }
}

impl Resample for Counter {
    const DELAY: usize = 32;

    fn needs(&self) -> usize {
        (self.end() + 2.0 * Self::DELAY as f64).ceil() as usize
    }

    fn frame(&mut self, input: &[f32]) -> &[f32] {
        assert!(input.len() >= self.needs());
        self.last = self.end() - self.needs() as f64;
        self.stretch[0] = self.stretch[1];
        &self.silence
    }

    fn stretch(&mut self, stretch: f64) {
        self.steepest = self.steepest.max((stretch - self.stretch[0]).abs());
        self.stretch[1] = stretch;
    }

    fn reset(&mut self) {
        (self.last, self.stretch) = (1.0 - 2.0 * Self::DELAY as f64, [1.0; 2]);
    }
}

/// Lets a card run for `hours`: the largest difference in milliseconds between a frame's timestamp and the time at
/// which its audio was captured, in the first minute and after it. Every frame follows the one before without a gap.
fn run(hours: f64, card: &mut Card) -> (f64, f64) {
    let mut framer = Framer::with(card.rate as u32, 1, Counter::new(card.rate));
    let mut worst = (0.0f64, 0.0f64);
    let mut last = None;
    while card.time < hours * 3600.0 {
        let (count, seen) = card.read();
        assert_eq!(
            framer.observe((count - framer.pushed()) as usize, seen),
            DriftEstimate::Steady,
            "after {} s",
            card.time
        );
        let new = (count - framer.pushed()) as usize;
        framer.input().extend(std::iter::repeat_n(0.0, new));
        while let Some(frame) = framer.frame() {
            assert!(!frame.gap, "after {} s", card.time);
            if let Some(last) = last.replace(frame.captured) {
                assert_eq!(frame.captured.saturating_since(last), Duration::from_millis(20));
            }
            // The audio that comes next, and the timestamp that it will bear.
            let position = framer.first_pending as f64 + framer.resampler.last + Counter::DELAY as f64;
            let stamp = frame.captured.saturating_add(Duration::from_millis(20));
            let wrong = (since_begin(stamp) - card.taken(position)).abs() * 1e3;
            let worst = if card.time < 60.0 { &mut worst.0 } else { &mut worst.1 };
            *worst = worst.max(wrong);
        }
    }
    let frames = last.map_or(0.0, since_begin) * 50.0;
    assert!(frames > hours * 3600.0 * 50.0 - 5.0, "{frames} frames");
    assert!(framer.resampler.steepest <= 2.1e-6, "the ratio should glide: {}", framer.resampler.steepest);
    worst
}

#[test]
fn audio_stays_in_sync_for_hours_on_a_fast_or_slow_card() {
    for (ppm, rate) in [(200.0, 48_000.0), (-200.0, 44_100.0), (500.0, 16_000.0)] {
        let worst = run(2.0, &mut Card::new(rate, &|_| ppm, &|number| chance(number) * 0.002));
        assert!(worst.0 < 5.0 && worst.1 < 1.0, "{ppm} ppm at {rate} Hz: {worst:?} ms");
    }
}

#[test]
fn jitter_of_a_whole_period_does_not_affect_the_audio() {
    for ppm in [0.0, -200.0] {
        let worst = run(1.0, &mut Card::new(48_000.0, &|_| ppm, &|number| chance(number) * PERIOD));
        assert!(worst.0 < 25.0 && worst.1 < 5.0, "{ppm} ppm: {worst:?} ms");
    }
}

#[test]
fn temperature_drift_of_the_clock_is_tracked() {
    // 40 ppm up and down again every 20 minutes: faster than a case warms up.
    let ppm = |time: f64| 50.0 + 20.0 * (TAU * time / 1200.0).sin();
    let worst = run(2.0, &mut Card::new(48_000.0, &ppm, &|number| chance(number) * 0.005));
    assert!(worst.0 < 10.0 && worst.1 < 2.0, "{worst:?} ms");
}

/// The next number of a sine of this many radians a sample is foretold by the two before it; the largest surprise.
fn surprise(samples: &[f64], step: f64) -> f64 {
    let next = samples.windows(3).map(|three| (three[2] - 2.0 * step.cos() * three[1] + three[0]).abs());
    next.fold(0.0, f64::max)
}

#[test]
fn no_sample_is_dropped_or_repeated_and_timestamps_are_right() {
    for (ppm, rate) in [(200.0, 48_000.0), (-200.0, 44_100.0), (0.0, 16_000.0)] {
        let (constant, late) = (|_| ppm, |number| chance(number) * PERIOD);
        let mut card = Card::new(rate, &constant, &late);
        let mut framer = Framer::new(rate as u32, 2);
        let mut sine = Vec::new();
        let mut worst = 0.0f64;
        while card.time < 150.0 {
            let (count, seen) = card.read();
            let pushed = framer.pushed();
            assert_eq!(framer.observe((count - pushed) as usize, seen), DriftEstimate::Steady);
            for index in pushed..count {
                // On the left 50 Hz of the system's clock, whose phase tells the time; on the right 1 kHz.
                let taken = TAU * card.taken(index as f64);
                framer.input().extend([(50.0 * taken).sin() as f32 * 0.5, (1000.0 * taken).sin() as f32 * 0.5]);
            }
            while let Some(frame) = framer.frame() {
                let (left, right): (Vec<f64>, Vec<f64>) =
                    frame.samples.chunks(2).map(|pair| (f64::from(pair[0]), f64::from(pair[1]))).unzip();
                sine.extend(right);
                let begin = since_begin(frame.captured);
                let (mut s, mut c) = (0.0, 0.0);
                for (number, sample) in left.iter().enumerate() {
                    let phase = TAU * 50.0 * (begin + number as f64 / 48_000.0);
                    (s, c) = (s + sample * phase.sin(), c + sample * phase.cos());
                }
                if card.time > 60.0 {
                    worst = worst.max((c.atan2(s) / (TAU * 50.0)).abs() * 1e3);
                }
            }
        }
        assert!(worst < 3.0, "{ppm} ppm at {rate} Hz: {worst} ms");
        // A sample left out would surprise by a thousand; the filter's own begin is left out.
        let surprise = surprise(&sine[960..], TAU / 48.0);
        assert!(surprise < 6.0, "{ppm} ppm at {rate} Hz: {surprise}");
    }
}

#[test]
fn framer_restarts_at_the_right_time_after_a_loss_and_marks_a_gap() {
    let ppm = |_: f64| 0.0;
    let mut framer = Framer::with(48_000, 1, Counter::new(48_000.0));
    let mut frames = Vec::new();
    let mut feed = |framer: &mut Framer<Counter>, from: f64, seconds: f64| {
        let mut card = Card::new(48_000.0, &ppm, &|_| 0.0);
        let base = framer.pushed();
        while card.time < seconds {
            let (count, _) = card.read();
            let new = (base + count - framer.pushed()) as usize;
            assert_eq!(framer.observe(new, at(from + card.time)), DriftEstimate::Steady);
            framer.input().extend(std::iter::repeat_n(0.0, new));
            frames.extend(std::iter::from_fn(|| framer.frame()));
        }
        std::mem::take(&mut frames)
    };
    let before = feed(&mut framer, 0.0, 2.0);
    assert!(before.iter().all(|frame| !frame.gap));
    framer.restart();
    let after = feed(&mut framer, 3.5, 2.0);
    assert!(after[0].gap && after[1..].iter().all(|frame| !frame.gap));
    // The filter's own begin may come before the first sample, by its delay.
    let begin = since_begin(after[0].captured) - 3.5 + Counter::DELAY as f64 / 48_000.0;
    assert!((0.0..0.021).contains(&begin), "{begin} s after the filter began");
    let apart = after[0].captured.saturating_since(before[0].captured).as_nanos();
    assert_eq!(apart % 20_000_000, 0, "both lie on one grid");
    // A card that was closed and opened at once gives no tick twice.
    framer.restart();
    let again = feed(&mut framer, 5.0, 1.0);
    assert!(again[0].captured > after[after.len() - 1].captured);
}
