//! Compares a constraint with a mode: which size and frame rate of the mode qualify, and how far they are from the
//! ideal.

use super::Config;
use crate::capture::camera::Constraint;
use crate::device::v4l2::{Fraction, FrameInterval, FrameSize};

/// The maximum relative deviation at which a rate still counts as the requested one: 29.97 frames per second count as
/// 30.
const RATE_TOLERANCE: f64 = 0.02;

/// A frame rate of a mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameRate {
    /// Time between frames.
    pub interval: Fraction,
    /// Frames per second.
    pub fps: f64,
}

impl FrameRate {
    fn of(interval: Fraction) -> Option<Self> {
        interval.rate().map(|fps| Self { interval, fps })
    }

    fn whole(fps: u32) -> Self {
        let fps = fps.max(1);
        Self { interval: Fraction { numerator: 1, denominator: fps }, fps: f64::from(fps) }
    }
}

/// Whether a rate is acceptable.
pub fn allows(constraint: &Constraint, fps: f64) -> bool {
    fps >= f64::from(constraint.min) * (1.0 - RATE_TOLERANCE)
        && fps <= f64::from(constraint.max) * (1.0 + RATE_TOLERANCE)
}

/// Whether a rate with this deviation counts as the requested one.
pub fn is_close(distance: f64) -> bool {
    distance <= RATE_TOLERANCE
}

/// The acceptable size of a mode; of a range, the one nearest to the target.
pub fn size(size: FrameSize, config: &Config) -> Option<(u32, u32)> {
    let (width, height) = match size {
        FrameSize::Discrete { width, height } => ((width, width, 1), (height, height, 1)),
        FrameSize::Stepwise { width, height } => (width, height),
    };
    let (width, height) = (step(&config.width, width)?, step(&config.height, height)?);
    // A driver that offers nothing has nothing connected to it.
    (width > 0 && height > 0).then_some((width, height))
}

/// The acceptable step of a range that is nearest to the target. An inverted range has only its first step.
fn step(constraint: &Constraint, (min, max, step): (u32, u32, u32)) -> Option<u32> {
    let (step, range) = (step.max(1), max.saturating_sub(min));
    let last = range / step;
    // In numbers of steps, so that nothing overflows.
    let first = constraint.min.saturating_sub(min).div_ceil(step);
    let last = constraint.max.checked_sub(min)?.checked_div(step)?.min(last);
    let above = constraint.target().saturating_sub(min);
    let nearest = above / step + u32::from(above % step > step / 2);
    (first <= last).then(|| min + nearest.clamp(first, last) * step)
}

/// The acceptable rates of a mode. If the driver reports none, or only invalid ones, it is the requested rate, which
/// the driver may well support.
pub fn rates(intervals: &[FrameInterval], constraint: &Constraint) -> Vec<FrameRate> {
    let mut message = false;
    let mut rates = Vec::new();
    for interval in intervals {
        let rate = match *interval {
            FrameInterval::Discrete(interval) => FrameRate::of(interval),
            FrameInterval::Range { min, max } => FrameRate::of(min).map(|fastest| within(fastest, max, constraint)),
        };
        message |= rate.is_some();
        rates.extend(rate.filter(|rate| allows(constraint, rate.fps)));
    }
    if message { rates } else { vec![FrameRate::whole(constraint.target())] }
}

/// The rate of a range that is nearest to the target. A driver that has steps rounds to one by itself, and its reply is
/// checked.
fn within(fastest: FrameRate, longest: Fraction, constraint: &Constraint) -> FrameRate {
    let target = FrameRate::whole(constraint.target());
    match FrameRate::of(longest) {
        _ if target.fps > fastest.fps => fastest,
        Some(slowest) if target.fps < slowest.fps => slowest,
        _ => target,
    }
}

/// The distance of a size and rate from the constraints; all zero if it meets them exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// To the ideals: the sum of the browsers' fitness distances.
    pub ideal: f64,
    /// To the targets of constraints that are ranges without an ideal.
    pub range: f64,
    /// To the exact requested rate.
    pub rate: f64,
}

impl Distance {
    /// The distance of an acceptable size and rate.
    pub fn of((width, height): (u32, u32), rate: FrameRate, config: &Config) -> Self {
        let sides = [(&config.width, width), (&config.height, height)];
        let mut distance = Self { ideal: 0.0, range: 0.0, rate: fitness(rate.fps, config.fps.target()) };
        let off_rate = if is_close(distance.rate) { 0.0 } else { distance.rate };
        let parts = sides.map(|(constraint, have)| (constraint, fitness(f64::from(have), constraint.target())));
        for (constraint, off) in parts.into_iter().chain([(&config.fps, off_rate)]) {
            *(if constraint.ideal.is_some() { &mut distance.ideal } else { &mut distance.range }) += off;
        }
        distance
    }
}

/// The fitness distance of a number (W3C Media Capture and Streams, section 5.2.1): 0 is the ideal itself, 1 is far.
fn fitness(have: f64, ideal: u32) -> f64 {
    let ideal = f64::from(ideal);
    let larger = have.max(ideal);
    if larger > 0.0 { (have - ideal).abs() / larger } else { 0.0 }
}

/// A rate with no more digits than it needs, two at most.
pub fn short(fps: f64) -> String {
    format!("{fps:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u32, max: u32) -> Constraint {
        Constraint { min, ideal: None, max }
    }

    #[test]
    fn step_within_the_constraint_is_selected() {
        let steps = (16, 1920, 16);
        for (constraint, taken) in [
            (Constraint::exact(1280), Some(1280)),
            (Constraint::exact(1281), None),
            (Constraint::exact(8), None),
            (Constraint::exact(1936), None),
            (Constraint::ideal(1281), Some(1280)),
            (Constraint::ideal(1289), Some(1296)),
            (Constraint::ideal(0), Some(16)),
            (Constraint::ideal(u32::MAX), Some(1920)),
            (range(1281, 1300), Some(1296)),
            (range(1281, 1295), None),
            (range(1281, u32::MAX), Some(1296)),
            (Constraint { min: 1281, ideal: Some(1282), max: 1400 }, Some(1296)),
            (Constraint { min: 0, ideal: Some(1295), max: 1295 }, Some(1280)),
        ] {
            assert_eq!(step(&constraint, steps), taken, "{constraint}");
        }
    }

    #[test]
    fn invalid_range_is_tolerated() {
        assert_eq!(step(&Constraint::ideal(720), (0, 0, 0)), Some(0));
        assert_eq!(step(&Constraint::ideal(720), (100, 50, 0)), Some(100));
        assert_eq!(step(&Constraint::ideal(u32::MAX), (1, u32::MAX, u32::MAX)), Some(1));
        assert_eq!(step(&Constraint::ideal(u32::MAX), (0, u32::MAX, 1)), Some(u32::MAX));
        let zero = FrameSize::Discrete { width: 0, height: 0 };
        assert_eq!(size(zero, &Config::default()), None);
    }

    #[test]
    fn rate_within_two_percent_matches() {
        let thirty = Constraint::exact(30);
        for (fps, will_do) in [(30.0, true), (29.97, true), (30.3, true), (29.3, false), (31.0, false), (60.0, false)] {
            assert_eq!(allows(&thirty, fps), will_do, "{fps}");
        }
        let ntsc = Fraction { numerator: 1001, denominator: 30_000 };
        let distance = Distance::of((1280, 720), FrameRate::of(ntsc).expect("should be a rate"), &Config::default());
        assert_eq!((distance.ideal, distance.range), (0.0, 0.0));
        assert!(distance.rate > 0.0);
    }

    #[test]
    fn rate_is_displayed_without_needless_digits() {
        let shown = [30.0, 29.97, 12.5, 7.501, 0.0, 100.0].map(short);
        assert_eq!(shown, ["30", "29.97", "12.5", "7.5", "0", "100"]);
    }

    #[test]
    fn nearest_rate_of_a_range_is_selected() {
        let fraction = |fps| Fraction { numerator: 1, denominator: fps };
        let offered = [FrameInterval::Range { min: fraction(60), max: fraction(5) }];
        let taken = |constraint: Constraint| rates(&offered, &constraint).first().map(|rate| rate.interval.denominator);
        assert_eq!([25, 90, 1].map(|fps| taken(Constraint::ideal(fps))), [Some(25), Some(60), Some(5)]);
        assert_eq!([25, 90, 1].map(|fps| taken(Constraint::exact(fps))), [Some(25), None, None]);
        assert_eq!(taken(range(10, 20)), Some(20));
    }

    #[test]
    fn constraint_is_requested_from_a_driver_without_rates() {
        let zero = Fraction { numerator: 0, denominator: 0 };
        for nonsense in
            [vec![], vec![FrameInterval::Discrete(zero)], vec![FrameInterval::Range { min: zero, max: zero }]]
        {
            assert_eq!(rates(&nonsense, &Constraint::exact(25)), [FrameRate::whole(25)]);
        }
        assert_eq!(rates(&[], &Constraint::ideal(0)), [FrameRate::whole(1)]);
    }
}
