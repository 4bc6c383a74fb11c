//! Tests of the camera switcher, with frames published by hand and no network.

mod renditions;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::media::encoder::BitrateTarget;
use crate::media::{Timestamp, VideoFormat};
use crate::server::rtc::sdp::formats::PacketizationMode;
use crate::server::rtc::{CameraRate, SmallStream};

const HIGH: Profile = Profile { idc: 100, constraints: 0, level: 40 };

/// What is added to the number of a camera in the frames of its smaller rendition.
const SMALL: usize = 10;

/// Two cameras, and a viewer of the first one.
struct Fixture {
    cameras: Arc<[CameraStream]>,
    profiles: Vec<watch::Sender<Option<Profile>>>,
    /// What the smaller rendition of each camera is made of.
    sources: Vec<watch::Sender<Option<VideoFormat>>>,
    /// The bitrates of both renditions of the first camera.
    bitrates: [BitrateTarget; 2],
    current_video: watch::Receiver<Broadcast<EncodedFrame>>,
    switcher: CameraSwitcher,
}

impl Fixture {
    fn new(profiles: [Option<Profile>; 2]) -> Self {
        Self::with_mode(profiles, PacketizationMode::NonInterleaved)
    }

    fn with_mode(profiles: [Option<Profile>; 2], mode: PacketizationMode) -> Self {
        let profiles: Vec<_> = profiles.map(watch::Sender::new).into();
        let sources = vec![watch::Sender::default(), watch::Sender::default()];
        let bitrates = [2_000_000, 500_000].map(BitrateTarget::new);
        let stream = |(index, profile): (usize, &watch::Sender<_>)| {
            let rates = [2_000_000, 500_000].map(BitrateTarget::new);
            let [rate, small] = if index == 0 { &bitrates } else { &rates }.clone().map(CameraRate::new);
            let video = Broadcast::new(8);
            let source = sources[index].subscribe();
            CameraStream {
                name: format!("camera {index}"),
                index,
                small: Some(SmallStream { video: video.sibling(8), rate: small, source }),
                video,
                profile: profile.subscribe(),
                rate,
                audio: None,
            }
        };
        let cameras: Arc<[CameraStream]> = profiles.iter().enumerate().map(stream).collect();
        let current_video = watch::Sender::new(cameras[0].video.clone());
        let follow = current_video.subscribe();
        let profile = Profile::CONSTRAINED_BASELINE;
        let format = H264Format { payload_type: 97, profile, mode };
        let keyframes = Arc::new(KeyframeBudget::new(now()));
        let demand = ViewerDemand { available: Some(1_000_000), is_settled: true, is_limited: false, owner: 1 };
        let first = cameras[0].clone();
        let switcher = CameraSwitcher::new(&cameras, first, format, current_video, keyframes, demand, Metrics::new());
        Self { cameras, profiles, sources, bitrates, current_video: follow, switcher }
    }

    fn publish(&self, camera: usize, key: bool, millisecond: u64) {
        self.publish_with_nal(camera, key, millisecond, 4);
    }

    /// The frame begins with the camera's number and has one NAL unit of this size.
    fn publish_with_nal(&self, camera: usize, key: bool, millisecond: u64, bytes: usize) {
        publish(&self.cameras[camera].video, camera, key, millisecond, bytes);
    }

    /// The next frame: its camera, its time, and whether it is the first of its camera.
    async fn frame(&mut self) -> (usize, u64, bool) {
        match self.switcher.next().await {
            SwitchEvent::Frame { frame, first_of } => {
                let camera = usize::from(frame.data[0]);
                assert!(first_of.is_none_or(|first_of| first_of == camera % SMALL));
                (camera, frame.captured.since_start().as_millis() as u64, first_of.is_some())
            }
            other => panic!("no frame but {other:?}"),
        }
    }

    /// Lets the next frame of `camera` that does not fit be one too many.
    fn give_up(&mut self, camera: usize) {
        let pending = self.switcher.pending.as_mut().map(|pending| (pending.stream.index, &mut pending.reader));
        let current = self.switcher.current.as_mut().map(|reader| (self.switcher.camera, reader));
        let mut readers = [pending, current].into_iter().flatten();
        let reader = readers.find(|(index, _)| *index == camera).expect("should be read").1;
        reader.limit.as_mut().expect("should be limited").patience = Duration::ZERO;
    }

    /// Whether nothing is ready.
    fn is_idle(&mut self) -> bool {
        let next = std::pin::pin!(self.switcher.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        next.poll(&mut context).is_pending()
    }
}

/// Publishes a frame that begins with `number` and has one NAL unit of this size.
fn publish(video: &Broadcast<EncodedFrame>, number: usize, key: bool, millisecond: u64, bytes: usize) {
    let captured = Timestamp::from_start(Duration::from_millis(millisecond));
    let data = Bytes::from([vec![number as u8, 0, 0, 1], vec![0x65; bytes]].concat());
    video.publish(EncodedFrame::new(captured, key, data));
}

const OURS: Option<Profile> = Some(Profile::CONSTRAINED_BASELINE);

#[tokio::test]
async fn the_old_camera_is_shown_until_the_new_one_has_a_key_frame() {
    let mut fixture = Fixture::new([OURS, OURS]);
    fixture.publish(0, false, 10);
    fixture.publish(0, true, 20);
    assert_eq!(fixture.frame().await, (0, 20, true));
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted);
    assert!(fixture.cameras[1].video.refresh_requested(), "it is asked for a key frame");
    fixture.publish(1, false, 25);
    fixture.publish(0, false, 30);
    assert_eq!(fixture.frame().await, (0, 30, false));
    fixture.publish(0, false, 41);
    assert_eq!(fixture.frame().await, (0, 41, false));
    fixture.publish(1, true, 40);
    fixture.publish(0, false, 51);
    assert_eq!(fixture.frame().await, (1, 42, true), "time does not go back");
    fixture.publish(1, false, 60);
    assert_eq!(fixture.frame().await, (1, 60, false));
    assert_eq!((fixture.cameras[0].video.subscribers(), fixture.cameras[1].video.subscribers()), (0, 1));
    fixture.cameras[1].video.take_refresh_request();
    fixture.current_video.borrow().request_refresh();
    assert!(fixture.cameras[1].video.refresh_requested(), "requests for key frames go to the new camera");
}

#[tokio::test]
async fn a_camera_that_would_not_be_decoded_is_refused() {
    let mut fixture = Fixture::new([OURS, Some(HIGH)]);
    fixture.publish(0, true, 10);
    fixture.frame().await;
    let SwitchStart::Rejected(error) = fixture.switcher.request_switch(1) else { panic!("it does not fit") };
    assert!(error.to_string().contains("high (640028)"), "{error}");
    assert_eq!(fixture.cameras[1].video.subscribers(), 0);

    // A camera whose profile is not known yet is waited for.
    fixture.profiles[1].send_replace(None);
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Pending);
    assert!(fixture.is_idle());
    fixture.profiles[1].send_replace(Some(HIGH));
    assert!(matches!(fixture.switcher.next().await, SwitchEvent::Resolved(Err(_))));
    fixture.publish(0, false, 20);
    assert_eq!(fixture.frame().await, (0, 20, false), "the old camera goes on");

    // If the profile is not known in time, the switch is accepted, and checked again with the first frame.
    fixture.profiles[1].send_replace(None);
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Pending);
    assert!(matches!(fixture.switcher.next().await, SwitchEvent::Resolved(Ok(()))));
    fixture.profiles[1].send_replace(Some(HIGH));
    fixture.publish(1, true, 30);
    assert!(matches!(fixture.switcher.next().await, SwitchEvent::Resolved(Err(_))));
    let SwitchStart::Rejected(error) = fixture.switcher.request_switch(2) else { panic!("there are two cameras") };
    assert_eq!(error.to_string(), "there is no camera 2; there are 2");
}

#[tokio::test]
async fn the_last_of_several_choices_is_followed() {
    let mut fixture = Fixture::new([OURS, OURS]);
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted, "before the first frame");
    fixture.publish(0, true, 10);
    assert!(fixture.is_idle());
    fixture.publish(1, true, 11);
    assert_eq!(fixture.frame().await, (1, 11, true));
    assert_eq!(fixture.switcher.request_switch(0), SwitchStart::Accepted);
    assert_eq!(fixture.switcher.request_switch(0), SwitchStart::Accepted, "it is coming");
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted, "stay");
    fixture.publish(0, true, 20);
    assert!(fixture.is_idle() && fixture.cameras[0].video.subscribers() == 0);
}

#[tokio::test]
async fn a_pause_lets_the_camera_go_and_ends_at_a_key_frame() {
    let mut fixture = Fixture::new([OURS, None]);
    fixture.publish(0, true, 10);
    fixture.frame().await;
    assert!(!fixture.switcher.pause());
    assert_eq!(fixture.cameras[0].video.demand().guards(), 0);
    assert!(fixture.is_idle());
    fixture.switcher.resume();
    assert!(fixture.cameras[0].video.refresh_requested());
    fixture.publish(0, false, 20);
    assert!(fixture.is_idle());
    fixture.publish(0, true, 30);
    assert_eq!(fixture.frame().await, (0, 30, true));

    // Requested before the pause, and during it.
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Pending);
    assert!(fixture.switcher.pause(), "the choice was not answered");
    assert_eq!(fixture.switcher.request_switch(0), SwitchStart::Accepted);
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted);
    assert_eq!(fixture.cameras[1].video.demand().guards(), 0);
    fixture.switcher.resume();
    fixture.publish(1, true, 40);
    assert_eq!(fixture.frame().await, (1, 40, true));
}

#[tokio::test]
async fn a_viewer_that_lags_goes_on_at_a_key_frame() {
    let mut fixture = Fixture::new([OURS, OURS]);
    fixture.publish(0, true, 10);
    fixture.frame().await;
    fixture.cameras[0].video.take_refresh_request();
    for millisecond in 20..40 {
        fixture.publish(0, millisecond == 35, millisecond);
    }
    assert_eq!(fixture.frame().await, (0, 35, false));
    assert!(fixture.cameras[0].video.refresh_requested());
}

/// How many of 100 times something makes the first camera encode a key frame.
fn keyframes_caused(fixture: &mut Fixture, mut cause: impl FnMut(&mut Fixture)) -> usize {
    let video = fixture.cameras[0].video.clone();
    video.take_refresh_request();
    (0..100)
        .filter(|_| {
            cause(fixture);
            video.take_refresh_request()
        })
        .count()
}

#[tokio::test]
async fn whatever_a_viewer_does_causes_few_key_frames() {
    let causes: [fn(&mut Fixture); 3] = [
        |fixture| fixture.switcher.request_keyframe(),
        |fixture| {
            fixture.switcher.pause();
            fixture.switcher.resume();
        },
        |fixture| {
            // It lags.
            (0..40).for_each(|number| fixture.publish(0, false, 100 + number));
            assert!(fixture.is_idle());
        },
    ];
    for cause in causes {
        let mut fixture = Fixture::new([OURS, OURS]);
        fixture.publish(0, true, 10);
        fixture.frame().await;
        let start = now();
        let caused = keyframes_caused(&mut fixture, cause);
        assert!((1..=4).contains(&caused), "{caused}");
        let video = fixture.cameras[0].video.clone();
        fixture.switcher.pass_on_due_request(start);
        assert!(!video.refresh_requested());
        // It is not forgotten, and needs no other request.
        fixture.switcher.pass_on_due_request(now() + Duration::from_secs(2));
        assert!(video.take_refresh_request());
        // A key frame that comes meanwhile is enough.
        cause(&mut fixture);
        fixture.publish(0, true, 1_000);
        while !fixture.is_idle() {}
        fixture.switcher.pass_on_due_request(now() + Duration::from_secs(60));
        assert!(!video.refresh_requested());
    }
}

#[tokio::test]
async fn single_nal_units_that_do_not_fit_are_skipped_and_end_the_session_in_the_long_run() {
    let mut fixture = Fixture::with_mode([OURS, OURS], PacketizationMode::SingleNalUnit);
    let large = 1_141;
    assert_eq!(fixture.cameras[0].video.small_parts().guards(), 1, "the encoder is asked for small ones");
    fixture.publish_with_nal(0, true, 10, large);
    assert!(fixture.is_idle());
    assert!(fixture.cameras[0].video.refresh_requested());
    fixture.publish(0, false, 20);
    fixture.publish(0, true, 30);
    assert_eq!(fixture.frame().await, (0, 30, true), "20 cannot be decoded");
    fixture.publish_with_nal(0, false, 40, large);
    fixture.publish(0, false, 50);
    fixture.publish(0, true, 60);
    assert_eq!(fixture.frame().await, (0, 60, false), "50 cannot be decoded");

    // A camera whose frames never fit is not switched to, and the old one goes on.
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted);
    assert_eq!(fixture.cameras[1].video.small_parts().guards(), 1);
    fixture.publish_with_nal(1, true, 70, large);
    assert!(fixture.is_idle());
    fixture.give_up(1);
    fixture.publish_with_nal(1, true, 80, large);
    assert!(matches!(fixture.switcher.next().await, SwitchEvent::Resolved(Err(SwitchError::Incompatible(_)))));
    assert_eq!(fixture.cameras[1].video.small_parts().guards(), 0);
    fixture.publish(0, false, 90);
    assert_eq!(fixture.frame().await, (0, 90, false));

    fixture.publish_with_nal(0, false, 100, large);
    assert!(fixture.is_idle());
    fixture.give_up(0);
    fixture.publish_with_nal(0, true, 110, large);
    let SwitchEvent::NalTooLarge(error) = fixture.switcher.next().await else { panic!("it does not fit") };
    assert_eq!(error.bytes, large);
}
