//! Sessions with a server that we publish to (WHIP, RFC 9725): we offer, and the server's answer starts the session. From
//! there on it is a session like a viewer's.
//!
//! HTTP, and when to publish, are in `server::publish`.

use std::net::IpAddr;

use tokio::sync::watch;

use super::pending::Promised;
use super::sdp::description::Description;
use super::sdp::offer_error::OfferError;
use super::session::Party;
use super::{AcceptError, CameraStream, SessionManager, sdp};
use crate::server::auth::{Principal, Role};
use crate::server::sessions::{EndReason, SessionHandle};
use crate::util::broadcast::DemandGuard;

/// An offer for a server. The camera warms up while it waits for the answer.
#[derive(Debug)]
pub struct PublishOffer {
    /// The SDP offer with all candidates.
    pub sdp: String,
    promised: Promised,
    local_addr: IpAddr,
    _demand: DemandGuard,
}

/// Why a server's answer starts no session.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It takes no H.264 video.
    #[error("the server refuses the video, which is H.264; allow H.264 on the server")]
    Refused,
    /// It says what cannot be.
    #[error("the server's answer cannot be used: {0}")]
    Unusable(String),
    /// The program is stopping, or it failed.
    #[error(transparent)]
    Session(AcceptError),
}

/// A session with a server; dropping it ends the session.
#[derive(Debug)]
pub struct Publication {
    handle: SessionHandle,
    connected: watch::Receiver<bool>,
}

impl SessionManager {
    /// An offer of a camera for a server that is reached from `local_addr`.
    pub async fn publish_offer(&self, camera: &CameraStream, local_addr: IpAddr) -> PublishOffer {
        let inner = &self.0;
        let (demand, promised) = (camera.video.demand().register(), Promised::in_offer());
        let (profile, candidates) = tokio::join!(camera.profile(&inner.stop), inner.ice.candidates(local_addr));
        let sdp = self.our_offer(camera, &promised, profile, &candidates, false);
        PublishOffer { sdp, promised, local_addr, _demand: demand }
    }

    /// Starts the session of an offer that a server has answered, from the address `server`; others see it under `name`.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`].
    pub async fn publish(
        &self,
        camera: &CameraStream,
        offer: PublishOffer,
        answer: &str,
        server: Option<IpAddr>,
        name: &str,
    ) -> Result<Publication, AnswerError> {
        let PublishOffer { promised, local_addr, _demand, .. } = offer;
        if refuses_video(answer) {
            return Err(AnswerError::Refused);
        }
        let answer = sdp::offer::parse(answer)?;
        // All publications count as one viewer when the bitrate is shared out.
        let principal = Principal { role: Role::Viewer, id: "publish".into() };
        let new_session = self.new_session(camera, &promised.id, local_addr, &principal)?;
        let registered = self.0.sessions.register_publication(new_session, name);
        let handle = registered.0.handle().clone();
        let (sender, connected) = watch::channel(false);
        let party = Party::Server { connected: sender, address: server };
        // From here on, so that the session ends if this is given up.
        let publication = Publication { handle, connected };
        self.start_session(camera, &answer, local_addr, promised, registered, party).await?;
        Ok(publication)
    }
}

impl From<OfferError> for AnswerError {
    fn from(error: OfferError) -> Self {
        // What is wrong with it would be wrong with a viewer's offer.
        Self::Unusable(match error {
            OfferError::Malformed(wrong) => format!("it is not SDP: {wrong}"),
            OfferError::NotAcceptable(wrong) => wrong.replace("the offer", "the answer"),
        })
    }
}

impl From<AcceptError> for AnswerError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Offer(error) => error.into(),
            other => Self::Session(other),
        }
    }
}

impl Publication {
    /// Waits until media can be sent; `false` if the session has ended before.
    pub async fn connected(&mut self) -> bool {
        self.connected.wait_for(|connected| *connected).await.is_ok()
    }

    /// Waits until the session has ended.
    pub async fn ended(&mut self) {
        while self.connected.changed().await.is_ok() {}
    }

    /// Whether an operator has ended the session.
    pub fn is_kicked(&self) -> bool {
        self.handle.end().is_cancelled() && self.handle.reason() == EndReason::Kicked
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.handle.end().cancel();
    }
}

/// Whether the answer has a video section on which nothing is to be sent.
fn refuses_video(answer: &str) -> bool {
    let Ok(description) = Description::parse(answer) else { return false };
    let mut videos = description.media.iter().filter(|section| section.medium == "video").peekable();
    videos.peek().is_some() && videos.all(|section| section.is_rejected() || !description.receives(section))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str =
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=recvonly\r\n";

    #[test]
    fn refused_video_is_told_from_what_cannot_be_used() {
        assert!(!refuses_video(ANSWER));
        assert!(refuses_video(&ANSWER.replace("video 9", "video 0")));
        assert!(refuses_video(&ANSWER.replace("recvonly", "inactive")));
        assert!(!refuses_video("v=0\r\n") && !refuses_video("<html>"));
        let wrong = |answer: &str| AnswerError::from(sdp::offer::parse(answer).expect_err("unusable")).to_string();
        assert_eq!(
            wrong(&ANSWER.replace("video", "audio")),
            "the server's answer cannot be used: the answer has no video section; add a recvonly video transceiver"
        );
        assert!(
            wrong("<html>").starts_with("the server's answer cannot be used: it is not SDP: "),
            "{}",
            wrong("<html>")
        );
    }
}
