//! Scenarios on an emulated board: a Debian kernel under QEMU with the drivers `vivid` as camera and `snd-aloop` as sound
//! card, and the real program inside, watched over a network cable from outside. `make board` runs them; a plain
//! `cargo test` lists them as ignored, because they need the packages that `make setup-test` brings.
//!
//! How the board is made does not belong here: `packages` -> `guest` -> `machine`, inside `namespace`; nor what a viewer
//! makes of it: `eyewitness`.

#[path = "../viewer/client/mod.rs"]
mod client;
mod eyewitness;
mod guest;
mod machine;
mod namespace;
mod packages;

use std::path::Path;
use std::time::Duration;

use eyewitness::{missing_bars, moved, share_of_tone, watch};
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

        // One second, in pieces of 20 ms; arecord tells of overruns on standard error.
        let heard = board.sh(
            "arecord -q -D plughw:CARD=Loopback,DEV=1 -f S16_LE -r 48000 -c 2 -d 1 -t raw 2>/dev/null | od -An -v -t d2 -w2",
        );
        let samples: Vec<i16> = heard.split_whitespace().map(|n| n.parse().expect("od should print numbers")).collect();
        assert_eq!(samples.len(), 2 * 48_000);
        let tones = samples.chunks(2 * 960).filter(|piece| share_of_tone(piece, TONE_HZ.into()) > 0.9).count();
        assert!(tones >= 40, "{tones} of 50 pieces of sound hold the tone");

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

/// The smallest picture that vivid has, at a rate that an emulated processor encodes.
const CONFIGURATION: &str = r#"
[[camera]]
device = "/dev/video0"
format = "YUYV"
width = 320
height = 180
fps = 10

[audio]
device = "plughw:CARD=Loopback,DEV=1"
"#;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_viewer_sees_the_camera_and_hears_the_microphone() {
    isolated("a_viewer_sees_the_camera_and_hears_the_microphone", || {
        let guest = Guest::new();
        guest.program("porthole", Path::new(env!("CARGO_BIN_EXE_porthole")));
        guest.file("/porthole.toml", CONFIGURATION);
        let board = Board::boot(guest);
        board.start("porthole run --config /porthole.toml");
        let page = board.wait_until("the page", Duration::from_secs(60), || board.http_get("/").ok());
        assert_eq!(page.status, 200);

        let seen = watch(&board.url(), 20, 100);

        let first = &seen.pictures[0];
        assert_eq!((first.width, first.height), (320, 180));
        // The last one, because the first is encoded in haste.
        let missing = missing_bars(&seen.pictures[seen.pictures.len() - 1]);
        assert!(missing.is_empty(), "bars that are not there, and what is: {missing:?}");
        let changes = seen.pictures.windows(2).filter(|pair| moved(&pair[0], &pair[1])).count();
        assert!(changes >= seen.pictures.len() / 2, "{changes} changes in {} pictures", seen.pictures.len());
        let tones = seen.sound.iter().filter(|packet| share_of_tone(packet, TONE_HZ.into()) > 0.9).count();
        assert!(tones >= seen.sound.len() / 2, "{tones} of {} packets of sound hold the tone", seen.sound.len());

        let status = board.http_get("/api/status").expect("the status should be served").text();
        let status: serde_json::Value = serde_json::from_str(&status).expect("the status should be JSON");
        assert_eq!(status["cameras"][0]["pattern"], false, "{status}");
        assert!(status["cameras"][0]["fault"].is_null() && status["audio"]["fault"].is_null(), "{status}");
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}
