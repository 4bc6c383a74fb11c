//! The sea of the test pattern: a strip of fine-grained water that drifts to the left. It gives an encoder the work that a
//! real picture gives it: texture with motion.

use super::paint::{Area, Canvas, Colour, bytes};
use crate::media::Timestamp;

/// The strip goes by once in this many seconds: 160 pixels a second at 1280, a brisk pan.
const PERIOD: u64 = 8;

/// Sizes of waves, each half of the one before.
const OCTAVES: u32 = 6;

/// The sea in one place and size.
pub struct Sea {
    area: Area,
    water: Vec<u8>,
}

impl Sea {
    /// A sea that fills `area`, which is as wide as the picture.
    pub fn new(area: Area) -> Self {
        let mut water = vec![0; bytes(area.width, area.height)];
        let whole = Area { x: 0, y: 0, ..area };
        let (width, height) = (area.width as f32, area.height as f32);
        Canvas::new(&mut water, area.width, area.height).shade(whole, |x, y| colour(x, y, width, height));
        Self { area, water }
    }

    /// Draws the sea as it stands at `at`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, at: Timestamp) {
        let unix = at.unix();
        let since = u128::from(unix.as_secs() % PERIOD) * 1_000_000_000 + u128::from(unix.subsec_nanos());
        let shift = (since * self.area.width as u128 / (u128::from(PERIOD) * 1_000_000_000)) as usize;
        // Even, so that luma and colour move together.
        canvas.paste(self.area, &self.water, shift & !1);
    }
}

/// The colour of the water at a pixel of a strip of `width` x `height`; its right edge goes on at its left edge.
fn colour(x: f32, y: f32, width: f32, height: f32) -> Colour {
    let depth = y / height;
    // Waves are longer than high, and longer the nearer they are.
    let mut swell = 0.0;
    let mut weight = 0.5;
    for octave in 0..OCTAVES {
        let count = ((width / height * 1.5).round().max(1.0) as u32) << octave;
        let noise = noise(x / width * count as f32, depth.sqrt() * 4.0 * (1u32 << octave) as f32, count, octave);
        swell += weight * (1.0 - (2.0 * noise - 1.0).abs());
        weight *= 0.62;
    }
    let swell = (swell / 1.25).clamp(0.0, 1.0);
    let deep = Colour::rgb(6.0, 40.0, 70.0).mix(Colour::rgb(4.0, 62.0, 92.0), depth);
    let crest = Colour::rgb(64.0, 170.0, 190.0);
    let foam = Colour::rgb(230.0, 246.0, 246.0);
    deep.mix(crest, swell * swell).mix(foam, ((swell - 0.78) * 5.0).clamp(0.0, 1.0))
}

/// Smooth noise, 0 to 1, that repeats after `count` in `x`.
fn noise(x: f32, y: f32, count: u32, seed: u32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (right, down) = (smooth(x - left), smooth(y - top));
    let at = |column: f32, row: f32| hash(column as u32 % count, row as u32, seed);
    let above = at(left, top) * (1.0 - right) + at(left + 1.0, top) * right;
    let below = at(left, top + 1.0) * (1.0 - right) + at(left + 1.0, top + 1.0) * right;
    above * (1.0 - down) + below * down
}

/// A number from 0 to 1 that looks random, always the same for the same place: the picture is the same in every run.
fn hash(column: u32, row: u32, seed: u32) -> f32 {
    // The multipliers are large odd numbers; xor and shift bring the well-mixed high bits down.
    let mut mixed = column.wrapping_mul(0x9e37_79b1) ^ row.wrapping_mul(0x85eb_ca6b) ^ seed.wrapping_mul(0xc2b2_ae35);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
    ((mixed ^ (mixed >> 15)) & 0xffff) as f32 / 65_535.0
}
