//! What a viewer of one camera is sent, and what it demands of a decoder.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::media::h264::Profile;
use crate::media::{AudioPacket, EncodedFrame};
use crate::util::broadcast::Broadcast;

/// How long an answer to a viewer waits until it is known what the pictures demand of a decoder: the time in which most cameras give
/// their first picture.
pub const PROFILE_WAIT: Duration = Duration::from_secs(2);

/// What a viewer of one camera is sent.
#[derive(Debug, Clone)]
pub struct CameraStream {
    /// The camera's name.
    pub name: String,
    /// The camera's place in the status.
    pub index: usize,
    /// Its pictures.
    pub video: Broadcast<EncodedFrame>,
    /// What they demand of a decoder; `None` while that is not known.
    pub profile: watch::Receiver<Option<Profile>>,
    /// The sound, where there is any.
    pub audio: Option<Broadcast<AudioPacket>>,
}

impl CameraStream {
    /// What the pictures demand of a decoder, once that is known. A camera that encodes by itself says it with its first
    /// picture; while it gives none, viewers see what we encode.
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
