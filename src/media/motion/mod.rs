//! Motion detection on a small luma plane of a camera's frames. Pure: time is an argument, and nothing is allocated for a
//! frame after the first one.
//!
//! ```text
//! LumaPlane -> light -> residual -> active cells -> regions -> tracks -> Motion
//!                 ^        |
//!                 +- background (level and noise of each cell)
//! ```
//!
//! The light on the scene may change at any time: exposure, lamps and clouds change it smoothly across the picture, which
//! `light` takes out. What remains is compared with the learned noise of each cell (`background`). Cells that differ form
//! regions, and regions tracks. A track is motion once it moves on, and has been seen more often than chance explains: rain
//! makes many small regions that last for one frame (`tracks`).
//!
//! Making the plane of a frame belongs to `media::convert`, threads and events to `pipeline::motion`.

mod background;
mod light;
mod plane;
mod regions;
mod sensitivity;
mod track;
mod tracks;

use std::time::Duration;

pub use plane::{LumaPlane, LumaSource};

use background::Background;
use light::Light;
use regions::{Region, Regions};
use sensitivity::Sensitivity;
use tracks::Tracks;

/// How long motion may pause before it has ended: a person who stops for a moment is one event.
const QUIET: Duration = Duration::from_secs(2);

/// How long the scene is learned before anything is reported, and from how many frames at least.
const LEARNING: Duration = Duration::from_secs(2);
const LEARNING_FRAMES: u32 = 5;

/// How far the time of a frame may go back.
const BACK: Duration = Duration::from_secs(1);

/// When more than this share of the picture differs, the camera was moved or covered: the scene is learned anew.
const WHOLE_PICTURE: f32 = 0.6;

/// When more than this share of it differs, it is no change of the light, which would have explained most of that.
const MUCH: f32 = 0.3;

/// What is detected in a camera's picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether anything is.
    pub enabled: bool,
    /// How small and faint what moves may be, 1 to 100.
    pub sensitivity: u8,
    /// How long it has to move, in milliseconds.
    pub min_duration: u32,
    /// Where it has to be; everywhere if empty.
    pub include: Vec<PictureRect>,
    /// Where it is ignored.
    pub exclude: Vec<PictureRect>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: false, sensitivity: 50, min_duration: 300, include: Vec::new(), exclude: Vec::new() }
    }
}

/// A rectangle in fractions of the picture's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PictureRect {
    /// Its left edge.
    pub x: f32,
    /// Its top edge.
    pub y: f32,
    /// Its width.
    pub width: f32,
    /// Its height.
    pub height: f32,
}

impl PictureRect {
    /// Whether a point is inside.
    fn contains(&self, x: f32, y: f32) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// Where something moves, and how clearly.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MovingRegion {
    /// How clear it is, 1 to 100: it is found at a sensitivity of 101 minus the score, or higher.
    pub score: u8,
    /// Where it is.
    pub rect: PictureRect,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// Nothing moves.
    None,
    /// Something has begun to move: where it is now.
    Begun(MovingRegion),
    /// It moves, or has stopped a moment ago: where it is now.
    GoesOn(MovingRegion),
    /// It moves no more: the highest score, and where all of it was.
    Ended(MovingRegion),
}

/// Detects motion in the frames of one camera.
#[derive(Debug)]
pub struct MotionDetector {
    config: Config,
    sensitivity: Sensitivity,
    /// `None` before the first frame, and after a change of its size.
    scene: Option<Scene>,
    event: Option<Event>,
}

/// What is known of the scene.
#[derive(Debug)]
struct Scene {
    width: usize,
    height: usize,
    /// The cells in which motion counts.
    enabled: Vec<bool>,
    background: Background,
    light: Light,
    regions: Regions,
    tracks: Tracks,
    /// Frames since learning began.
    frames: u32,
    since: Duration,
    last: Duration,
}

/// Motion that was reported.
#[derive(Debug)]
struct Event {
    /// When something moved last.
    moved: Duration,
    latest: MovingRegion,
    whole: MovingRegion,
}

impl MotionDetector {
    /// A detector that knows nothing yet.
    pub fn new(config: &Config) -> Self {
        let sensitivity = Sensitivity::new(config.sensitivity);
        Self { config: config.clone(), sensitivity, scene: None, event: None }
    }

    /// Goes on with another configuration and what is known of the scene.
    pub fn reconfigure(&mut self, config: &Config) {
        self.config = config.clone();
        self.sensitivity = Sensitivity::new(config.sensitivity);
        if let Some(scene) = &mut self.scene {
            scene.enabled = enabled_cells(&self.config, scene.width, scene.height);
        }
    }

    /// Forgets the scene. Motion that was reported has ended.
    pub fn reset(&mut self) -> Motion {
        self.scene = None;
        self.event.take().map_or(Motion::None, |event| Motion::Ended(event.whole))
    }

    /// What the frame shows that was captured at `at`, the time since any moment. A frame whose time goes back a little is
    /// ignored; when it goes back further, it is another camera.
    pub fn frame(&mut self, plane: &LumaPlane, at: Duration) -> Motion {
        let (width, height) = (plane.width(), plane.height());
        let is_other = |scene: &Scene| (scene.width, scene.height) != (width, height) || at + BACK < scene.last;
        if self.scene.as_ref().is_some_and(is_other) {
            self.scene = None;
        }
        let config = &self.config;
        let scene = self.scene.get_or_insert_with(|| Scene::new(plane, enabled_cells(config, width, height), at));
        let min_duration = Duration::from_millis(config.min_duration.into());
        let moving = scene.frame(plane, at, &self.sensitivity, min_duration);
        // Frames that are far apart are no pause.
        let quiet = QUIET.max(scene.tracks.interval() * 3 / 2);
        self.report(moving, at, quiet)
    }

    fn report(&mut self, moving: Option<MovingRegion>, at: Duration, quiet: Duration) -> Motion {
        if let Some(event) = &mut self.event {
            // Whatever time it is by another camera's clock.
            event.moved = event.moved.min(at);
        }
        match (&mut self.event, moving) {
            (None, None) => Motion::None,
            (None, Some(region)) => {
                self.event = Some(Event { moved: at, latest: region, whole: region });
                Motion::Begun(region)
            }
            (Some(event), Some(region)) => {
                (event.moved, event.latest) = (at, region);
                event.whole.score = event.whole.score.max(region.score);
                event.whole.rect = union(event.whole.rect, region.rect);
                Motion::GoesOn(region)
            }
            (Some(event), None) if at.saturating_sub(event.moved) < quiet => Motion::GoesOn(event.latest),
            (Some(event), None) => {
                let whole = event.whole;
                self.event = None;
                Motion::Ended(whole)
            }
        }
    }
}

impl Scene {
    fn new(plane: &LumaPlane, enabled: Vec<bool>, at: Duration) -> Self {
        let (width, height) = (plane.width(), plane.height());
        Self {
            width,
            height,
            enabled,
            background: Background::new(plane),
            light: Light::new(width, height),
            regions: Regions::new(width, height),
            tracks: Tracks::new(width, height),
            frames: 0,
            since: at,
            last: at,
        }
    }

    /// Where something moves.
    fn frame(
        &mut self,
        plane: &LumaPlane,
        at: Duration,
        sensitivity: &Sensitivity,
        min_duration: Duration,
    ) -> Option<MovingRegion> {
        if self.frames > 0 && at <= self.last {
            return None;
        }
        let elapsed = at.saturating_sub(self.last);
        self.last = at;
        self.frames += 1;
        self.light.measure(plane, |cell| self.background.level(cell));
        self.background.compare(plane, &self.light);
        if self.frames <= LEARNING_FRAMES || at.saturating_sub(self.since) < LEARNING {
            self.background.learn(plane, self.frames);
            return None;
        }
        let differing = self.regions.find(&self.background, &self.enabled, sensitivity);
        if differing > WHOLE_PICTURE {
            (self.frames, self.since) = (0, at);
            self.tracks.clear();
            self.background.restart(plane);
            return None;
        }
        self.regions.remove(|cells| {
            let is_light = self.background.has_same_structure(plane, cells);
            if is_light {
                self.background.take_over(plane, &self.light, cells);
            }
            is_light
        });
        let light = self.light.is_changing() && differing < MUCH;
        let moving = self.tracks.follow(&self.regions, at, elapsed, light, sensitivity, min_duration);
        let seconds = elapsed.as_secs_f32();
        self.background.update(plane, &self.light, seconds, sensitivity, |cell| self.tracks.is_moving(cell));
        let (region, score) = moving?;
        Some(MovingRegion { score, rect: self.fractions(&region) })
    }

    fn fractions(&self, region: &Region) -> PictureRect {
        let (width, height) = (self.width as f32, self.height as f32);
        PictureRect {
            x: region.left as f32 / width,
            y: region.top as f32 / height,
            width: (region.right - region.left + 1) as f32 / width,
            height: (region.bottom - region.top + 1) as f32 / height,
        }
    }
}

/// The cells in which motion counts: their middle is in a rectangle that is included, if there are any, and in none that is
/// excluded.
fn enabled_cells(config: &Config, width: usize, height: usize) -> Vec<bool> {
    let is_enabled = |cell: usize| {
        let (x, y) = ((cell % width) as f32 + 0.5, (cell / width) as f32 + 0.5);
        let is_in = |rect: &PictureRect| rect.contains(x / width as f32, y / height as f32);
        (config.include.is_empty() || config.include.iter().any(is_in)) && !config.exclude.iter().any(is_in)
    };
    (0..width * height).map(is_enabled).collect()
}

fn union(one: PictureRect, other: PictureRect) -> PictureRect {
    let (x, y) = (one.x.min(other.x), one.y.min(other.y));
    let right = (one.x + one.width).max(other.x + other.width);
    let bottom = (one.y + one.height).max(other.y + other.height);
    PictureRect { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod clips;
#[cfg(test)]
mod tests;
