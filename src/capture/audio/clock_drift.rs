//! How a sound card's clock runs against the system's, and at which ratio the sound must be resampled so that it stays with
//! the picture.
//!
//! A card counts samples by a quartz of its own, some ten to some hundred millionths (ppm) off: an hour makes seconds of
//! it. Here each reading of the card's count is compared with the time of the reading. A reading may be late (by the
//! scheduler, by a driver that counts in periods), but never early, so the earliest of each second is kept, and a line
//! through a minute of those tells the card's rate and where it stands now. The ratio follows the line slowly.
//!
//! Pure; time is an argument. Resampling belongs to `resample`, cutting into frames to `framer`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::Timestamp;

/// How long readings are gathered, in seconds, for one point of the line: with 50 readings in it, hardly a point has none
/// that came in time.
const ACCUMULATE: f64 = 1.0;

/// Points of the line: a minute. Jitter of a whole period then moves the rate by some ppm, and a quartz that warms up does not
/// change noticeably in that time.
const POINTS: usize = 60;

/// How much the line is held to the nominal rate while it is short, in seconds squared: the square of a point's jitter (1
/// ms) over a quartz's usual deviation (100 ppm). It outweighs the points of 10 seconds, and nothing after half a minute.
const PRIOR: f64 = 100.0;

/// How far a point may be from the line in seconds. Further off it is no jitter: samples were lost without notice, or the
/// device stood still.
const MAX_STEP: f64 = 0.015;

/// How long an error takes to shrink to a third, in seconds.
const SETTLE: f64 = 10.0;

/// The most that the ratio leaves the card's measured rate to make an error good: 500 ppm, less than a hundredth of a
/// semitone, where the ear tells a twentieth.
const CORRECTION: f64 = 500e-6;

/// The largest deviation of a card that is followed: ten times that of a bad quartz, and still inaudible.
const DEVIATION: f64 = 5_000e-6;

/// The most that the ratio changes from one frame to the next: 2 ppm, 100 ppm a second.
const GLIDE: f64 = 2e-6;

/// The clock of one sound card since it was started.
#[derive(Debug)]
pub(super) struct ClockDrift {
    /// Nominal samples a second.
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

/// A reading: how much sound the card had counted, in nominal seconds, and how much later than that it was.
#[derive(Debug, Clone, Copy)]
struct Sample {
    sound: f64,
    late: f64,
}

/// The point being gathered.
#[derive(Debug)]
struct Accumulator {
    until: f64,
    earliest: Sample,
}

/// How late which sound is: `late` at `sound`, and `slope` more with each second of sound.
#[derive(Debug, Clone, Copy, Default)]
struct LinearFit {
    sound: f64,
    late: f64,
    slope: f64,
}

impl LinearFit {
    fn late(&self, sound: f64) -> f64 {
        self.late + self.slope * (sound - self.sound)
    }
}

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DriftEstimate {
    /// The card runs as it did.
    Steady,
    /// There is more sound than time has passed: the card was taken to be so much later than it is.
    Early(Duration),
    /// The card has left its line for good: begin anew.
    Lost,
}

impl ClockDrift {
    /// Of a card with nominally `rate` samples a second, at least one, that begins to count from zero.
    pub(super) fn new(rate: u32) -> Self {
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

    /// Takes note that the card had counted `count` samples at `at`.
    pub(super) fn observe(&mut self, count: u64, at: Timestamp) -> DriftEstimate {
        let time = seconds(*self.origin.get_or_insert(at), at);
        let sound = count as f64 / self.rate;
        let point = Sample { sound, late: time - sound };
        let Some(accumulator) = &mut self.accumulator else {
            self.fit = LinearFit { sound, late: point.late, slope: 0.0 };
            self.accumulator = Some(Accumulator { until: time + ACCUMULATE, earliest: point });
            return DriftEstimate::Steady;
        };
        let off = point.late - self.fit.late(sound);
        if off < -MAX_STEP {
            return DriftEstimate::Early(Duration::from_secs_f64(-off));
        }
        let earliest = accumulator.earliest;
        if off < earliest.late - self.fit.late(earliest.sound) {
            accumulator.earliest = point;
        }
        if self.points.is_empty() && off < 0.0 {
            // There is no line yet, and the earliest is the best guess.
            self.fit = LinearFit { sound, late: point.late, slope: 0.0 };
        }
        if time < accumulator.until {
            return DriftEstimate::Steady;
        }
        let accumulated = accumulator.earliest;
        *accumulator = Accumulator { until: time + ACCUMULATE, earliest: point };
        self.add(accumulated)
    }

    fn add(&mut self, point: Sample) -> DriftEstimate {
        if point.late - self.fit.late(point.sound) > MAX_STEP {
            // Once may be a second in which this program did not run.
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
        let (sound, late) = (mean(|point| point.sound), mean(|point| point.late));
        let (mut square, mut product) = (PRIOR, 0.0);
        for point in &self.points {
            let from_mean = point.sound - sound;
            square += from_mean * from_mean;
            product += from_mean * (point.late - late);
        }
        self.fit = LinearFit { sound, late, slope: product / square };
        DriftEstimate::Steady
    }

    /// When the sample with this index was taken, as far as is known; `None` before the first reading. What was taken before
    /// this process began counts as taken then.
    pub(super) fn time(&self, index: f64) -> Option<Timestamp> {
        let time = self.since_origin(index);
        let span = Duration::try_from_secs_f64(time.abs()).unwrap_or_default();
        let origin = self.origin?;
        Some(if time < 0.0 { origin.saturating_sub(span) } else { origin.saturating_add(span) })
    }

    /// How much older than `at` the sample with this index is, in seconds, as far as is known; negative for one that comes
    /// later. `None` before the first reading.
    pub(super) fn lag(&self, index: f64, at: Timestamp) -> Option<f64> {
        self.origin.map(|origin| seconds(origin, at) - self.since_origin(index))
    }

    fn since_origin(&self, index: f64) -> f64 {
        let sound = index / self.rate;
        sound + self.fit.late(sound)
    }

    /// The samples that the card counts in `span` seconds.
    pub(super) fn samples(&self, span: f64) -> f64 {
        span * self.rate / (1.0 + self.fit.slope)
    }

    /// How much longer than its nominal time the next frame's sound must be made, as a factor near 1. `lag` is how much
    /// older than its time stamp that sound is, in seconds.
    pub(super) fn steer(&mut self, lag: f64) -> f64 {
        let deviation = self.fit.slope.clamp(-DEVIATION, DEVIATION);
        let goal = 1.0 + deviation - (lag / SETTLE).clamp(-CORRECTION, CORRECTION);
        self.stretch += (goal - self.stretch).clamp(-GLIDE, GLIDE);
        self.stretch
    }

    /// How fast the card's clock is against the system's, in ppm, as far as is known.
    pub(super) fn deviation_ppm(&self) -> f64 {
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

    /// A reading each 20 ms for `span` seconds of a card that is `ppm` fast, each late by what `late` says of its number.
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
    fn the_rate_is_found_through_the_jitter_of_a_whole_period() {
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
    fn a_short_time_makes_no_rate() {
        let drift = observed(0.0, 3.0, |number| if number < 50 { 0.01 } else { 0.0 });
        assert!(drift.deviation_ppm().abs() < 300.0, "{}", drift.deviation_ppm());
    }

    #[test]
    fn a_second_in_which_nothing_ran_is_forgiven_and_lost_samples_are_not() {
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
    fn more_sound_than_time_is_told() {
        let mut drift = observed(0.0, 5.0, |_| 0.0);
        let DriftEstimate::Early(early) = drift.observe(5 * 48_000 + 4_800, at(5.0)) else { panic!("should be early") };
        assert!(early.abs_diff(Duration::from_millis(100)) < Duration::from_millis(1), "{early:?}");
    }

    #[test]
    fn the_ratio_glides_and_has_limits() {
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
