//! The board itself without porthole: the assumptions of the scenarios.

use std::time::Duration;

use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::AudioContent;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_the_board_has_a_camera_a_sound_card_and_a_network() {
    isolated(|| {
        let board = Board::boot(Guest::new());

        assert_eq!(board.sh("cat /sys/class/video4linux/video0/name").trim(), "vivid-000-vid-cap");
        assert_eq!(board.sh("ls /dev/video*").trim(), "/dev/video0");

        // One second in chunks of 20 ms; arecord reports overruns on stderr.
        let recording = board.sh(
            "arecord -q -D plughw:CARD=Loopback,DEV=1 -f S16_LE -r 48000 -c 2 -d 1 -t raw 2>/dev/null | od -An -v -t d2 -w2",
        );
        let samples: Vec<i16> =
            recording.split_whitespace().map(|n| n.parse().expect("od should print numbers")).collect();
        assert_eq!(samples.len(), 2 * 48_000);
        let tones = samples.chunks(2 * 960).filter(|piece| AudioContent::of(piece) == AudioContent::Tone).count();
        assert!(tones >= 40, "{tones} of 50 audio chunks contain the tone");

        board.sh("mkdir /tmp/www && echo hello > /tmp/www/index.html");
        board.start("httpd -f -p 8080 -h /tmp/www");
        let answer =
            board.wait_until("a web server in the guest", Duration::from_secs(10), || board.http_get("/").ok());
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello\n"));

        // Program output appears in the log, and unbinding the driver removes its device.
        board.start("echo unplugging; echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
        board.wait_for_log("unplugging", Duration::from_secs(10));
        board.wait_until("the camera to be gone", Duration::from_secs(10), || {
            board.sh("ls /dev").lines().all(|name| name != "video0").then_some(())
        });
        assert!(!board.log().contains("Call Trace"), "the kernel should be fine");
    });
}
