//! Key frames of a camera that encodes by itself.

use std::time::{Duration, Instant};

use crate::capture::camera::VideoSource;
use crate::media::PixelFormat;
use crate::media::encoder::keyframe;
use crate::pipeline::video::PipelineContext;

/// New viewers wait for a key frame; a longer wait than this is worth a warning.
const KEYFRAME_WARN_AFTER: Duration = Duration::from_secs(5);

/// Forwards viewers' key frame requests to a camera that encodes by itself.
#[derive(Default)]
pub struct KeyRequests {
    last_request: Option<Instant>,
    waiting_since: Option<Instant>,
    warned: bool,
}

impl KeyRequests {
    /// Asks the camera for a key frame, if viewers wait for one.
    pub fn forward(&mut self, ctx: &PipelineContext, source: &mut dyn VideoSource, now: Instant) {
        let wanted = source.format().pixel == PixelFormat::H264
            && ctx.frames.subscribers() > 0
            && ctx.frames.refresh_requested();
        if !wanted {
            // The encode thread has seen a key frame, or nobody waits for one.
            self.waiting_since = None;
            return;
        }
        let waits = now.saturating_duration_since(*self.waiting_since.get_or_insert(now));
        if waits >= KEYFRAME_WARN_AFTER && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                camera = ctx.label.camera,
                "the camera gave no key frame for {} s although it was asked; new viewers wait that long: shorten its key \
                 frame interval, or choose another format (format = \"MJPEG\")",
                waits.as_secs()
            );
        }
        if self.last_request.is_none_or(|last| now.saturating_duration_since(last) >= keyframe::MIN_DISTANCE) {
            self.last_request = Some(now);
            source.request_keyframe();
        }
    }
}
