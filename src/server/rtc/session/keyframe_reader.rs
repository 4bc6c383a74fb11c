//! Reads the frames of a camera for one viewer, from one key frame on as long as none is missed, and then from the next one.
//!
//! Which camera and rendition is shown is decided in `switcher`.

use std::sync::Arc;

use tokio::time::Instant;

use super::keyframe_budget::KeyframeBudget;
use super::nal_limit::{NalLimit, NalTooLarge};
use crate::media::EncodedFrame;
use crate::model::metrics::{DropPoint, Metrics};
use crate::model::status::Rendition;
use crate::server::rtc::CameraStream;
use crate::server::rtc::camera_rate::{ViewerDemand, ViewerShare};
use crate::server::rtc::sdp::formats::PacketizationMode;
use crate::util::broadcast::{Broadcast, RecvError, Subscriber};

/// Reads the frames of one rendition of a camera, starting at a key frame.
pub struct KeyframeReader {
    /// The rendition that it is.
    pub rendition: Rendition,
    /// Its frames, for key frame requests.
    pub video: Broadcast<EncodedFrame>,
    frames: Subscriber<EncodedFrame>,
    keyframes: Arc<KeyframeBudget>,
    awaiting_keyframe: bool,
    /// The viewer's say in the bitrate.
    pub share: ViewerShare,
    /// In packetization-mode 0.
    pub limit: Option<NalLimit>,
}

/// Why there is no next frame.
#[derive(Debug)]
pub enum FrameReadError {
    /// The frames do not fit the session's packets.
    NalTooLarge(NalTooLarge),
    /// No more will come.
    Closed,
}

impl KeyframeReader {
    /// Reads the rendition `wanted` of a camera, or the only one that it has. A key frame is requested as far as the budget
    /// allows, and the encoder follows `demand`.
    pub fn new(
        stream: &CameraStream,
        wanted: Rendition,
        mode: PacketizationMode,
        keyframes: Arc<KeyframeBudget>,
        demand: ViewerDemand,
    ) -> Self {
        let (rendition, video, rate) = stream.rendition(wanted);
        // First, so that the first frame has the right size already.
        let share = rate.join(demand, now());
        let limit = (mode == PacketizationMode::SingleNalUnit).then(|| NalLimit::new(video));
        let frames = video.subscribe_with_backlog();
        if !frames.has_backlog() {
            keyframes.request(video, now());
        }
        Self { rendition, video: video.clone(), frames, keyframes, awaiting_keyframe: true, share, limit }
    }

    /// The next frame that can be decoded. Cancel safe.
    pub async fn next(&mut self, metrics: &Metrics) -> Result<EncodedFrame, FrameReadError> {
        loop {
            match self.frames.recv().await {
                Ok(frame) if !self.fits(&frame)? => {
                    metrics.count_drop(DropPoint::AwaitingKey, 1);
                    self.awaiting_keyframe = true;
                    self.keyframes.request(&self.video, now());
                }
                Ok(frame) if self.awaiting_keyframe && !frame.key => metrics.count_drop(DropPoint::AwaitingKey, 1),
                Ok(frame) => {
                    self.awaiting_keyframe = false;
                    self.limit.iter_mut().for_each(NalLimit::note_sent);
                    return Ok(frame);
                }
                Err(RecvError::Lagged(count)) => {
                    metrics.count_drop(DropPoint::ViewerLag, count);
                    self.awaiting_keyframe = true;
                    self.keyframes.request(&self.video, now());
                }
                Err(RecvError::Closed) => return Err(FrameReadError::Closed),
            }
        }
    }

    /// Whether the session's packets can carry a frame.
    fn fits(&mut self, frame: &EncodedFrame) -> Result<bool, FrameReadError> {
        let Some(limit) = &mut self.limit else { return Ok(true) };
        limit.fits(frame, now()).map_err(FrameReadError::NalTooLarge)
    }
}

/// The current time, also while tests pause tokio's clock.
pub fn now() -> std::time::Instant {
    Instant::now().into_std()
}
