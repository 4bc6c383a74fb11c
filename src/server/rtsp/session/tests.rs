//! Tests of sessions, with frames and audio published by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::watch;

use super::super::track::TrackRoute;
use super::*;
use crate::media::encoder::BitrateTarget;
use crate::media::h264::Profile;
use crate::model::status::{Status, StatusPublisher};
use crate::server::auth::Role;
use crate::server::rtc::CameraRate;
use crate::server::sessions::{Limits, NewSession, PlayoutDelay, SessionRegistry};
use crate::util::broadcast::Broadcast;
use crate::util::connection_limit::ConnectionLimiter;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A camera with audio, and a session of it with both tracks on the connection.
struct Fixture {
    camera: CameraStream,
    audio: Broadcast<AudioPacket>,
    bitrate: BitrateTarget,
    registry: SessionRegistry,
    session: RtspSession,
}

/// A packet on the connection: its channel, whether it has the marker, and its RTP timestamp.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    channel: u8,
    marker: bool,
    time: u32,
}

impl Fixture {
    fn new() -> Self {
        let (metrics, audio, bitrate) = (Metrics::new(), Broadcast::new(8), BitrateTarget::new(2_000_000));
        let registry = SessionRegistry::new(metrics.clone(), StatusPublisher::new(Status::default()));
        let profile = watch::Sender::new(Some(Profile::CONSTRAINED_BASELINE)).subscribe();
        let rate = CameraRate::new(bitrate.clone());
        let (video, name) = (Broadcast::new(8), "door".to_owned());
        let camera = CameraStream { name, index: 0, video, profile, rate, small: None, audio: Some(audio.clone()) };
        let new_session = NewSession {
            id: "id".into(),
            owner: "somebody".into(),
            role: Role::Viewer,
            client: HERE,
            arrived: Instant::now(),
            camera: 0,
            playout_delay: PlayoutDelay::default(),
            end: CancellationToken::new(),
        };
        let (guard, _) = registry.register(new_session, Limits { viewers: 1, negotiating: 1 }).expect("a place");
        let keyframes = Arc::new(KeyframeBudget::new(Instant::now()));
        let permit = ConnectionLimiter::new(1).try_acquire(HERE).expect("a permit");
        let mut session = RtspSession::new(camera.clone(), guard, metrics, keyframes, permit.busy());
        for (kind, channel) in [(TrackKind::Video, 0), (TrackKind::Audio, 2)] {
            session.set_track(kind, RtspTrack::new(kind, TrackRoute::Interleaved(channel, channel + 1)));
        }
        Self { camera, audio, bitrate, registry, session }
    }

    /// What is sent until nothing more happens by itself.
    fn sent(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        loop {
            let event = {
                let next = std::pin::pin!(self.session.next());
                next.poll(&mut Context::from_waker(Waker::noop()))
            };
            let Poll::Ready(event) = event else { break };
            self.session.handle(event, &mut out);
        }
        let mut sent = Vec::new();
        let mut rest = &out[..];
        while let [b'$', channel, high, low, after @ ..] = rest {
            let (packet, following) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let time = u32::from_be_bytes(packet[4..8].try_into().expect("four bytes"));
            sent.push(Sent { channel: *channel, marker: packet[1] & 0x80 != 0, time });
            rest = following;
        }
        assert!(rest.is_empty(), "{rest:?}");
        sent
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(millis))
}

fn publish(video: &Broadcast<EncodedFrame>, key: bool, millis: u64) {
    let data = Bytes::from_static(&[0, 0, 1, 0x65, 7]);
    video.publish(EncodedFrame::new(at(millis), key, data));
}

fn publish_audio(audio: &Broadcast<AudioPacket>, millis: u64) {
    audio.publish(AudioPacket { captured: at(millis), gap: false, data: Bytes::from_static(b"opus") });
}

/// The packets of a track, without reports.
fn of(sent: &[Sent], channel: u8) -> Vec<Sent> {
    sent.iter().copied().filter(|packet| packet.channel == channel).collect()
}

#[tokio::test]
async fn audio_begins_with_the_first_frame_and_both_have_one_clock() {
    let mut fixture = Fixture::new();
    let (video, audio) = (fixture.camera.video.clone(), fixture.audio.clone());
    let live = async {
        publish_audio(&audio, 80);
        publish(&video, false, 90);
        publish_audio(&audio, 100);
        publish(&video, true, 110);
        publish_audio(&audio, 120);
        publish_audio(&audio, 140);
    };
    tokio::join!(fixture.session.play(), live);
    let info = fixture.session.rtp_info("rtsp://board/door/").expect("the first frame is there");
    let sent = fixture.sent();
    assert_eq!(sent.iter().take(3).map(|packet| packet.channel).collect::<Vec<_>>(), [1, 3, 0], "reports come first");
    let (frames, sounds) = (of(&sent, 0), of(&sent, 2));
    assert_eq!((frames.len(), sounds.len()), (1, 2), "{sent:?}");
    assert_eq!(sounds.iter().map(|packet| packet.marker).collect::<Vec<_>>(), [true, false]);
    let times: Vec<u32> = info.split(',').filter_map(|entry| entry.rsplit_once('=')?.1.parse().ok()).collect();
    assert_eq!(times[0], frames[0].time);
    // It is 10 ms later than the frame, to which both times of RTP-Info belong.
    assert_eq!(sounds[0].time.wrapping_sub(times[1]), 480);
    assert_eq!(sounds[1].time.wrapping_sub(sounds[0].time), 960);
}

#[tokio::test]
async fn a_pause_ends_the_demand_and_the_numbers_go_on() {
    let mut fixture = Fixture::new();
    let video = fixture.camera.video.clone();
    tokio::join!(fixture.session.play(), async { publish(&video, true, 10) });
    let first = fixture.session.rtp_info("").expect("a frame");
    assert!(fixture.session.is_playing_on_connection() && video.demand().guards() == 1);
    fixture.sent();
    fixture.session.pause();
    assert_eq!((video.demand().guards(), fixture.audio.demand().guards()), (0, 0));
    publish(&video, true, 20);
    assert!(fixture.sent().is_empty());
    tokio::join!(fixture.session.play(), async { publish(&video, true, 30) });
    let numbers = |info: &str| -> Vec<u16> {
        info.split("seq=").skip(1).filter_map(|rest| rest.split(';').next()?.parse().ok()).collect()
    };
    let again = fixture.session.rtp_info("").expect("a frame");
    assert_eq!(numbers(&again)[0], numbers(&first)[0].wrapping_add(1), "{first} {again}");
    assert_eq!(fixture.registry.list().len(), 1);
    drop(fixture.session);
    assert!(fixture.registry.list().is_empty());
}

#[tokio::test]
async fn what_was_captured_before_the_privacy_switch_is_not_sent_after_it() {
    let mut fixture = Fixture::new();
    let (video, audio) = (fixture.camera.video.clone(), fixture.audio.clone());
    tokio::join!(fixture.session.play(), async { publish(&video, true, 0) });
    fixture.sent();
    publish(&video, false, 1);
    publish_audio(&audio, 1);
    // Later than what was published.
    while Timestamp::now() < at(5) {
        tokio::task::yield_now().await;
    }
    [video.demand(), audio.demand()].into_iter().for_each(|demand| demand.set_blocked(true));
    assert!(of(&fixture.sent(), 0).is_empty());
    let data = Bytes::from_static(&[0, 0, 1, 0x65, 7]);
    video.publish(EncodedFrame { placeholder: true, ..EncodedFrame::new(at(900), true, data) });
    publish_audio(&audio, 1_000_000);
    let sent = fixture.sent();
    assert_eq!((of(&sent, 0).len(), of(&sent, 2).len()), (1, 1), "the placeholder and silence: {sent:?}");
    assert!(of(&sent, 2)[0].marker, "it follows a gap");
}

#[tokio::test]
async fn what_waits_for_a_socket_is_not_sent_after_the_privacy_switch() {
    let mut fixture = Fixture::new();
    let video = fixture.camera.video.clone();
    tokio::join!(fixture.session.play(), async { publish(&video, true, 0) });
    fixture.sent();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
    client.set_nonblocking(true).expect("set");
    let here = client.local_addr().expect("an address");
    let pair = UdpPair::open(here, here, (here.port(), here.port())).expect("open");
    // The runtime does not know yet that there is room, so the frame waits.
    fixture.session.set_track(TrackKind::Video, RtspTrack::new(TrackKind::Video, TrackRoute::Udp(pair)));
    publish(&video, false, 1);
    fixture.sent();
    let track = fixture.session.video.as_ref().expect("the track");
    assert!(track.is_backed_up());
    track.writable().await;
    video.demand().set_blocked(true);
    fixture.session.handle(SessionEvent::Writable, &mut Vec::new());
    assert!(!fixture.session.video.as_ref().is_some_and(RtspTrack::is_backed_up));
    assert!(client.recv(&mut [0; 64]).is_err(), "it was sent");
}

#[tokio::test]
async fn a_placeholder_is_not_described() {
    let mut fixture = Fixture::new();
    let (video, camera) = (fixture.camera.video.clone(), fixture.camera.clone());
    tokio::join!(fixture.session.play(), async { publish(&video, true, 0) });
    fixture.sent();
    assert!(fixture.session.key_frame(&camera).is_some());
    let data = Bytes::from_static(&[0, 0, 1, 0x65, 7]);
    video.publish(EncodedFrame { placeholder: true, ..EncodedFrame::new(at(9), true, data) });
    fixture.sent();
    assert!(fixture.session.key_frame(&camera).is_none());
}

#[tokio::test]
async fn it_counts_as_one_that_can_take_the_configured_bitrate() {
    let mut fixture = Fixture::new();
    let slow = ViewerDemand { available: Some(300_000), is_settled: true, is_limited: false, owner: 1 };
    let _slow = fixture.camera.rate.join(slow, Instant::now());
    assert_eq!(fixture.bitrate.current(), 300_000);
    let video = fixture.camera.video.clone();
    tokio::join!(fixture.session.play(), async { publish(&video, true, 10) });
    assert_eq!(fixture.camera.rate.bitrate_with(slow), 2_000_000);
    fixture.session.pause();
    assert_eq!(fixture.bitrate.current(), 300_000);
}
