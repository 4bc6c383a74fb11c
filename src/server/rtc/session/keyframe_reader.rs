//! Reads the frames of a camera for one viewer, from one key frame on as long as none is missed, and then from the next one.
//!
//! Which camera and rendition is shown is decided in `switcher`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::keyframe_budget::KeyframeBudget;
use super::nal_limit::{NalLimit, NalTooLarge};
use crate::media::{EncodedFrame, Timestamp};
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

    /// Skips what was kept for whoever joins if that begins more than `limit` ago: then a key frame is requested. For players
    /// that would show all of it at its own pace, and stay behind.
    pub fn skip_kept_before(&mut self, limit: Duration) {
        let present = Timestamp::now();
        if self.frames.forget_backlog_if(|first| present.saturating_since(first.captured) > limit) {
            self.keyframes.request(&self.video, now());
        }
    }

    /// Goes on with the next key frame, and requests it: a frame was not sent.
    pub fn resume_at_key_frame(&mut self) {
        self.awaiting_keyframe = true;
        self.keyframes.request(&self.video, now());
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use tokio::sync::watch;

    use super::*;
    use crate::media::encoder::BitrateTarget;
    use crate::server::rtc::CameraRate;
    use crate::util::broadcast::Keep;

    #[test]
    fn what_was_kept_is_skipped_if_it_is_old() {
        let (video, profile) = (Broadcast::new(4), watch::Sender::new(None).subscribe());
        let rate = CameraRate::new(BitrateTarget::new(1_000_000));
        let camera =
            CameraStream { name: "a".into(), index: 0, video: video.clone(), profile, rate, small: None, audio: None };
        let publish = |captured, key| {
            let data = Bytes::from_static(&[0, 0, 1, 0x65]);
            let frame = EncodedFrame::new(captured, key, data);
            video.send(frame, if key { Keep::From } else { Keep::Too });
        };
        let reader = || {
            let demand = ViewerDemand { available: None, is_settled: true, is_limited: false, owner: 1 };
            let (mode, budget) = (PacketizationMode::NonInterleaved, Arc::new(KeyframeBudget::new(now())));
            KeyframeReader::new(&camera, Rendition::Main, mode, budget, demand)
        };
        let metrics = Metrics::new();
        let poll = |reader: &mut KeyframeReader| {
            let next = std::pin::pin!(reader.next(&metrics));
            match next.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(frame) => Some(frame.expect("a frame").captured),
                Poll::Pending => None,
            }
        };
        publish(Timestamp::default(), true);
        let (mut young, mut old) = (reader(), reader());
        young.skip_kept_before(Duration::from_secs(3_600));
        assert_eq!((poll(&mut young), video.take_refresh_request()), (Some(Timestamp::default()), false));
        old.skip_kept_before(Duration::ZERO);
        assert_eq!((poll(&mut old), video.take_refresh_request()), (None, true));
        let later = Timestamp::from_start(Duration::from_millis(40));
        publish(later, false);
        assert_eq!((poll(&mut young), poll(&mut old)), (Some(later), None), "it needs the one before");
        young.resume_at_key_frame();
        publish(later, false);
        publish(later, true);
        assert_eq!((poll(&mut young), poll(&mut old)), (Some(later), Some(later)));
        assert_eq!((poll(&mut young), poll(&mut old)), (None, None));
    }
}
