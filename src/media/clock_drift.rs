//! Measures how a clock that counts audio samples drifts against the system clock, and computes the ratio at which the audio
//! must be resampled to stay in sync: that of a microphone with the video, that of a talker with the speaker.
//!
//! A sound card counts samples with its own crystal, which is some ten to some hundred ppm off: that adds up to seconds in a
//! day. Here each reading of the card's counter is compared with the time of the reading. A reading may be late (because of
//! the scheduler, of a driver that counts in periods, or of the network), but never early. So the earliest of each second is
//! kept, and a line fitted through a minute of them gives the card's rate and its current position. The ratio follows the
//! line slowly.
//!
//! Pure; time is an argument. Resampling belongs to `capture::audio`.

use std::collections::VecDeque;
use std::time::Duration;

use super::Timestamp;

/// How many seconds of readings are reduced to one point of the line: of 50 readings, at least one is nearly always on
/// time.
const ACCUMULATE: f64 = 1.0;

/// Points of the line: one minute. Jitter of a whole period then shifts the rate by a few ppm, and a crystal that warms
/// up does not change noticeably in that time.
const POINTS: usize = 60;

/// The weight of the nominal rate while the line is short, in seconds squared: the square of a point's jitter (1 ms)
/// divided by a crystal's usual deviation (100 ppm). It outweighs the points of the first 10 seconds and is negligible
/// after half a minute.
const PRIOR: f64 = 100.0;

/// The maximum distance of a point from the line, in seconds. Beyond it, it is not jitter: samples were lost without
/// notice, or the device stalled.
const MAX_STEP: f64 = 0.015;

/// The time constant of the correction, in seconds: an error shrinks to about a third in that time.
const SETTLE: f64 = 10.0;

/// The maximum correction on top of the card's measured rate: 500 ppm, less than a hundredth of a semitone. The ear can
/// report a twentieth.
const CORRECTION: f64 = 500e-6;

/// The maximum deviation that is followed: ten times that of a bad crystal, and still inaudible.
const DEVIATION: f64 = 5_000e-6;

/// The maximum change of the ratio from one frame to the next: 2 ppm, which is 100 ppm per second.
const GLIDE: f64 = 2e-6;

/// The clock of one sound card since it was started, or of the one that a talker's samples are counted with.
#[derive(Debug)]
pub struct ClockDrift {
    /// Nominal samples per second.
    rate: f64,
    /// The time of the first reading, from which the others are counted.
    origin: Option<Timestamp>,
    points: VecDeque<Sample>,
    accumulator: Option<Accumulator>,
    fit: LinearFit,
    /// Points in succession that were too far off the line.
    outliers: u32,
    stretch: f64,
}

/// A reading: how much audio the card had counted, in nominal seconds, and how much later than that the reading was.
#[derive(Debug, Clone, Copy)]
struct Sample {
    nominal: f64,
    late: f64,
}

/// The point that is being accumulated.
#[derive(Debug)]
struct Accumulator {
    until: f64,
    earliest: Sample,
}

/// The fitted line: `late` at `nominal`, increasing by `slope` per second of audio.
#[derive(Debug, Clone, Copy, Default)]
struct LinearFit {
    nominal: f64,
    late: f64,
    slope: f64,
}

impl LinearFit {
    fn late(&self, nominal: f64) -> f64 {
        self.late + self.slope * (nominal - self.nominal)
    }
}

/// The result of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DriftEstimate {
    /// The card is on its line.
    Steady,
    /// There is more audio than time has passed, by this much.
    Early(Duration),
    /// The card has left its line for good: start over.
    Lost,
}

impl ClockDrift {
    /// The clock of a card with a nominal rate of `rate` samples per second, at least one, whose counter starts at
    /// zero.
    pub fn new(rate: u32) -> Self {
        Self {
            rate: f64::from(rate.max(1)),
            origin: None,
            points: VecDeque::with_capacity(POINTS),
            accumulator: None,
            fit: LinearFit::default(),
            outliers: 0,
            stretch: 1.0,
        }
    }

    /// Records that the card's counter was at `count` at the time `at`.
    pub fn observe(&mut self, count: u64, at: Timestamp) -> DriftEstimate {
        let time = seconds(*self.origin.get_or_insert(at), at);
        let nominal = count as f64 / self.rate;
        let point = Sample { nominal, late: time - nominal };
        let Some(accumulator) = &mut self.accumulator else {
            self.fit = LinearFit { nominal, late: point.late, slope: 0.0 };
            self.accumulator = Some(Accumulator { until: time + ACCUMULATE, earliest: point });
            return DriftEstimate::Steady;
        };
        let off = point.late - self.fit.late(nominal);
        if off < -MAX_STEP {
            return DriftEstimate::Early(Duration::from_secs_f64(-off));
        }
        let earliest = accumulator.earliest;
        if off < earliest.late - self.fit.late(earliest.nominal) {
            accumulator.earliest = point;
        }
        if self.points.is_empty() && off < 0.0 {
            // There is no line yet; the earliest reading is the best guess.
            self.fit = LinearFit { nominal, late: point.late, slope: 0.0 };
        }
        if time < accumulator.until {
            return DriftEstimate::Steady;
        }
        let accumulated = accumulator.earliest;
        *accumulator = Accumulator { until: time + ACCUMULATE, earliest: point };
        self.add(accumulated)
    }

    fn add(&mut self, point: Sample) -> DriftEstimate {
        if point.late - self.fit.late(point.nominal) > MAX_STEP {
            // One outlier may be a second in which this process did not run.
            self.outliers += 1;
            return if self.outliers > 1 { DriftEstimate::Lost } else { DriftEstimate::Steady };
        }
        self.outliers = 0;
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        let count = self.points.len() as f64;
        let mean = |value: fn(&Sample) -> f64| self.points.iter().map(value).sum::<f64>() / count;
        let (nominal, late) = (mean(|point| point.nominal), mean(|point| point.late));
        let (mut square, mut product) = (PRIOR, 0.0);
        for point in &self.points {
            let from_mean = point.nominal - nominal;
            square += from_mean * from_mean;
            product += from_mean * (point.late - late);
        }
        self.fit = LinearFit { nominal, late, slope: product / square };
        DriftEstimate::Steady
    }

    /// The capture time of the sample with this index, as far as known; `None` before the first reading. Times before
    /// the start of this process become the start.
    pub fn time(&self, index: f64) -> Option<Timestamp> {
        let time = self.since_origin(index);
        let span = Duration::try_from_secs_f64(time.abs()).unwrap_or_default();
        let origin = self.origin?;
        Some(if time < 0.0 { origin.saturating_sub(span) } else { origin.saturating_add(span) })
    }

    /// How much earlier than `at` the sample with this index was captured, in seconds, as far as known; negative if it
    /// is later. `None` before the first reading.
    pub fn lag(&self, index: f64, at: Timestamp) -> Option<f64> {
        self.origin.map(|origin| seconds(origin, at) - self.since_origin(index))
    }

    fn since_origin(&self, index: f64) -> f64 {
        let nominal = index / self.rate;
        nominal + self.fit.late(nominal)
    }

    /// The number of samples that the card counts in `span` seconds.
    pub fn samples(&self, span: f64) -> f64 {
        span * self.rate / (1.0 + self.fit.slope)
    }

    /// The factor near 1 by which the next frame's audio must be stretched. `lag` is how much older than its timestamp
    /// that audio is, in seconds.
    pub fn steer(&mut self, lag: f64) -> f64 {
        let deviation = self.fit.slope.clamp(-DEVIATION, DEVIATION);
        let goal = 1.0 + deviation - (lag / SETTLE).clamp(-CORRECTION, CORRECTION);
        self.stretch += (goal - self.stretch).clamp(-GLIDE, GLIDE);
        self.stretch
    }

    /// The deviation of the card's clock from the system clock in ppm, as far as known; positive if it is fast.
    pub fn deviation_ppm(&self) -> f64 {
        -self.fit.slope * 1e6
    }
}

/// The time from `from` to `to` in seconds; negative when `to` is earlier.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.saturating_since(from).as_secs_f64() - from.saturating_since(to).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs_f64(100.0 + seconds))
    }

    /// A reading each 20 ms for `span` seconds of a card that is `ppm` fast, each late by what `late` says of its
    /// number.
    fn observed(ppm: f64, span: f64, late: impl Fn(u32) -> f64) -> ClockDrift {
        let mut drift = ClockDrift::new(48_000);
        for number in 0..(span * 50.0) as u32 {
            let time = f64::from(number) * 0.02;
            let count = (time * 48_000.0 * (1.0 + ppm * 1e-6)) as u64;
            assert_eq!(drift.observe(count, at(time + late(number))), DriftEstimate::Steady);
        }
        drift
    }

    #[test]
    fn rate_is_measured_despite_jitter_of_a_whole_period() {
        for ppm in [-200.0, 0.0, 200.0] {
            let drift = observed(ppm, 70.0, |number| f64::from(number.wrapping_mul(2_654_435_761) % 1000) * 20e-6);
            assert!((drift.deviation_ppm() - ppm).abs() < 10.0, "{ppm}: {}", drift.deviation_ppm());
            // The newest sample is as old as it is, though most readings were 10 ms late.
            let newest = 70.0 * 48_000.0 * (1.0 + ppm * 1e-6);
            let lag = drift.lag(newest, at(70.0)).expect("should be known");
            assert!(lag.abs() < 0.002, "{ppm}: {lag}");
        }
    }

    #[test]
    fn no_rate_from_too_short_a_measurement() {
        let drift = observed(0.0, 3.0, |number| if number < 50 { 0.01 } else { 0.0 });
        assert!(drift.deviation_ppm().abs() < 300.0, "{}", drift.deviation_ppm());
    }

    #[test]
    fn one_second_stall_is_tolerated_and_lost_samples_are_not() {
        let mut drift = observed(0.0, 20.0, |_| 0.0);
        let mut run = |from: u32, to: u32, late: f64| {
            (from..to).map(|number| f64::from(number) * 0.02).find_map(|time| {
                let reading = drift.observe((time * 48_000.0) as u64, at(time + late));
                (reading != DriftEstimate::Steady).then_some((reading, time))
            })
        };
        assert_eq!(run(1000, 1050, 0.1), None);
        assert_eq!(run(1060, 1200, 0.0), None);
        let (reading, time) = run(1200, 1500, 0.03).expect("should notice");
        assert_eq!(reading, DriftEstimate::Lost);
        assert!(time < 27.0, "at {time} s");
    }

    #[test]
    fn more_samples_than_elapsed_time_is_reported() {
        let mut drift = observed(0.0, 5.0, |_| 0.0);
        let DriftEstimate::Early(early) = drift.observe(5 * 48_000 + 4_800, at(5.0)) else { panic!("should be early") };
        assert!(early.abs_diff(Duration::from_millis(100)) < Duration::from_millis(1), "{early:?}");
    }

    #[test]
    fn ratio_changes_gradually_within_limits() {
        let mut drift = observed(200.0, 70.0, |_| 0.0);
        let mut last = 1.0;
        for _ in 0..1000 {
            let stretch = drift.steer(1.0);
            assert!((stretch - last).abs() <= GLIDE * 1.001);
            last = stretch;
        }
        assert!((last - (1.0 - 200e-6 - CORRECTION)).abs() < 5e-6, "{last}");
        let settled = (0..1000).map(|_| drift.steer(0.0)).last();
        assert!((settled.unwrap_or(0.0) - (1.0 - 200e-6)).abs() < 5e-6, "{settled:?}");
    }
}
