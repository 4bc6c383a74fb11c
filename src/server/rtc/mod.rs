//! WebRTC: takes offers, has the task of each viewer run, and ends it.
//!
//! It is handed subscriptions, the table of viewers and a control handle, and knows neither cameras nor encoders; HTTP stands in
//! `http`.

mod config;
mod error;
mod ice;
mod mux;
mod rtp_clock;
pub mod sdp;
mod session;
mod session_id;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use config::{Advertised, Config, IceServer, VIRTUAL_INTERFACES};
pub use error::{AcceptError, RestartError, TrickleError};
use ice::Ice;
pub use ice::interfaces::is_virtual;
use ice::restart::IceSession;
pub use ice::restart::Restarted;
use mux::Mux;
pub use sdp::offer::OfferError;
pub use sdp::trickle::{RemoteIce, SdpFragment, SdpFragmentError, TrickledCandidate};
pub use session::answer::WhepAnswer;
use session_id::random_id;
pub use source::CameraStream;

use crate::model::metrics::Metrics;
use crate::server::auth::Principal;
use crate::server::dispatch::Dispatcher;
use crate::server::sessions::{EndReason, Limits, NewSession, SessionRegistry};

/// How long the viewers' goodbyes may take at the stop.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Viewers that were answered and have not connected yet, at once: a browser connects within a second, and each that does
/// not is kept for 20 s, in which nobody else shall be shut out by a few that never come.
const MAX_NEGOTIATING: usize = 16;

/// Whose sessions there are; a cheap handle. Who they are stands in [`SessionRegistry`].
#[derive(Clone)]
pub struct SessionManager(Arc<Inner>);

struct Inner {
    config: RwLock<Config>,
    cameras: Arc<[CameraStream]>,
    sessions: SessionRegistry,
    metrics: Metrics,
    dispatcher: Dispatcher,
    mux: Mux,
    ice: Ice,
    /// What sessions have, `None` until their offer is answered.
    ice_sessions: Mutex<HashMap<String, Option<Arc<IceSession>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl SessionManager {
    /// No sessions yet; those that come enter themselves in `viewers`, and may choose among `cameras`, which stand in the
    /// order of the status.
    ///
    /// # Errors
    ///
    /// When the viewers' port is in use.
    pub fn new(
        config: Config,
        cameras: Vec<CameraStream>,
        sessions: SessionRegistry,
        metrics: Metrics,
        dispatcher: Dispatcher,
    ) -> anyhow::Result<Self> {
        let mux = Mux::start(config.udp_port, config.tcp, metrics.clone())?;
        let ice = Ice::new(&config, mux.clone());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(ice.clone().watch(stop.clone()));
        let (config, cameras, ice_sessions) = (RwLock::new(config), cameras.into(), Mutex::default());
        let inner = Inner { config, cameras, sessions, metrics, dispatcher, mux, ice, ice_sessions, tasks, stop };
        Ok(Self(Arc::new(inner)))
    }

    /// Takes viewers by another configuration from now on; those who watch stay. The port stays as it is.
    pub fn reconfigure(&self, config: &Config) {
        let inner = &self.0;
        *inner.config.write().unwrap_or_else(PoisonError::into_inner) = config.clone();
        inner.ice.reconfigure(config);
    }

    /// Answers an offer of `principal` that came in on the local address `via`. When the caller gives up, the session ends.
    ///
    /// # Errors
    ///
    /// As [`AcceptError`] says.
    pub async fn create_session(
        &self,
        camera: &CameraStream,
        offer: &str,
        local_addr: IpAddr,
        principal: &Principal,
    ) -> Result<WhepAnswer, AcceptError> {
        let offer = sdp::offer::parse(offer)?;
        let inner = &self.0;
        if inner.stop.is_cancelled() {
            return Err(AcceptError::Stopping);
        }
        let id = random_id();
        let end = inner.stop.child_token();
        let config = inner.config();
        let new_session = NewSession {
            id: id.clone(),
            owner: principal.id.clone(),
            role: principal.role,
            camera: camera.index,
            playout_delay: config.playout_delay,
            end: end.clone(),
        };
        let limits = Limits { viewers: config.max_viewers, negotiating: MAX_NEGOTIATING };
        let (entry, preferences) = inner.sessions.enter(new_session, limits)?;
        // From now on the camera is opened: it warms up while the connection is made.
        let _demand = camera.video.demand().register();
        let format = offer.format_for(camera.profile(&end).await)?;
        let slot = TransportSlot::reserve(inner, &id);
        let session = session::Session {
            cameras: inner.cameras.clone(),
            camera: camera.clone(),
            offer,
            format,
            local_addr,
            mux: inner.mux.clone(),
            ice: inner.ice.clone(),
            metrics: inner.metrics.clone(),
            dispatcher: inner.dispatcher.clone(),
            entry,
            preferences,
        };
        let (answer, answered) = oneshot::channel();
        let span = tracing::info_span!("viewer", id = &id[..8], camera = camera.name);
        inner.tasks.spawn(
            async move {
                session.run(answer).await;
                drop(slot);
            }
            .instrument(span),
        );
        let answered = answered.await.map_err(|_| AcceptError::Stopping)?.map_err(AcceptError::Failed)?;
        let etag = answered.ice_session.etag();
        if let Some(ice_session) = inner.ice_sessions().get_mut(&id) {
            *ice_session = Some(answered.ice_session);
        }
        Ok(WhepAnswer { id, etag, answer: answered.sdp, ice_servers: inner.ice.servers() })
    }

    /// Adds a viewer's late candidates to the ICE session that `etag` names. One that can't be used is left out in silence,
    /// as the draft asks.
    ///
    /// # Errors
    ///
    /// As [`TrickleError`] says.
    pub async fn trickle(&self, id: &str, etag: &str, candidates: Vec<TrickledCandidate>) -> Result<(), TrickleError> {
        let ice_session = self.ice_session(id).ok_or(TrickleError::Unknown)?;
        if etag != ice_session.etag() {
            return Err(TrickleError::Stale);
        }
        ice_session.add_candidates(&candidates).await;
        Ok(())
    }

    /// Restarts ICE for a viewer whose request came in on `via`. It goes on also when the caller gives up.
    ///
    /// # Errors
    ///
    /// As [`RestartError`] says.
    pub async fn restart(&self, id: &str, remote: RemoteIce, local_addr: IpAddr) -> Result<Restarted, RestartError> {
        let ice_session = self.ice_session(id).ok_or(RestartError::Unknown)?;
        let restarting =
            self.0.tasks.spawn(async move { ice_session.restart(&remote, local_addr).await }.in_current_span());
        restarting.await.unwrap_or_else(|error| Err(RestartError::Failed(error.into())))
    }

    /// What a session that is answered has.
    fn ice_session(&self, id: &str) -> Option<Arc<IceSession>> {
        if self.contains(id) { self.0.ice_sessions().get(id)?.clone() } else { None }
    }

    /// The STUN and TURN servers, with credentials for one viewer.
    pub fn ice_servers(&self) -> Vec<IceServer> {
        self.0.ice.servers()
    }

    /// Whether the session lives.
    pub fn contains(&self, id: &str) -> bool {
        self.0.sessions.get(id).is_some()
    }

    /// Ends a session; `false` when there is none of that name.
    pub fn end(&self, id: &str) -> bool {
        self.0.sessions.end(id, EndReason::Closed)
    }

    /// Ends all sessions of an owner, whose right to watch is gone.
    pub fn end_sessions_of(&self, owner: &str) {
        let ended = self.0.sessions.end_owned(owner, EndReason::Revoked);
        if ended > 0 {
            tracing::info!("{ended} viewers ended, who may not watch any more");
        }
    }

    /// Ends all sessions and waits for their goodbyes, a second at most.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("{} viewers did not end within {STOP_TIMEOUT:?}", self.0.tasks.len());
        }
    }
}

impl Inner {
    fn config(&self) -> Config {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ice_sessions(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<IceSession>>>> {
        self.ice_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for a session's transport; given back when the session's task ends, also by a panic.
struct TransportSlot {
    inner: Arc<Inner>,
    id: String,
}

impl TransportSlot {
    fn reserve(inner: &Arc<Inner>, id: &str) -> Self {
        inner.ice_sessions().insert(id.into(), None);
        Self { inner: inner.clone(), id: id.into() }
    }
}

impl Drop for TransportSlot {
    fn drop(&mut self) {
        // In its own statement: the transport drops outside the lock.
        let ice_session = self.inner.ice_sessions().remove(&self.id);
        drop(ice_session);
    }
}
