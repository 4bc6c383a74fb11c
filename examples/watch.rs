//! A viewer in Rust, on the crate `webrtc`: negotiates a session by WHEP, writes the video as an H.264 stream in Annex B
//! format, and counts video frames and audio packets.
//!
//! ```sh
//! cargo run --example watch -- http://porthole.local:8080/whep --token TOKEN | ffplay -f h264 -
//! ```
//!
//! It speaks plain HTTP; for HTTPS build `ureq` with its feature `rustls`.

// The counts go to standard error: standard output is for the video.
#![allow(clippy::print_stderr)]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use clap::Parser as _;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media::io::sample_builder::SampleBuilder;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use ureq::http::{Request, Response, Uri};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder, register_default_interceptors,
};

/// How long to wait for a frame, the first one included.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Watches a porthole camera and writes its H.264 stream.
#[derive(clap::Parser)]
struct Arguments {
    /// The WHEP endpoint: http://HOST:8080/whep, or http://HOST:8080/whep/CAMERA
    url: String,
    /// A token, as `porthole token add NAME --role viewer` prints it
    #[arg(long)]
    token: Option<String>,
    /// File for the H.264 stream [default: standard output]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Stop after this many frames [default: at Ctrl+C]
    #[arg(long)]
    frames: Option<u64>,
}

/// What the peer connection reports.
enum Event {
    /// All ICE candidates are in the local description.
    Gathered,
    /// An access unit in Annex B format.
    Frame(Bytes),
    AudioPacket,
    /// The connection has failed or was closed.
    Closed,
}

type Events = mpsc::Receiver<Event>;

struct Handler(mpsc::Sender<Event>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(Event::Gathered).await;
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if matches!(state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed) {
            let _ = self.0.send(Event::Closed).await;
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(receive(track, self.0.clone()));
    }
}

/// Passes on audio packets, and access units reassembled from video packets; asks for a key frame when packets are lost.
async fn receive(track: Arc<dyn TrackRemote>, events: mpsc::Sender<Event>) {
    let is_video = track.kind().await == RtpCodecKind::Video;
    // A packet is given up when 128 later ones have come.
    let mut builder = SampleBuilder::new(128, H264Packet::default(), 90_000);
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        if !is_video {
            let _ = events.send(Event::AudioPacket).await;
            continue;
        }
        let media_ssrc = packet.header.ssrc;
        builder.push(Instant::now(), packet);
        while let Some(sample) = builder.pop(Instant::now()) {
            if sample.prev_dropped_packets > sample.prev_padding_packets {
                let _ = track.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await;
            }
            let _ = events.send(Event::Frame(sample.data)).await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let output: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?),
        None => Box::new(std::io::stdout()),
    };
    let (sender, mut events) = mpsc::channel(256);
    let peer = create_peer(&arguments.url, Handler(sender)).await?;
    // WHEP has no need of trickle ICE: the offer is sent when it has all candidates.
    while !matches!(next(&mut events).await?, Event::Gathered) {}
    let offer = peer.local_description().await.context("no local description")?.sdp;
    let (url, token) = (&arguments.url, arguments.token.as_deref());
    let answer = send("POST", url, token, offer).await?;
    ensure!(answer.status() == 201, "POST {url}: {} {}", answer.status(), answer.body());
    let location = answer.headers().get("location").context("the answer has no Location")?.to_str()?;
    // It may be relative to the endpoint.
    let (folder, _) = url.rsplit_once('/').context("the URL has no path")?;
    let session = if location.contains("://") { location.to_owned() } else { format!("{folder}/{location}") };
    let answer = RTCSessionDescription::answer(answer.into_body())?;
    let watched = tokio::select! {
        watched = async {
            peer.set_remote_description(answer).await?;
            watch(&mut events, output, arguments.frames).await
        } => watched,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    };
    // Nothing reads the channel from here on: its senders fail instead of waiting.
    drop(events);
    // However it ended, the session must not stay behind.
    send("DELETE", &session, token, String::new()).await?;
    peer.close().await?;
    watched
}

/// Writes frames until there were enough, and prints the counts every second and at the end.
async fn watch(events: &mut Events, mut output: impl Write, limit: Option<u64>) -> Result<()> {
    let (mut frames, mut audio_packets, mut printed) = (0, 0, Instant::now());
    while limit.is_none_or(|limit| frames < limit) {
        match next(events).await? {
            Event::Frame(data) => {
                output.write_all(&data)?;
                frames += 1;
            }
            Event::AudioPacket => audio_packets += 1,
            Event::Closed => bail!("the connection has ended"),
            Event::Gathered => {}
        }
        if printed.elapsed() >= Duration::from_secs(1) {
            eprintln!("{frames} frames, {audio_packets} audio packets");
            printed = Instant::now();
        }
    }
    output.flush()?;
    eprintln!("{frames} frames, {audio_packets} audio packets");
    Ok(())
}

async fn next(events: &mut Events) -> Result<Event> {
    let event = tokio::time::timeout(TIMEOUT, events.recv()).await;
    event.with_context(|| format!("nothing was received for {TIMEOUT:?}"))?.context("the connection has ended")
}

/// A peer connection that will receive video and audio, and begins to gather candidates.
async fn create_peer(url: &str, handler: Handler) -> Result<Arc<dyn PeerConnection>> {
    let uri: Uri = url.parse()?;
    // ICE uses the interface that reaches the server.
    let server = (uri.host().context("the URL has no host")?.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let local = SocketAddr::new(TcpStream::connect(server)?.local_addr()?.ip(), 0);
    let mut media = MediaEngine::default();
    media.register_default_codecs()?;
    let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
    let settings = SettingEngineBuilder::new().with_multicast_dns_mode(MulticastDnsMode::Disabled).build();
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec![local])
        .build()
        .await?;
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        let init = RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
        peer.add_transceiver_from_kind(kind, Some(init)).await?;
    }
    let offer = peer.create_offer(None).await?;
    peer.set_local_description(offer).await?;
    Ok(Arc::new(peer))
}

/// Sends a request from a thread that may block.
async fn send(method: &str, url: &str, token: Option<&str>, body: String) -> Result<Response<String>> {
    let mut request = Request::builder().method(method).uri(url).header("content-type", "application/sdp");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(body)?;
    let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
    let agent = ureq::Agent::from(config.timeout_global(Some(TIMEOUT)).build());
    let (parts, mut body) = tokio::task::spawn_blocking(move || agent.run(request)).await??.into_parts();
    Ok(Response::from_parts(parts, body.read_to_string()?))
}
