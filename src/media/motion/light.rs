//! The light on the scene beside that of the background: a factor for each cell that varies smoothly across the picture.
//!
//! Exposure, lamps and clouds multiply the luma of what they shine on, and no object stands out by that. The factor is
//! measured in blocks of cells. Of each block it is the median, and then the median limited to about what its neighbours on both sides let
//! expect, so that objects do not count and slopes stay as they are.

use super::plane::LumaPlane;

/// Levels from which on everything is white: what is clipped has no factor of light.
pub(super) const WHITE: f32 = 226.0;

/// Cells in a line of a block, about.
const BLOCK: usize = 8;

/// The level that has the factor 0, a little below black (16), so that noise in the dark makes no large factors.
const ZERO: f32 = 12.0;

/// Cells of a block that have to say something.
const LEAST: usize = 8;

/// Light changes if more than this share of the blocks has changed by more than this share since so many frames ago.
const CHANGED_BLOCKS: f32 = 0.5;
const CHANGED: f32 = 0.025;
const HISTORY: usize = 3;

/// By how much a block may differ from what its neighbours let expect, and at the edge of the picture, where they are on one
/// side only: light does not vary evenly either.
const TOLERANCE: f32 = 0.04;
const TOLERANCE_AT_EDGE: f32 = 0.08;

/// The least factor.
const DARKEST: f32 = 0.05;

/// The directions in which a block has neighbours, one of each pair.
const DIRECTIONS: [(isize, isize); 4] = [(1, 0), (0, 1), (1, 1), (1, -1)];

/// The light on a frame.
#[derive(Debug)]
pub(super) struct Light {
    width: usize,
    height: usize,
    /// Blocks in a line, and lines of them.
    columns: usize,
    rows: usize,
    /// The factor of each block, and before it was smoothed.
    factors: Vec<f32>,
    measured: Vec<f32>,
    /// The factors of the last frames, one frame after another, and which of them are replaced next.
    history: Vec<f32>,
    oldest: usize,
    /// Whether the light is changing.
    changing: bool,
    /// Values to take the median of.
    scratch: Vec<f32>,
    /// The factor of each cell.
    field: Vec<f32>,
}

impl Light {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let blocks = |cells: usize| ((cells + BLOCK / 2) / BLOCK).max(1);
        let (columns, rows) = (blocks(width), blocks(height));
        Self {
            width,
            height,
            columns,
            rows,
            factors: vec![1.0; columns * rows],
            measured: vec![1.0; columns * rows],
            history: vec![1.0; columns * rows * HISTORY],
            oldest: 0,
            changing: false,
            scratch: Vec::with_capacity((4 * BLOCK * BLOCK).max(columns * rows)),
            field: vec![1.0; width * height],
        }
    }

    /// The level that a cell of the background has in the light of cell number `cell`.
    pub(super) fn on(&self, cell: usize, level: f32) -> f32 {
        (level - ZERO) * self.field[cell] + ZERO
    }

    /// The level in the background's light of what has this level now.
    pub(super) fn without(&self, cell: usize, level: f32) -> f32 {
        (level - ZERO) / self.field[cell] + ZERO
    }

    /// Whether it has changed lately.
    pub(super) fn is_changing(&self) -> bool {
        self.changing
    }

    /// Measures the light on a frame; `background` gives the background's level of a cell.
    pub(super) fn measure(&mut self, plane: &LumaPlane, background: impl Fn(usize) -> f32) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                self.measured[row * self.columns + column] = self.measure_block(row, column, plane, &background);
            }
        }
        self.fill_unknown();
        for row in 0..self.rows {
            for column in 0..self.columns {
                self.factors[row * self.columns + column] = self.smoothed(row, column);
            }
        }
        let blocks = self.factors.len();
        let before = &mut self.history[self.oldest * blocks..][..blocks];
        let changed = before.iter().zip(&self.factors).filter(|(before, now)| (*now / *before - 1.0).abs() > CHANGED);
        self.changing = changed.count() as f32 > CHANGED_BLOCKS * blocks as f32;
        before.copy_from_slice(&self.factors);
        self.oldest = (self.oldest + 1) % HISTORY;
        self.interpolate();
    }

    /// The factor of a block; not a number if too few cells say anything.
    fn measure_block(
        &mut self,
        row: usize,
        column: usize,
        plane: &LumaPlane,
        background: &impl Fn(usize) -> f32,
    ) -> f32 {
        self.scratch.clear();
        for y in row * self.height / self.rows..(row + 1) * self.height / self.rows {
            for x in column * self.width / self.columns..(column + 1) * self.width / self.columns {
                let cell = y * self.width + x;
                let (now, then) = (plane.level(cell), background(cell));
                // What is clipped has no factor.
                if now < WHITE && then < WHITE {
                    self.scratch.push((now - ZERO).max(1.0) / (then - ZERO).max(1.0));
                }
            }
        }
        if self.scratch.len() >= LEAST { median(&mut self.scratch) } else { f32::NAN }
    }

    /// Gives blocks that are clipped the factor of their neighbours, or that of the whole picture.
    fn fill_unknown(&mut self) {
        if !self.measured.iter().any(|factor| factor.is_nan()) {
            return;
        }
        self.scratch.clear();
        self.scratch.extend(self.measured.iter().filter(|factor| !factor.is_nan()));
        let everywhere = if self.scratch.is_empty() { 1.0 } else { median(&mut self.scratch) };
        for row in 0..self.rows {
            for column in 0..self.columns {
                if self.measured[row * self.columns + column].is_nan() {
                    let (mut sum, mut count) = (0.0, 0.0);
                    for y in row.saturating_sub(1)..(row + 2).min(self.rows) {
                        let line = &self.measured[y * self.columns..(y + 1) * self.columns];
                        let line = &line[column.saturating_sub(1)..(column + 2).min(self.columns)];
                        for factor in line.iter().filter(|factor| !factor.is_nan()) {
                            (sum, count) = (sum + factor, count + 1.0);
                        }
                    }
                    self.measured[row * self.columns + column] = if count > 0.0 { sum / count } else { everywhere };
                }
            }
        }
    }

    /// The factor of a block, without what its neighbours know nothing of.
    fn smoothed(&mut self, row: usize, column: usize) -> f32 {
        let at = |steps: isize, (right, down): (isize, isize)| {
            let (column, row) = (column.checked_add_signed(steps * right)?, row.checked_add_signed(steps * down)?);
            (column < self.columns && row < self.rows).then(|| self.measured[row * self.columns + column])
        };
        let measured = self.measured[row * self.columns + column];
        let (mut expected, mut count, mut tolerance) = ([0.0; DIRECTIONS.len()], 0, TOLERANCE);
        for direction in DIRECTIONS {
            // The middle of both sides; at the edge of the picture, where both neighbours of the one side point to.
            let straight = |one: isize, other: isize| Some(2.0 * at(one, direction)? - at(other, direction)?);
            let between = at(1, direction).zip(at(-1, direction)).map(|(one, other)| (one + other) / 2.0);
            if between.is_none() {
                tolerance = TOLERANCE_AT_EDGE;
            }
            if let Some(factor) = between.or_else(|| straight(1, 2)).or_else(|| straight(-1, -2)) {
                expected[count] = factor;
                count += 1;
            }
        }
        let expected = &mut expected[..count];
        expected.sort_unstable_by(f32::total_cmp);
        let (Some(low), Some(high)) = (expected.get(count.saturating_sub(1) / 2), expected.get(count / 2)) else {
            return measured;
        };
        // Light is never negative, wherever neighbours point to.
        let (low, high) = ((low * (1.0 - tolerance)).max(DARKEST), (high * (1.0 + tolerance)).max(DARKEST));
        measured.clamp(low, high)
    }

    /// Fills in the factors between the middles of the blocks.
    fn interpolate(&mut self) {
        let mut cell = 0;
        for y in 0..self.height {
            let (above, below, down) = between(y, self.height, self.rows);
            let (above, below) = (above * self.columns, below * self.columns);
            for x in 0..self.width {
                let (left, right, along) = between(x, self.width, self.columns);
                let at = |row: usize| {
                    let (left, right) = (self.factors[row + left], self.factors[row + right]);
                    left + (right - left) * along
                };
                let (upper, lower) = (at(above), at(below));
                self.field[cell] = (upper + (lower - upper) * down).max(DARKEST);
                cell += 1;
            }
        }
    }
}

/// The two of `blocks` blocks whose middles are nearest to a cell of `cells`, and how far it is from the first to the second.
fn between(cell: usize, cells: usize, blocks: usize) -> (usize, usize, f32) {
    if blocks == 1 {
        return (0, 0, 0.0);
    }
    let place = (cell as f32 + 0.5) * blocks as f32 / cells as f32 - 0.5;
    let first = (place.max(0.0) as usize).min(blocks - 2);
    (first, first + 1, place - first as f32)
}

/// The middle of the values, or of the two in the middle.
fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let lower = if is_odd { *upper } else { below.iter().copied().fold(f32::MIN, f32::max) };
    (lower + *upper) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 80;
    const HEIGHT: usize = 45;

    /// The light on what a scene with steps of brightness becomes by `change`, which is given a cell's column, line and level.
    fn light(change: impl Fn(usize, usize, f32) -> f32) -> Light {
        let level = |x: usize, y: usize| 40.0 + ((x / 3 + y / 4) % 5) as f32 * 20.0;
        let plane = |level: &dyn Fn(usize, usize) -> f32| {
            let cells = (0..WIDTH * HEIGHT).map(|cell| (level(cell % WIDTH, cell / WIDTH) * 16.0) as u16);
            LumaPlane::of_cells(WIDTH, HEIGHT, cells.collect())
        };
        let (mut light, background) = (Light::new(WIDTH, HEIGHT), plane(&level));
        light.measure(&plane(&|x, y| change(x, y, level(x, y))), |cell| background.level(cell));
        light
    }

    /// The factors that differ from what is expected by more than a share.
    fn wrong(light: &Light, share: f32, expected: impl Fn(usize, usize) -> f32) -> usize {
        let cells = light.field.iter().enumerate();
        cells.filter(|(cell, factor)| (*factor / expected(cell % WIDTH, cell / WIDTH) - 1.0).abs() > share).count()
    }

    fn lit(level: f32, factor: f32) -> f32 {
        (level - ZERO) * factor + ZERO
    }

    #[test]
    fn exposure_and_slopes_are_measured() {
        let exposed = light(|_, _, level| lit(level, 1.4));
        assert_eq!(wrong(&exposed, 0.01, |_, _| 1.4), 0);
        let slope = |x: usize, y: usize| 0.6 + x as f32 / 160.0 + y as f32 / 90.0;
        assert!(wrong(&light(|x, y, level| lit(level, slope(x, y))), 0.03, slope) < 40);
        // Half of it is clipped.
        let clipped = light(|x, _, level| if x < 40 { 235.0 } else { lit(level, 1.3) });
        assert_eq!(wrong(&clipped, 0.01, |_, _| 1.3), 0);
    }

    #[test]
    fn an_object_is_not_taken_for_light() {
        let object = |x: usize, y: usize| (24..32).contains(&x) && (18..27).contains(&y);
        let with = light(|x, y, level| if object(x, y) { 210.0 } else { level });
        assert_eq!(wrong(&with, 0.05, |_, _| 1.0), 0);
        assert!(!with.is_changing());
    }

    #[test]
    fn light_changes_until_it_is_steady() {
        let mut light = light(|_, _, level| lit(level, 1.4));
        assert!(light.is_changing());
        let background = LumaPlane::of_cells(WIDTH, HEIGHT, vec![1600; WIDTH * HEIGHT]);
        let brighter = LumaPlane::of_cells(WIDTH, HEIGHT, vec![2600; WIDTH * HEIGHT]);
        let changing = [(); 6].map(|()| {
            light.measure(&brighter, |cell| background.level(cell));
            light.is_changing()
        });
        assert_eq!(changing, [true, true, true, false, false, false]);
    }
}
