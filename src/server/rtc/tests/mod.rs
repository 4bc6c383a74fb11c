//! Tests of whole sessions: which offers are accepted, and whose sessions are ended.

mod offers;

use super::*;
use tokio::sync::watch;

use crate::media::encoder::BitrateTarget;
use crate::media::h264::Profile;
use crate::model::status;
use crate::model::status::Status;
use crate::server::auth::Role;
use crate::util::broadcast::Broadcast;

/// An offer of one video section, as a browser writes it; nobody ever connects for it.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:\
    1E:1F\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:97 H264/90000\r\n\
    a=fmtp:97 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1\r\n";

const VIA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn manager() -> SessionManager {
    let config = Config { udp_port: 0, max_viewers: 2 * MAX_NEGOTIATING, ..Config::default() };
    let (metrics, board) = (Metrics::new(), status::StatusPublisher::new(Status::default()));
    let viewers = SessionRegistry::new(metrics.clone(), board.clone());
    let control = Dispatcher::for_tests(viewers.clone(), board, metrics.clone());
    SessionManager::new(config, vec![camera()], viewers, metrics, control).expect("start")
}

fn camera() -> CameraStream {
    let (profile, known) = watch::channel(Some(Profile::CONSTRAINED_BASELINE));
    drop(profile);
    let rate = CameraRate::new(BitrateTarget::new(2_000_000));
    let video = Broadcast::new(4);
    CameraStream { name: "camera".into(), index: 0, video, profile: known, rate, small: None, audio: None }
}

fn principal(id: &str) -> Principal {
    Principal { role: Role::Viewer, id: id.into() }
}

#[tokio::test]
async fn the_sessions_of_one_owner_end_alone() {
    let (manager, camera) = (manager(), camera());
    let mut ids = Vec::new();
    for owner in ["one", "other", "one"] {
        ids.push(manager.create_session(&camera, OFFER, VIA, VIA, &principal(owner)).await.expect("accepted").id);
    }
    manager.end_sessions_of("nobody");
    assert!(ids.iter().all(|id| manager.contains(id)));
    manager.end_sessions_of("one");
    assert_eq!(ids.iter().map(|id| manager.contains(id)).collect::<Vec<_>>(), [false, true, false]);
    manager.stop().await;
}

#[tokio::test]
async fn few_may_negotiate_at_once() {
    let (manager, camera) = (manager(), camera());
    let mut ids = Vec::new();
    for _ in 0..MAX_NEGOTIATING {
        ids.push(manager.create_session(&camera, OFFER, VIA, VIA, &principal("")).await.expect("accepted").id);
    }
    let error = manager.create_session(&camera, OFFER, VIA, VIA, &principal("")).await.expect_err("one too many");
    assert!(matches!(error, AcceptError::Negotiating(MAX_NEGOTIATING)), "{error}");
    assert!(manager.end(&ids[0]));
    manager.create_session(&camera, OFFER, VIA, VIA, &principal("")).await.expect("there is room again");
    manager.stop().await;
}

#[test]
fn server_gets_its_own_camera_and_no_data_channels() {
    let data =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n";
    let answer = OFFER.replace("BUNDLE 0", "BUNDLE 0 1").replace("actpass", "passive") + data;
    let cameras: Arc<[CameraStream]> =
        Arc::from([camera(), CameraStream { name: "other".into(), index: 1, ..camera() }]);
    for (party, has_data, indices) in [
        (Party::Viewer, true, vec![0, 1]),
        (Party::Server { connected: watch::Sender::new(false), address: None }, false, vec![1]),
    ] {
        let answer =
            sdp::offer::parse(&answer).expect("SDP").accept(Profile::CONSTRAINED_BASELINE).expect("acceptable");
        assert_eq!(party.limited(answer).data.is_some(), has_data, "{party}");
        let allowed = party.cameras(&cameras, &cameras[1]);
        assert_eq!(allowed.iter().map(|camera| camera.index).collect::<Vec<_>>(), indices, "{party}");
    }
}
