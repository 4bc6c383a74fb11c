//! The small luma plane that motion is looked for in: each cell is the mean of a box of pixels.

/// Lines of a box that are read, at most: more of them would make the mean hardly better, and take longer.
const LINES: usize = 8;

/// The parts of a luma level that a cell counts in: the mean of a box is finer than its pixels.
const PARTS: u32 = 16;

/// The luma of a frame in cells.
#[derive(Debug, Clone, Default)]
pub struct LumaPlane {
    width: usize,
    height: usize,
    /// In sixteenths of a level.
    cells: Vec<u16>,
    /// The sums of a box's lines, while a plane is made.
    sums: Vec<u16>,
}

/// The luma samples of a frame, wherever they are in its bytes.
#[derive(Debug, Clone, Copy)]
pub struct LumaSource<'a> {
    /// The bytes from the first sample on.
    pub data: &'a [u8],
    /// Bytes from one line to the next.
    pub stride: usize,
    /// Bytes from one sample to the next.
    pub step: usize,
    /// Samples in a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Whether black is 0 and white 255, and not 16 and 235.
    pub full_range: bool,
}

impl LumaPlane {
    /// The most cells in a line and in a column. A cell of 720p is 16 pixels wide: it averages the noise of 128 pixels away,
    /// and an object of half that width still shows.
    pub const MAX_SIDE: usize = 80;

    /// Cells in a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Lines of cells.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The level of each cell, line by line.
    pub fn levels(&self) -> impl Iterator<Item = f32> {
        self.cells.iter().map(|cell| f32::from(*cell) / PARTS as f32)
    }

    /// The level of one cell.
    pub(super) fn level(&self, cell: usize) -> f32 {
        f32::from(self.cells[cell]) / PARTS as f32
    }

    /// Replaces the cells by those of a frame. Samples that its bytes lack are black.
    pub fn fill(&mut self, source: &LumaSource<'_>) {
        let &LumaSource { data, stride, step, width, height, full_range } = source;
        (self.width, self.height) = size(width, height);
        self.cells.clear();
        let (columns, rows) = (self.width, self.height);
        let line_bytes = (width - 1) * step + 1;
        for row in 0..rows {
            let (top, bottom) = (row * height / rows, (row + 1) * height / rows);
            let every = (bottom - top).div_ceil(LINES);
            // Lines are added first, with all that lies between the samples: that is done many bytes at a time.
            self.sums.clear();
            self.sums.resize(line_bytes, 0);
            for line in (top..bottom).step_by(every) {
                let line = data.get(line * stride..).unwrap_or_default();
                self.sums.iter_mut().zip(line).for_each(|(sum, byte)| *sum += u16::from(*byte));
            }
            let lines = (bottom - top).div_ceil(every);
            for column in 0..columns {
                let (left, right) = (column * width / columns, (column + 1) * width / columns);
                let samples = self.sums[left * step..].iter().step_by(step).take(right - left);
                let sum: u32 = samples.map(|sum| u32::from(*sum)).sum();
                let level = sum * PARTS / ((right - left) * lines) as u32;
                self.cells.push(if full_range { 16 * PARTS + level * 219 / 255 } else { level } as u16);
            }
        }
    }

    /// A plane of these cells, in sixteenths of a level.
    #[cfg(test)]
    pub(super) fn of_cells(width: usize, height: usize, cells: Vec<u16>) -> Self {
        assert_eq!(cells.len(), width * height);
        Self { width, height, cells, sums: Vec::new() }
    }

    /// The cells, to be drawn.
    #[cfg(test)]
    pub(super) fn cells_mut(&mut self) -> &mut [u16] {
        &mut self.cells
    }
}

/// The cells for a frame of `width` x `height` pixels: of its shape, and none smaller than a pixel.
fn size(width: usize, height: usize) -> (usize, usize) {
    let long = width.max(height).max(1);
    let cells = LumaPlane::MAX_SIDE.min(long);
    let scaled = |side: usize| ((side * cells + long / 2) / long).clamp(1, side.max(1));
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_have_the_shape_of_their_frames() {
        for (frame, cells) in [
            ((1280, 720), (80, 45)),
            ((640, 480), (80, 60)),
            ((480, 640), (60, 80)),
            ((7680, 4320), (80, 45)),
            ((2, 2), (2, 2)),
            ((65_500, 2), (80, 1)),
        ] {
            assert_eq!(size(frame.0, frame.1), cells, "{frame:?}");
        }
    }

    /// A frame with a ramp from left to right and padding at the end of each line, with one sample in `step` bytes.
    fn ramp(width: usize, height: usize, step: usize) -> (Vec<u8>, usize) {
        let stride = width * step + 7;
        let mut data = vec![255; stride * height];
        for line in data.chunks_exact_mut(stride) {
            (0..width).for_each(|x| line[x * step] = (x * 200 / width) as u8);
        }
        (data, stride)
    }

    #[test]
    fn cells_are_means_whatever_the_layout_of_the_samples() {
        for (width, height) in [(1280, 720), (322, 182), (61, 33), (17, 200)] {
            let mut planes = Vec::new();
            for step in [1, 2, 3] {
                let (data, stride) = ramp(width, height, step);
                let mut plane = LumaPlane::default();
                plane.fill(&LumaSource { data: &data, stride, step, width, height, full_range: false });
                planes.push(plane.cells);
            }
            assert_eq!(planes[0], planes[1]);
            assert_eq!(planes[0], planes[2]);
            let columns = size(width, height).0;
            for (at, cell) in planes[0].iter().enumerate() {
                let expected = ((at % columns) as f32 + 0.5) * 200.0 / columns as f32 - 0.5;
                // Boxes begin and end at whole pixels.
                let pixel = 1.3 * 200.0 / width as f32 + 1.0;
                assert!((f32::from(*cell) / 16.0 - expected).abs() < pixel, "{width}x{height}: cell {at} is {cell}");
            }
        }
    }

    #[test]
    fn missing_samples_are_black() {
        let mut plane = LumaPlane::default();
        plane.fill(&LumaSource { data: &[200; 100], stride: 64, step: 1, width: 64, height: 64, full_range: false });
        assert_eq!((plane.cells.len(), plane.level(0), plane.level(64 * 2)), (64 * 64, 200.0, 0.0));
    }
}
