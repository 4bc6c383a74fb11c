//! The source that a [`CameraSelector`](super::CameraSelector) opens: the camera together with the claim to its node,
//! or the test pattern, which gives way to a camera as soon as there is one.
//!
//! Finding them does not belong here.

use std::time::{Duration, Instant};

use super::{Claim, DeviceSelector, Registry};
use crate::capture::camera::{ControlsOutcome, Dropped, Error, VideoSource};
use crate::media::{RawFrame, VideoFormat};
use crate::model::inventory::{Control, Setting};

/// How often the pattern compares the list of nodes, for hosts without hot-plug events.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A camera, or the test pattern that stands in for one.
pub struct OpenedSource {
    /// Closed before the claim is released.
    source: Box<dyn VideoSource>,
    _claim: Option<Claim>,
    watch: Option<Watch>,
}

impl OpenedSource {
    /// A camera.
    pub fn camera(source: Box<dyn VideoSource>, claim: Claim) -> Self {
        Self { source, _claim: Some(claim), watch: None }
    }

    /// The test pattern, until there is a camera.
    pub fn pattern(source: Box<dyn VideoSource>, watch: Watch) -> Self {
        Self { source, _claim: None, watch: Some(watch) }
    }
}

impl VideoSource for OpenedSource {
    fn format(&self) -> VideoFormat {
        self.source.format()
    }

    fn label(&self) -> &str {
        self.source.label()
    }

    fn is_pattern(&self) -> bool {
        self.source.is_pattern()
    }

    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error> {
        if self.watch.as_mut().is_some_and(|watch| watch.camera_available(Instant::now())) {
            return Err(Error::Replaced);
        }
        self.source.next(wait)
    }

    fn request_keyframe(&mut self) {
        self.source.request_keyframe();
    }

    fn controls(&mut self) -> Vec<Control> {
        self.source.controls()
    }

    fn changed_controls(&mut self) -> Vec<Control> {
        self.source.changed_controls()
    }

    fn set_controls(&mut self, settings: &[Setting]) -> ControlsOutcome {
        self.source.set_controls(settings)
    }

    fn set_bitrate(&mut self, bitrate: u32) -> bool {
        self.source.set_bitrate(bitrate)
    }

    fn dropped(&self) -> Dropped {
        self.source.dropped()
    }
}

/// Watches for a camera that `auto` could use instead of the pattern.
#[derive(Debug)]
pub struct Watch {
    registry: Registry,
    index: usize,
    generation: u64,
    nodes: Vec<String>,
    last_poll: Instant,
}

impl Watch {
    /// Starts after a scan at the hot-plug generation `generation`.
    pub fn new(registry: &Registry, index: usize, generation: u64) -> Self {
        let nodes = registry.0.sysfs.nodes();
        Self { registry: registry.clone(), index, generation, nodes, last_poll: Instant::now() }
    }

    /// Whether there is one now.
    pub fn camera_available(&mut self, now: Instant) -> bool {
        let generation = self.registry.generation();
        if generation == self.generation {
            if now.saturating_duration_since(self.last_poll) < POLL_INTERVAL {
                return false;
            }
            self.last_poll = now;
            let nodes = self.registry.0.sysfs.nodes();
            if nodes == self.nodes {
                return false;
            }
            self.nodes = nodes;
        }
        self.generation = generation;
        matches!(self.registry.resolve(self.index, &DeviceSelector::Auto), Ok(Some(_)))
    }
}
