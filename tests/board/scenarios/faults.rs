//! Cameras that are pulled out and plugged in, and drivers that fail: the picture comes back in the same session.

use std::time::{Duration, Instant};

use crate::eyewitness::{Eyewitness, LIMIT};
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::picture::Scene;
use crate::scenarios::CONFIGURATION;

/// How soon after the plug is in the picture has to be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_camera_that_was_unplugged_twenty_times_is_back_twenty_times() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Eyewitness::connect(&board.url(), "camera");
        viewer.sees(Scene::Bars);
        let holdings = board.holdings();

        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..20 {
            board.unplug_cameras();
            board.wait_for_fault();
            let plugged = Instant::now();
            board.plug_cameras();
            times.push(viewer.sees(Scene::Bars).saturating_duration_since(plugged));
        }

        // The machine that emulates the board may have been busy now and then.
        times.sort();
        assert!(times[times.len() / 2] <= BACK_WITHIN, "times until the picture was back: {times:?}");
        board.holds_no_more_than(holdings);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_driver_that_fails_twenty_times_is_opened_again() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Eyewitness::connect(&board.url(), "camera");
        viewer.sees(Scene::Bars);
        let holdings = board.holdings();

        // The faults of an opening are armed before the one that makes it necessary.
        let faults: [&[&str]; 5] = [
            &["disconnect"],
            &["inject_fatal_streaming_error"],
            &["inject_vidioc_reqbufs_error", "disconnect"],
            &["inject_vidioc_qbuf_error", "disconnect"],
            &["inject_vidioc_streamon_error", "inject_fatal_streaming_error"],
        ];
        for controls in faults.iter().cycle().take(20) {
            for control in *controls {
                board.press("/dev/video0", control);
            }
            board.wait_for_fault();
            viewer.sees(Scene::Bars);
        }

        board.holds_no_more_than(holdings);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_damaged_buffer_is_counted_and_not_shown() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Eyewitness::connect(&board.url(), "camera");
        viewer.sees(Scene::Bars);
        for rounds in 1..=3 {
            board.press("/dev/video0", "inject_v4l2_buf_flag_error");
            board.wait_until("the damaged buffer to be counted", LIMIT, || {
                (board.counter("porthole_frames_dropped_total{at=\"Damaged\"}") == rounds).then_some(())
            });
            viewer.sees_nothing_but(Scene::Bars);
        }
    });
}
