//! The task of one session, from the offer to its end: it negotiates, sends video and audio, and cleans up.
//!
//! What is sent while the viewer is connected is in `send_loop`; the table of all sessions is in `server::sessions`.

pub mod audio_receiver;
mod audio_sender;
mod bitrate_meter;
mod connection;
pub mod control_channel;
mod data_channel;
pub mod decode_watch;
mod delay_watch;
mod history;
pub mod keyframe_budget;
pub mod keyframe_reader;
mod layer_choice;
mod layer_filter;
mod media_sender;
pub mod nal_limit;
mod packet_sink;
mod packets;
mod party;
mod queued_packet;
mod reception;
mod rendition_choice;
pub mod rtcp;
pub mod rtp_header;
pub mod rtp_sender;
pub mod screen;
pub mod send_loop;
mod stream_meters;
pub mod switcher;
pub mod talk_receiver;
pub mod transfer_pacer;
mod viewer_estimate;
mod viewer_media;
pub mod whep_answer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::CameraStream;
use super::ice::Ice;
use super::ice::restart::{self, IceSession};
use super::mux::{Credentials, Mux, SendStats, VirtualSocket};
use super::peer::{self, Consent, DataDescription, DtlsIdentity, InboundMedia, Peer};
use super::rtp_clock::MediaSources;
use super::sdp::accepted::AcceptedOffer;
use super::sdp::answer::LocalDescription;
use super::sdp::candidates;
use crate::media::AudioPacket;
use crate::model::metrics::Metrics;
use crate::server::dispatch::Dispatcher;
use crate::server::floor::Seat;
use crate::server::sessions::{Preferences, SessionGuard};
use crate::util::broadcast::{Broadcast, DemandGuard};
use audio_sender::AudioSender;
use connection::{CONTROL_CHANNEL, Connection, ConnectionEvent};
use data_channel::DataChannel;
use keyframe_budget::KeyframeBudget;
use media_sender::MediaSender;
pub use party::Party;
use rtp_sender::{RtpStream, VideoSender};
use send_loop::Media;
use switcher::CameraSwitcher;
use viewer_media::ViewerMedia;

/// From the answer to the connection. A browser gives up on ICE after about 15 s; this is longer, so that the browser
/// decides.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Everything that one session needs.
pub struct Session {
    /// The cameras that may be switched between.
    pub(super) cameras: Arc<[CameraStream]>,
    /// The one that it starts with.
    pub(super) camera: CameraStream,
    pub(super) offer: AcceptedOffer,
    /// Who is at the other end.
    pub(super) party: Party,
    /// Our ICE credentials.
    pub(super) ours: Credentials,
    /// The streams that are sent.
    pub(super) sources: MediaSources,
    /// The local address on which the offer was received.
    pub(super) local_addr: IpAddr,
    /// The sockets of all sessions.
    pub(super) mux: Mux,
    /// The addresses that viewers are offered.
    pub(super) ice: Ice,
    /// Our certificate.
    pub(super) identity: DtlsIdentity,
    pub(super) metrics: Metrics,
    pub(super) dispatcher: Dispatcher,
    /// The session's record in the table.
    pub(super) entry: SessionGuard,
    /// The viewer's preferences.
    pub(super) preferences: watch::Receiver<Preferences>,
    /// The session's place among those who may talk, if it may and can.
    pub(super) seat: Option<Seat>,
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

/// A session that has been negotiated, and waits for its viewer.
struct Negotiation {
    connection: Connection,
    video: VideoSender,
    /// The audio, with the source of its packets.
    audio: Option<(AudioSender, Broadcast<AudioPacket>)>,
    /// The pre-negotiated control channel, if there may be one.
    channels: Vec<DataChannel>,
}

impl Session {
    /// Runs until the viewer is gone. The answer, or the error, goes to `answer`; if its receiver is dropped, the
    /// caller has given up.
    pub async fn run(mut self, answer: oneshot::Sender<anyhow::Result<Negotiated>>) {
        // This opens the camera, so that it warms up while the connection is set up.
        let audio_demand = self.camera.audio.as_ref().map(|audio| audio.demand().register());
        let demand = (self.camera.video.demand().register(), audio_demand, self.small_nals.take());
        let socket = self.mux.virtual_socket(SendStats { metrics: self.metrics.clone() });
        let (negotiated, negotiation) = match self.negotiate(&socket).await {
            Ok(negotiated) => negotiated,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        let Negotiation { mut connection, video, audio, mut channels } = negotiation;
        if answer.send(Ok(negotiated)).is_ok() && self.wait_connected(&mut connection, &socket, &mut channels).await {
            self.entry.set_connected();
            self.party.note_connected();
            tracing::info!("{} connected", self.party);
            let (now, bitrate) = (Instant::now(), self.camera.rate.limit());
            let (audio, sounds) = audio.unzip();
            let (source, owner) = (self.camera.video.demand().clone(), self.entry.owner());
            let sender = MediaSender::new(source, video, audio, bitrate, owner, self.metrics.clone(), now);
            let current_video = watch::Sender::new(self.camera.video.clone());
            let switcher = CameraSwitcher::new(
                &self.cameras,
                self.camera.clone(),
                self.offer.format,
                current_video,
                Arc::new(KeyframeBudget::new(now)),
                sender.demand(now),
                self.metrics.clone(),
            );
            let received = ViewerMedia::new(self.seat.take().map(Arc::new), &self.offer);
            let media = Media { sender, switcher, sounds, received };
            self.run_connected(&mut connection, media, channels, demand).await;
        }
        connection.close();
    }

    /// Waits until the viewer has connected; `false` if it does not. Channels that it opens are added to `channels`.
    async fn wait_connected(
        &self,
        connection: &mut Connection,
        socket: &VirtualSocket,
        channels: &mut Vec<DataChannel>,
    ) -> bool {
        let connected = async {
            loop {
                match connection.next().await {
                    ConnectionEvent::Connected => return true,
                    ConnectionEvent::Channel(channel) => channels.push(channel),
                    ConnectionEvent::Rtcp(_) | ConnectionEvent::Rtp(_) => {}
                    ConnectionEvent::Closed | ConnectionEvent::Failed | ConnectionEvent::Violation(_) => return false,
                }
            }
        };
        let reason = tokio::select! {
            biased;
            () = self.entry.handle().end().cancelled() => return false,
            connected = timeout(CONNECT_TIMEOUT, connected) => match connected {
                Ok(true) => {
                    socket.note_connected();
                    return true;
                }
                Ok(false) => "its connection broke".to_owned(),
                Err(_) => format!("nothing came of it within {} s", CONNECT_TIMEOUT.as_secs()),
            },
            () = socket.handshake_failed() => "the DTLS handshake failed".into(),
        };
        tracing::info!("{} could not connect: {reason}", self.party);
        false
    }

    /// Answers the offer; the answer holds all candidates.
    async fn negotiate(&self, socket: &VirtualSocket) -> anyhow::Result<(Negotiated, Negotiation)> {
        let MediaSources { video, rtx_ssrc, audio } = self.sources;
        self.entry.set_video_epoch(video.epoch());
        let ours = self.ours.clone();
        // STUN servers and host names are queried meanwhile.
        let candidates = self.ice.candidates(self.local_addr).await;
        let answer = self.offer.answer(&LocalDescription {
            session: rand::random(),
            ufrag: &ours.ufrag,
            password: &ours.password,
            fingerprint: &self.identity.fingerprint,
            video_ssrc: video.ssrc,
            rtx_ssrc,
            audio_ssrc: self.camera.audio.as_ref().map(|_| audio.ssrc),
            sctp_port: peer::SCTP_PORT,
            max_message_size: peer::MAX_MESSAGE_SIZE,
        });
        let sdp = candidates::with_candidates(&answer, &candidates);
        let transport = &self.offer.transport;
        let theirs = Credentials { ufrag: transport.ufrag.clone(), password: transport.password.clone() };
        let peer = Peer::new(&self.identity, self.description(ours.clone(), theirs.clone()))?;
        let (commands, received) = mpsc::channel(restart::COMMAND_QUEUE);
        let mut connection = Connection::new(peer, socket.clone(), received);
        let channels = self.negotiated_channel().map(|_| connection.negotiated_channel()).into_iter().collect();
        let (ice, local_addr) = (self.ice.clone(), self.local_addr);
        let (credentials, accepted) = ([ours, theirs], self.party.candidates());
        let ice_session =
            IceSession::new(commands, socket.clone(), ice, sdp.clone(), credentials, local_addr, accepted);
        // The queue has room for all that are accepted.
        ice_session.add_candidates(&self.offer.candidates).await;
        let etag = ice_session.etag();
        // For trickled candidates and ICE restarts.
        self.entry.attach(Arc::new(ice_session));
        let bitrate = self.camera.rate.limit();
        let video = VideoSender::new(RtpStream::new(video, self.offer.video.clone()), rtx_ssrc, bitrate);
        let sounds = self.camera.audio.clone().zip(self.offer.audio.clone());
        let audio = sounds.map(|(packets, format)| (AudioSender::new(RtpStream::new(audio, format)), packets));
        Ok((Negotiated { sdp, etag }, Negotiation { connection, video, audio, channels }))
    }

    /// The channel that exists without being opened, if there is one.
    fn negotiated_channel(&self) -> Option<u16> {
        // Channels with even ids belong to the DTLS client (RFC 8832 section 6).
        self.offer.data.filter(|_| !self.offer.offerer_is_dtls_client).map(|_| CONTROL_CHANNEL)
    }

    /// What was agreed about the connection.
    fn description(&self, ours: Credentials, theirs: Credentials) -> peer::PeerDescription {
        let negotiated = self.negotiated_channel();
        peer::PeerDescription {
            ours,
            theirs,
            // With a server the offer was ours, and not that of a lite agent.
            is_controlling: self.offer.offerer_is_lite || self.party.is_server(),
            consent: if self.party.is_server() { Consent::SERVER } else { Consent::VIEWER },
            fingerprint: self.offer.transport.fingerprint.clone(),
            is_dtls_client: !self.offer.offerer_is_dtls_client,
            data: self.offer.data.map(|data| DataDescription { max_message_size: data.max_message_size, negotiated }),
            inbound: match (&self.seat, self.offer.screen) {
                (None, _) => InboundMedia::Nothing,
                (Some(_), None) => InboundMedia::Audio,
                (Some(_), Some(_)) => InboundMedia::Picture,
            },
        }
    }
}
