//! The task of one session, from the offer to its end: it negotiates, sends video and audio, and cleans up.
//!
//! What is sent while the viewer is connected is in `send_loop`; the table of all sessions is in `sessions`.

pub mod answer;
pub mod control_channel;
pub mod decode_watch;
pub mod guarded_crypto;
pub mod keyframe_budget;
pub mod nal_limit;
mod payload;
pub mod peer_connection;
pub mod retransmission;
pub mod rtcp;
pub mod rtp_sender;
pub mod sctp_guard;
pub mod send_loop;
pub mod switcher;
pub mod transfer_pacer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription,
};

use super::CameraStream;
use super::ice::Ice;
use super::ice::restart::IceSession;
use super::mux::{Mux, SendStats, VirtualSocket};
use super::negotiation;
use super::pending::OfferedIdentity;
use super::rtp_clock::{AUDIO_RATE, RtpClock, VIDEO_RATE};
use super::sdp::accepted::AcceptedOffer;
use super::sdp::candidates;
use crate::media::AudioPacket;
use crate::model::metrics::Metrics;
use crate::server::dispatch::Dispatcher;
use crate::server::sessions::{Preferences, SessionGuard};
use crate::util::broadcast::{Broadcast, DemandGuard};
use keyframe_budget::KeyframeBudget;
use rtcp::RtcpInterceptor;
use rtp_sender::RtpStream;
use switcher::CameraSwitcher;

/// Host candidates are known at once; this bounds a library that does not respond.
const GATHERING_TIMEOUT: Duration = Duration::from_secs(3);

/// From the answer to the connection. A browser gives up on ICE after about 15 s; this is longer, so that the browser
/// decides.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Data channels of one viewer that are queued; one is used.
const CHANNEL_QUEUE: usize = 4;

/// Everything that one session needs.
pub struct Session {
    /// The cameras that the viewer may switch between.
    pub(super) cameras: Arc<[CameraStream]>,
    /// The one that it starts with.
    pub(super) camera: CameraStream,
    pub(super) offer: AcceptedOffer,
    /// What the viewer was told of us before.
    pub(super) identity: Option<OfferedIdentity>,
    /// The local address on which the offer was received.
    pub(super) local_addr: IpAddr,
    /// The sockets of all sessions.
    pub(super) mux: Mux,
    /// The addresses that viewers are offered.
    pub(super) ice: Ice,
    pub(super) metrics: Metrics,
    pub(super) dispatcher: Dispatcher,
    /// The session's record in the table.
    pub(super) entry: SessionGuard,
    /// The viewer's preferences.
    pub(super) preferences: watch::Receiver<Preferences>,
    /// Keeps NAL units small until the session takes frames, if the viewer needs that.
    pub(super) small_nals: Option<DemandGuard>,
}

/// A session that is ready to be answered.
pub struct Negotiated {
    /// The answer with all candidates.
    pub sdp: String,
    /// The ETag of the first ICE session.
    pub etag: String,
}

/// Passes the connection's events to the session's task. It runs on the connection's own task and must never block.
struct PeerEvents {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for PeerEvents {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        tracing::debug!("connection {state}");
        self.state.send_replace(state);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        if self.channels.try_send(channel).is_err() {
            tracing::debug!("too many data channels; ignored");
        }
    }
}

/// The receiving ends of [`PeerEvents`].
pub(super) struct PeerEventReceivers {
    gathered: watch::Receiver<bool>,
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
    pub(super) channels: mpsc::Receiver<Arc<dyn DataChannel>>,
    /// Whether the viewer decodes nothing.
    pub(super) undecoded: watch::Receiver<bool>,
}

/// The tracks of the connection.
pub(super) struct Tracks {
    pub(super) video: RtpStream,
    /// With the source of its packets.
    pub(super) audio: Option<(RtpStream, Broadcast<AudioPacket>)>,
    /// The pre-negotiated control channel, if there may be one.
    pub(super) control: Option<Arc<dyn DataChannel>>,
}

impl Session {
    /// Runs until the viewer is gone. The answer, or the error, goes to `answer`; if its receiver is dropped, the
    /// caller has given up.
    pub async fn run(mut self, answer: oneshot::Sender<anyhow::Result<Negotiated>>) {
        // This opens the camera, so that it warms up while the connection is set up.
        let audio_demand = self.camera.audio.as_ref().map(|audio| audio.demand().register());
        let demand = (self.camera.video.demand().register(), audio_demand, self.small_nals.take());
        let clocks = [RtpClock::random(VIDEO_RATE), RtpClock::random(AUDIO_RATE)];
        self.entry.set_video_epoch(clocks[0].epoch());
        let (gathered, state, (channels, incoming)) =
            (watch::Sender::new(false), watch::Sender::new(RTCPeerConnectionState::New), mpsc::channel(CHANNEL_QUEUE));
        let undecoded = watch::Sender::new(false);
        let events = PeerEventReceivers {
            gathered: gathered.subscribe(),
            state: state.subscribe(),
            channels: incoming,
            undecoded: undecoded.subscribe(),
        };
        let current_video = watch::Sender::new(self.camera.video.clone());
        let keyframes = Arc::new(KeyframeBudget::new(Instant::now()));
        let interceptor =
            RtcpInterceptor::new(current_video.subscribe(), keyframes.clone(), clocks, undecoded, self.metrics.clone());
        let handler = Arc::new(PeerEvents { gathered, state, channels });
        let socket = self.mux.virtual_socket(SendStats { video: clocks[0], metrics: self.metrics.clone() });
        let connection = match peer_connection::connect(
            socket.clone(),
            interceptor,
            self.offer.format,
            self.offer.offerer_is_dtls_client,
            self.identity.clone(),
            handler,
            self.entry.handle().end().clone(),
        )
        .await
        {
            Ok(connection) => connection,
            Err(error) => {
                let _ = answer.send(Err(anyhow::anyhow!("open a peer connection: {error}")));
                return;
            }
        };
        if let Some((mut tracks, mut events)) = self.wait_connected(&connection, &socket, clocks, events, answer).await
        {
            self.entry.set_connected();
            tracing::info!("viewer connected");
            let switcher = CameraSwitcher::new(
                &self.cameras,
                self.camera.clone(),
                self.offer.format,
                current_video,
                keyframes,
                self.metrics.clone(),
            );
            let audio = tracks.audio.as_ref().map(|(_, packets)| packets.subscribe());
            drop(demand);
            self.run_connected(&mut tracks, &mut events, switcher, audio).await;
        }
        if let Err(error) = connection.close().await {
            tracing::debug!("close the connection: {error}");
        }
        socket.close();
    }

    /// Negotiates and waits until the viewer has connected; `None` if it does not.
    async fn wait_connected(
        &self,
        connection: &Arc<dyn PeerConnection>,
        socket: &VirtualSocket,
        clocks: [RtpClock; 2],
        mut events: PeerEventReceivers,
        answer: oneshot::Sender<anyhow::Result<Negotiated>>,
    ) -> Option<(Tracks, PeerEventReceivers)> {
        let (answered, tracks) = match self.negotiate(connection, socket, clocks, &mut events).await {
            Ok(negotiated) => negotiated,
            Err(error) => {
                let _ = answer.send(Err(error));
                return None;
            }
        };
        answer.send(Ok(answered)).ok()?;
        let settled = events.state.wait_for(|state| {
            use RTCPeerConnectionState::{Closed, Connected, Failed};
            matches!(state, Connected | Failed | Closed)
        });
        tokio::select! {
            biased;
            () = self.entry.handle().end().cancelled() => return None,
            settled = timeout(CONNECT_TIMEOUT, settled) => match settled {
                Ok(Ok(state)) if *state == RTCPeerConnectionState::Connected => {}
                Ok(_) => {
                    tracing::info!("viewer could not connect: no candidate pair works");
                    return None;
                }
                Err(_) => {
                    tracing::info!("viewer did not connect within {} s", CONNECT_TIMEOUT.as_secs());
                    return None;
                }
            },
            () = socket.handshake_failed() => {
                tracing::info!("viewer could not connect: the DTLS handshake failed");
                return None;
            }
        }
        socket.note_connected();
        Some((tracks, events))
    }

    /// Answers the offer; the answer holds all candidates.
    async fn negotiate(
        &self,
        shared: &Arc<dyn PeerConnection>,
        socket: &VirtualSocket,
        [video, audio]: [RtpClock; 2],
        events: &mut PeerEventReceivers,
    ) -> anyhow::Result<(Negotiated, Tracks)> {
        let connection = shared.as_ref();
        let library_offer = RTCSessionDescription::offer(self.offer.library_offer.clone())?;
        connection.set_remote_description(library_offer).await?;
        let video =
            RtpStream::add(connection, RtpCodecKind::Video, peer_connection::h264(self.offer.format), video).await?;
        let audio = match &self.camera.audio {
            Some(packets) if self.offer.wants_audio => Some((
                RtpStream::add(connection, RtpCodecKind::Audio, peer_connection::opus(), audio).await?,
                packets.clone(),
            )),
            _ => None,
        };
        // Channels with even ids belong to the DTLS client (RFC 8832 section 6).
        let control = match self.offer.wants_data && !self.offer.offerer_is_dtls_client {
            true => Some(peer_connection::open_control_channel(connection).await?),
            false => None,
        };
        negotiation::answer(connection).await?;
        let gathered = events.gathered.wait_for(|gathered| *gathered);
        // STUN servers and host names are queried meanwhile.
        let gathered = async { timeout(GATHERING_TIMEOUT, gathered).await.is_ok() };
        let (gathered, candidates) = tokio::join!(gathered, self.ice.candidates(self.local_addr));
        if !gathered {
            tracing::warn!("local addresses were not gathered within {} s", GATHERING_TIMEOUT.as_secs());
        }
        let local = connection.local_description().await;
        let sdp = local.ok_or_else(|| anyhow::anyhow!("the connection has no local description"))?.sdp;
        let sdp = candidates::with_candidates(&self.offer.answer(&sdp), &candidates);
        let (offer, ice) = (self.offer.library_offer.clone(), self.ice.clone());
        let ice_session = IceSession::new(shared.clone(), socket.clone(), ice, offer, sdp.clone(), self.local_addr)?;
        ice_session.add_candidates(&self.offer.candidates).await;
        let etag = ice_session.etag();
        // For trickled candidates and ICE restarts.
        self.entry.attach(Arc::new(ice_session));
        Ok((Negotiated { sdp, etag }, Tracks { video, audio, control }))
    }
}
