//! Classifies a decoded frame: vivid's colour bars, the same without colour, or the placeholder. Pure; `observer`
//! receives the frames.

use test_viewer::Image;

/// The bars from left to right as Y, Cb, Cr: white, yellow, cyan, green, magenta, red, blue and black at 75 %, in
/// BT.601 limited range, vivid's documented default.
pub const BARS: [[i32; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

/// The same without colour, as in vivid's format GREY: Rec. 709 luma, converted from full to limited range.
const GREY_BARS: [[i32; 3]; 8] = [
    [180, 128, 128],
    [168, 128, 128],
    [145, 128, 128],
    [134, 128, 128],
    [62, 128, 128],
    [51, 128, 128],
    [28, 128, 128],
    [16, 128, 128],
];

/// Tolerance of a decoded bar: far above the encoding error in a flat area, far below the distance between two bars.
const BAR_TOLERANCE: i32 = 12;

/// The luma change that counts as motion: the counters in the image are white on black, and encoder noise is far below.
const MOVED: u8 = 60;

/// Tolerance of a flat background around its most common luma.
const FLAT_TOLERANCE: u8 = 8;

/// The minimum share of flat background in a placeholder, in percent; no bar covers more than an eighth.
const FLAT_SHARE: usize = 70;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// vivid's test image in colour.
    Bars,
    /// vivid's test image in shades of grey.
    GreyBars,
    /// Text on a flat background: the camera is unavailable.
    Placeholder,
    /// Anything else.
    Other,
}

impl Scene {
    /// Classifies an image.
    pub fn of(image: &Image) -> Scene {
        let means = means(image);
        let all_near = |bars: [[i32; 3]; 8]| means.iter().zip(&bars).all(|(measured, bar)| near(measured, bar));
        if all_near(BARS) {
            Scene::Bars
        } else if all_near(GREY_BARS) {
            Scene::GreyBars
        } else if flat_share(image) >= FLAT_SHARE {
            Scene::Placeholder
        } else {
            Scene::Other
        }
    }
}

/// Whether two images differ.
pub fn moved(before: &Image, after: &Image) -> bool {
    before.y.iter().zip(&after.y).any(|(a, b)| a.abs_diff(*b) > MOVED)
}

/// The mean Y, Cb, Cr of each bar's area.
///
/// Only the lowest tenth counts: above it vivid draws its counters and controls over the bars.
pub fn means(image: &Image) -> [[i32; 3]; 8] {
    let (width, height) = (image.width, image.height);
    std::array::from_fn(|bar| {
        let mean = |plane: &[u8], width: usize, height: usize| {
            let (left, right) = ((4 * bar + 1) * width / 32, (4 * bar + 3) * width / 32);
            let lines = plane.chunks(width).skip(height * 9 / 10);
            let points: Vec<i32> = lines.flat_map(|line| &line[left..right]).copied().map(i32::from).collect();
            points.iter().sum::<i32>() / points.len() as i32
        };
        [mean(&image.y, width, height), mean(&image.u, width / 2, height / 2), mean(&image.v, width / 2, height / 2)]
    })
}

fn near(measured: &[i32; 3], bar: &[i32; 3]) -> bool {
    measured.iter().zip(bar).all(|(a, b)| (a - b).abs() <= BAR_TOLERANCE)
}

/// The share of the image, in percent, close to its most common luma.
fn flat_share(image: &Image) -> usize {
    let mut counts = [0usize; 256];
    for luma in &image.y {
        counts[usize::from(*luma)] += 1;
    }
    let commonest = (0..=u8::MAX).max_by_key(|luma| counts[usize::from(*luma)]).unwrap_or_default();
    let flat = commonest.saturating_sub(FLAT_TOLERANCE)..=commonest.saturating_add(FLAT_TOLERANCE);
    let points: usize = flat.map(|luma| counts[usize::from(luma)]).sum();
    100 * points / image.y.len().max(1)
}
