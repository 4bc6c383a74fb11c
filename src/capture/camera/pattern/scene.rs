//! The layout of the test pattern. The static parts are drawn once, the moving parts over them for each frame. Pure:
//! time is an argument. Frame timing does not belong here.
//!
//! From the top: the timecode (`camera::timecode`) and the second hand, the clock, a line of text, colour bars and
//! moving water. Parts that do not fit into the frame are left out.

use super::background::Waves;
use super::clock::Clock;
use super::second_hand::SecondHand;
use crate::capture::camera::canvas::{Canvas, Colour, Rect, bytes, letter_width};
use crate::capture::camera::timecode;
use crate::capture::camera::timecode::Timecode;
use crate::media::Timestamp;

/// Top and bottom of the parts, in percent of the height below the timecode and the second hand.
const CLOCK: (usize, usize) = (3, 35);
const TEXT: (usize, usize) = (38, 48);
const BARS: (usize, usize) = (53, 64);
const SEA: (usize, usize) = (64, 100);

/// The smallest legible text height in pixels.
const LEGIBLE: usize = 11;

/// The colour bars of ITU-R BT.471 at 75 %, in red, green and blue.
const BAR_COLOURS: [[f32; 3]; 8] = {
    const ON: f32 = 191.0;
    [
        [ON, ON, ON],
        [ON, ON, 0.0],
        [0.0, ON, ON],
        [0.0, ON, 0.0],
        [ON, 0.0, ON],
        [ON, 0.0, 0.0],
        [0.0, 0.0, ON],
        [0.0, 0.0, 0.0],
    ]
};

/// The pattern of one camera.
pub struct Scene {
    width: usize,
    height: usize,
    camera: u8,
    background: Vec<u8>,
    second_hand: Option<SecondHand>,
    clock: Option<Clock>,
    waves: Waves,
}

impl Scene {
    /// The pattern of the camera `name` in `width` x `height` pixels, both even, at `fps` frames per second.
    pub fn new(name: &str, width: usize, height: usize, fps: u32) -> Self {
        let mut background = vec![0; bytes(width, height)];
        let mut canvas = Canvas::new(&mut background, width, height);
        canvas.shade(Rect::new(0, 0, width, height), |x, y| night(x / width as f32, y / height as f32));
        neutral_code(&mut canvas, width, height);

        let second_hand = second_hand_area(width, height).map(|area| SecondHand::new(&mut canvas, area));
        title(&mut canvas, width, height);
        let clock = Clock::new(&mut canvas, part(width, height, CLOCK));
        caption(&mut canvas, part(width, height, TEXT), name, &format!("{width}x{height}  {fps} fps  UTC"));
        bars(&mut canvas, part(width, height, BARS));
        let waves = Waves::new(part(width, height, SEA));
        Self { width, height, camera: timecode::camera_hash(name), background, second_hand, clock, waves }
    }

    /// A frame with the static parts only. The moving parts can be drawn over it again for each frame.
    pub fn background(&self) -> &[u8] {
        &self.background
    }

    /// Draws the moving parts at time `at` and the timecode of frame number `frame` into `data`, which is a copy of the
    /// [`background`](Self::background) or an earlier frame.
    pub fn draw(&self, data: &mut [u8], frame: u32, at: Timestamp) {
        let mut canvas = Canvas::new(data, self.width, self.height);
        self.waves.draw(&mut canvas, at);
        if let Some(clock) = &self.clock {
            clock.draw(&mut canvas, at);
        }
        if let Some(second_hand) = &self.second_hand {
            second_hand.draw(&mut canvas, at);
        }
        timecode::draw(canvas.luma(), self.width, self.height, self.width, &Timecode::new(frame, at, self.camera));
    }
}

/// The area of the second hand: the top right corner, next to the timecode; `None` if there is not enough space.
pub fn second_hand_area(width: usize, height: usize) -> Option<Rect> {
    // The timecode and its black border end 31 cells from the left.
    let (edge, margin) = timecode::cell(width, height).map_or((0, 8), |cell| (31 * cell, cell));
    // Multiples of 8 align the flashing disc with the transform blocks of H.264, like the timecode.
    let side = (height * 3 / 10).min(width.saturating_sub(edge + 2 * margin)) / 8 * 8;
    (side >= 24).then(|| Rect::new(width - margin - side, margin, side, side))
}

/// A part of the frame below the timecode and the second hand; `share` is its top and bottom in percent.
fn part(width: usize, height: usize, share: (usize, usize)) -> Rect {
    let code = timecode::cell(width, height).map_or(0, |cell| 7 * cell);
    let second_hand = second_hand_area(width, height).map_or(0, |second_hand| second_hand.y + second_hand.height);
    let top = code.max(second_hand);
    let line = |hundredths: usize| (top + (height - top) * hundredths / 100) & !1;
    Rect::new(0, line(share.0), width, line(share.1) - line(share.0))
}

/// The colour of the background: night blue, lighter around the clock.
fn night(x: f32, y: f32) -> Colour {
    let distance = (x - 0.5).hypot((y - 0.45) * 0.8);
    Colour::rgb(24.0, 48.0, 84.0).mix(Colour::rgb(7.0, 14.0, 30.0), (distance * 1.7).min(1.0))
}

/// Sets neutral chroma below the timecode, whose cells are drawn in luma only.
fn neutral_code(canvas: &mut Canvas<'_>, width: usize, height: usize) {
    if let Some(cell) = timecode::cell(width, height) {
        let black = Colour::rgb(0.0, 0.0, 0.0);
        canvas.shade(Rect::new(cell, cell, 30 * cell, 6 * cell), |_, _| black);
    }
}

/// Draws the title between the timecode and the second hand.
fn title(canvas: &mut Canvas<'_>, width: usize, height: usize) {
    let (Some(cell), Some(second_hand)) = (timecode::cell(width, height), second_hand_area(width, height)) else {
        return;
    };
    let lines = [("porthole", 3 * cell, [236.0, 214.0, 160.0]), ("test pattern", 2 * cell, [150.0, 180.0, 205.0])];
    let (left, mut top) = (33 * cell, cell + cell / 2);
    if lines.iter().all(|(text, size, _)| left + text.len() * letter_width(*size) + cell <= second_hand.x) {
        for (text, size, [red, green, blue]) in lines {
            canvas.text(text, left, top, size, Colour::rgb(red, green, blue));
            top += size;
        }
    }
}

/// Draws the camera's name on the left and `right` on the right.
fn caption(canvas: &mut Canvas<'_>, area: Rect, name: &str, right: &str) {
    let margin = area.width / 16;
    let room = area.width - 2 * margin;
    let letters = right.chars().count() + 2;
    // Both must fit; a long name is truncated.
    let fits = |size: &usize| letter_width(*size) * letters <= room;
    let Some(size) = (LEGIBLE..=area.height.max(LEGIBLE)).rev().find(fits) else { return };
    if size > area.height {
        return;
    }
    let (letter, top) = (letter_width(size), area.y + (area.height - size) / 2);
    let name: String = name.chars().take((room / letter).saturating_sub(letters)).collect();
    canvas.text(&name, margin, top, size, Colour::rgb(255.0, 214.0, 120.0));
    let left = area.width - margin - (letters - 2) * letter;
    canvas.text(right, left, top, size, Colour::rgb(150.0, 180.0, 205.0));
}

fn bars(canvas: &mut Canvas<'_>, area: Rect) {
    let colours = BAR_COLOURS.map(|[red, green, blue]| Colour::rgb(red, green, blue));
    let bar = area.width as f32 / colours.len() as f32;
    canvas.shade(area, |x, _| colours[((x / bar) as usize).min(colours.len() - 1)]);
}
