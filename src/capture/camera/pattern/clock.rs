//! The clock of the test pattern: `HH:MM:SS.mmm` in UTC on a plain ground, so that a character is drawn by copying its
//! rows.

use crate::capture::camera::canvas::{Canvas, Colour, Glyph, Rect, letter_width};
use crate::media::Timestamp;

/// The letters that the clock needs, in the order in which they are kept.
const LETTERS: &str = "0123456789:.";

/// Where `:` and `.` stand among [`LETTERS`].
const COLON: usize = 10;
const POINT: usize = 11;

/// Letters of `HH:MM:SS.mmm`.
const LENGTH: usize = 12;

/// Position of the first letter of the fraction, which has a colour of its own.
const FRACTION: usize = 8;

/// The smallest line in pixels that can be read.
const LEGIBLE: usize = 12;

/// The clock in one place and size.
pub struct Clock {
    x: usize,
    y: usize,
    letter: usize,
    seconds: Vec<Vec<u8>>,
    fraction: Vec<Vec<u8>>,
    stride: usize,
}

impl Clock {
    /// A clock in the middle of `area`, which is as wide as the frame, as large as fits; `None` when it could not be
    /// read. Leaves its ground on the canvas.
    pub fn new(canvas: &mut Canvas<'_>, area: Rect) -> Option<Self> {
        let fits = |size: &usize| letter_width(*size) * (LENGTH + 1) <= area.width * 15 / 16;
        let size = (LEGIBLE..=area.height).rev().find(fits)?;
        let letter = letter_width(size);
        let (x, y) = ((area.width - letter * LENGTH) / 2, area.y + (area.height - size) / 2);

        let paper = Colour::rgb(8.0, 18.0, 34.0);
        let ground = Rect::new(x - letter / 2, y, letter * (LENGTH + 1), size);
        let corner = size as f32 / 6.0;
        let (left, top) = (ground.x as f32 + corner, ground.y as f32 + corner);
        let (right, bottom) = (left + ground.width as f32 - 2.0 * corner, top + ground.height as f32 - 2.0 * corner);
        canvas.blend(ground, |px, py| {
            let outside = (px - px.clamp(left, right)).hypot(py - py.clamp(top, bottom));
            (paper, (corner - outside + 0.5).clamp(0.0, 1.0))
        });
        let glyphs: Vec<Glyph> = LETTERS.chars().map(|letter| Glyph::new(letter, size)).collect();
        let inked = |ink: Colour| glyphs.iter().map(|glyph| glyph.luma(ink, paper)).collect();
        let seconds = inked(Colour::rgb(255.0, 255.0, 255.0));
        let fraction = inked(Colour::rgb(120.0, 190.0, 210.0));
        Some(Self { x, y, letter, seconds, fraction, stride: area.width })
    }

    /// Draws the time at `at`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, at: Timestamp) {
        for (index, letter) in letters(at).into_iter().enumerate() {
            let glyph = if index < FRACTION { &self.seconds[letter] } else { &self.fraction[letter] };
            let left = self.x + index * self.letter;
            let lines = canvas.luma().chunks_exact_mut(self.stride).skip(self.y);
            for (line, ink) in lines.zip(glyph.chunks_exact(self.letter)) {
                line[left..left + self.letter].copy_from_slice(ink);
            }
        }
    }
}

/// The time of day at `at` as places in [`LETTERS`].
fn letters(at: Timestamp) -> [usize; LENGTH] {
    let unix = at.unix();
    let (day, millis) = ((unix.as_secs() % 86_400) as usize, unix.subsec_millis() as usize);
    let (hour, minute, second) = (day / 3600, day / 60 % 60, day % 60);
    [
        hour / 10,
        hour % 10,
        COLON,
        minute / 10,
        minute % 10,
        COLON,
        second / 10,
        second % 10,
        POINT,
        millis / 100,
        millis / 10 % 10,
        millis % 10,
    ]
}
