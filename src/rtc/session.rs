//! The task of one viewer, from the offer to the end: it negotiates, forwards frames and sound, answers the control
//! channel, and cleans up.
//!
//! One straight story for each viewer; which viewers there are stands in `rtc`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
};

use super::clock::{AUDIO_RATE, RtpClock, VIDEO_RATE};
use super::ice::Ice;
use super::mux::{Gauge, Line, Mux};
use super::offer::Offer;
use super::restart::Transport;
use super::stream::{RtpStream, playout_delay};
use super::tap::Tap;
use super::{Config, Feed, answer, channel, peer};
use crate::broadcast::{RecvError, Subscriber};
use crate::control::Control;
use crate::h264::Profile;
use crate::media::{AudioPacket, EncodedFrame};
use crate::metrics::{Drop as At, Metrics};

/// Host candidates are known at once; this bounds a stack that does not answer.
const GATHERING: Duration = Duration::from_secs(3);

/// From the answer to a connection. A browser gives up on ICE after about 15 s; this is longer, so that it decides.
const CONNECTING: Duration = Duration::from_secs(20);

/// How often a session looks whether the viewer has closed the transport: players without a control channel leave in
/// this way only.
const LOOK: Duration = Duration::from_millis(500);

/// How long a viewer may take to acknowledge the goodbye.
const GOODBYE: Duration = Duration::from_millis(300);

/// Data channels of one viewer that wait to be looked at; one is used.
const CHANNELS: usize = 4;

/// What a session is made of.
pub struct Session {
    pub(super) config: Config,
    pub(super) feed: Feed,
    pub(super) offer: Offer,
    /// The H.264 format of the offer that the pictures are sent as.
    pub(super) format: Profile,
    /// The local address on which the offer came in.
    pub(super) via: IpAddr,
    /// The sockets of all viewers.
    pub(super) mux: Mux,
    /// The addresses that viewers are offered.
    pub(super) ice: Ice,
    /// Set when the viewer has connected.
    pub(super) connected: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
    pub(super) control: Control,
    /// Ends the session.
    pub(super) end: CancellationToken,
}

/// A session that can be answered.
pub struct Answered {
    /// The answer with all candidates.
    pub sdp: String,
    /// For candidates and ICE sessions that come later.
    pub transport: Arc<Transport>,
}

/// Passes the connection's events to the session's task; it runs on the connection's own task and must never wait.
struct Events {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
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

/// The ends of [`Events`].
struct Signals {
    gathered: watch::Receiver<bool>,
    state: watch::Receiver<RTCPeerConnectionState>,
    channels: mpsc::Receiver<Arc<dyn DataChannel>>,
}

impl Session {
    /// Runs until the viewer is gone. The answer, or why there is none, goes to `answer`; when nobody waits for it any
    /// more, the viewer has left already.
    pub async fn run(self, answer: oneshot::Sender<anyhow::Result<Answered>>) {
        // From now on the camera is opened: it warms up while the connection is made.
        let _interest = self.feed.video.demand().register();
        let _listening = self.feed.audio.as_ref().map(|audio| audio.demand().register());
        let clocks = [RtpClock::random(VIDEO_RATE), RtpClock::random(AUDIO_RATE)];
        let (gathered, state, (channels, incoming)) =
            (watch::Sender::new(false), watch::Sender::new(RTCPeerConnectionState::New), mpsc::channel(CHANNELS));
        let signals = Signals { gathered: gathered.subscribe(), state: state.subscribe(), channels: incoming };
        let tap = Tap::new(self.feed.video.clone(), clocks, self.metrics.clone());
        let events = Arc::new(Events { gathered, state, channels });
        let line = self.mux.line(Gauge { video: clocks[0], metrics: self.metrics.clone() });
        let connection = match peer::connect(line.clone(), tap, self.format, events).await {
            Ok(connection) => connection,
            Err(error) => {
                let _ = answer.send(Err(anyhow::anyhow!("open a peer connection: {error}")));
                return;
            }
        };
        self.serve(&connection, &line, clocks, signals, answer).await;
        if let Err(error) = connection.close().await {
            tracing::debug!("close the connection: {error}");
        }
        line.close();
    }

    async fn serve(
        &self,
        connection: &Arc<dyn PeerConnection>,
        line: &Line,
        clocks: [RtpClock; 2],
        mut signals: Signals,
        answer: oneshot::Sender<anyhow::Result<Answered>>,
    ) {
        let (answered, mut streams) = match self.negotiate(connection, line, clocks, &mut signals).await {
            Ok(negotiated) => negotiated,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        if answer.send(Ok(answered)).is_err() {
            return;
        }
        let connected = signals.state.wait_for(|state| *state == RTCPeerConnectionState::Connected);
        tokio::select! {
            biased;
            () = self.end.cancelled() => return,
            result = timeout(CONNECTING, connected) => if result.is_err() {
                tracing::info!("viewer did not connect within {} s", CONNECTING.as_secs());
                return;
            },
        }
        self.connected.store(true, Ordering::Relaxed);
        tracing::info!("viewer connected");
        let mut control = None;
        if let Err(error) = self.forward(&mut streams, &mut signals, &mut control).await {
            tracing::info!("viewer ended: {error}");
        } else {
            tracing::debug!("viewer left");
        }
        // The control channel has the last word.
        self.end.cancel();
        if let Some(control) = control
            && timeout(GOODBYE, control).await.is_err()
        {
            tracing::debug!("the viewer did not take the goodbye");
        }
    }

    /// Answers the offer; the answer's text holds every candidate.
    async fn negotiate(
        &self,
        shared: &Arc<dyn PeerConnection>,
        line: &Line,
        [video, audio]: [RtpClock; 2],
        signals: &mut Signals,
    ) -> anyhow::Result<(Answered, Streams)> {
        let connection = shared.as_ref();
        connection.set_remote_description(self.offer.description.clone()).await?;
        let video = RtpStream::add(connection, RtpCodecKind::Video, peer::h264(self.format), video).await?;
        let audio = match &self.feed.audio {
            Some(feed) if self.offer.wants_audio => {
                Some((RtpStream::add(connection, RtpCodecKind::Audio, peer::opus(), audio).await?, feed.clone()))
            }
            _ => None,
        };
        peer::mute_without_track(connection).await?;
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
        let sdp = answer::with_candidates(&sdp, &candidates);
        let (offer, ice) = (self.offer.description.sdp.clone(), self.ice.clone());
        let transport = Transport::new(shared.clone(), line.clone(), ice, offer, sdp.clone(), self.via)?;
        transport.add(&self.offer.candidates).await;
        Ok((Answered { sdp, transport: Arc::new(transport) }, Streams { video, audio }))
    }

    /// Forwards until the viewer leaves (`Ok`) or its connection breaks.
    async fn forward(
        &self,
        streams: &mut Streams,
        signals: &mut Signals,
        control: &mut Option<JoinHandle<()>>,
    ) -> anyhow::Result<()> {
        let Streams { video, audio } = streams;
        let mut frames = self.feed.video.subscribe();
        let mut sound = audio.as_ref().map(|(_, feed)| feed.subscribe());
        self.feed.video.request_refresh();
        let delay = playout_delay(self.config.playout_delay);
        let mut awaiting_key = true;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                () = self.end.cancelled() => return Ok(()),
                changed = signals.state.changed() => {
                    changed?;
                    let state = *signals.state.borrow();
                    match state {
                        RTCPeerConnectionState::Closed => return Ok(()),
                        RTCPeerConnectionState::Failed => anyhow::bail!("no sign of life any more"),
                        _ => {}
                    }
                }
                _ = look.tick() => if video.is_closed().await {
                    return Ok(());
                },
                Some(channel) = signals.channels.recv() => {
                    let task = channel::serve(channel, self.control.clone(), self.end.clone());
                    *control = Some(tokio::spawn(task));
                }
                packet = next_sound(&mut sound) => {
                    if let (Some(packet), Some((stream, _))) = (packet, audio.as_mut()) {
                        stream.send_audio(packet.captured, packet.data, packet.gap).await?;
                    }
                }
                frame = frames.recv() => match frame {
                    Ok(frame) => self.forward_frame(video, frame, &mut awaiting_key, &delay).await?,
                    Err(RecvError::Missed(count)) => {
                        self.metrics.drop_at(At::ViewerLag, count);
                        awaiting_key = true;
                        self.feed.video.request_refresh();
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn forward_frame(
        &self,
        stream: &mut RtpStream,
        frame: EncodedFrame,
        awaiting_key: &mut bool,
        delay: &Bytes,
    ) -> anyhow::Result<()> {
        if *awaiting_key && !frame.key {
            self.metrics.drop_at(At::AwaitingKey, 1);
            return Ok(());
        }
        *awaiting_key = false;
        Ok(stream.send_video(frame.captured, &frame.data, delay).await?)
    }
}

struct Streams {
    video: RtpStream,
    audio: Option<(RtpStream, crate::broadcast::Broadcast<AudioPacket>)>,
}

/// The next sound packet; never for a viewer without sound. Missed packets are gone: the browser conceals them.
async fn next_sound(sound: &mut Option<Subscriber<AudioPacket>>) -> Option<AudioPacket> {
    let Some(subscriber) = sound else { return std::future::pending().await };
    loop {
        match subscriber.recv().await {
            Ok(packet) => return Some(packet),
            Err(RecvError::Missed(_)) => {}
            Err(RecvError::Closed) => {
                *sound = None;
                return None;
            }
        }
    }
}
