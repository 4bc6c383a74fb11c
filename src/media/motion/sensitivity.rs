//! What the one number for the sensitivity means: how faint and how small what moves may be. And the score of a region, which
//! is the same scale read backwards.

/// Luma levels by which a cell has to differ beyond its noise, at sensitivity 1 and at 100. Between them each step is the same
/// factor.
const FAINTEST: (f32, f32) = (40.0, 1.0);

/// Cells that have to differ, of a picture of [`PICTURE`] cells, at sensitivity 1; one is enough from [`ONE_CELL`] on.
const MOST_CELLS: f32 = 20.0;
const ONE_CELL: f32 = 80.0;

/// The cells of a picture of 16 to 9.
const PICTURE: f32 = 80.0 * 45.0;

/// By how many times its noise a cell may differ, whatever the sensitivity: the noise is a mean deviation, and its largest one
/// in an hour is five times that.
pub(super) const NOISE: f32 = 5.0;

/// The limits at one sensitivity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sensitivity {
    /// Luma levels by which a cell has to differ beyond its noise.
    pub contrast: f32,
    /// Cells that have to differ, of [`PICTURE`].
    cells: f32,
}

impl Sensitivity {
    pub(super) fn new(sensitivity: u8) -> Self {
        let sensitivity = f32::from(sensitivity.clamp(1, 100)) - 1.0;
        let (most, least) = FAINTEST;
        let contrast = most * (least / most).powf(sensitivity / 99.0);
        let cells = MOST_CELLS * MOST_CELLS.powf(-sensitivity / (ONE_CELL - 1.0));
        Self { contrast, cells: cells.max(1.0) }
    }

    /// By how much a cell with this noise has to differ.
    pub(super) fn threshold(&self, noise: f32) -> f32 {
        NOISE * noise + self.contrast
    }

    /// How many cells have to differ in a picture of `picture` cells.
    pub(super) fn cells(&self, picture: usize) -> usize {
        ((self.cells * picture as f32 / PICTURE).round() as usize).max(1)
    }
}

/// The score of a region with `cells` of the `picture`'s cells that differ by `contrast` beyond their noise: 101 minus the least
/// sensitivity that finds it.
pub(super) fn score(contrast: f32, cells: usize, picture: usize) -> u8 {
    let (most, least) = FAINTEST;
    let by_contrast = 1.0 + 99.0 * (contrast.max(0.01) / most).ln() / (least / most).ln();
    let share = cells as f32 * PICTURE / picture as f32;
    // Whole cells are compared, and half a cell less is rounded up to them.
    let share = (share + 0.5).min(MOST_CELLS);
    let by_size = 1.0 + (ONE_CELL - 1.0) * -(share / MOST_CELLS).ln() / MOST_CELLS.ln();
    (101.0 - by_contrast.max(by_size)).round().clamp(1.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fall_with_the_sensitivity() {
        let limits = [1, 25, 50, 75, 100].map(|number| {
            let sensitivity = Sensitivity::new(number);
            ((sensitivity.contrast * 10.0).round() / 10.0, sensitivity.cells(3600))
        });
        assert_eq!(limits, [(40.0, 20), (16.4, 8), (6.4, 3), (2.5, 1), (1.0, 1)]);
    }

    #[test]
    fn a_region_is_found_at_the_sensitivity_that_its_score_says() {
        for (contrast, cells) in [(6.0, 4), (30.0, 100), (100.0, 3), (2.0, 2000), (300.0, 3000)] {
            let score = score(contrast, cells, 3600);
            let found = |number: u8| {
                let sensitivity = Sensitivity::new(number);
                contrast >= sensitivity.contrast && cells >= sensitivity.cells(3600)
            };
            let least = (1..=100).find(|number| found(*number)).expect("found at some sensitivity");
            assert!(least.abs_diff(101 - score) <= 2, "{contrast} {cells}: score {score}, found at {least}");
        }
    }
}
