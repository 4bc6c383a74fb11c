//! Scenarios on an emulated board: a Debian kernel under QEMU with the drivers `vivid` as camera and `snd-aloop` as sound
//! card, and the real program inside, watched over a network cable from outside. `make board` runs them; a plain
//! `cargo test` lists them as ignored, because they need the packages that `make setup-test` brings.
//!
//! How the board is made does not belong here: `packages` -> `guest` -> `machine`, inside `namespace`.

mod guest;
mod machine;
mod namespace;
mod packages;

use std::time::Duration;

use guest::{Guest, TONE_HZ};
use machine::Board;
use namespace::isolated;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn the_board_has_a_camera_a_sound_card_and_a_network() {
    isolated("the_board_has_a_camera_a_sound_card_and_a_network", || {
        let board = Board::boot(Guest::new());

        assert_eq!(board.sh("cat /sys/class/video4linux/video0/name").trim(), "vivid-000-vid-cap");
        assert_eq!(board.sh("ls /dev/video*").trim(), "/dev/video0");

        let heard = board
            .sh("arecord -q -D plughw:CARD=Loopback,DEV=1 -f S16_LE -r 48000 -c 1 -d 1 -t raw | od -An -v -t d2 -w2");
        let samples: Vec<i32> = heard.split_whitespace().map(|n| n.parse().expect("od should print numbers")).collect();
        let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!(
            samples.len() == 48_000 && rises.abs_diff(TONE_HZ as usize) <= 5,
            "{} samples, {rises} periods",
            samples.len()
        );

        board.sh("mkdir /tmp/www && echo hello > /tmp/www/index.html");
        board.start("httpd -f -p 8080 -h /tmp/www");
        let answer =
            board.wait_until("a web server in the guest", Duration::from_secs(10), || board.http_get("/").ok());
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello\n"));

        // What a program prints is found in the log, and a driver that lets go of its device takes it away.
        board.start("echo unplugging; echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
        board.wait_for_log("unplugging", Duration::from_secs(10));
        board.wait_until("the camera to be gone", Duration::from_secs(10), || {
            board.sh("ls /dev").lines().all(|name| name != "video0").then_some(())
        });
        assert!(!board.log().contains("Call Trace"), "the kernel should be fine");
    });
}
