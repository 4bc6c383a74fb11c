//! The moving background of the test pattern: a strip of fine-grained water that drifts to the left. It gives an
//! encoder the same work as a real scene: moving texture.

use crate::capture::camera::canvas::{Canvas, Colour, Rect, bytes};
use crate::media::Timestamp;

/// The strip goes by once in this many seconds: 160 pixels per second at 1280, a brisk pan.
const PERIOD: u64 = 8;

/// Sizes of waves, each half of the one before.
const OCTAVES: u32 = 6;

/// The water at one position and size.
pub struct Waves {
    area: Rect,
    water: Vec<u8>,
}

impl Waves {
    /// Water that fills `area`, which is as wide as the frame.
    pub fn new(area: Rect) -> Self {
        let mut water = vec![0; bytes(area.width, area.height)];
        let swell = swell(area.width, area.height);
        let whole = Rect { x: 0, y: 0, ..area };
        Canvas::new(&mut water, area.width, area.height)
            .shade(whole, |x, y| colour(swell[y as usize * area.width + x as usize], y / area.height as f32));
        Self { area, water }
    }

    /// Draws the water at the time `at`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, at: Timestamp) {
        let unix = at.unix();
        let since = u128::from(unix.as_secs() % PERIOD) * 1_000_000_000 + u128::from(unix.subsec_nanos());
        let shift = (since * self.area.width as u128 / (u128::from(PERIOD) * 1_000_000_000)) as usize;
        // Even, so that luma and colour move together.
        canvas.paste(self.area, &self.water, shift & !1);
    }
}

/// The height of the water at every pixel of a strip of `width` x `height`, 0 to 1: smooth noise in octaves, folded
/// into ridges. The right edge goes on at the left edge.
fn swell(width: usize, height: usize) -> Vec<f32> {
    let mut swell = vec![0.0; width * height];
    let mut weight = 0.4;
    for octave in 0..OCTAVES {
        let columns = ((width as f32 / height.max(1) as f32 * 1.5).round().max(1.0) as usize) << octave;
        for (y, line) in swell.chunks_exact_mut(width).enumerate() {
            // The root makes the waves longer from top to bottom, as from far to near.
            let row = (y as f32 / height as f32).sqrt() * (4 << octave) as f32;
            let (above, down) = (row as u32, smooth(row.fract()));
            let knot = |column: usize| {
                let at = |row| hash((column % columns) as u32, row, octave);
                at(above) * (1.0 - down) + at(above + 1) * down
            };
            let knots: Vec<f32> = (0..=columns).map(knot).collect();
            for (x, sum) in line.iter_mut().enumerate() {
                let column = x as f32 / width as f32 * columns as f32;
                let (left, right) = (column as usize, smooth(column.fract()));
                let noise = knots[left] * (1.0 - right) + knots[left + 1] * right;
                *sum += weight * (1.0 - (2.0 * noise - 1.0).abs());
            }
        }
        weight *= 0.62;
    }
    swell
}

/// Zero to one with level ends.
fn smooth(share: f32) -> f32 {
    share * share * (3.0 - 2.0 * share)
}

/// The colour of water of the height `swell` at `depth`, 0 at the top of the strip and 1 at its bottom.
fn colour(swell: f32, depth: f32) -> Colour {
    let swell = swell.clamp(0.0, 1.0);
    let deep = Colour::rgb(6.0, 40.0, 70.0).mix(Colour::rgb(4.0, 62.0, 92.0), depth);
    let crest = Colour::rgb(64.0, 170.0, 190.0);
    let foam = Colour::rgb(230.0, 246.0, 246.0);
    deep.mix(crest, swell * swell).mix(foam, ((swell - 0.78) * 5.0).clamp(0.0, 1.0))
}

/// A number from 0 to 1 that looks random, always the same for the same place: the frame is the same in every run.
fn hash(column: u32, row: u32, seed: u32) -> f32 {
    // The multipliers are large odd numbers; xor and shift bring the well-mixed high bits down.
    let mut mixed = column.wrapping_mul(0x9e37_79b1) ^ row.wrapping_mul(0x85eb_ca6b) ^ seed.wrapping_mul(0xc2b2_ae35);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
    ((mixed ^ (mixed >> 15)) & 0xffff) as f32 / 65_535.0
}
