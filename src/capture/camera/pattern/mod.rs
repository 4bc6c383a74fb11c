//! The test pattern: the camera that every host has. It is the first thing a new user sees, and it carries what tests
//! and benchmarks measure: a clock, the timecode (`camera::timecode`), and a flash that is on while the tone
//! (`audio::test_tone`) ticks.
//!
//! This file opens and paces it and counts skipped frames; what a frame shows is in `scene`. Drawing costs CPU that a
//! real camera does not, so only the moving parts are redrawn.

mod clock;
mod pool;
mod scene;

use std::time::Duration;

use super::{Config, Dropped, Error, VideoSource};
use crate::media::pacer;
use crate::media::pacer::{FrameClock, PaceStep, Pacer};
use crate::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};

pub use super::canvas::Rect;

/// The supported sizes in pixels; others are clamped. 8192 is the maximum of H.264 (level 6).
const SIZES: std::ops::RangeInclusive<u32> = 16..=8192;

/// The supported frame rates per second; others are clamped. 240 is beyond any display.
const RATES: std::ops::RangeInclusive<u32> = 1..=240;

/// The built-in test pattern, which stands in for a camera.
pub struct TestPattern {
    format: VideoFormat,
    scene: scene::Scene,
    pool: pool::Pool,
    pacer: Pacer,
    dropped: Dropped,
}

impl TestPattern {
    /// Opens the pattern with the configured size and frame rate. Odd dimensions are rounded down to even ones.
    pub fn open(config: &Config) -> Self {
        let side = |pixels: u32| pixels.clamp(*SIZES.start(), *SIZES.end()) & !1;
        let (width, height) = (side(config.width.target()), side(config.height.target()));
        let fps = config.fps.target().clamp(*RATES.start(), *RATES.end());
        Self {
            format: VideoFormat {
                pixel: PixelFormat::I420,
                width,
                height,
                stride: width,
                fps: f64::from(fps),
                color: Colorimetry::SRGB,
            },
            scene: scene::Scene::new(&config.name, width as usize, height as usize, fps),
            pool: pool::Pool::new(),
            // Like a real source whose only reader wants the newest frame, it keeps no old one.
            pacer: Pacer::new(FrameClock::new(fps), 0),
            dropped: Dropped::default(),
        }
    }

    /// The frame that is due at `now`. Its number in the timecode counts ticks of the wall clock, so that a gap equals
    /// the number of lost frames.
    ///
    /// # Errors
    ///
    /// How long until the next frame is due.
    pub fn poll(&mut self, now: Timestamp) -> Result<RawFrame, Duration> {
        match self.pacer.poll(now) {
            PaceStep::Wait(wait) => Err(wait),
            PaceStep::Due { tick, start, missed } => {
                self.dropped.driver += missed;
                Ok(self.render(tick as u32, start))
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

impl VideoSource for TestPattern {
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

/// The part of a pattern of `width` x `height` pixels that is evenly white for the first [`FLASH`] of every second of
/// the capture clock, and dark for the rest; `None` in a frame too small for it.
#[cfg(test)]
fn lamp(width: u32, height: u32) -> Option<Rect> {
    scene::second_hand_area(width as usize & !1, height as usize & !1).map(second_hand::lamp)
}

mod background;
mod second_hand;
#[cfg(test)]
mod tests;
