//! Unplugged cameras and failing drivers: the viewer keeps its session, gets the placeholder meanwhile, and then video
//! again.

// --nocapture shows the times.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use crate::frame_content::Scene;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::{LIMIT, Observer};
use crate::scenarios::{BACK_WITHIN, CONFIGURATION, median};

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_a_camera_recovers_from_a_long_unplug() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        // By now the retry back-off is longer than the limit.
        let times: Vec<Duration> = (0..3).map(|_| unplug(&board, &mut viewer, LONG)).collect();
        assert_in_time(&times);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_camera_recovers_from_twenty_unplugs() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        // Allocations of the first round (a placeholder's encoder, a log buffer) may stay.
        unplug(&board, &mut viewer, 1);
        let holdings = board.holdings();
        let times: Vec<Duration> = (0..20).map(|_| unplug(&board, &mut viewer, 1)).collect();
        board.holds_no_more_than(holdings);
        assert_in_time(&times);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_camera_recovers_from_twenty_driver_errors() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);

        // Faults at open are armed before the fault that causes the reopen.
        let faults: [&[&str]; 5] = [
            &["disconnect"],
            &["inject_fatal_streaming_error"],
            &["inject_vidioc_reqbufs_error", "disconnect"],
            &["inject_vidioc_qbuf_error", "disconnect"],
            &["inject_vidioc_streamon_error", "inject_fatal_streaming_error"],
        ];
        let mut holdings = None;
        for (round, controls) in faults.iter().cycle().take(20).enumerate() {
            let recoveries = board.log().matches(IS_BACK).count();
            for control in *controls {
                board.press("/dev/video0", control);
            }
            if controls.ends_with(&["disconnect"]) {
                viewer.expect_scene(Scene::Placeholder);
            }
            board.wait_until("the camera to be back", LIMIT, || {
                (board.log().matches(IS_BACK).count() > recoveries).then_some(())
            });
            viewer.expect_scene(Scene::Bars);
            if round == 0 {
                holdings = Some(board.holdings());
            }
        }

        board.holds_no_more_than(holdings.expect("there were rounds"));
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn damaged_and_missing_buffers_are_counted_as_drops() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        for rounds in 1..=3 {
            board.press("/dev/video0", "inject_v4l2_buf_flag_error");
            board.wait_until("the damaged buffer to be counted", LIMIT, || {
                (board.counter("porthole_frames_dropped_total{at=\"Damaged\"}") == rounds).then_some(())
            });
            viewer.expect_only(Scene::Bars);
        }

        // The driver skips sequence numbers.
        board.sh("v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=50");
        board.wait_until("missing buffers to be counted", LIMIT, || {
            (board.counter("porthole_frames_dropped_total{at=\"Driver\"}") >= 10).then_some(())
        });
        viewer.expect_only(Scene::Bars);
        assert!(board.status()["cameras"][0]["fault"].is_null(), "{}", board.status());
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

/// The log message of a recovered camera.
const IS_BACK: &str = "camera is back";

/// Placeholder frames of a long absence, at two per second: 5 s.
const LONG: usize = 10;

/// Unplugs the camera until the viewer has received this many placeholder frames, plugs it in, and returns the time
/// until video is back.
fn unplug(board: &Board, viewer: &mut Observer, placeholders: usize) -> Duration {
    board.unplug_cameras();
    for _ in 0..placeholders {
        viewer.expect_scene(Scene::Placeholder);
    }
    let plugged = Instant::now();
    board.plug_cameras();
    viewer.expect_scene(Scene::Bars).saturating_duration_since(plugged)
}

/// Checks the recovery times.
fn assert_in_time(times: &[Duration]) {
    println!("video resumed after {times:.1?}");
    assert!(median(times) <= BACK_WITHIN, "times until video resumed: {times:?}");
}
