//! The second hand of the test pattern: a dial with twelve marks, a ball that goes round once a second and is at the
//! top at each full second, and a disc in the middle that flashes white for the first tenth of every second.

use std::f32::consts::TAU;
use std::time::Duration;

use crate::capture::camera::canvas::{Canvas, Colour, Rect};
use crate::media::Timestamp;

/// The duration of the flash at the start of every second: three frames at 30 frames/s, so that it is visible even if a
/// frame is lost.
pub const FLASH: Duration = Duration::from_millis(100);

/// The discs that form the ball and its tail, which is a sixth of a turn long and shows the direction.
const SPOTS: usize = 7;

/// The number of marks on the rim.
const MARKS: usize = 12;

/// The dial, prepared for one position and size.
pub struct SecondHand {
    area: Rect,
    dark: Vec<u8>,
    lit: Vec<u8>,
}

impl SecondHand {
    /// A dial that fills `area`. Draws it on the canvas without the flash.
    pub fn new(canvas: &mut Canvas<'_>, area: Rect) -> Self {
        let (centre, radius) = (area.centre(), area.width as f32 / 2.0);
        let glass = Colour::rgb(10.0, 24.0, 44.0);
        canvas.disc(centre, radius - 0.5, Colour::rgb(176.0, 142.0, 82.0), 1.0);
        canvas.disc(centre, radius * 0.96, Colour::rgb(120.0, 92.0, 48.0), 1.0);
        canvas.disc(centre, radius * 0.84, Colour::rgb(60.0, 44.0, 22.0), 1.0);
        canvas.disc(centre, radius * 0.81, glass, 1.0);
        for mark in 0..MARKS {
            let at = on_rim(centre, radius * 0.90, mark as f32 / MARKS as f32);
            canvas.disc(at, radius * 0.035, Colour::rgb(236.0, 214.0, 160.0), 1.0);
        }
        let lamp = radius * 0.38;
        canvas.disc(centre, lamp, Colour::rgb(26.0, 46.0, 72.0), 1.0);
        let dark = canvas.copy(area);
        canvas.disc(centre, lamp, Colour::rgb(255.0, 255.0, 255.0), 1.0);
        let lit = canvas.copy(area);
        canvas.paste(area, &dark, 0);
        Self { area, dark, lit }
    }

    /// Draws the dial at time `at`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, at: Timestamp) {
        let nanos = at.unix().subsec_nanos();
        let lit = nanos < FLASH.subsec_nanos();
        canvas.paste(self.area, if lit { &self.lit } else { &self.dark }, 0);
        let turn = (f64::from(nanos) / 1e9) as f32;
        let radius = self.area.width as f32 / 2.0;
        for spot in (0..SPOTS).rev() {
            let age = spot as f32 / SPOTS as f32;
            let place = on_rim(self.area.centre(), radius * 0.61, turn - age / 6.0);
            canvas.disc(
                place,
                radius * (0.13 - 0.08 * age),
                Colour::rgb(255.0, 196.0, 72.0),
                (1.0 - age) * (1.0 - age),
            );
        }
    }
}

/// The part of a dial in `area` that is evenly white during the flash: a square in its middle, a sixth as wide.
#[cfg(test)]
pub fn lamp(area: Rect) -> Rect {
    let side = area.width / 6;
    Rect::new(area.x + (area.width - side) / 2, area.y + (area.height - side) / 2, side, side)
}

/// The point at `turn` turns clockwise from the top, on the circle of `radius` around `centre`.
fn on_rim(centre: (f32, f32), radius: f32, turn: f32) -> (f32, f32) {
    let (sine, cosine) = (turn * TAU).sin_cos();
    (centre.0 + radius * sine, centre.1 - radius * cosine)
}
