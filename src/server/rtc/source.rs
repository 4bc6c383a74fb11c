//! The streams of one camera that sessions subscribe to: video in both renditions, audio and their formats, and the H.264
//! profile.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::camera_rate::CameraRate;
use super::sdp::offer_error::OfferError;
use super::session::nal_limit::{NalTooLarge, oversized_nal};
use crate::media::h264::Profile;
use crate::media::{AudioPacket, EncodedFrame, VideoFormat};
use crate::model::status::Rendition;
use crate::util::broadcast::{Broadcast, DemandGuard, RecvError};

/// How long the answer to an offer waits until the H.264 profile is known: most cameras deliver their first frame
/// within this time.
pub const PROFILE_WAIT: Duration = Duration::from_secs(2);

/// What viewers of one camera are sent.
#[derive(Debug, Clone)]
pub struct CameraStream {
    /// The camera's name.
    pub name: String,
    /// The camera's index in the status.
    pub index: usize,
    /// The encoded frames.
    pub video: Broadcast<EncodedFrame>,
    /// Their H.264 profile; `None` while it is not known.
    pub profile: watch::Receiver<Option<Profile>>,
    /// The bitrate of its encoder.
    pub rate: CameraRate,
    /// The smaller rendition of the video.
    pub small: Option<SmallStream>,
    /// The audio packets, if the camera has audio.
    pub audio: Option<Broadcast<AudioPacket>>,
}

/// The smaller rendition of a camera's video.
#[derive(Debug, Clone)]
pub struct SmallStream {
    /// The encoded frames.
    pub video: Broadcast<EncodedFrame>,
    /// The bitrate of their encoder.
    pub rate: CameraRate,
    /// The format of the camera's frames that they are made of; `None` while there is no such rendition.
    pub source: watch::Receiver<Option<VideoFormat>>,
}

impl CameraStream {
    /// The smaller rendition with the format that it is made of, while there is one.
    pub(super) fn small(&self) -> Option<(&SmallStream, VideoFormat)> {
        let small = self.small.as_ref()?;
        let source = *small.source.borrow();
        source.map(|source| (small, source))
    }

    /// The rendition that is sent to whoever shall have `wanted`, its frames, and the bitrate of its encoder.
    pub(super) fn rendition(&self, wanted: Rendition) -> (Rendition, &Broadcast<EncodedFrame>, &CameraRate) {
        match self.small().filter(|_| wanted == Rendition::Small) {
            Some((small, _)) => (Rendition::Small, &small.video, &small.rate),
            None => (Rendition::Main, &self.video, &self.rate),
        }
    }

    /// The H.264 profile, once it is known. A camera that encodes itself reveals it with its first frame; until then
    /// viewers are sent what we encode.
    pub(super) async fn profile(&self, end: &CancellationToken) -> Profile {
        let mut profile = self.profile.clone();
        let known = profile.wait_for(Option::is_some);
        tokio::select! {
            biased;
            () = end.cancelled() => Profile::CONSTRAINED_BASELINE,
            known = tokio::time::timeout(PROFILE_WAIT, known) => match known {
                Ok(Ok(profile)) => profile.unwrap_or(Profile::CONSTRAINED_BASELINE),
                Ok(Err(_)) | Err(_) => Profile::CONSTRAINED_BASELINE,
            },
        }
    }

    /// Has the NAL units of the stream each fit a packet for as long as the guard lives, as packetization-mode 0 asks. Our own
    /// encoder cuts its frames so; what a camera encodes is as it is.
    ///
    /// # Errors
    ///
    /// If frames came within `wait`, but no key frame that fits. A session may begin without having seen a frame.
    pub(super) async fn small_nals(&self, end: &CancellationToken, wait: Duration) -> Result<DemandGuard, OfferError> {
        let guard = self.video.small_parts().register();
        let mut too_large = None;
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            fits = tokio::time::timeout(wait, self.small_key_frame(&mut too_large)) => {
                if fits.is_err() && let Some(bytes) = too_large {
                    return Err(OfferError::NotAcceptable(NalTooLarge { bytes }.to_string().into()));
                }
            }
        }
        Ok(guard)
    }

    /// Waits for a key frame whose NAL units are all small; notes the size of those that are not.
    async fn small_key_frame(&self, too_large: &mut Option<usize>) {
        let mut frames = self.video.subscribe_with_backlog();
        if !frames.has_backlog() {
            self.video.request_refresh();
        }
        loop {
            match frames.recv().await {
                Ok(frame) => match oversized_nal(&frame.data) {
                    None if frame.key => return,
                    None => {}
                    Some(bytes) => *too_large = Some(bytes.max(too_large.unwrap_or(0))),
                },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::media::Timestamp;
    use crate::media::encoder::BitrateTarget;
    use crate::util::broadcast::Keep;

    fn camera() -> CameraStream {
        let profile = watch::Sender::new(Some(Profile::CONSTRAINED_BASELINE)).subscribe();
        let rate = CameraRate::new(BitrateTarget::new(2_000_000));
        let video = Broadcast::new(8);
        CameraStream { name: "camera".into(), index: 0, video, profile, rate, small: None, audio: None }
    }

    fn publish(camera: &CameraStream, key: bool, nal_bytes: usize) {
        let data = Bytes::from([vec![0, 0, 1], vec![0x65; nal_bytes]].concat());
        let frame = EncodedFrame::new(Timestamp::default(), key, data);
        camera.video.send(frame, if key { Keep::From } else { Keep::Too });
    }

    #[tokio::test]
    async fn small_nal_units_are_asked_for_and_waited_for() {
        let (camera, end) = (camera(), CancellationToken::new());
        publish(&camera, true, 2_000);
        let mut small = Box::pin(camera.small_nals(&end, PROFILE_WAIT));
        let mut context = Context::from_waker(Waker::noop());
        assert!(small.as_mut().poll(&mut context).is_pending());
        assert_eq!(camera.video.small_parts().guards(), 1);
        publish(&camera, false, 1_140);
        assert!(small.as_mut().poll(&mut context).is_pending(), "it is no key frame");
        publish(&camera, true, 1_140);
        let Poll::Ready(Ok(guard)) = small.as_mut().poll(&mut context) else { panic!("it fits") };
        drop(guard);
        assert_eq!(camera.video.small_parts().guards(), 0);
    }

    #[tokio::test]
    async fn a_camera_whose_nal_units_stay_large_is_refused_with_the_way_out() {
        let (camera, end) = (camera(), CancellationToken::new());
        assert!(camera.small_nals(&end, Duration::ZERO).await.is_ok(), "it has sent nothing so far");
        publish(&camera, true, 3_000);
        publish(&camera, false, 1_500);
        let refusal = camera.small_nals(&end, Duration::ZERO).await.expect_err("it does not fit").to_string();
        assert!(refusal.contains("NAL units of 3000 bytes") && refusal.contains("format = \"MJPEG\""), "{refusal}");
        assert_eq!(camera.video.small_parts().guards(), 0);
    }
}
