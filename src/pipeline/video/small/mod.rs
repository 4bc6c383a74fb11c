//! The smaller rendition of a camera, of half the width and height, for viewers whose network does not carry the camera's
//! own size: its frames are made of the pictures that the encode thread has converted, and encoded on a thread of their own
//! while somebody subscribes.
//!
//! The camera's own size comes first: while its encoder takes most of the processor's time, half of the frames are left out
//! here, and one that comes while the thread is at work replaces the one that waits. A camera that encodes itself has no
//! smaller rendition. Who is sent which rendition is decided in `server::rtc`.

mod thread;

use std::sync::Arc;

use tokio::sync::watch;

use super::PipelineContext;
use crate::media::convert::{Planes, video_color};
use crate::media::encoder::BitrateTarget;
use crate::media::scale::{Scaler, half_size};
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};
use crate::model::metrics::{DropPoint, Metrics};
use crate::util::broadcast::Broadcast;
use crate::util::mailbox::Mailbox;

pub(super) use thread::SmallThread;

/// The most bits a second: a quarter of the camera's own, for a quarter of its pixels, and not more than a slow network
/// carries.
const BITRATE_SHARE: u32 = 4;
const MAX_BITRATE: u32 = 500_000;

/// While encoding in the camera's own size takes more than this share of the time between two frames, every other frame is
/// left out.
const BUSY: f64 = 0.6;

/// The smaller rendition of a camera, for those who send it; a cheap handle.
#[derive(Debug, Clone)]
pub struct SmallRendition {
    /// Its frames. A subscriber keeps the camera open, as one of the camera's own frames does.
    pub frames: Broadcast<EncodedFrame>,
    /// The bitrate of its encoder.
    pub bitrate: BitrateTarget,
    /// The format of the camera's frames that it is made of; `None` while there is no smaller rendition, or nothing is known
    /// of the camera.
    pub source: watch::Receiver<Option<VideoFormat>>,
}

/// What the camera's threads share of the smaller rendition.
#[derive(Debug, Clone)]
pub(super) struct SmallOutput {
    pub frames: Broadcast<EncodedFrame>,
    pub bitrate: BitrateTarget,
    source: watch::Sender<Option<VideoFormat>>,
    input: Arc<Mailbox<SmallInput>>,
}

/// What the encode thread sends to the thread of the smaller rendition.
#[derive(Debug)]
enum SmallInput {
    /// A picture of the smaller size.
    Frame { frame: RawFrame, placeholder: bool },
    /// Nobody watches; release the encoder.
    Rest,
}

impl SmallOutput {
    /// That of the camera whose own frames are `frames`, with `bitrate` bit/s.
    pub fn new(frames: &Broadcast<EncodedFrame>, bitrate: u32) -> Self {
        Self {
            frames: frames.sibling(super::RING),
            bitrate: BitrateTarget::new(limit(bitrate)),
            source: watch::Sender::default(),
            input: Arc::default(),
        }
    }

    pub fn handle(&self) -> SmallRendition {
        SmallRendition { frames: self.frames.clone(), bitrate: self.bitrate.clone(), source: self.source.subscribe() }
    }

    /// Ends the thread.
    pub fn close(&self) {
        self.input.close();
    }
}

/// The most bits a second, if the camera's own size has `bitrate`.
fn limit(bitrate: u32) -> u32 {
    (bitrate / BITRATE_SHARE).min(MAX_BITRATE)
}

/// Makes the smaller pictures on the encode thread, and hands them over.
pub(super) struct SmallFeed {
    output: SmallOutput,
    metrics: Metrics,
    scaler: Scaler,
    /// Whether the thread may have an encoder.
    is_fed: bool,
    /// Whether the last frame was left out to save time.
    has_skipped: bool,
}

impl SmallFeed {
    pub fn new(ctx: &PipelineContext) -> Self {
        Self {
            output: ctx.small.clone(),
            metrics: ctx.metrics.clone(),
            scaler: Scaler::default(),
            is_fed: false,
            has_skipped: false,
        }
    }

    /// Whether anybody watches; if not, the thread releases its encoder.
    pub fn is_watched(&mut self) -> bool {
        let is_watched = self.output.frames.subscribers() > 0;
        if !is_watched {
            self.rest();
        }
        is_watched
    }

    /// Has the thread release its encoder.
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.is_fed) {
            self.hand_over(SmallInput::Rest);
        }
    }

    /// Publishes whether there is a smaller rendition of a camera with frames of this format, and follows its bitrate.
    pub fn announce(&self, ctx: &PipelineContext, format: &VideoFormat) {
        self.output.bitrate.set_limit(limit(ctx.requests.settings().bitrate));
        let half = half_size(format.width as usize, format.height as usize);
        let source = half.filter(|_| format.pixel != PixelFormat::H264).map(|_| *format);
        self.output.source.send_if_modified(|known| std::mem::replace(known, source) != source);
    }

    /// Takes the picture of a frame of the camera, if anybody watches. `load` is the share of the time between two frames
    /// that encoding takes in the camera's own size.
    pub fn offer(&mut self, planes: &Planes<'_>, frame: &RawFrame, load: f64) {
        if self.output.frames.subscribers() == 0 {
            return;
        }
        self.has_skipped = load > BUSY && !self.has_skipped;
        if self.has_skipped {
            self.metrics.count_drop(DropPoint::Small, 1);
        } else {
            self.take(planes, frame, false);
        }
    }

    /// Takes the picture of a placeholder, if anybody watches.
    pub fn offer_placeholder(&mut self, planes: &Planes<'_>, frame: &RawFrame) {
        if self.output.frames.subscribers() > 0 {
            self.take(planes, frame, true);
        }
    }

    fn take(&mut self, planes: &Planes<'_>, frame: &RawFrame, placeholder: bool) {
        let Some(size) = half_size(planes.width, planes.height) else { return };
        let data = match self.scaler.halve(planes, size) {
            Ok(data) => data,
            // Not with a size that was checked.
            Err(error) => return tracing::debug!("scale {}x{}: {error}", planes.width, planes.height),
        };
        let (width, height) = (size.0 as u32, size.1 as u32);
        let color = video_color(&frame.format);
        let format = VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, color, ..frame.format };
        self.is_fed = true;
        let frame = RawFrame::new(frame.captured, format, data.into());
        self.hand_over(SmallInput::Frame { frame, placeholder });
    }

    fn hand_over(&self, input: SmallInput) {
        let replaced = self.output.input.replace(input);
        let frames = replaced.iter().filter(|input| matches!(input, SmallInput::Frame { .. })).count();
        self.metrics.count_drop(DropPoint::Small, frames as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitrate_is_a_quarter_of_the_cameras_and_half_a_megabit_at_most() {
        assert_eq!([100_000, 1_200_000, 2_000_000, 50_000_000].map(limit), [25_000, 300_000, 500_000, 500_000]);
    }
}
