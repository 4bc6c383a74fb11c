//! The scene without what moves: the level of each cell, its noise, and how the current frame differs from it.

use super::light::{Light, WHITE};
use super::plane::LumaPlane;
use super::sensitivity::{NOISE, Sensitivity};

/// How fast the background follows slow changes, in seconds.
const FOLLOW: f32 = 6.0;

/// How fast the noise of a cell is learned, in seconds: of one that does not differ, of one that does again and again (leaves,
/// a flickering lamp), and of one that does so in what moves.
const LEARN_QUIET: f32 = 10.0;
const LEARN_RESTLESS: f32 = 30.0;
const LEARN_MOVING: f32 = 300.0;

/// The least noise, in levels: less than a plane can show says nothing.
const LEAST_NOISE: f32 = 0.3;

/// A cell that differs and has stood still for so long, in seconds, becomes background: what has stopped moves no more.
const STILL: f32 = 8.0;

/// Differences that a frame is compared with, for what has changed lately: that of as many frames ago.
const HISTORY: usize = 3;

/// A background that is as bright as that is a sky or a lamp: where it gets brighter nothing moves.
const BRIGHT: f32 = 205.0;

/// Cells from which on a region has a structure to compare, the least deviation of the background there, in levels, and how
/// alike both have to be to be the same surface in another light.
const STRUCTURE_CELLS: usize = 40;
const STRUCTURE: f32 = 3.0;
const ALIKE: f32 = 0.85;

/// What is known of each cell.
#[derive(Debug)]
pub(super) struct Background {
    cells: Vec<Cell>,
    /// Where the newest difference of [`Cell::history`] is.
    newest: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// The level without what moves.
    level: f32,
    /// The mean deviation.
    noise: f32,
    /// The last differences, at `newest` that of the current frame.
    history: [f32; HISTORY + 1],
    /// The difference that it has had for `still` seconds.
    rest: f32,
    still: f32,
}

impl Background {
    /// That of the first frame.
    pub(super) fn new(plane: &LumaPlane) -> Self {
        let cells = plane.levels().map(|level| Cell { level, noise: LEAST_NOISE, ..Cell::default() }).collect();
        Self { cells, newest: 0 }
    }

    /// Begins anew with a frame, and keeps what is known of the noise.
    pub(super) fn restart(&mut self, plane: &LumaPlane) {
        for (cell, level) in self.cells.iter_mut().zip(plane.levels()) {
            *cell = Cell { level, noise: cell.noise, ..Cell::default() };
        }
    }

    /// The level of a cell.
    pub(super) fn level(&self, cell: usize) -> f32 {
        self.cells[cell].level
    }

    /// Compares a frame with the background in its light.
    pub(super) fn compare(&mut self, plane: &LumaPlane, light: &Light) {
        self.newest = (self.newest + 1) % (HISTORY + 1);
        for (number, (cell, level)) in self.cells.iter_mut().zip(plane.levels()).enumerate() {
            let expected = light.on(number, cell.level);
            // A sky that gets brighter says nothing, and what is white may be darker than expected.
            let clipped = (cell.level >= BRIGHT && level >= expected) || (level >= WHITE && expected >= WHITE);
            cell.history[self.newest] = if clipped { 0.0 } else { level - expected };
        }
    }

    /// By how much a cell differs beyond its noise.
    pub(super) fn excess(&self, cell: usize) -> f32 {
        let cell = &self.cells[cell];
        cell.history[self.newest].abs() - NOISE * cell.noise
    }

    /// Whether a cell that differs has changed lately.
    pub(super) fn is_fresh(&self, cell: usize, sensitivity: &Sensitivity) -> bool {
        let cell = &self.cells[cell];
        let before = cell.history[(self.newest + 1) % (HISTORY + 1)];
        (cell.history[self.newest] - before).abs() > NOISE * cell.noise + sensitivity.contrast * 0.75
    }

    /// Takes the mean of the first frames, whatever they show.
    pub(super) fn learn(&mut self, plane: &LumaPlane, frames: u32) {
        let share = 1.0 / frames as f32;
        for (cell, level) in self.cells.iter_mut().zip(plane.levels()) {
            let deviation = (level - cell.level).abs();
            cell.level += (level - cell.level) * share;
            // The first frame has none.
            if frames > 1 {
                cell.noise = (cell.noise + (deviation - cell.noise) * share.max(0.1)).max(LEAST_NOISE);
            }
        }
    }

    /// Follows slow changes, and learns the noise.
    pub(super) fn update(
        &mut self,
        plane: &LumaPlane,
        light: &Light,
        seconds: f32,
        sensitivity: &Sensitivity,
        is_moving: impl Fn(usize) -> bool,
    ) {
        let share = |span: f32| (seconds / span).min(0.5);
        let (follow, quiet) = (share(FOLLOW), share(LEARN_QUIET));
        for (number, (cell, level)) in self.cells.iter_mut().zip(plane.levels()).enumerate() {
            let difference = cell.history[self.newest];
            let threshold = sensitivity.threshold(cell.noise);
            if (difference - cell.rest).abs() > threshold / 2.0 {
                (cell.rest, cell.still) = (difference, 0.0);
            }
            cell.still += seconds;
            // What differs too is in the light that the picture gets used to.
            cell.level += (light.on(number, cell.level) - cell.level) * follow;
            if difference.abs() <= threshold {
                cell.level += difference * follow;
                cell.noise += (difference.abs() - cell.noise) * quiet;
            } else if cell.still > STILL {
                cell.level = light.without(number, level);
                cell.history = [0.0; HISTORY + 1];
                (cell.rest, cell.still) = (0.0, 0.0);
            } else if cell.still < 1.0 {
                let learn = share(if is_moving(number) { LEARN_MOVING } else { LEARN_RESTLESS });
                cell.noise += (difference.abs().min(threshold) - cell.noise) * learn;
            }
            cell.noise = cell.noise.max(LEAST_NOISE);
        }
    }

    /// Whether cells show the structure of the background, and so the same surface in another light.
    pub(super) fn has_same_structure(&self, plane: &LumaPlane, cells: &[u16]) -> bool {
        if cells.len() < STRUCTURE_CELLS {
            return false;
        }
        let count = cells.len() as f32;
        let (mut sum_now, mut sum_then) = (0.0, 0.0);
        for cell in cells {
            sum_now += plane.level(usize::from(*cell));
            sum_then += self.level(usize::from(*cell));
        }
        let (mean_now, mean_then) = (sum_now / count, sum_then / count);
        let (mut both, mut now, mut then) = (0.0, 0.0, 0.0);
        for cell in cells {
            let a = plane.level(usize::from(*cell)) - mean_now;
            let b = self.level(usize::from(*cell)) - mean_then;
            both += a * b;
            now += a * a;
            then += b * b;
        }
        then > STRUCTURE * STRUCTURE * count && both > ALIKE * (now * then).sqrt()
    }

    /// Takes cells as they are now for background.
    pub(super) fn take_over(&mut self, plane: &LumaPlane, light: &Light, cells: &[u16]) {
        for number in cells.iter().map(|cell| usize::from(*cell)) {
            let cell = &mut self.cells[number];
            cell.level = light.without(number, plane.level(number));
            cell.history = [0.0; HISTORY + 1];
            (cell.rest, cell.still) = (0.0, 0.0);
        }
    }
}
