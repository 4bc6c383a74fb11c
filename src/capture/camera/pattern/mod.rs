//! The test pattern: the camera that every board has. It shows what a new user sees first, and carries what tests and
//! benchmarks measure by: a clock, the block code (`camera::code`), and a lamp that is lit when the tone (`audio::tone`)
//! ticks.
//!
//! Here stand the opening, the pacing and the counting of lost frames; what the picture shows is in `scene`. It costs
//! CPU that a real camera does not, so only what moves is drawn anew.

mod clock;
mod pool;
mod scene;

use std::time::Duration;

use super::{Config, Dropped, Error, VideoSource};
use crate::media::pacer;
use crate::media::pacer::{FrameClock, PaceStep, Pacer};
use crate::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};

pub use super::canvas::Rect;
pub use second_hand::FLASH;

/// The sizes in pixels that can be asked for; others are moved to the nearest. 8192 is H.264's largest (level 6).
const SIZES: std::ops::RangeInclusive<u32> = 16..=8192;

/// The rates in frames a second that can be asked for; others are moved to the nearest. 240 is beyond any display.
const RATES: std::ops::RangeInclusive<u32> = 1..=240;

/// The built-in camera.
pub struct Pattern {
    format: VideoFormat,
    scene: scene::Scene,
    pool: pool::Pool,
    pacer: Pacer,
    dropped: Dropped,
}

impl Pattern {
    /// Opens the pattern in the size and rate that `config` asks for. An odd width or height becomes the even number
    /// below.
    pub fn open(config: &Config) -> Self {
        let side = |pixels: u32| pixels.clamp(*SIZES.start(), *SIZES.end()) & !1;
        let (width, height) = (side(config.width.target()), side(config.height.target()));
        let fps = config.fps.target().clamp(*RATES.start(), *RATES.end());
        Self {
            format: VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: f64::from(fps) },
            scene: scene::Scene::new(&config.name, width as usize, height as usize, fps),
            pool: pool::Pool::new(),
            // Like a real source whose only reader wants the newest picture, it holds no old one.
            pacer: Pacer::new(FrameClock::new(fps), 0),
            dropped: Dropped::default(),
        }
    }

    /// The frame that is due at `now`. Its number in the block code counts slots of the wall clock, so that a gap is as
    /// many lost frames.
    ///
    /// # Errors
    ///
    /// How long it is until a frame is due.
    pub fn poll(&mut self, now: Timestamp) -> Result<RawFrame, Duration> {
        match self.pacer.poll(now) {
            PaceStep::Wait(wait) => Err(wait),
            PaceStep::Due { slot, start, missed } => {
                self.dropped.driver += missed;
                Ok(self.render(slot as u32, start))
            }
        }
    }

    /// Frame number `frame`, captured at `at`.
    pub fn render(&self, frame: u32, at: Timestamp) -> RawFrame {
        let mut data = self.pool.acquire(self.scene.background());
        self.scene.draw(&mut data, frame, at);
        RawFrame::new(at, self.format, self.pool.lend(data))
    }
}

impl VideoSource for Pattern {
    fn format(&self) -> VideoFormat {
        self.format
    }

    fn label(&self) -> &str {
        "test pattern"
    }

    fn is_pattern(&self) -> bool {
        true
    }

    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error> {
        Ok(pacer::wait(wait, |now| self.poll(now)))
    }

    fn set_bitrate(&mut self, _bitrate: u32) -> bool {
        true
    }

    fn dropped(&self) -> Dropped {
        self.dropped
    }
}

/// Where the lamp of a pattern of `width` x `height` pixels is evenly white for the first [`FLASH`] of every second
/// of the capture clock, and dark for the rest; `None` in a picture too small for it.
pub fn lamp(width: u32, height: u32) -> Option<Rect> {
    scene::second_hand_area(width as usize & !1, height as usize & !1).map(second_hand::lamp)
}

mod background;
mod second_hand;
#[cfg(test)]
mod tests;
