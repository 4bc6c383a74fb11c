//! WebRTC sessions: answers offers, runs one task for each session, and ends it.
//!
//! It is handed subscriptions, the table of sessions (`server::sessions`) and a dispatcher. It knows neither cameras nor
//! encoders; HTTP is in `http`.

mod camera_rate;
mod config;
mod error;
mod ice;
mod ice_sessions;
mod mux;
pub mod peer;
mod pending;
mod publication;
pub mod rate;
mod rtp_clock;
pub mod sdp;
mod session;
mod session_threads;
mod source;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use camera_rate::CameraRate;
pub(super) use camera_rate::ViewerDemand;
pub use config::{Advertised, Config, IceServer};
pub use error::{AcceptError, RestartError, TrickleError};
use ice::Ice;
pub use ice::interfaces::is_virtual;
pub use ice::restart::Restarted;
pub use mux::Credentials;
use mux::Mux;
use peer::DtlsIdentity;
use pending::{PendingOffer, PendingOffers, Promised};
pub use publication::{AnswerError, Publication, PublishOffer};
pub(super) use rtp_clock::{AUDIO_RATE, RtpClock, VIDEO_RATE};
pub(super) use sdp::formats::PacketizationMode;
use sdp::offer::Offer;
pub use sdp::offer_error::OfferError;
use sdp::our_offer::OurOffer;
pub use sdp::trickle::{RemoteIce, SdpFragment, TrickledCandidate};
use session::Party;
pub(super) use session::audio_receiver::AudioReceiver;
pub(super) use session::keyframe_budget::KeyframeBudget;
pub(super) use session::keyframe_reader::KeyframeReader;
pub use session::rtcp::Feedback;
pub(super) use session::rtcp::sender_report;
pub(super) use session::rtp_header::{HeaderExtensions, PacketCounter, RtpHeader};
pub use session::screen::{FrameAssembler, MAX_FRAME, PacketWindow, PicturePacket, WindowItem};
pub use session::talk_receiver::TalkRtp;
pub use session::whep_answer::{WhepAnswer, WhepOffer};
use session_threads::SessionThreads;
use source::PROFILE_WAIT;
pub use source::{CameraStream, SmallStream};

use crate::media::h264::Profile;
use crate::model::metrics::Metrics;
use crate::server::auth::Principal;
use crate::server::dispatch::Dispatcher;
use crate::server::sessions::{EndReason, Limits, NewSession, Preferences, SessionGuard, SessionRegistry};
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
    /// Our certificate, for all sessions.
    identity: DtlsIdentity,
    /// Our own offers.
    pending: PendingOffers,
    threads: SessionThreads,
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
        let threads = SessionThreads::start(metrics.clone())?;
        let mux = Mux::start(config.udp_port, config.tcp, threads.first(), metrics.clone())?;
        let ice = Ice::new(&config, mux.clone());
        let identity = DtlsIdentity::generate(mux.crypto()).context("make a certificate for DTLS")?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(ice.clone().watch(stop.clone()));
        let (config, cameras) = (RwLock::new(config), cameras.into());
        let pending = PendingOffers::default();
        Ok(Self(Arc::new(Inner {
            config,
            cameras,
            sessions,
            metrics,
            dispatcher,
            mux,
            ice,
            identity,
            pending,
            threads,
            tasks,
            stop,
        })))
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
        self.start_viewer(camera, offer, local_addr, client, principal, Promised::random()).await
    }

    /// Answers a viewer's offer with a session that has what was promised before, if anything was.
    async fn start_viewer(
        &self,
        camera: &CameraStream,
        offer: &str,
        local_addr: IpAddr,
        client: IpAddr,
        principal: &Principal,
        promised: Promised,
    ) -> Result<WhepAnswer, AcceptError> {
        let offer = sdp::offer::parse(offer)?;
        let new_session = self.new_session(camera, &promised.id, client, principal)?;
        let limits = Limits { viewers: self.0.config().max_viewers, negotiating: MAX_NEGOTIATING };
        let registered = self.0.sessions.register(new_session, limits)?;
        self.start_session(camera, &offer, local_addr, promised, registered, Party::Viewer).await
    }

    /// The record of a session that begins now.
    fn new_session(
        &self,
        camera: &CameraStream,
        id: &str,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<NewSession, AcceptError> {
        let inner = &self.0;
        if inner.stop.is_cancelled() {
            return Err(AcceptError::Stopping);
        }
        Ok(NewSession {
            id: id.into(),
            owner: principal.id.clone(),
            role: principal.role,
            client,
            arrived: Instant::now(),
            camera: camera.index,
            playout_delay: inner.config().playout_delay,
            end: inner.stop.child_token(),
        })
    }

    /// Starts a session that is registered.
    async fn start_session(
        &self,
        camera: &CameraStream,
        offer: &Offer,
        local_addr: IpAddr,
        promised: Promised,
        (entry, preferences): (SessionGuard, watch::Receiver<Preferences>),
        party: Party,
    ) -> Result<WhepAnswer, AcceptError> {
        let inner = &self.0;
        let Promised { id, ours, sources, is_offered } = promised;
        let end = entry.handle().end().clone();
        // This opens the camera, so that it warms up while the connection is set up.
        let _demand = camera.video.demand().register();
        let mut offer = party.limited(offer.accept(camera.profile(&end).await)?);
        let (floor, viewer) = (inner.dispatcher.floor(), inner.sessions.get(&id));
        let may_talk = !is_offered && viewer.is_some_and(|viewer| floor.admits(viewer.role));
        offer.talk = offer.talk.filter(|_| may_talk);
        // Who talks is shown.
        offer.screen = offer.screen.filter(|_| offer.talk.is_some() && floor.has_screen());
        let seat = offer.talk.map(|_| floor.take_seat(&id));
        let small_nals = match offer.format.mode {
            PacketizationMode::SingleNalUnit => Some(camera.small_nals(&end, PROFILE_WAIT).await?),
            PacketizationMode::NonInterleaved => None,
        };
        let span = match &party {
            Party::Viewer => tracing::info_span!("viewer", id = &id[..8], camera = camera.name),
            // Inside that of the publication.
            Party::Server { .. } => tracing::info_span!("session", id = &id[..8]),
        };
        let session = session::Session {
            cameras: party.cameras(&inner.cameras, camera),
            camera: camera.clone(),
            offer,
            party,
            ours,
            sources,
            local_addr,
            mux: inner.mux.clone(),
            ice: inner.ice.clone(),
            identity: inner.identity.clone(),
            metrics: inner.metrics.clone(),
            dispatcher: inner.dispatcher.clone(),
            entry,
            preferences,
            seat,
            small_nals,
        };
        let (answer, answered) = oneshot::channel();
        let place = inner.threads.place();
        let handle = place.handle.clone();
        let run = async move {
            session.run(answer).await;
            drop(place);
        };
        inner.tasks.spawn_on(run.instrument(span), &handle);
        let answered = answered.await.map_err(|_| AcceptError::Stopping)?.map_err(AcceptError::Failed)?;
        Ok(WhepAnswer { id, etag: answered.etag, answer: answered.sdp, ice_servers: inner.ice.servers() })
    }

    /// Offers a camera to `principal` at the address `client`, whose request was received on `local_addr`, for players
    /// that answer instead of offering.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`].
    pub async fn offer(
        &self,
        camera: &CameraStream,
        local_addr: IpAddr,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<WhepOffer, AcceptError> {
        let inner = &self.0;
        // This opens the camera, so that it warms up until the answer comes.
        let _demand = camera.video.demand().register();
        let promised = Promised::in_offer();
        let (profile, candidates) = tokio::join!(camera.profile(&inner.stop), inner.ice.candidates(local_addr));
        let sdp = self.our_offer(camera, &promised, profile, &candidates, true);
        let (id, made) = (promised.id.clone(), Instant::now());
        let (owner, camera) = (principal.id.clone(), camera.index);
        let offer = PendingOffer { promised, owner, client, camera, local_addr, made };
        if !inner.pending.add(offer, made) {
            return Err(AcceptError::Negotiating(inner.pending.count()));
        }
        Ok(WhepOffer { id, sdp, ice_servers: inner.ice.servers() })
    }

    /// Our own offer, with what it promises.
    fn our_offer(
        &self,
        camera: &CameraStream,
        promised: &Promised,
        profile: Profile,
        candidates: &[String],
        is_lite: bool,
    ) -> String {
        let Promised { ours, sources, .. } = promised;
        let offer = OurOffer {
            ufrag: &ours.ufrag,
            password: &ours.password,
            fingerprint: &self.0.identity.fingerprint,
            profile,
            is_lite,
            video_ssrc: sources.video.ssrc,
            rtx_ssrc: sources.rtx_ssrc,
            audio_ssrc: camera.audio.as_ref().map(|_| sources.audio.ssrc),
            candidates,
        };
        offer.text()
    }

    /// Starts the session of an [`offer`](Self::offer) that `principal` answers; `None` if none of theirs waits under this ID.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`].
    pub async fn accept_answer(
        &self,
        id: &str,
        answer: &str,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<Option<()>, AcceptError> {
        let Some(offer) = self.0.pending.take(id, &principal.id, Instant::now()) else { return Ok(None) };
        let PendingOffer { promised, camera, local_addr, .. } = offer;
        let Some(camera) = self.0.cameras.iter().find(|known| known.index == camera) else { return Ok(None) };
        // It says of the viewer what an offer would: where it can be reached, and what it takes of what we send.
        self.start_viewer(camera, answer, local_addr, client, principal, promised).await?;
        Ok(Some(()))
    }

    /// The STUN and TURN servers, with credentials for one viewer.
    pub fn ice_servers(&self) -> Vec<IceServer> {
        self.0.ice.servers()
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
