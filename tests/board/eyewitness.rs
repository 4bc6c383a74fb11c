//! A viewer outside, and the judgement of what it sees and hears: vivid's colour bars, whether the picture moves, and
//! the loopback's tone. How a viewer connects is `tests/viewer`'s business.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::client::{Event, Options, Picture, Viewer};

/// How long a picture or a packet of sound may be awaited: as long as the emulated processor may take to negotiate.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

/// The bars from left to right as Y, Cb, Cr: white, yellow, cyan, green, magenta, red, blue and black at 75 %, in BT.601
/// with limited range, which is what vivid says that its default is.
const BARS: [[i32; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

/// How far a decoded bar may be from the real one: far above what encoding does to a flat area, far below what lies
/// between two bars.
const BAR_TOLERANCE: i32 = 12;

/// How much a point's luma has to change to count as moved: the counters in the picture are white on black, and noise of
/// the encoder is far below.
const MOVED: u8 = 60;

/// What the viewer saw and heard.
pub struct Testimony {
    /// The decoded pictures, in order.
    pub pictures: Vec<Picture>,
    /// The decoded sound, packet by packet: interleaved stereo at 48 kHz.
    pub sound: Vec<Vec<i16>>,
}

/// Watches the page at `base` until so many pictures and packets of sound are there.
pub fn watch(base: &str, pictures: usize, packets: usize) -> Testimony {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime should start");
    runtime.block_on(async {
        let mut viewer = Viewer::connect(&Options::new(base)).await.expect("the viewer should connect");
        let mut testimony = Testimony { pictures: Vec::new(), sound: Vec::new() };
        while testimony.pictures.len() < pictures || testimony.sound.len() < packets {
            let so_far = (testimony.pictures.len(), testimony.sound.len());
            match viewer.event(EVENT_LIMIT).await {
                Ok(Event::Frame(frame)) => testimony.pictures.extend(frame.picture),
                Ok(Event::Sound(sound)) => testimony.sound.push(sound.samples),
                Ok(Event::Ended) => panic!("the board ended the session after (pictures, packets) {so_far:?}"),
                Ok(_) => {}
                Err(error) => panic!("after (pictures, packets) {so_far:?}: {error:#}"),
            }
        }
        viewer.leave().await.expect("the viewer should leave");
        testimony
    })
}

/// The bars that a picture does not show: number from the left, and the Y, Cb, Cr seen in its place.
///
/// Only the lowest tenth counts: above it vivid writes its counters and controls across the bars.
pub fn missing_bars(picture: &Picture) -> Vec<(usize, [i32; 3])> {
    let seen = (0..BARS.len()).map(|bar| {
        let mean = |plane: &[u8], width: usize, height: usize| {
            let (left, right) = ((4 * bar + 1) * width / 32, (4 * bar + 3) * width / 32);
            let lines = plane.chunks(width).skip(height * 9 / 10);
            let points: Vec<i32> = lines.flat_map(|line| &line[left..right]).copied().map(i32::from).collect();
            points.iter().sum::<i32>() / points.len() as i32
        };
        let (width, height) = (picture.width, picture.height);
        [
            mean(&picture.y, width, height),
            mean(&picture.u, width / 2, height / 2),
            mean(&picture.v, width / 2, height / 2),
        ]
    });
    let differs = |seen: &[i32; 3], bar: &[i32; 3]| seen.iter().zip(bar).any(|(a, b)| (a - b).abs() > BAR_TOLERANCE);
    seen.enumerate().filter(|(number, seen)| differs(seen, &BARS[*number])).collect()
}

/// Whether anything moved between two pictures.
pub fn moved(before: &Picture, after: &Picture) -> bool {
    before.y.iter().zip(&after.y).any(|(a, b)| a.abs_diff(*b) > MOVED)
}

/// The share of a packet's energy that lies at `pitch`, in hertz; 1 is a pure tone, silence has 0.
pub fn share_of_tone(samples: &[i16], pitch: f64) -> f64 {
    let left: Vec<f64> = samples.chunks(2).map(|pair| f64::from(pair[0])).collect();
    let energy: f64 = left.iter().map(|sample| sample * sample).sum();
    let along = |wave: fn(f64) -> f64| -> f64 {
        let turn = TAU * pitch / 48_000.0;
        left.iter().enumerate().map(|(n, sample)| sample * wave(turn * n as f64)).sum()
    };
    let (sine, cosine) = (along(f64::sin), along(f64::cos));
    if energy == 0.0 { 0.0 } else { 2.0 * (sine * sine + cosine * cosine) / (energy * left.len() as f64) }
}
