//! Regions that are followed from frame to frame, and which of them are motion.
//!
//! A track has to be seen more often than chance explains. How many regions come and go is learned for each size: in rain
//! there are many small ones in every frame, and one of them near a track says little. Each sighting counts by how unlikely
//! it was; so in rain a small object has to be seen longer, and a large one does not. And a track has to move on, or change
//! for longer than a lamp takes to warm up: what only appears and stays is no motion.

use std::time::Duration;

use super::regions::{CLASSES, Region, Regions};
use super::sensitivity::{Sensitivity, score};
use super::track::{LARGE, Track, is_alike};

/// The most tracks at a time.
const MAX_TRACKS: usize = 24;

/// What a sighting that is due to chance counts on average.
const CHANCE: f32 = 1.2;

/// A track with less evidence has led nowhere.
const NOTHING: f32 = -3.0;

/// How many regions come and go by themselves, at least, for each cell and frame, and how fast that is learned, in seconds.
const LEAST_CLUTTER: f32 = 1e-6;
const LEARN_CLUTTER: f32 = 30.0;

/// How long a track that is not seen is kept, but for two frames at least.
const LOST: Duration = Duration::from_millis(700);

/// While more than so many regions come and go in a frame, a track has to be seen once more for as many of them, but not more
/// often than so.
const CLUTTERED: f32 = 4.0;
const MORE_SIGHTINGS: f32 = 3.0;

/// What is more than so many cells from where a track was has to have about its size.
const NEAR: usize = 3;

/// How long a track that stays in its place has to change, in seconds: lamps take less to warm up, and exposure less to settle.
/// And how long while the light has not changed for some time.
const RESTLESS: f32 = 3.0;
const RESTLESS_IN_STEADY_LIGHT: f32 = 1.8;
const STEADY: Duration = Duration::from_secs(5);

/// How long after a change of the light what appears may be due to that, and how long the light may change before that is no
/// excuse any more.
const SETTLED: Duration = Duration::from_secs(1);
const RESTLESS_LIGHT: Duration = Duration::from_secs(5);

/// The tracks of a camera.
#[derive(Debug)]
pub(super) struct Tracks {
    width: f32,
    picture: f32,
    tracks: Vec<Track>,
    /// Regions that come and go, by class of size, for each cell and frame.
    clutter: [f32; CLASSES],
    /// Whether each region of the frame belongs to a track.
    taken: Vec<bool>,
    /// The cells of what moves.
    moving: Vec<bool>,
    /// The interval between frames.
    interval: Duration,
    /// Since when the light changes, and when it did last.
    light_since: Duration,
    light_last: Duration,
}

impl Tracks {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width: width as f32,
            picture: (width * height) as f32,
            tracks: Vec::with_capacity(MAX_TRACKS),
            clutter: [LEAST_CLUTTER; CLASSES],
            taken: Vec::with_capacity(64),
            moving: vec![false; width * height],
            interval: Duration::ZERO,
            light_since: Duration::ZERO,
            light_last: Duration::ZERO,
        }
    }

    pub(super) fn clear(&mut self) {
        self.tracks.clear();
        self.moving.fill(false);
    }

    /// The interval between frames.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether a cell belongs to what moves.
    pub(super) fn is_moving(&self, cell: usize) -> bool {
        self.moving[cell]
    }

    /// Whether what appears may be due to a change of the light: for a moment after one, unless it changes all the time.
    fn is_in_changing_light(&mut self, changed: bool, at: Duration) -> bool {
        if changed {
            if at.saturating_sub(self.light_last) > SETTLED {
                self.light_since = at;
            }
            self.light_last = at;
        }
        self.light_last > Duration::ZERO
            && at.saturating_sub(self.light_last) <= SETTLED
            && at.saturating_sub(self.light_since) <= RESTLESS_LIGHT
    }

    /// Follows the regions of a frame; what moves, if anything does, and its score.
    pub(super) fn follow(
        &mut self,
        regions: &Regions,
        at: Duration,
        elapsed: Duration,
        light_changed: bool,
        sensitivity: &Sensitivity,
        min_duration: Duration,
    ) -> Option<(Region, u8)> {
        self.interval = elapsed;
        let in_changing_light = self.is_in_changing_light(light_changed, at);
        self.taken.clear();
        self.taken.resize(regions.iter().count(), false);
        self.moving.fill(false);
        let least = sensitivity.cells(regions.picture());
        let more = (self.clutter[0] * self.picture / CLUTTERED).min(MORE_SIGHTINGS) as u32;
        // Those that are known best choose first.
        self.tracks.sort_unstable_by(|a, b| b.evidence.total_cmp(&a.evidence));
        let mut found: Option<(Region, u8)> = None;
        for index in 0..self.tracks.len() {
            let Some(region) = self.seen(index, regions, at, least) else { continue };
            let track = &mut self.tracks[index];
            if !track.confirmed && in_changing_light {
                track.start_over(at);
            } else if !track.confirmed {
                let left = regions.cells_in(&track.origin);
                let steady = self.light_last.is_zero() || at.saturating_sub(self.light_last) > STEADY;
                let restless = if steady { RESTLESS_IN_STEADY_LIGHT } else { RESTLESS };
                track.confirmed = track.is_motion(left, restless, more, min_duration);
            }
            if !track.confirmed {
                continue;
            }
            regions.iter().filter(|known| known.overlaps(&region)).for_each(|known| {
                for cell in regions.cells_of(known) {
                    self.moving[usize::from(*cell)] = true;
                }
            });
            if region.is_changing() {
                let score = score(region.contrast, region.cells, regions.picture());
                found = Some(found.map_or((region, score), |(other, best)| (other.join(&region), best.max(score))));
            }
        }
        self.begin(regions, at, least);
        self.learn_clutter(regions, at, elapsed);
        found
    }

    /// Looks for a track among the regions that are left; what of it is seen.
    fn seen(&mut self, index: usize, regions: &Regions, at: Duration, least: usize) -> Option<Region> {
        let track = &self.tracks[index];
        let seconds = at.saturating_sub(track.last).as_secs_f32();
        let gate = track.gate(seconds, self.width);
        let (x, y) = (track.region.x + track.speed_x * seconds, track.region.y + track.speed_y * seconds);
        let near = track.region.grown(NEAR);
        let nearest = regions
            .iter()
            .enumerate()
            .filter(|(number, region)| !self.taken[*number] && region.cells >= least)
            .map(|(number, region)| {
                let reach = gate + (region.cells as f32).sqrt() / 2.0;
                ((region.x - x).hypot(region.y - y) / reach, number, region)
            })
            .filter(|(.., region)| region.overlaps(&near) || is_alike(region.cells, track.region.cells))
            .filter(|(distance, ..)| *distance <= 1.0)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, number, region) = nearest?;
        self.taken[number] = true;
        let chance = self.chance(region, regions, std::f32::consts::PI * (gate * gate).max(1.0));
        // A large object may be in several parts.
        let mut seen = *region;
        if seen.cells >= LARGE {
            let around = seen.grown(2);
            for (number, part) in regions.iter().enumerate() {
                if !self.taken[number] && part.overlaps(&around) {
                    self.taken[number] = true;
                    seen = seen.join(part);
                }
            }
        }
        let is_at_edge = regions.is_at_edge(&seen);
        self.tracks[index].sighted(seen, at, chance, is_at_edge);
        Some(seen)
    }

    /// How likely a region of this size is by chance among so many cells, as a natural logarithm with its sign changed.
    fn chance(&self, region: &Region, regions: &Regions, cells: f32) -> f32 {
        let class = region.class();
        let others = regions.count(class).saturating_sub(1) as f32 / self.picture;
        let density = self.clutter[class].max(others);
        -(1.0 - (-density * cells.min(self.picture)).exp()).max(1e-8).ln() - CHANCE
    }

    /// Drops tracks that led nowhere, and learns from them and from regions that are not followed how many come and go.
    fn learn_clutter(&mut self, regions: &Regions, at: Duration, elapsed: Duration) {
        let lost = LOST.max(elapsed * 2);
        let mut counts = [0usize; CLASSES];
        self.tracks.retain(|track| {
            let is_lost = at.saturating_sub(track.last) > lost || track.evidence < NOTHING;
            if is_lost && !track.confirmed {
                counts[..=track.region.class()].iter_mut().for_each(|count| *count += track.sightings.min(3) as usize);
            }
            !is_lost
        });
        for (class, count) in counts.iter_mut().enumerate() {
            let followed = self.tracks.iter().filter(|track| track.last == at && track.region.class() >= class).count();
            *count += regions.count(class).saturating_sub(followed);
        }
        let share = (elapsed.as_secs_f32() / LEARN_CLUTTER).min(0.3);
        for (class, (clutter, count)) in self.clutter.iter_mut().zip(counts).enumerate() {
            let least = LEAST_CLUTTER / (1 << class) as f32;
            *clutter = (*clutter + (count as f32 / self.picture - *clutter) * share).max(least);
        }
    }

    /// Begins tracks for the regions that are left.
    fn begin(&mut self, regions: &Regions, at: Duration, least: usize) {
        for (number, region) in regions.iter().enumerate() {
            if self.taken[number] || region.cells < least {
                continue;
            }
            if self.tracks.len() == MAX_TRACKS {
                let weakest = self.tracks.iter().enumerate().min_by(|a, b| a.1.evidence.total_cmp(&b.1.evidence));
                let Some((weakest, _)) = weakest.filter(|(_, track)| track.sightings == 1) else { return };
                if self.tracks[weakest].region.cells >= region.cells {
                    continue;
                }
                self.tracks.swap_remove(weakest);
            }
            let evidence = self.chance(region, regions, self.picture);
            self.tracks.push(Track::new(*region, at, evidence));
        }
    }
}
