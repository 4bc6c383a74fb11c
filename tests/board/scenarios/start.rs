//! Cameras that are absent, busy, or renumbered when a viewer connects.

use crate::frame_content::Scene;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::{LIMIT, Observer};
use crate::scenarios::CONFIGURATION;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_a_camera_is_found_after_absent_busy_and_renumbered() {
    isolated(|| {
        // Selected by the hardware name from the driver, so any node will do.
        let guest = Guest::with_porthole(&CONFIGURATION.replace("/dev/video0", "vivid"));
        let board = Board::boot(guest);
        board.unplug_cameras();
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Placeholder);
        board.plug_cameras();
        viewer.expect_scene(Scene::Bars);
        viewer.leave();

        // The first process to stream owns the camera.
        board.wait_until("the camera to be closed", LIMIT, || {
            (board.counter("porthole_cameras_open") == 0).then_some(())
        });
        board.start("v4l2-ctl -d /dev/video0 --set-fmt-video=width=320,height=180 --stream-mmap >/tmp/frames 2>&1");
        board.wait_until("the other program to stream", LIMIT, || {
            board.sh("cat /tmp/frames").contains('<').then_some(())
        });
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Placeholder);
        board.sh("killall v4l2-ctl");
        viewer.expect_scene(Scene::Bars);

        // While a process has the old node open, its number stays in use.
        board.sh("sleep 1000 </dev/video0 >/dev/null 2>&1 &");
        board.unplug_cameras();
        viewer.expect_scene(Scene::Placeholder);
        board.plug_cameras();
        viewer.expect_scene(Scene::Bars);
        assert_eq!(board.sh("ls /dev/video*").trim(), "/dev/video1");
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}
