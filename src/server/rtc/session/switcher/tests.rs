//! Tests of the pictures of one viewer: with feeds that are filled by hand, no network.

use bytes::Bytes;

use super::*;

const HIGH: Profile = Profile { idc: 100, constraints: 0, level: 40 };

/// Two cameras, and a viewer of the first one.
struct Rig {
    feeds: Arc<[CameraStream]>,
    profiles: Vec<watch::Sender<Option<Profile>>>,
    watched: watch::Receiver<Broadcast<EncodedFrame>>,
    pictures: CameraSwitcher,
}

impl Rig {
    fn new(profiles: [Option<Profile>; 2]) -> Self {
        let profiles: Vec<_> = profiles.map(watch::Sender::new).into();
        let feed = |(index, profile): (usize, &watch::Sender<_>)| CameraStream {
            name: format!("camera {index}"),
            index,
            video: Broadcast::new(8),
            profile: profile.subscribe(),
            audio: None,
        };
        let feeds: Arc<[CameraStream]> = profiles.iter().enumerate().map(feed).collect();
        let watched = watch::Sender::new(feeds[0].video.clone());
        let follow = watched.subscribe();
        let format = Profile::CONSTRAINED_BASELINE;
        let pictures = CameraSwitcher::new(&feeds, feeds[0].clone(), format, watched, Metrics::new());
        Self { feeds, profiles, watched: follow, pictures }
    }

    fn give(&self, camera: usize, key: bool, millisecond: u64) {
        let captured = Timestamp::from_start(Duration::from_millis(millisecond));
        let data = Bytes::from(vec![camera as u8]);
        self.feeds[camera].video.publish(EncodedFrame { captured, key, data });
    }

    /// The next picture: of which camera, of when, and whether the camera begins with it.
    async fn picture(&mut self) -> (usize, u64, bool) {
        match self.pictures.next().await {
            SwitchEvent::Frame { frame, begins } => {
                let camera = usize::from(frame.data[0]);
                assert!(begins.is_none_or(|begins| begins == camera));
                (camera, frame.captured.since_start().as_millis() as u64, begins.is_some())
            }
            other => panic!("no picture but {other:?}"),
        }
    }

    /// Whether nothing comes by itself.
    fn is_quiet(&mut self) -> bool {
        let next = std::pin::pin!(self.pictures.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        next.poll(&mut context).is_pending()
    }
}

const OURS: Option<Profile> = Some(Profile::CONSTRAINED_BASELINE);

#[tokio::test]
async fn the_old_camera_is_shown_until_the_new_one_has_a_key_frame() {
    let mut rig = Rig::new([OURS, OURS]);
    rig.give(0, false, 10);
    rig.give(0, true, 20);
    assert_eq!(rig.picture().await, (0, 20, true));
    assert_eq!(rig.pictures.choose(1), Some(Ok(())));
    assert!(rig.feeds[1].video.refresh_requested(), "it is asked for a key frame");
    rig.give(1, false, 25);
    rig.give(0, false, 30);
    assert_eq!(rig.picture().await, (0, 30, false));
    rig.give(0, false, 41);
    assert_eq!(rig.picture().await, (0, 41, false));
    rig.give(1, true, 40);
    rig.give(0, false, 51);
    assert_eq!(rig.picture().await, (1, 42, true), "time does not go back");
    rig.give(1, false, 60);
    assert_eq!(rig.picture().await, (1, 60, false));
    assert_eq!((rig.feeds[0].video.subscribers(), rig.feeds[1].video.subscribers()), (0, 1));
    rig.feeds[1].video.take_refresh_request();
    rig.watched.borrow().request_refresh();
    assert!(rig.feeds[1].video.refresh_requested(), "requests for key frames go to the new camera");
}

#[tokio::test]
async fn a_camera_that_would_not_be_decoded_is_refused() {
    let mut rig = Rig::new([OURS, Some(HIGH)]);
    rig.give(0, true, 10);
    rig.picture().await;
    let refusal = rig.pictures.choose(1).expect("it is known").expect_err("it does not fit");
    assert!(refusal.contains("high (640028)"), "{refusal}");
    assert_eq!(rig.feeds[1].video.subscribers(), 0);

    // One that has not told yet is waited for.
    rig.profiles[1].send_replace(None);
    assert_eq!(rig.pictures.choose(1), None);
    assert!(rig.is_quiet());
    rig.profiles[1].send_replace(Some(HIGH));
    assert!(matches!(rig.pictures.next().await, SwitchEvent::Judged(Err(_))));
    rig.give(0, false, 20);
    assert_eq!(rig.picture().await, (0, 20, false), "the old camera goes on");

    // One that does not tell in time is taken at its word when it gives a picture.
    rig.profiles[1].send_replace(None);
    assert_eq!(rig.pictures.choose(1), None);
    assert!(matches!(rig.pictures.next().await, SwitchEvent::Judged(Ok(()))));
    rig.profiles[1].send_replace(Some(HIGH));
    rig.give(1, true, 30);
    assert!(matches!(rig.pictures.next().await, SwitchEvent::Judged(Err(_))));
    assert_eq!(rig.pictures.choose(2), Some(Err("there is no camera 2; there are 2".into())));
}

#[tokio::test]
async fn the_last_of_several_choices_is_followed() {
    let mut rig = Rig::new([OURS, OURS]);
    assert_eq!(rig.pictures.choose(1), Some(Ok(())), "before the first picture");
    rig.give(0, true, 10);
    assert!(rig.is_quiet());
    rig.give(1, true, 11);
    assert_eq!(rig.picture().await, (1, 11, true));
    assert_eq!(rig.pictures.choose(0), Some(Ok(())));
    assert_eq!(rig.pictures.choose(0), Some(Ok(())), "it is coming");
    assert_eq!(rig.pictures.choose(1), Some(Ok(())), "stay");
    rig.give(0, true, 20);
    assert!(rig.is_quiet() && rig.feeds[0].video.subscribers() == 0);
}

#[tokio::test]
async fn a_pause_lets_the_camera_go_and_ends_at_a_key_frame() {
    let mut rig = Rig::new([OURS, None]);
    rig.give(0, true, 10);
    rig.picture().await;
    assert!(!rig.pictures.pause());
    assert_eq!(rig.feeds[0].video.demand().interested(), 0);
    assert!(rig.is_quiet());
    rig.pictures.resume();
    assert!(rig.feeds[0].video.refresh_requested());
    rig.give(0, false, 20);
    assert!(rig.is_quiet());
    rig.give(0, true, 30);
    assert_eq!(rig.picture().await, (0, 30, true));

    // Chosen before the pause, and within it.
    assert_eq!(rig.pictures.choose(1), None);
    assert!(rig.pictures.pause(), "the choice was not answered");
    assert_eq!(rig.pictures.choose(0), Some(Ok(())));
    assert_eq!(rig.pictures.choose(1), Some(Ok(())));
    assert_eq!(rig.feeds[1].video.demand().interested(), 0);
    rig.pictures.resume();
    rig.give(1, true, 40);
    assert_eq!(rig.picture().await, (1, 40, true));
}

#[tokio::test]
async fn a_viewer_that_lags_goes_on_at_a_key_frame() {
    let mut rig = Rig::new([OURS, OURS]);
    rig.give(0, true, 10);
    rig.picture().await;
    rig.feeds[0].video.take_refresh_request();
    for millisecond in 20..40 {
        rig.give(0, millisecond == 35, millisecond);
    }
    assert_eq!(rig.picture().await, (0, 35, false));
    assert!(rig.feeds[0].video.refresh_requested());
}
