//! The streams of one camera that sessions subscribe to: video, audio and their formats, and the H.264 profile.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::media::h264::Profile;
use crate::media::{AudioPacket, EncodedFrame};
use crate::util::broadcast::Broadcast;

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
    /// The audio packets, if the camera has audio.
    pub audio: Option<Broadcast<AudioPacket>>,
}

impl CameraStream {
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
}
