//! Which pixel format, size and rate to ask a camera for. The choice itself is a pure function of what is on offer.

use std::cmp::Ordering;
use std::io;

use super::super::Config;
use crate::media::PixelFormat;
use crate::v4l2::{BufferType, Device, FourCc, Fraction, FrameInterval, FrameSize};

/// The pixel formats that can be converted, cheapest first: YU12 goes to the encoder as it is, NV12 is copied, YUYV is
/// twice the bytes in the camera's memory, MJPEG must be decoded. Some drivers call motion JPEG `JPEG`.
const FORMATS: [(FourCc, PixelFormat); 5] = [
    (FourCc::new(b"YU12"), PixelFormat::I420),
    (FourCc::new(b"NV12"), PixelFormat::Nv12),
    (FourCc::new(b"YUYV"), PixelFormat::Yuyv),
    (FourCc::new(b"MJPG"), PixelFormat::Mjpeg),
    (FourCc::new(b"JPEG"), PixelFormat::Mjpeg),
];

/// How much slower than asked still counts as reached: 29.97 frames a second are 30.
const RATE_TOLERANCE: f64 = 0.98;

/// The format of ours that a format of the kernel is.
pub fn pixel_format(fourcc: FourCc) -> Option<PixelFormat> {
    FORMATS.iter().find(|(known, _)| *known == fourcc).map(|(_, pixel)| *pixel)
}

/// One combination that a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub fourcc: FourCc,
    pub pixel: PixelFormat,
    /// Size in pixels; `None` where the driver does not tell its sizes.
    pub size: Option<(u32, u32)>,
    /// Times between frames; empty where the driver does not tell its rates.
    pub intervals: Vec<FrameInterval>,
}

/// What to ask for, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub fourcc: FourCc,
    pub width: u32,
    pub height: u32,
    pub interval: Fraction,
    pub reason: String,
}

/// What the camera offers in formats that can be converted: all of its sizes, and of a range of sizes the nearest to the
/// one asked for.
///
/// # Errors
///
/// The kernel's errno.
pub fn offers(device: &Device, width: u32, height: u32) -> io::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for format in device.formats(BufferType::VideoCapture)? {
        // What libv4l would make out of another format in software is not there for the kernel.
        let Some(pixel) = pixel_format(format.fourcc).filter(|_| !format.emulated) else { continue };
        let fourcc = format.fourcc;
        let sizes = device.frame_sizes(fourcc)?;
        if sizes.is_empty() {
            offers.push(Offer { fourcc, pixel, size: None, intervals: Vec::new() });
        }
        for size in sizes {
            let (width, height) = FrameSize::nearest(size, width, height);
            let intervals = device.frame_intervals(fourcc, width, height)?;
            offers.push(Offer { fourcc, pixel, size: Some((width, height)), intervals });
        }
    }
    Ok(offers)
}

/// The offer that reaches the size and rate asked for at the least cost; where none does, the one that comes nearest.
///
/// # Errors
///
/// What was wished for and what is there instead, where no offer can be used at all.
pub fn choose(offers: &[Offer], config: &Config) -> Result<Choice, (String, String)> {
    let wanted = |offer: &&Offer| config.format.is_none_or(|format| format == offer.pixel);
    let best = offers
        .iter()
        .filter(wanted)
        .map(|offer| Candidate::new(offer, config))
        .min_by(Candidate::compare)
        .ok_or_else(|| refusal(offers, config))?;
    let (width, height) = best.offer.size.unwrap_or((config.width.target(), config.height.target()));
    Ok(Choice { fourcc: best.offer.fourcc, width, height, interval: best.interval, reason: best.reason(config) })
}

fn refusal(offers: &[Offer], config: &Config) -> (String, String) {
    let wish = config.format.map_or("any format that can be converted", PixelFormat::name).to_owned();
    let mut names: Vec<&str> = offers.iter().map(|offer| offer.pixel.name()).collect();
    names.dedup();
    let offer = if names.is_empty() {
        "`porthole devices` shows what it offers; YU12, NV12, YUYV or MJPEG is needed".to_owned()
    } else {
        format!("it offers {}", names.join(", "))
    };
    (wish, offer)
}

struct Candidate<'a> {
    offer: &'a Offer,
    interval: Fraction,
    /// How far it is from the wish; zero where it reaches it.
    distance: f64,
}

impl<'a> Candidate<'a> {
    fn new(offer: &'a Offer, config: &Config) -> Self {
        let wish = f64::from(config.fps.target().max(1));
        let interval = nearest_interval(&offer.intervals, config.fps.target().max(1));
        let rate = interval.rate().unwrap_or(wish);
        // Logarithms, so that half and double are equally far. Too fast is no harm: the newest picture is taken.
        let short = if rate >= wish * RATE_TOLERANCE { 0.0 } else { (wish / rate).ln() };
        let off = offer.size.map_or(0.0, |(width, height)| {
            ratio(width, config.width.target()).ln().abs() + ratio(height, config.height.target()).ln().abs()
        });
        Self { offer, interval, distance: short + off }
    }

    fn cost(&self) -> usize {
        FORMATS.iter().position(|(fourcc, _)| *fourcc == self.offer.fourcc).unwrap_or(FORMATS.len())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then_with(|| self.cost().cmp(&other.cost()))
    }

    fn reason(&self, config: &Config) -> String {
        let wish = format!("{}x{} at {} frames/s", config.width.target(), config.height.target(), config.fps.target());
        if self.offer.size.is_none() {
            format!("the driver does not tell its sizes; {wish} was asked for")
        } else if self.distance > 0.0 {
            format!("the nearest to {wish}")
        } else if config.format.is_some() {
            "as configured".to_owned()
        } else {
            format!("the cheapest that reaches {wish}")
        }
    }
}

fn ratio(have: u32, want: u32) -> f64 {
    f64::from(have.max(1)) / f64::from(want.max(1))
}

/// The longest time between frames that still reaches `fps`; where none does, the shortest there is. With nothing on
/// offer, what is asked for.
fn nearest_interval(intervals: &[FrameInterval], fps: u32) -> Fraction {
    let wish = Fraction { numerator: 1, denominator: fps };
    let target = f64::from(fps);
    let rates = intervals.iter().filter_map(|interval| {
        let fraction = match *interval {
            FrameInterval::Discrete(fraction) => fraction,
            FrameInterval::Range { min, max } => match (min.rate(), max.rate()) {
                (Some(fastest), _) if target > fastest => min,
                (_, Some(slowest)) if target < slowest => max,
                _ => wish,
            },
        };
        fraction.rate().map(|rate| (fraction, rate))
    });
    let reaches = |rate: f64| rate >= target * RATE_TOLERANCE;
    rates
        .min_by(|(_, one), (_, other)| match (reaches(*one), reaches(*other)) {
            (true, true) => one.total_cmp(other),
            (false, false) => other.total_cmp(one),
            (one, other) => other.cmp(&one),
        })
        .map_or(wish, |(fraction, _)| fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Wish;

    fn offer(fourcc: &[u8; 4], size: (u32, u32), rates: &[u32]) -> Offer {
        let fourcc = FourCc::new(fourcc);
        Offer {
            fourcc,
            pixel: pixel_format(fourcc).expect("should be known"),
            size: Some(size),
            intervals: rates
                .iter()
                .map(|&fps| FrameInterval::Discrete(Fraction { numerator: 1, denominator: fps }))
                .collect(),
        }
    }

    fn wish(width: u32, height: u32, fps: u32) -> Config {
        Config { width: Wish::ideal(width), height: Wish::ideal(height), fps: Wish::ideal(fps), ..Config::default() }
    }

    fn chosen(offers: &[Offer], config: &Config) -> (String, u32, u32, f64) {
        let choice = choose(offers, config).expect("should choose");
        (choice.fourcc.to_string(), choice.width, choice.height, choice.interval.rate().expect("should have a rate"))
    }

    /// What a common USB webcam offers.
    fn webcam() -> Vec<Offer> {
        vec![
            offer(b"YUYV", (1280, 720), &[10, 5]),
            offer(b"YUYV", (640, 480), &[30, 15]),
            offer(b"MJPG", (1280, 720), &[30, 15]),
            offer(b"MJPG", (640, 480), &[30]),
        ]
    }

    #[test]
    fn a_format_that_reaches_the_wish_beats_a_cheaper_one_that_does_not() {
        assert_eq!(chosen(&webcam(), &wish(1280, 720, 30)), ("MJPG".into(), 1280, 720, 30.0));
        assert_eq!(chosen(&webcam(), &wish(1280, 720, 10)), ("YUYV".into(), 1280, 720, 10.0));
        assert_eq!(chosen(&webcam(), &wish(640, 480, 30)), ("YUYV".into(), 640, 480, 30.0));
    }

    #[test]
    fn of_equals_the_cheapest_is_taken_whatever_the_order() {
        let all = [b"MJPG", b"YUYV", b"NV12", b"YU12"].map(|fourcc| offer(fourcc, (640, 480), &[30]));
        assert_eq!(chosen(&all, &wish(640, 480, 30)).0, "YU12");
        assert_eq!(chosen(&all[..3], &wish(640, 480, 30)).0, "NV12");
    }

    #[test]
    fn without_a_match_the_nearest_is_taken() {
        assert_eq!(chosen(&webcam(), &wish(1920, 1080, 30)), ("MJPG".into(), 1280, 720, 30.0));
        assert_eq!(chosen(&webcam(), &wish(320, 240, 15)), ("YUYV".into(), 640, 480, 15.0));
        let choice = choose(&webcam(), &wish(1920, 1080, 30)).expect("should choose");
        assert_eq!(choice.reason, "the nearest to 1920x1080 at 30 frames/s");
    }

    #[test]
    fn the_format_asked_for_is_obeyed_or_refused() {
        let yuyv = Config { format: Some(PixelFormat::Yuyv), ..wish(1280, 720, 30) };
        assert_eq!(chosen(&webcam(), &yuyv).0, "YUYV");
        let nv12 = Config { format: Some(PixelFormat::Nv12), ..wish(1280, 720, 30) };
        assert_eq!(choose(&webcam(), &nv12), Err(("NV12".into(), "it offers YUYV, MJPEG".into())));
        assert!(choose(&[], &wish(1280, 720, 30)).is_err());
    }

    #[test]
    fn a_rate_is_the_slowest_that_is_fast_enough() {
        let ntsc = [FrameInterval::Discrete(Fraction { numerator: 1001, denominator: 30_000 })];
        assert_eq!(nearest_interval(&ntsc, 30), Fraction { numerator: 1001, denominator: 30_000 });
        let some = offer(b"YUYV", (640, 480), &[60, 30, 20, 10]).intervals;
        assert_eq!(nearest_interval(&some, 25).denominator, 30);
        assert_eq!(nearest_interval(&some, 100).denominator, 60);
        let range = [FrameInterval::Range {
            min: Fraction { numerator: 1, denominator: 60 },
            max: Fraction { numerator: 1, denominator: 5 },
        }];
        assert_eq!(nearest_interval(&range, 25).denominator, 25);
        assert_eq!(nearest_interval(&range, 90).denominator, 60);
        assert_eq!(nearest_interval(&range, 1).denominator, 5);
    }

    #[test]
    fn a_driver_that_tells_nothing_or_nonsense_is_asked_for_the_wish() {
        let silent = Offer { size: None, intervals: Vec::new(), ..offer(b"YUYV", (0, 0), &[]) };
        assert_eq!(chosen(&[silent], &wish(640, 480, 25)), ("YUYV".into(), 640, 480, 25.0));
        let zeros = [FrameInterval::Discrete(Fraction { numerator: 0, denominator: 0 })];
        assert_eq!(nearest_interval(&zeros, 25).denominator, 25);
        let broken = offer(b"YUYV", (0, 0), &[30]);
        assert_eq!(chosen(&[broken, offer(b"MJPG", (640, 480), &[30])], &wish(640, 480, 30)).0, "MJPG");
    }
}
