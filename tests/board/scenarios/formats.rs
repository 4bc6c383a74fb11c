//! Camera formats and the microphone: a viewer receives the test image unchanged, and the tone.

use std::fmt::Write as _;

use crate::footage;
use crate::frame_content::Scene;
use crate::guest::{Guest, Planes};
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::{AudioContent, Observer};

/// A single-planar vivid camera.
const SINGLE: &str = "/dev/video0";

/// A multi-planar vivid camera.
const MULTI: &str = "/dev/video1";

/// A camera with its own encoder.
const LOOPBACK: &str = "/dev/video9";

/// Boots a board with all kinds of cameras and watches each of `cameras`, a format and a node, in turn; the first is
/// also checked for motion and the tone.
fn watch(cameras: &[(&str, &str)]) -> Board {
    let name = |(format, node): (&str, &str)| format!("{format}-{}", node.trim_start_matches("/dev/"));
    let mut configuration = "[audio]\ndevice = \"plughw:CARD=Loopback,DEV=1\"\n".to_owned();
    for camera in cameras {
        let (name, (format, node)) = (name(*camera), camera);
        let _ = write!(configuration, "[[camera]]\nname = {name:?}\ndevice = {node:?}\nformat = {format:?}\n");
        // vivid's smallest size, at a frame rate that an emulated processor can encode.
        configuration += "width = 320\nheight = 180\nfps = 10\n";
    }
    let guest = Guest::with_porthole(&configuration).cameras(&[Planes::Single, Planes::Multi]);
    let compressed = cameras.iter().find(|(_, node)| *node == LOOPBACK);
    let board = if let Some((format, node)) = compressed {
        let stream = if *format == "H264" { footage::h264() } else { footage::jpeg() };
        let board = Board::boot(guest.footage(&stream));
        board.plug_loopback(node, if *format == "H264" { "H264" } else { "MJPG" });
        board
    } else {
        Board::boot(guest)
    };
    board.start_porthole();

    for (number, camera) in cameras.iter().enumerate() {
        let mut viewer = Observer::connect(&board.url(), &name(*camera));
        // Without colour the bars are grey.
        let scene = if camera.0 == "GREY" { Scene::GreyBars } else { Scene::Bars };
        viewer.expect_scene_of_size(scene, footage::SIZE);
        if number == 0 {
            viewer.expect_motion(scene);
            viewer.expect_audio(AudioContent::Tone);
        }
        viewer.leave();
        let status = board.status();
        let reported = &status["cameras"][number];
        assert_eq!((&reported["format"], &reported["pattern"]), (&camera.0.into(), &false.into()), "{status}");
        assert!(reported["fault"].is_null() && status["audio"]["fault"].is_null(), "{status}");
    }
    assert!(!board.log().contains("panicked"), "nothing should panic");
    board
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_a_viewer_receives_video_and_audio() {
    isolated(|| {
        watch(&[("YUYV", SINGLE), ("NV12", SINGLE), ("NV12", MULTI), ("RGB24", SINGLE), ("MJPEG", LOOPBACK)]);
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn every_raw_format_single_and_multi_planar() {
    isolated(|| {
        let raw = ["YU12", "YV12", "NV12", "NV21", "GREY", "YUYV", "UYVY", "RGB24", "BGR24"];
        let cameras: Vec<(&str, &str)> =
            [MULTI, SINGLE].iter().flat_map(|node| raw.map(|format| (format, *node))).collect();
        watch(&cameras);
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn an_h264_camera_is_passed_through() {
    isolated(|| {
        let board = watch(&[("H264", LOOPBACK)]);
        assert_eq!(board.status()["cameras"][0]["encoder"], "camera", "{}", board.status());
    });
}
