//! WebRTC sessions: answers offers, runs one task for each session, and ends it.
//!
//! It is handed subscriptions, the table of sessions and a dispatcher. It knows neither cameras nor encoders; HTTP is
//! in `http`.

mod config;
mod error;
mod ice;
mod mux;
mod negotiation;
mod rtp_clock;
pub mod sdp;
mod session;
mod source;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use config::{Advertised, Config, IceServer};
pub use error::{AcceptError, RestartError, TrickleError};
use ice::Ice;
pub use ice::interfaces::is_virtual;
use ice::restart::IceSession;
pub use ice::restart::Restarted;
use mux::Mux;
use sdp::formats::PacketizationMode;
pub use sdp::offer_error::OfferError;
pub use sdp::trickle::{RemoteIce, SdpFragment, TrickledCandidate};
pub use session::answer::WhepAnswer;
pub use source::CameraStream;
use source::PROFILE_WAIT;

use crate::model::metrics::Metrics;
use crate::server::auth::Principal;
use crate::server::dispatch::Dispatcher;
use crate::server::sessions::{EndReason, Limits, NewSession, SessionRegistry, random_id};
use crate::util::lock::RwLock;

/// How long viewers may take to acknowledge the end of their sessions when the program stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Sessions at once that are answered but not connected: a browser connects within a second, and one that does not is
/// kept for 20 s. The address with the most of them gives way to others, see `sessions`.
const MAX_NEGOTIATING: usize = 16;

/// Creates and ends sessions; a cheap handle. The table of sessions, with the ICE session of each, is the
/// `SessionRegistry`.
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
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl SessionManager {
    /// A manager without sessions. New ones register in `sessions` and may choose among `cameras`, which are in the
    /// status's order.
    ///
    /// # Errors
    ///
    /// If the port for viewers is in use.
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
        let (config, cameras) = (RwLock::new(config), cameras.into());
        let inner = Inner { config, cameras, sessions, metrics, dispatcher, mux, ice, tasks, stop };
        Ok(Self(Arc::new(inner)))
    }

    /// Applies another configuration to new sessions; those that are connected stay. The port does not change.
    pub fn reconfigure(&self, config: &Config) {
        let inner = &self.0;
        *inner.config.write() = config.clone();
        inner.ice.reconfigure(config);
    }

    /// Answers an offer of `principal` at the address `client` that was received on `local_addr`. If the caller gives
    /// up, the session ends.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`].
    pub async fn create_session(
        &self,
        camera: &CameraStream,
        offer: &str,
        local_addr: IpAddr,
        client: IpAddr,
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
            client,
            arrived: Instant::now(),
            camera: camera.index,
            playout_delay: config.playout_delay,
            end: end.clone(),
        };
        let limits = Limits { viewers: config.max_viewers, negotiating: MAX_NEGOTIATING };
        let (entry, preferences) = inner.sessions.register(new_session, limits)?;
        // This opens the camera, so that it warms up while the connection is set up.
        let _demand = camera.video.demand().register();
        let offer = offer.accept(camera.profile(&end).await)?;
        let small_nals = match offer.format.mode {
            PacketizationMode::SingleNalUnit => Some(camera.small_nals(&end, PROFILE_WAIT).await?),
            PacketizationMode::NonInterleaved => None,
        };
        let session = session::Session {
            cameras: inner.cameras.clone(),
            camera: camera.clone(),
            offer,
            local_addr,
            mux: inner.mux.clone(),
            ice: inner.ice.clone(),
            metrics: inner.metrics.clone(),
            dispatcher: inner.dispatcher.clone(),
            entry,
            preferences,
            small_nals,
        };
        let (answer, answered) = oneshot::channel();
        let span = tracing::info_span!("viewer", id = &id[..8], camera = camera.name);
        inner.tasks.spawn(session.run(answer).instrument(span));
        let answered = answered.await.map_err(|_| AcceptError::Stopping)?.map_err(AcceptError::Failed)?;
        Ok(WhepAnswer { id, etag: answered.etag, answer: answered.sdp, ice_servers: inner.ice.servers() })
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

    /// Whether the session exists.
    pub fn contains(&self, id: &str) -> bool {
        self.0.sessions.get(id).is_some()
    }

    /// Ends a session; `false` if there is none with this id.
    pub fn end(&self, id: &str) -> bool {
        self.0.sessions.end(id, EndReason::Closed)
    }

    /// Ends all sessions of an owner who may no longer watch.
    pub fn end_sessions_of(&self, owner: &str) {
        let ended = self.0.sessions.end_sessions_of(owner, EndReason::Revoked);
        if ended > 0 {
            tracing::info!("ended {ended} sessions whose owner may no longer watch");
        }
    }

    /// Ends all sessions and waits until the viewers have acknowledged it, for at most a second.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("{} sessions did not end within {STOP_TIMEOUT:?}", self.0.tasks.len());
        }
    }
}

impl Inner {
    fn config(&self) -> Config {
        self.config.read().clone()
    }
}
