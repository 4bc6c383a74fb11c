//! Tests of the smaller rendition of a camera.

use super::*;
use crate::media::{Colorimetry, PixelFormat};

impl Fixture {
    /// Gives a camera a smaller rendition, or takes it away.
    fn offer_small(&self, camera: usize, is_offered: bool) {
        let format = VideoFormat {
            pixel: PixelFormat::I420,
            width: 1280,
            height: 720,
            stride: 1280,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        self.sources[camera].send_replace(is_offered.then_some(format));
    }

    fn small(&self, camera: usize) -> &Broadcast<EncodedFrame> {
        &self.cameras[camera].small.as_ref().expect("there is one").video
    }

    fn publish_small(&self, camera: usize, key: bool, millisecond: u64) {
        publish(self.small(camera), camera + SMALL, key, millisecond, 1);
    }
}

#[tokio::test]
async fn another_rendition_is_shown_from_its_first_key_frame_on_and_its_encoder_follows_the_viewer() {
    let mut fixture = Fixture::new([OURS, OURS]);
    fixture.offer_small(0, true);
    fixture.publish(0, true, 10);
    assert_eq!(fixture.frame().await, (0, 10, true));
    let [main, small] = fixture.bitrates.clone();
    assert_eq!([main.current(), small.current()], [1_000_000, 500_000]);
    assert_eq!(fixture.switcher.main_bitrate(), Some(1_000_000));
    let slow = ViewerDemand { available: Some(300_000), is_settled: true, is_limited: false, owner: 1 };
    fixture.switcher.report(slow, now());

    fixture.switcher.set_rendition(Rendition::Small);
    assert!(fixture.small(0).refresh_requested(), "it is asked for a key frame");
    fixture.publish_small(0, false, 15);
    fixture.publish(0, false, 20);
    assert_eq!(fixture.frame().await, (0, 20, false));
    fixture.switcher.set_rendition(Rendition::Small);
    fixture.publish_small(0, true, 19);
    assert_eq!(fixture.frame().await, (SMALL, 21, false), "time does not go back, and the camera is the same");
    assert_eq!(fixture.switcher.rendition(), Some(Rendition::Small));
    assert_eq!((fixture.cameras[0].video.subscribers(), fixture.small(0).subscribers()), (0, 1));
    assert_eq!([main.current(), small.current()], [2_000_000, 300_000], "it has no say in the other one's");
    assert_eq!(fixture.switcher.main_bitrate(), Some(300_000), "what it would have with this viewer");
    assert_eq!((fixture.switcher.bitrate_limit(), fixture.switcher.bitrate()), (Some(500_000), Some(300_000)));
    fixture.small(0).take_refresh_request();
    fixture.current_video.borrow().request_refresh();
    assert!(fixture.small(0).refresh_requested(), "requests for key frames go to what is shown");

    fixture.switcher.set_rendition(Rendition::Main);
    fixture.publish_small(0, false, 30);
    assert_eq!(fixture.frame().await, (SMALL, 30, false));
    fixture.publish(0, true, 40);
    assert_eq!(fixture.frame().await, (0, 40, false));
    assert_eq!((fixture.switcher.rendition(), fixture.small(0).subscribers()), (Some(Rendition::Main), 0));
    assert_eq!([main.current(), small.current()], [300_000, 500_000]);
}

#[tokio::test]
async fn the_rendition_stays_over_pauses_and_other_cameras_as_far_as_they_have_it() {
    let mut fixture = Fixture::new([OURS, OURS]);
    // Nothing is known of the camera yet.
    fixture.switcher.set_rendition(Rendition::Small);
    fixture.publish(0, true, 10);
    assert_eq!(fixture.frame().await, (0, 10, true));
    fixture.offer_small(0, true);
    fixture.switcher.set_rendition(Rendition::Small);
    fixture.publish_small(0, true, 20);
    assert_eq!(fixture.frame().await, (SMALL, 20, false));
    fixture.switcher.pause();
    assert_eq!((fixture.switcher.rendition(), fixture.small(0).demand().guards()), (None, 0));
    fixture.switcher.resume();
    fixture.publish(0, true, 25);
    fixture.publish_small(0, true, 30);
    assert_eq!(fixture.frame().await, (SMALL, 30, true));

    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted);
    fixture.publish(1, true, 40);
    assert_eq!(fixture.frame().await, (1, 40, true), "it has no smaller one");
    fixture.switcher.set_rendition(Rendition::Small);
    assert!(fixture.is_idle());
    assert_eq!(fixture.switcher.request_switch(0), SwitchStart::Accepted);
    fixture.publish(0, true, 45);
    fixture.publish_small(0, true, 50);
    assert_eq!(fixture.frame().await, (SMALL, 50, true));

    // The camera is replaced by one that encodes itself.
    fixture.offer_small(0, false);
    fixture.switcher.set_rendition(Rendition::Small);
    fixture.publish(0, true, 60);
    assert_eq!(fixture.frame().await, (0, 60, false));
}

#[tokio::test]
async fn a_choice_of_rendition_can_be_taken_back_and_no_camera_is_forgotten() {
    let mut fixture = Fixture::new([OURS, OURS]);
    (0..2).for_each(|camera| fixture.offer_small(camera, true));
    fixture.publish(0, true, 10);
    fixture.frame().await;
    fixture.switcher.set_rendition(Rendition::Small);
    fixture.switcher.set_rendition(Rendition::Main);
    assert_eq!(fixture.small(0).subscribers(), 0);
    fixture.publish(0, false, 20);
    assert_eq!(fixture.frame().await, (0, 20, false), "without a key frame");

    // During a switch to another camera.
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted);
    fixture.switcher.set_rendition(Rendition::Small);
    assert_eq!((fixture.cameras[1].video.subscribers(), fixture.small(1).subscribers()), (0, 1));
    fixture.publish_small(1, true, 30);
    assert_eq!(fixture.frame().await, (1 + SMALL, 30, true));
    fixture.switcher.set_rendition(Rendition::Main);
    assert_eq!(fixture.switcher.request_switch(1), SwitchStart::Accepted, "it is shown");
    fixture.switcher.set_rendition(Rendition::Main);
    fixture.publish(1, true, 40);
    assert_eq!(fixture.frame().await, (1, 40, false));
}
