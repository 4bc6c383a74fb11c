//! The test viewer: negotiates over WHEP, receives, requests retransmissions and decodes.
//!
//! It uses webrtc-rs like the program but none of the program's own code, except the timecode reader. The page in a
//! real browser is tested in `tests/page`.

mod http;
mod narrow;
mod network;
mod receive;
mod receiver;
mod reports;
mod restart;
mod show;
mod talk;
pub mod tamper;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use porthole::capture::camera::timecode::Timecode;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder, Slot,
    register_default_interceptors,
};

pub use http::{Answer, request};
pub use network::Network;
pub use receive::unix_tenths;
pub use receiver::Receiver;
pub use reports::Reports;

/// What the methods return: boxed, so that they are compiled here instead of in each test that awaits them.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Options of a viewer.
#[derive(Debug, Clone)]
pub struct Options {
    /// The page's URL, with a trailing slash.
    pub base: String,
    /// The camera to watch; the first one if `None`.
    pub camera: Option<String>,
    /// Whether video and audio are decoded.
    pub decode: bool,
    /// Its simulated network, if it is not the real one.
    pub network: Option<Network>,
    /// The offered H.264 profiles, as `profile-level-id`.
    pub profiles: Vec<String>,
    /// The `packetization-mode` of the offered formats.
    pub packetization_mode: u8,
    /// Whether it uses TCP only.
    pub tcp: bool,
    /// The bearer token.
    pub token: Option<String>,
    /// Whether its control channel is pre-negotiated.
    pub negotiated: bool,
    /// How it breaks the rules of SCTP.
    pub tamper: Option<tamper::Tamper>,
    /// Whether it is an ICE agent that only answers, as some servers are.
    pub lite: bool,
    /// Whether it offers to send audio.
    pub talks: bool,
    /// Whether it offers to send a picture.
    pub shows: bool,
    /// What becomes of its offer before it is posted.
    pub rewrite_offer: fn(String) -> String,
}

impl Options {
    /// Watches the first camera of the page at `base`, decoding.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.into(),
            camera: None,
            decode: true,
            network: None,
            profiles: vec!["42e01f".into()],
            packetization_mode: 1,
            tcp: false,
            token: None,
            negotiated: false,
            tamper: None,
            lite: false,
            talks: false,
            shows: false,
            rewrite_offer: |offer| offer,
        }
    }
}

/// What a viewer receives.
#[derive(Debug)]
pub enum Event {
    /// The connection is established.
    Connected,
    /// A complete access unit arrived.
    Frame(Frame),
    /// This many packets were given up as lost.
    Lost(usize),
    /// 20 ms of audio.
    Audio(Audio),
    /// A message on the control channel.
    Message(String),
    /// A binary message on the control channel.
    Binary(Bytes),
    /// The connection or its control channel ended.
    Ended,
}

/// An access unit.
#[derive(Debug)]
pub struct Frame {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Whether it contains an IDR.
    pub key: bool,
    /// Arrival time of its last packet.
    pub arrived: Instant,
    /// The `abs-capture-time` of its first packet, as an NTP timestamp.
    pub capture_ntp: Option<u64>,
    /// The `playout-delay` of its first packet.
    pub playout_delay: Option<Bytes>,
    /// Whether each of its packets was a NAL unit.
    pub single_nal_units: bool,
    /// The decoded image.
    pub image: Option<Image>,
}

/// A decoded I420 image without padding.
#[derive(Debug)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub y: Vec<u8>,
    pub u: Vec<u8>,
    pub v: Vec<u8>,
    /// The test pattern's timecode, if readable.
    pub code: Option<Timecode>,
    /// Time of decoding, in tenths of a millisecond since the Unix epoch.
    pub decoded: u64,
}

/// A decoded Opus packet.
#[derive(Debug)]
pub struct Audio {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its RTP sequence number.
    pub sequence_number: u16,
    /// Whether its marker is set.
    pub marker: bool,
    /// Its arrival time.
    pub arrived: Instant,
    /// Whether it has the codec's speech layer, in which in-band FEC is.
    pub speech: bool,
    /// Interleaved stereo at 48 kHz.
    pub samples: Vec<i16>,
}

/// A running viewer.
pub struct Viewer {
    /// Received events.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// When the offer was posted.
    pub posted: Instant,
    /// The WHEP session URL.
    pub session: String,
    /// The SDP offer.
    pub offer: String,
    /// The SDP answer.
    pub answer: String,
    /// The answer's entity tag.
    pub etag: String,
    /// Sender reports and requests for key frames received so far.
    pub reports: Reports,
    connection: Arc<dyn PeerConnection>,
    control: Arc<dyn DataChannel>,
    opened: watch::Receiver<bool>,
    video: watch::Receiver<Option<Arc<dyn TrackRemote>>>,
    voice: Option<talk::Voice>,
    camera: Option<show::Camera>,
}

struct Handler {
    events: mpsc::UnboundedSender<Event>,
    gathered: watch::Sender<bool>,
    video: watch::Sender<Option<Arc<dyn TrackRemote>>>,
    decode: bool,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let event = match state {
            RTCPeerConnectionState::Connected => Event::Connected,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => Event::Ended,
            _ => return,
        };
        let _ = self.events.send(event);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let (events, decode) = (self.events.clone(), self.decode);
        if track.kind().await == RtpCodecKind::Video {
            self.video.send_replace(Some(track.clone()));
            tokio::spawn(receive::video(track, events, decode));
        } else {
            tokio::spawn(receive::audio(track, events, decode));
        }
    }
}

impl Viewer {
    /// Posts an offer and applies the answer; frames arrive once the connection is established.
    pub fn connect(options: &Options) -> Boxed<'_, Self> {
        Box::pin(async move {
            let (events, incoming) = mpsc::unbounded_channel();
            let (gathered, mut done) = watch::channel(false);
            let (video, video_track) = watch::channel(None);
            let handler = Handler { events: events.clone(), gathered, video, decode: options.decode };
            let host = host_of(&options.base)?;
            let reports = Reports::default();
            let connection = open(&host, handler, reports.clone(), options).await?;
            let voice = options.talks.then(talk::Voice::new);
            let profile = options.profiles.first().filter(|_| options.shows);
            let camera = profile.map(|profile| show::Camera::new(h264(profile, options.packetization_mode)));
            for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
                if let Some(voice) = voice.as_ref().filter(|_| kind == RtpCodecKind::Audio) {
                    connection.add_transceiver_from_track(voice.track(), None).await?;
                    continue;
                }
                if let Some(camera) = camera.as_ref().filter(|_| kind == RtpCodecKind::Video) {
                    connection.add_transceiver_from_track(camera.track(), None).await?;
                    continue;
                }
                let init =
                    RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
                connection.add_transceiver_from_kind(kind, Some(init)).await?;
            }
            let init = RTCDataChannelInit { negotiated: options.negotiated.then_some(0), ..Default::default() };
            let control = connection.create_data_channel("control", Some(init)).await?;
            let (open, opened) = watch::channel(false);
            tokio::spawn(receive_messages(control.clone(), events, open));
            let offer = connection.create_offer(None).await?;
            connection.set_local_description(offer).await?;
            tokio::time::timeout(Duration::from_secs(5), done.wait_for(|done| *done)).await.context("gather")??;
            let offer = connection.local_description().await.context("no local description")?.sdp;
            let offer = (options.rewrite_offer)(offer);

            let path = options.camera.as_ref().map_or("whep".into(), |camera| format!("whep/{camera}"));
            let url = format!("{}{path}", options.base);
            let posted = Instant::now();
            let authorization = format!("Bearer {}", options.token.as_deref().unwrap_or_default());
            let mut headers = vec![("content-type", "application/sdp")];
            headers.extend(options.token.is_some().then_some(("authorization", authorization.as_str())));
            let response = request("POST", &url, &headers, offer.clone()).await?;
            if response.status != 201 {
                bail!("POST {url}: {} {}", response.status, response.body);
            }
            let location = response.header("location").context("no Location")?;
            let base = url.rsplit_once('/').context("no path")?.0;
            let session = format!("{base}/{location}");
            let is_tcp = |line: &&str| line.starts_with("a=candidate:") && line.contains(" tcp ");
            let wanted = |line: &&str| !options.tcp || !line.starts_with("a=candidate:");
            let answer: String = response.body.lines().filter(wanted).flat_map(|line| [line, "\r\n"]).collect();
            connection.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
            // webrtc-rs opens TCP connections only for trickled candidates.
            for line in response.body.lines().filter(is_tcp).filter(|_| options.tcp) {
                let candidate = line.trim_start_matches("a=").to_owned();
                connection.add_ice_candidate(RTCIceCandidateInit { candidate, ..Default::default() }).await?;
            }
            Ok(Self {
                events: incoming,
                posted,
                session,
                etag: response.header("etag").unwrap_or_default().to_owned(),
                offer,
                answer: response.body,
                reports,
                connection,
                control,
                opened,
                video: video_track,
                voice,
                camera,
            })
        })
    }

    /// The next event within `limit`.
    pub fn event(&mut self, limit: Duration) -> Boxed<'_, Event> {
        Box::pin(async move {
            let event = tokio::time::timeout(limit, self.events.recv()).await;
            event.with_context(|| format!("no event within {limit:?}"))?.context("the viewer has ended")
        })
    }

    /// The next frame within `limit`; other events are discarded.
    pub fn frame(&mut self, limit: Duration) -> Boxed<'_, Frame> {
        Box::pin(async move {
            let deadline = Instant::now() + limit;
            loop {
                if let Event::Frame(frame) = self.event(deadline.saturating_duration_since(Instant::now())).await? {
                    return Ok(frame);
                }
            }
        })
    }

    /// Waits for an event that `wanted` accepts.
    pub async fn until(&mut self, limit: Duration, mut wanted: impl FnMut(&Event) -> bool) -> Result<Event> {
        let deadline = Instant::now() + limit;
        loop {
            let event = self.event(deadline.saturating_duration_since(Instant::now())).await?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    /// Requests a key frame (PLI).
    pub fn request_key_frame(&self) -> Boxed<'_, ()> {
        let track = self.video.borrow().clone();
        Box::pin(request_key_frame(track))
    }

    /// Sends a message once the control channel is open: frames may arrive earlier.
    pub fn send<'a>(&'a self, message: &'a str) -> Boxed<'a, ()> {
        Box::pin(async move {
            let mut opened = self.opened.clone();
            let open = tokio::time::timeout(Duration::from_secs(30), opened.wait_for(|open| *open)).await;
            open.context("the control channel did not open within 30 s")?.context("the control channel has closed")?;
            Ok(self.control.send_text(message).await?)
        })
    }

    /// Sends a binary message on the control channel.
    pub fn send_binary<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, ()> {
        Box::pin(async move { Ok(self.control.send(message.into()).await?) })
    }

    /// Closes the control channel and the connection, as a browser does when the page is left. webrtc-rs may drop
    /// unsent data when a connection closes, so this first waits for the channel to close.
    pub fn leave(mut self) -> Boxed<'static, ()> {
        Box::pin(async move {
            if self.control.close().await.is_ok() {
                let _ = self.until(Duration::from_secs(1), |event| matches!(event, Event::Ended)).await;
            }
            Ok(self.connection.close().await?)
        })
    }

    /// Ends the session over HTTP, then closes the connection.
    pub fn delete(self) -> Boxed<'static, u16> {
        Box::pin(async move {
            let response = request("DELETE", &self.session, &[], String::new()).await?;
            self.connection.close().await?;
            Ok(response.status)
        })
    }
}

async fn request_key_frame(track: Option<Arc<dyn TrackRemote>>) -> Result<()> {
    let track = track.context("no video track yet")?;
    let media_ssrc = *track.ssrcs().await.first().context("no ssrc")?;
    track.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc })]).await?;
    Ok(())
}

/// The local address from which the program's address is reachable.
fn host_of(base: &str) -> Result<std::net::SocketAddr> {
    let authority = base.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(authority).with_context(|| format!("reach {authority}"))?;
    Ok(std::net::SocketAddr::new(socket.local_addr()?.ip(), 0))
}

/// H.264 of this profile.
fn h264(profile: &str, packetization_mode: u8) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    RTCRtpCodec {
        mime_type: "video/H264".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!(
            "level-asymmetry-allowed=1;packetization-mode={packetization_mode};profile-level-id={profile}"
        ),
        rtcp_feedback: vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")],
    }
}

async fn open(
    local: &std::net::SocketAddr,
    handler: Handler,
    reports: Reports,
    options: &Options,
) -> Result<Arc<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    let opus = RTCRtpCodec {
        mime_type: "audio/opus".into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: vec![],
    };
    let codec = |rtp_codec, payload_type| RTCRtpCodecParameters { rtp_codec, payload_type };
    let rtx = |of: u8| RTCRtpCodec {
        mime_type: "video/rtx".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={of}"),
        rtcp_feedback: vec![],
    };
    for (profile, payload_type) in options.profiles.iter().zip((109..127).step_by(2)) {
        let h264 = h264(profile, options.packetization_mode);
        media.register_codec(codec(h264, payload_type), RtpCodecKind::Video)?;
        media.register_codec(codec(rtx(payload_type), payload_type + 1), RtpCodecKind::Video)?;
    }
    media.register_codec(codec(opus, 96), RtpCodecKind::Audio)?;
    for name in ["abs-capture-time", "playout-delay"] {
        let uri = format!("http://www.webrtc.org/experiments/rtp-hdrext/{name}");
        media.register_header_extension(RTCRtpHeaderExtensionCapability { uri }, RtpCodecKind::Video, None)?;
    }
    let interceptors = register_default_interceptors(Registry::new(), &mut media)?
        .with(Slot::from(500), reports::Listener::new(reports));
    let mut settings = SettingEngineBuilder::new()
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_lite(options.lite)
        .with_ice_connection_attempts(Some(Duration::from_millis(20)), Some(600));
    if let Some(tamper) = &options.tamper {
        settings = settings.with_crypto_provider(tamper.crypto()?);
    }
    let settings = settings.build();
    let network = options.network.clone().unwrap_or_default();
    let builder = PeerConnectionBuilder::new().with_runtime(Arc::new(network));
    let builder = if options.tcp { builder.with_tcp_addrs(vec![*local]) } else { builder.with_udp_addrs(vec![*local]) };
    let connection = builder
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .build()
        .await?;
    Ok(Arc::new(connection))
}

async fn receive_messages(
    channel: Arc<dyn DataChannel>,
    events: mpsc::UnboundedSender<Event>,
    open: watch::Sender<bool>,
) {
    while let Some(event) = channel.poll().await {
        let event = match event {
            DataChannelEvent::OnOpen => {
                open.send_replace(true);
                continue;
            }
            DataChannelEvent::OnMessage(message) if !message.is_string => Event::Binary(message.data.freeze()),
            DataChannelEvent::OnMessage(message) => Event::Message(String::from_utf8_lossy(&message.data).into_owned()),
            DataChannelEvent::OnClose => Event::Ended,
            _ => continue,
        };
        let _ = events.send(event);
    }
}
