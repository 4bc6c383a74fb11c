//! The formats that a camera gives, and the microphone: a viewer sees the test image as it is, and hears the tone.

use std::fmt::Write as _;

use crate::eyewitness::{Eyewitness, Noise};
use crate::guest::{Guest, Planes};
use crate::machine::Board;
use crate::namespace::isolated;
use crate::picture::Scene;

/// A format at a camera node.
type Camera = (&'static str, Planes);

/// Boots a board with both kinds of vivid and watches each of `cameras` in turn; the first also for its movement and for
/// the tone.
fn watch(cameras: &[Camera]) {
    let mut configuration = "[audio]\ndevice = \"plughw:CARD=Loopback,DEV=1\"\n".to_owned();
    for camera in cameras {
        let node = if camera.1 == Planes::Single { "/dev/video0" } else { "/dev/video1" };
        let (name, format) = (name(*camera), camera.0);
        let _ = write!(configuration, "[[camera]]\nname = {name:?}\ndevice = {node:?}\nformat = {format:?}\n");
        // The smallest picture that vivid has, at a rate that an emulated processor encodes.
        configuration += "width = 320\nheight = 180\nfps = 10\n";
    }
    let board = Board::boot(Guest::with_porthole(&configuration).cameras(&[Planes::Single, Planes::Multi]));
    board.start_porthole();

    for (number, camera) in cameras.iter().enumerate() {
        let mut viewer = Eyewitness::connect(&board.url(), &name(*camera));
        // No camera knows what colour is in a picture without any.
        let scene = if camera.0 == "GREY" { Scene::GreyBars } else { Scene::Bars };
        viewer.sees_sized(scene, (320, 180));
        if number == 0 {
            viewer.sees_movement(scene);
            viewer.hears(Noise::Tone);
        }
        viewer.leave();
        let status = board.status();
        let seen = &status["cameras"][number];
        assert_eq!((&seen["format"], &seen["pattern"]), (&camera.0.into(), &false.into()), "{status}");
        assert!(seen["fault"].is_null() && status["audio"]["fault"].is_null(), "{status}");
    }
    assert!(!board.log().contains("panicked"), "nothing should panic");
}

fn name((format, planes): Camera) -> String {
    format!("{format}-{planes:?}")
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_a_viewer_sees_the_camera_and_hears_the_microphone() {
    isolated(|| watch(&[("YUYV", Planes::Single), ("NV12", Planes::Single)]));
}
