//! WebRTC: who watches. Takes offers, keeps the table of sessions, ends them.
//!
//! It is handed subscriptions and a control handle, and knows neither cameras nor encoders; HTTP stands in `http`.

mod answer;
mod bundle;
mod channel;
mod clock;
mod fragment;
mod ice;
mod mux;
pub mod offer;
mod peer;
mod profile;
mod restart;
mod session;
mod socket;
mod stream;
mod tap;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::broadcast::Broadcast;
use crate::control::Control;
use crate::h264::Profile;
use crate::media::{AudioPacket, EncodedFrame};
use crate::metrics::Metrics;
use crate::status;

/// How long the viewers' goodbyes may take at the stop.
const GOODBYE: Duration = Duration::from_millis(1_000);

/// How long an answer waits until it is known what the pictures demand of a decoder: the time in which most cameras give
/// their first picture.
const PROFILE_WAIT: Duration = Duration::from_secs(2);

/// Viewers that were answered and have not connected yet, at once: a browser connects within a second, and each that does
/// not is kept for 20 s, in which nobody else shall be shut out by a few that never come.
const MOST_NEGOTIATING: usize = 16;

/// What holds for all viewers.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Viewers at once; the next one is refused.
    pub max_viewers: usize,
    /// The least and the most time that a browser shall hold pictures back before it shows them, in milliseconds, in
    /// steps of 10 (`playout-delay` header extension).
    pub playout_delay: (u16, u16),
    /// The one UDP port of all viewers, on every address that they are offered; 0 takes free ones.
    pub udp_port: u16,
    /// Whether viewers whose network blocks UDP may use TCP on the same port number.
    pub tcp: bool,
    /// Patterns of the interfaces that viewers are offered addresses of, with `*` for any letters; empty stands for all.
    pub interfaces: Vec<String>,
    /// Patterns of the interfaces that they are not offered addresses of.
    pub exclude_interfaces: Vec<String>,
    /// Networks that offered addresses are in; empty stands for all.
    pub networks: Vec<IpNet>,
    /// More addresses under which this machine is reached from outside.
    pub advertise: Vec<Advertised>,
    /// STUN and TURN servers, for this machine and for its viewers.
    pub ice_servers: Vec<IceServer>,
}

/// An address at which a router or a name leads to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// An IP address or a host name.
    pub host: String,
    /// The port that is forwarded, where it is another than ours.
    pub port: Option<u16>,
}

/// A STUN or TURN server, or several under the same credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The user name of TURN.
    pub username: Option<String>,
    /// The password of that user.
    pub credential: Option<String>,
    /// The secret shared with the TURN server, of which each viewer's own credentials are made (TURN REST API).
    pub secret: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Without the secrets: what is printed may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_viewers: 20,
            playout_delay: (0, 0),
            udp_port: 8189,
            tcp: true,
            interfaces: Vec::new(),
            exclude_interfaces: VIRTUAL_INTERFACES.map(String::from).into(),
            networks: Vec::new(),
            advertise: Vec::new(),
            ice_servers: Vec::new(),
        }
    }
}

/// What a viewer of one camera is sent.
#[derive(Debug, Clone)]
pub struct Feed {
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

impl Feed {
    /// What the pictures demand of a decoder, once that is known. A camera that encodes by itself says it with its first
    /// picture; while it gives none, viewers see what we encode.
    async fn profile(&self, end: &CancellationToken) -> Profile {
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

/// An accepted viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The session's unguessable name.
    pub id: String,
    /// Names the ICE session, for `If-Match`.
    pub etag: String,
    /// The SDP answer with all candidates.
    pub answer: String,
    /// The STUN and TURN servers, with credentials for this viewer.
    pub ice_servers: Vec<IceServer>,
}

/// Why a viewer is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The offer can't be answered.
    #[error(transparent)]
    Offer(#[from] offer::Refused),
    /// There are enough viewers.
    #[error("{0} viewers watch already, which is the limit; try again later or raise [rtc] max_viewers")]
    Full(usize),
    /// Enough viewers are connecting at this moment.
    #[error("{0} viewers are connecting at this moment, which is the limit; try again in some seconds")]
    Negotiating(usize),
    /// The program stops.
    #[error("porthole is stopping")]
    Stopping,
    /// The WebRTC stack failed.
    #[error("the offer could not be answered: {0:#}")]
    Failed(anyhow::Error),
}

pub use fragment::{Fragment, Malformed};
use ice::Ice;
pub use ice::addresses::{VIRTUAL_INTERFACES, is_virtual};
use mux::Mux;
pub use offer::Refused;
use restart::Transport;
pub use restart::{RestartError, Restarted};

/// Why candidates are not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrickleError {
    /// There is no such session.
    #[error("no such session; it has ended, or never was")]
    Unknown,
    /// The ETag is of another ICE session.
    #[error("the entity tag is not that of the current ICE session")]
    Stale,
}

/// The ICE session that a viewer asks to go over to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIce {
    /// The viewer's user name in it.
    pub ufrag: String,
    /// The viewer's password.
    pub pwd: String,
    /// Its candidates so far.
    pub candidates: Vec<RemoteCandidate>,
}

/// The table of viewers; a cheap handle.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    config: Config,
    metrics: Metrics,
    board: status::Board,
    control: Control,
    mux: Mux,
    ice: Ice,
    sessions: Mutex<HashMap<String, Entry>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Entry {
    camera: usize,
    /// Who watches, as the caller names them.
    owner: String,
    end: CancellationToken,
    /// Set when the viewer has connected.
    connected: Arc<AtomicBool>,
    /// `None` until the offer is answered.
    transport: Option<Arc<Transport>>,
}

impl Service {
    /// A table without viewers.
    ///
    /// # Errors
    ///
    /// When the viewers' port is in use.
    pub fn new(config: Config, metrics: Metrics, board: status::Board, control: Control) -> anyhow::Result<Self> {
        let mux = Mux::start(config.udp_port, config.tcp, metrics.clone())?;
        let ice = Ice::new(&config, mux.clone());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(ice.clone().watch(stop.clone()));
        let sessions = Mutex::default();
        Ok(Self(Arc::new(Inner { config, metrics, board, control, mux, ice, sessions, tasks, stop })))
    }

    /// Answers an offer of `owner` that came in on the local address `via`. When the caller gives up, the session ends.
    ///
    /// # Errors
    ///
    /// As [`Refusal`] says.
    pub async fn accept(&self, feed: &Feed, offer: &str, via: IpAddr, owner: &str) -> Result<Accepted, Refusal> {
        let offer = offer::parse(offer)?;
        let inner = &self.0;
        let id = random_name();
        let end = inner.stop.child_token();
        let connected = Arc::new(AtomicBool::new(false));
        let entry = Entry {
            camera: feed.index,
            owner: owner.into(),
            end: end.clone(),
            connected: connected.clone(),
            transport: None,
        };
        let place = inner.take_place(&id, entry)?;
        // From now on the camera is opened: it warms up while the connection is made.
        let _interest = feed.video.demand().register();
        let format = offer.format_for(feed.profile(&end).await)?;
        let session = session::Session {
            config: inner.config.clone(),
            feed: feed.clone(),
            offer,
            format,
            via,
            mux: inner.mux.clone(),
            ice: inner.ice.clone(),
            connected,
            metrics: inner.metrics.clone(),
            control: inner.control.clone(),
            end,
        };
        let (answer, answered) = oneshot::channel();
        let span = tracing::info_span!("viewer", id = &id[..8], camera = feed.name);
        inner.tasks.spawn(
            async move {
                session.run(answer).await;
                drop(place);
            }
            .instrument(span),
        );
        let answered = answered.await.map_err(|_| Refusal::Stopping)?.map_err(Refusal::Failed)?;
        let etag = answered.transport.etag();
        if let Some(entry) = inner.lock().get_mut(&id) {
            entry.transport = Some(answered.transport);
        }
        Ok(Accepted { id, etag, answer: answered.sdp, ice_servers: inner.ice.servers() })
    }

    /// Adds a viewer's late candidates to the ICE session that `etag` names. One that can't be used is left out in silence,
    /// as the draft asks.
    ///
    /// # Errors
    ///
    /// As [`TrickleError`] says.
    pub async fn trickle(&self, id: &str, etag: &str, candidates: Vec<RemoteCandidate>) -> Result<(), TrickleError> {
        let transport = self.transport(id).ok_or(TrickleError::Unknown)?;
        if etag != transport.etag() {
            return Err(TrickleError::Stale);
        }
        transport.add(&candidates).await;
        Ok(())
    }

    /// Restarts ICE for a viewer whose request came in on `via`. It goes on also when the caller gives up.
    ///
    /// # Errors
    ///
    /// As [`RestartError`] says.
    pub async fn restart(&self, id: &str, remote: RemoteIce, via: IpAddr) -> Result<Restarted, RestartError> {
        let transport = self.transport(id).ok_or(RestartError::Unknown)?;
        let restarting = self.0.tasks.spawn(async move { transport.restart(&remote, via).await }.in_current_span());
        restarting.await.unwrap_or_else(|error| Err(RestartError::Failed(error.into())))
    }

    /// What a session that is answered has.
    fn transport(&self, id: &str) -> Option<Arc<Transport>> {
        self.0.lock().get(id)?.transport.clone()
    }

    /// The STUN and TURN servers, with credentials for one viewer.
    pub fn ice_servers(&self) -> Vec<IceServer> {
        self.0.ice.servers()
    }

    /// Whether the session lives.
    pub fn contains(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    /// Ends a session; `false` when there is none of that name.
    pub fn end(&self, id: &str) -> bool {
        let Some(entry) = self.0.lock().remove(id) else { return false };
        entry.end.cancel();
        self.0.count();
        true
    }

    /// Ends all sessions of an owner, whose right to watch is gone.
    pub fn end_owned(&self, owner: &str) {
        let ended: Vec<Entry> =
            self.0.lock().extract_if(|_, entry| entry.owner == owner).map(|(_, entry)| entry).collect();
        ended.iter().for_each(|entry| entry.end.cancel());
        if !ended.is_empty() {
            tracing::info!("{} viewers ended, who may not watch any more", ended.len());
            self.0.count();
        }
    }

    /// Ends all sessions and waits for their goodbyes, a second at most.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(GOODBYE, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("{} viewers did not end within {GOODBYE:?}", self.0.tasks.len());
        }
    }
}

/// A candidate of the viewer, as a trickle fragment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// The value of `a=candidate`, with its `candidate:`.
    pub candidate: String,
    /// The media section it stands in.
    pub mid: Option<String>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session into the table.
    fn take_place(self: &Arc<Self>, id: &str, entry: Entry) -> Result<Place, Refusal> {
        if self.stop.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let mut sessions = self.lock();
        if sessions.len() >= self.config.max_viewers {
            return Err(Refusal::Full(sessions.len()));
        }
        let negotiating = sessions.values().filter(|entry| !entry.connected.load(Ordering::Relaxed)).count();
        if negotiating >= MOST_NEGOTIATING {
            return Err(Refusal::Negotiating(negotiating));
        }
        sessions.insert(id.into(), entry);
        drop(sessions);
        self.metrics.viewers_accepted.inc();
        self.count();
        Ok(Place { inner: self.clone(), id: id.into() })
    }

    /// Publishes how many viewers there are.
    fn count(&self) {
        let sessions = self.lock();
        let total = sessions.len();
        let cameras: Vec<usize> = sessions.values().map(|entry| entry.camera).collect();
        drop(sessions);
        self.metrics.viewers.set(total as i64);
        self.board.viewers(total, &cameras);
    }
}

/// A session's place in the table; given back when the session's task ends, also by a panic.
struct Place {
    inner: Arc<Inner>,
    id: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let entry = self.inner.lock().remove(&self.id);
        drop(entry);
        self.inner.count();
    }
}

/// 128 random bits in hexadecimal: nobody can guess a session's name and end it.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}
