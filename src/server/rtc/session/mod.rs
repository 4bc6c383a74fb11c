//! The task of one viewer, from the offer to the end: it negotiates, has pictures and sound forwarded, and cleans up.
//!
//! One straight story for each viewer. What is forwarded while it watches stands in `forward`, which viewers there are in
//! `viewers`.

pub mod answer;
pub mod control_channel;
pub mod peer_connection;
pub mod rtcp;
pub mod rtp_sender;
pub mod send_loop;
pub mod switcher;
pub mod transfer_pacer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
};

use super::CameraStream;
use super::ice::Ice;
use super::ice::restart::IceSession;
use super::mux::{Mux, SendStats, VirtualSocket};
use super::rtp_clock::{AUDIO_RATE, RtpClock, VIDEO_RATE};
use super::sdp::candidates;
use super::sdp::offer::Offer;
use crate::media::AudioPacket;
use crate::media::h264::Profile;
use crate::model::metrics::Metrics;
use crate::server::dispatch::Dispatcher;
use crate::server::sessions::{Preferences, SessionGuard};
use crate::util::broadcast::Broadcast;
use rtcp::RtcpInterceptor;
use rtp_sender::RtpStream;
use switcher::CameraSwitcher;

/// Host candidates are known at once; this bounds a stack that does not answer.
const GATHERING: Duration = Duration::from_secs(3);

/// From the answer to a connection. A browser gives up on ICE after about 15 s; this is longer, so that it decides.
const CONNECTING: Duration = Duration::from_secs(20);

/// Data channels of one viewer that wait to be looked at; one is used.
const CHANNELS: usize = 4;

/// What a session is made of.
pub struct Session {
    /// The cameras that the viewer may choose among.
    pub(super) feeds: Arc<[CameraStream]>,
    /// The one that it begins with.
    pub(super) feed: CameraStream,
    pub(super) offer: Offer,
    /// The H.264 format of the offer that the pictures are sent as.
    pub(super) format: Profile,
    /// The local address on which the offer came in.
    pub(super) via: IpAddr,
    /// The sockets of all viewers.
    pub(super) mux: Mux,
    /// The addresses that viewers are offered.
    pub(super) ice: Ice,
    pub(super) metrics: Metrics,
    pub(super) control: Dispatcher,
    /// The viewer's place in the table.
    pub(super) entry: SessionGuard,
    /// What the viewer wishes.
    pub(super) wishes: watch::Receiver<Preferences>,
}

/// A session that can be answered.
pub struct Negotiated {
    /// The answer with all candidates.
    pub sdp: String,
    /// For candidates and ICE sessions that come later.
    pub transport: Arc<IceSession>,
}

/// Passes the connection's events to the session's task; it runs on the connection's own task and must never wait.
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
            tracing::debug!("more data channels than are looked at; ignored");
        }
    }
}

/// The ends of [`PeerEvents`].
pub(super) struct PeerEventReceivers {
    gathered: watch::Receiver<bool>,
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
    pub(super) channels: mpsc::Receiver<Arc<dyn DataChannel>>,
}

/// The tracks of the connection.
pub(super) struct Tracks {
    pub(super) video: RtpStream,
    /// With where the sound comes from.
    pub(super) audio: Option<(RtpStream, Broadcast<AudioPacket>)>,
    /// The control channel that needs no opening, where there may be one.
    pub(super) control: Option<Arc<dyn DataChannel>>,
}

impl Session {
    /// Runs until the viewer is gone. The answer, or why there is none, goes to `answer`; when nobody waits for it any
    /// more, the viewer has left already.
    pub async fn run(self, answer: oneshot::Sender<anyhow::Result<Negotiated>>) {
        // From now on the camera is opened: it warms up while the connection is made.
        let listening = self.feed.audio.as_ref().map(|audio| audio.demand().register());
        let warm = (self.feed.video.demand().register(), listening);
        let clocks = [RtpClock::random(VIDEO_RATE), RtpClock::random(AUDIO_RATE)];
        let (gathered, state, (channels, incoming)) =
            (watch::Sender::new(false), watch::Sender::new(RTCPeerConnectionState::New), mpsc::channel(CHANNELS));
        let signals =
            PeerEventReceivers { gathered: gathered.subscribe(), state: state.subscribe(), channels: incoming };
        let watched = watch::Sender::new(self.feed.video.clone());
        let tap = RtcpInterceptor::new(watched.subscribe(), clocks, self.metrics.clone());
        let events = Arc::new(PeerEvents { gathered, state, channels });
        let line = self.mux.line(SendStats { video: clocks[0], metrics: self.metrics.clone() });
        let connection = match peer_connection::connect(line.clone(), tap, self.format, self.offer.begins, events).await
        {
            Ok(connection) => connection,
            Err(error) => {
                let _ = answer.send(Err(anyhow::anyhow!("open a peer connection: {error}")));
                return;
            }
        };
        if let Some((mut streams, mut signals)) = self.connect(&connection, &line, clocks, signals, answer).await {
            self.entry.connected();
            tracing::info!("viewer connected");
            let pictures =
                CameraSwitcher::new(&self.feeds, self.feed.clone(), self.format, watched, self.metrics.clone());
            let sound = streams.audio.as_ref().map(|(_, feed)| feed.subscribe());
            drop(warm);
            self.forward(&mut streams, &mut signals, pictures, sound).await;
        }
        if let Err(error) = connection.close().await {
            tracing::debug!("close the connection: {error}");
        }
        line.close();
    }

    /// Negotiates, and waits until the viewer has connected; `None` when it does not.
    async fn connect(
        &self,
        connection: &Arc<dyn PeerConnection>,
        line: &VirtualSocket,
        clocks: [RtpClock; 2],
        mut signals: PeerEventReceivers,
        answer: oneshot::Sender<anyhow::Result<Negotiated>>,
    ) -> Option<(Tracks, PeerEventReceivers)> {
        let (answered, streams) = match self.negotiate(connection, line, clocks, &mut signals).await {
            Ok(negotiated) => negotiated,
            Err(error) => {
                let _ = answer.send(Err(error));
                return None;
            }
        };
        answer.send(Ok(answered)).ok()?;
        let connected = signals.state.wait_for(|state| *state == RTCPeerConnectionState::Connected);
        tokio::select! {
            biased;
            () = self.entry.seat().end().cancelled() => return None,
            result = timeout(CONNECTING, connected) => if result.is_err() {
                tracing::info!("viewer did not connect within {} s", CONNECTING.as_secs());
                return None;
            },
        }
        Some((streams, signals))
    }

    /// Answers the offer; the answer's text holds every candidate.
    async fn negotiate(
        &self,
        shared: &Arc<dyn PeerConnection>,
        line: &VirtualSocket,
        [video, audio]: [RtpClock; 2],
        signals: &mut PeerEventReceivers,
    ) -> anyhow::Result<(Negotiated, Tracks)> {
        let connection = shared.as_ref();
        connection.set_remote_description(self.offer.description.clone()).await?;
        let video = RtpStream::add(connection, RtpCodecKind::Video, peer_connection::h264(self.format), video).await?;
        let audio = match &self.feed.audio {
            Some(feed) if self.offer.wants_audio => Some((
                RtpStream::add(connection, RtpCodecKind::Audio, peer_connection::opus(), audio).await?,
                feed.clone(),
            )),
            _ => None,
        };
        peer_connection::mute_without_track(connection).await?;
        // Channels with even numbers belong to the client of DTLS (RFC 8832 section 6).
        let control = match self.offer.wants_data && !self.offer.begins {
            true => Some(peer_connection::control(connection).await?),
            false => None,
        };
        let answer = connection.create_answer(None).await?;
        connection.set_local_description(answer).await?;
        let gathered = signals.gathered.wait_for(|gathered| *gathered);
        // STUN servers and names are asked meanwhile.
        let gathered = async { timeout(GATHERING, gathered).await.is_ok() };
        let (gathered, candidates) = tokio::join!(gathered, self.ice.candidates(self.via));
        if !gathered {
            tracing::warn!("local addresses were not gathered within {} s", GATHERING.as_secs());
        }
        let local = connection.local_description().await;
        let sdp = local.ok_or_else(|| anyhow::anyhow!("the connection has no local description"))?.sdp;
        let sdp = candidates::with_candidates(&sdp, &candidates);
        let (offer, ice) = (self.offer.description.sdp.clone(), self.ice.clone());
        let transport = IceSession::new(shared.clone(), line.clone(), ice, offer, sdp.clone(), self.via)?;
        transport.add(&self.offer.candidates).await;
        Ok((Negotiated { sdp, transport: Arc::new(transport) }, Tracks { video, audio, control }))
    }
}
