//! Regions of neighbouring cells that differ from the background.

use super::background::Background;
use super::sensitivity::Sensitivity;

/// The most regions that are followed, the largest ones.
const MAX_REGIONS: usize = 64;

/// Classes of size that regions are counted in: from 1, 2, 4, ... cells on.
pub(super) const CLASSES: usize = 8;

/// A region of neighbouring cells that differ.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Region {
    /// How many.
    pub cells: usize,
    /// How many of them have changed lately.
    pub fresh: usize,
    /// By how much they differ beyond their noise, on average.
    pub contrast: f32,
    /// Their first and last columns and lines.
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
    /// Their middle.
    pub x: f32,
    pub y: f32,
    /// Where they are in the list of cells.
    start: usize,
}

/// The regions of a frame.
#[derive(Debug)]
pub(super) struct Regions {
    width: usize,
    height: usize,
    found: Vec<Region>,
    /// Regions of each size or larger, those too that are not followed.
    counts: [usize; CLASSES],
    /// The cells of all regions, one region after another.
    cells: Vec<u16>,
    /// Cells that differ and belong to no region yet.
    open: Vec<bool>,
}

impl Region {
    /// The class of its size.
    pub(super) fn class(&self) -> usize {
        (self.cells.max(1).ilog2() as usize).min(CLASSES - 1)
    }

    /// Whether enough of it has changed lately for something that moves: about an edge of it.
    pub(super) fn is_changing(&self) -> bool {
        self.fresh > 0 && 2 * self.fresh * self.fresh >= self.cells
    }

    /// Both regions as one, whose cells are not in one list.
    pub(super) fn join(&self, other: &Self) -> Self {
        let cells = self.cells + other.cells;
        let mean = |a: f32, b: f32| (a * self.cells as f32 + b * other.cells as f32) / cells as f32;
        Self {
            cells,
            fresh: self.fresh + other.fresh,
            contrast: mean(self.contrast, other.contrast),
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
            x: mean(self.x, other.x),
            y: mean(self.y, other.y),
            start: self.start,
        }
    }

    /// The region with a margin of so many cells.
    pub(super) fn grown(&self, cells: usize) -> Self {
        Self {
            left: self.left.saturating_sub(cells),
            top: self.top.saturating_sub(cells),
            right: self.right + cells,
            bottom: self.bottom + cells,
            ..*self
        }
    }

    /// Whether the rectangle contains a cell.
    fn contains(&self, x: usize, y: usize) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    /// Whether at least half of the rectangle is outside another one.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let length = |from: usize, to: usize| (to + 1).saturating_sub(from);
        let across = length(self.left.max(other.left), self.right.min(other.right));
        let down = length(self.top.max(other.top), self.bottom.min(other.bottom));
        2 * across * down <= length(self.left, self.right) * length(self.top, self.bottom)
    }

    /// Whether the rectangles of two regions overlap.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.left <= other.right && other.left <= self.right && self.top <= other.bottom && other.top <= self.bottom
    }
}

impl Regions {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            found: Vec::with_capacity(MAX_REGIONS),
            counts: [0; CLASSES],
            cells: Vec::with_capacity(width * height),
            open: vec![false; width * height],
        }
    }

    /// Cells of the picture.
    pub(super) fn picture(&self) -> usize {
        self.width * self.height
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.found.iter()
    }

    /// The cells of a region.
    pub(super) fn cells_of(&self, region: &Region) -> &[u16] {
        &self.cells[region.start..region.start + region.cells]
    }

    /// Whether a region is at the edge of the picture.
    pub(super) fn is_at_edge(&self, region: &Region) -> bool {
        region.left == 0 || region.top == 0 || region.right + 1 >= self.width || region.bottom + 1 >= self.height
    }

    /// How many cells of the regions are in the rectangle of one.
    pub(super) fn cells_in(&self, rect: &Region) -> usize {
        let overlapping = self.found.iter().filter(|region| region.overlaps(rect));
        let cells = overlapping.flat_map(|region| self.cells_of(region)).map(|cell| usize::from(*cell));
        cells.filter(|cell| rect.contains(cell % self.width, cell / self.width)).count()
    }

    /// Regions of a class or larger.
    pub(super) fn count(&self, class: usize) -> usize {
        self.counts[class]
    }

    /// Finds the regions of a frame; returns the share of the enabled cells that differ.
    pub(super) fn find(&mut self, background: &Background, enabled: &[bool], sensitivity: &Sensitivity) -> f32 {
        self.found.clear();
        self.cells.clear();
        self.counts = [0; CLASSES];
        let (mut differing, mut all) = (0, 0);
        for (cell, (open, enabled)) in self.open.iter_mut().zip(enabled).enumerate() {
            *open = *enabled && background.excess(cell) > sensitivity.contrast;
            differing += usize::from(*open);
            all += usize::from(*enabled);
        }
        if differing == 0 {
            return 0.0;
        }
        for cell in 0..self.open.len() {
            if self.open[cell] {
                let region = self.collect(cell, background, sensitivity);
                for count in &mut self.counts[..=region.class()] {
                    *count += 1;
                }
                self.keep(region);
            }
        }
        differing as f32 / all.max(1) as f32
    }

    /// Collects the region of a cell.
    fn collect(&mut self, first: usize, background: &Background, sensitivity: &Sensitivity) -> Region {
        let start = self.cells.len();
        let mut region = Region { left: usize::MAX, top: usize::MAX, start, ..Region::default() };
        self.open[first] = false;
        self.cells.push(first as u16);
        let mut next = start;
        while let Some(cell) = self.cells.get(next).copied().map(usize::from) {
            next += 1;
            let (x, y) = (cell % self.width, cell / self.width);
            region.contrast += background.excess(cell);
            region.fresh += usize::from(background.is_fresh(cell, sensitivity));
            (region.x, region.y) = (region.x + x as f32, region.y + y as f32);
            (region.left, region.right) = (region.left.min(x), region.right.max(x));
            (region.top, region.bottom) = (region.top.min(y), region.bottom.max(y));
            for y in y.saturating_sub(1)..(y + 2).min(self.height) {
                for x in x.saturating_sub(1)..(x + 2).min(self.width) {
                    let neighbour = y * self.width + x;
                    if std::mem::take(&mut self.open[neighbour]) {
                        self.cells.push(neighbour as u16);
                    }
                }
            }
        }
        region.cells = next - start;
        let count = region.cells as f32;
        (region.contrast, region.x, region.y) = (region.contrast / count, region.x / count, region.y / count);
        region
    }

    /// Keeps a region, if necessary in place of the smallest one.
    fn keep(&mut self, region: Region) {
        if self.found.len() < MAX_REGIONS {
            return self.found.push(region);
        }
        if let Some(smallest) = self.found.iter_mut().min_by_key(|known| known.cells)
            && smallest.cells < region.cells
        {
            *smallest = region;
        }
    }

    /// Removes the regions that are `unwanted`, which is given their cells.
    pub(super) fn remove(&mut self, mut unwanted: impl FnMut(&[u16]) -> bool) {
        let (counts, cells) = (&mut self.counts, &self.cells);
        self.found.retain(|region| {
            let removed = unwanted(&cells[region.start..region.start + region.cells]);
            if removed {
                counts[..=region.class()].iter_mut().for_each(|count| *count -= 1);
            }
            !removed
        });
    }
}
