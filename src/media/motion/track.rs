//! A region that is followed from frame to frame: how unlikely it is by chance, how it moves, and whether that is motion.

use std::time::Duration;

use super::regions::Region;

/// The fastest objects, in picture widths a second.
const FASTEST: f32 = 1.4;

/// How unlikely a track has to be by chance, as a natural logarithm.
const EVIDENCE: f32 = 14.0;

/// How often it has to be seen.
const SIGHTINGS: u32 = 3;

/// How far it has to get, in cells, and how much of its way it has to have made good: leaves go back and forth.
const LEAST_WAY: f32 = 2.0;
const STRAIGHT: f32 = 0.5;

/// A track that has not changed for so long, in seconds, is looked at anew.
const RESTING: f32 = 1.0;

/// What has at least so many cells does not grow or shrink to more than so many times of it from one frame to the next, except
/// at the edge of the picture.
pub(super) const LARGE: usize = 12;
const GROWTH: usize = 4;

/// What is far from where a track was has to have about its size: not more than so many times of it.
const ALIKE: usize = 2;

/// A region that is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    /// As it was seen last.
    pub(super) region: Region,
    /// Cells a second.
    pub(super) speed_x: f32,
    pub(super) speed_y: f32,
    /// As it was seen first.
    pub(super) origin: Region,
    /// The length of its way.
    way: f32,
    /// When it was seen first and last.
    first: Duration,
    pub(super) last: Duration,
    pub(super) sightings: u32,
    /// How unlikely it is by chance.
    pub(super) evidence: f32,
    /// How long it has changed, in seconds.
    changing: f32,
    /// How long it has not, in seconds.
    resting: f32,
    /// Whether it is motion.
    pub(super) confirmed: bool,
}

/// Whether one size may be that of the other object a moment later.
pub(super) fn is_alike(one: usize, other: usize) -> bool {
    one.max(other) <= ALIKE * one.min(other)
}

impl Track {
    pub(super) fn new(region: Region, at: Duration, evidence: f32) -> Self {
        Self {
            region,
            speed_x: 0.0,
            speed_y: 0.0,
            origin: region,
            way: 0.0,
            first: at,
            last: at,
            sightings: 1,
            evidence,
            changing: 0.0,
            resting: 0.0,
            confirmed: false,
        }
    }

    /// How far from where it is expected it may be, in cells.
    pub(super) fn gate(&self, seconds: f32, width: f32) -> f32 {
        let size = (self.region.cells as f32).sqrt() / 2.0;
        let far = FASTEST * width * seconds;
        if self.sightings == 1 {
            return size + far;
        }
        (1.5 + size + 0.6 * self.speed_x.hypot(self.speed_y) * seconds).min(size + far)
    }

    pub(super) fn sighted(&mut self, region: Region, at: Duration, evidence: f32, is_at_edge: bool) {
        let seconds = at.saturating_sub(self.last).as_secs_f32().max(1e-3);
        let sizes = (region.cells.min(self.region.cells), region.cells.max(self.region.cells));
        let may_grow = is_at_edge || self.confirmed || !region.overlaps(&self.region);
        if sizes.1 >= LARGE && sizes.1 > GROWTH * sizes.0 && !may_grow {
            self.region = region;
            return self.start_over(at);
        }
        let (x, y) = (region.x - self.region.x, region.y - self.region.y);
        let share = if self.sightings == 1 { 1.0 } else { 0.5 };
        self.speed_x += (x / seconds - self.speed_x) * share;
        self.speed_y += (y / seconds - self.speed_y) * share;
        self.way += x.hypot(y);
        if region.is_changing() {
            (self.changing, self.resting) = (self.changing + seconds, 0.0);
        } else {
            (self.changing, self.resting) = (0.0, self.resting + seconds);
        }
        self.evidence = (self.evidence + evidence).min(4.0 * EVIDENCE);
        self.sightings += 1;
        (self.region, self.last) = (region, at);
        if self.resting > RESTING && !self.confirmed {
            self.start_over(at);
        }
    }

    /// Takes no account of what has been so far.
    pub(super) fn start_over(&mut self, at: Duration) {
        *self = Self { evidence: self.evidence.min(EVIDENCE / 2.0), ..Self::new(self.region, at, self.evidence) };
    }

    /// Whether it is motion. `left` is how many cells differ where it was first, `restless` how long it has to change in its
    /// place, and `more` how many more times it has to be seen than others.
    pub(super) fn is_motion(&self, left: usize, restless: f32, more: u32, min_duration: Duration) -> bool {
        let made = (self.region.x - self.origin.x).hypot(self.region.y - self.origin.y);
        let gone = left * 2 <= self.origin.cells && self.region.is_beside(&self.origin);
        let moved = gone && made >= LEAST_WAY && made >= STRAIGHT * self.way;
        self.sightings >= SIGHTINGS + more
            && self.changing > 0.0
            && self.evidence >= EVIDENCE
            && self.last.saturating_sub(self.first) >= min_duration
            && (moved || self.changing >= restless)
    }
}
