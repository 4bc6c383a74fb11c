//! The clock of the test pattern: draws `HH:MM:SS.mmm` in UTC. The background is a single colour, so that a character
//! is drawn by copying its rows.

use crate::capture::camera::canvas::{Canvas, Colour, Glyph, Rect, letter_width};
use crate::media::Timestamp;

/// The characters of the clock, in the order in which their glyphs are stored.
const LETTERS: &str = "0123456789:.";

/// Indices of `:` and `.` in [`LETTERS`].
const COLON: usize = 10;
const POINT: usize = 11;

/// The number of characters in `HH:MM:SS.mmm`.
const LENGTH: usize = 12;

/// The index of the first character of the fraction, which has a different colour.
const FRACTION: usize = 8;

/// The smallest legible text height in pixels.
const LEGIBLE: usize = 12;

/// The clock, prepared for one position and size.
pub struct Clock {
    x: usize,
    y: usize,
    letter: usize,
    seconds: Vec<Vec<u8>>,
    fraction: Vec<Vec<u8>>,
    stride: usize,
}

impl Clock {
    /// The largest clock that fits into `area`, centred; `None` if it would not be legible. `area` is as wide as the
    /// frame. Draws the clock's background on the canvas.
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

/// The time of day at `at`, as indices in [`LETTERS`].
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
