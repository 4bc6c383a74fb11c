//! What viewers ask of the ICE session of their session: trickled candidates, and restarts.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::Instrument as _;

use super::ice::restart::{IceSession, Restarted};
use super::sdp::trickle::{RemoteIce, TrickledCandidate};
use super::{RestartError, SessionManager, TrickleError};

impl SessionManager {
    /// Adds candidates to the current ICE session of a session.
    ///
    /// # Errors
    ///
    /// When there is no such session.
    pub async fn add_candidates(&self, id: &str, candidates: &[TrickledCandidate]) -> Result<(), TrickleError> {
        self.ice_session(id).ok_or(TrickleError::Unknown)?.add_candidates(candidates).await;
        Ok(())
    }

    /// Adds a viewer's trickled candidates to the ICE session with this `etag`. One that can't be used is skipped
    /// silently, as the draft asks.
    ///
    /// # Errors
    ///
    /// See [`TrickleError`].
    pub async fn trickle(&self, id: &str, etag: &str, candidates: Vec<TrickledCandidate>) -> Result<(), TrickleError> {
        let ice_session = self.ice_session(id).ok_or(TrickleError::Unknown)?;
        if etag != ice_session.etag() {
            return Err(TrickleError::Stale);
        }
        ice_session.add_candidates(&candidates).await;
        Ok(())
    }

    /// The ETag of a session whose ICE session is still that of its offer, if these are the offer's credentials: a fragment with
    /// them asks for no restart.
    pub fn etag_of_offer(&self, id: &str, remote: &RemoteIce) -> Option<String> {
        self.ice_session(id)?.etag_of_offer(remote)
    }

    /// Restarts ICE for a viewer whose request was received on `local_addr`. The restart completes even if the caller
    /// gives up.
    ///
    /// # Errors
    ///
    /// See [`RestartError`].
    pub async fn restart(&self, id: &str, remote: RemoteIce, local_addr: IpAddr) -> Result<Restarted, RestartError> {
        let ice_session = self.ice_session(id).ok_or(RestartError::Unknown)?;
        let restarting =
            self.0.tasks.spawn(async move { ice_session.restart(&remote, local_addr).await }.in_current_span());
        restarting.await.unwrap_or_else(|error| Err(RestartError::Failed(error.into())))
    }

    /// The ICE session of a session that has been answered.
    fn ice_session(&self, id: &str) -> Option<Arc<IceSession>> {
        self.0.sessions.attachment(id)
    }
}
