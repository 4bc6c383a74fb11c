//! LEDs and buttons on a GPIO chip, a kernel LED, and the privacy switch.

use crate::frame_content::Scene;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::{AudioContent, LIMIT, Observer};
use crate::scenarios::CONFIGURATION;

/// Pin numbers.
const WATCHED: u32 = 17;
const FAULT: u32 = 18;
const READY: u32 = 19;
const OTHER: u32 = 20;
const BUTTON: u32 = 27;
const PHOTO: u32 = 23;
const SWITCH: u32 = 22;

/// The keyboard LED of the board, and its trigger.
const LED: &str = "/sys/class/leds/input0::capslock";
const TRIGGER: &str = "kbd-capslock";

const LEDS: &str = r#"
[state]
directory = "/tmp/state"

[[led]]
gpio = 17
show = "watched"

[[led]]
gpio = 18
show = "fault"

[[led]]
gpio = 19
active_low = true
show = "ready"

[[led]]
sysfs = "input0::capslock"
show = "watched"

[[button]]
gpio = 27
debounce = 300
press = "privacy.toggle"

[[button]]
gpio = 23
press = 'photo.take {"camera": "camera"}'
"#;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_leds_follow_state_and_a_button_toggles_privacy() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(&format!("{CONFIGURATION}{LEDS}")).gpio());
        board.plug_gpio();
        let led = |file: &str| board.sh(&format!("cat {LED}/{file}")).trim().to_owned();
        assert!(led("trigger").contains(&format!("[{TRIGGER}]")), "{}", led("trigger"));
        board.start_porthole();
        board.wait_until("the LEDs", LIMIT, || led("trigger").contains("[none]").then_some(()));
        assert_eq!(led("brightness"), "0");
        // The active LED's pin is low, since it is active-low.
        assert_eq!([WATCHED, FAULT, READY].map(|line| board.pin(line)), [false, false, false]);

        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        viewer.expect_audio(AudioContent::Tone);
        board.wait_for_pin(WATCHED, true);
        assert_eq!(led("brightness"), "1");

        // An unavailable camera: two flashes and a pause.
        board.unplug_cameras();
        viewer.expect_scene(Scene::Placeholder);
        board.wait_for_pin(FAULT, true);
        assert_eq!(flashes(&board.record_pin(FAULT, 8)), 2);
        board.plug_cameras();
        viewer.expect_scene(Scene::Bars);
        let levels = board.record_pin(FAULT, 2);
        assert_eq!(levels.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [false], "all is well again");

        // A bouncing button press closes cameras and microphone, whoever is watching.
        board.pull(BUTTON, true, 3);
        viewer.expect_scene(Scene::Placeholder);
        viewer.expect_audio(AudioContent::Silence);
        viewer.expect_only(Scene::Placeholder);
        assert_eq!(board.status()["privacy"], true);
        assert!(!board.holds("/dev/video0"), "the camera should be closed");
        assert_eq!(board.sh("cat /proc/asound/Loopback/pcm1c/sub0/status").trim(), "closed");
        // At its brightest the LED is hardly ever off, and a busy machine reads the pin seldom.
        let dimmed = || (board.record_pin(READY, 2).len() > 10).then_some(());
        board.wait_until("the LED to be dimmed by PWM", LIMIT, dimmed);
        board.pull(BUTTON, false, 3);

        // Only the button reopens them, not a restart of the program, clean or not.
        board.sh("kill -9 $(pidof porthole)");
        drop(viewer);
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Placeholder);
        viewer.expect_only(Scene::Placeholder);
        assert!(!board.holds("/dev/video0"), "the camera should be closed");
        board.pull(BUTTON, true, 3);
        viewer.expect_scene(Scene::Bars);
        viewer.expect_audio(AudioContent::Tone);
        assert_eq!(board.status()["privacy"], false);

        // A second button takes a photo, which is stored on the board.
        board.pull(PHOTO, true, 3);
        let photos = || board.sh("ls /tmp/state/photos 2>/dev/null || true");
        board.wait_until("a photo", LIMIT, || photos().contains(".jpg").then_some(()));
        assert_eq!(board.sh("head -c 3 /tmp/state/photos/*.jpg | od -An -tx1").trim(), "ff d8 ff");
        viewer.leave();
        board.wait_for_pin(WATCHED, false);

        board.stop_porthole();
        // Despite the bouncing it is one photo.
        let photos = photos();
        assert!(photos.starts_with("camera-") && photos.lines().count() == 1, "{photos}");
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn leds_are_reassigned_and_restored() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(&format!("{CONFIGURATION}{LEDS}")).gpio());
        board.plug_gpio();
        // Not on a terminal, since closing that would end it.
        board.start("porthole run --config /porthole.toml | cat");
        board.wait_until("the page", LIMIT, || board.http_get("/").ok());
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        board.wait_for_pin(WATCHED, true);

        // A different pin while a viewer is connected.
        board.sh(&format!(
            "sed -i 's/^gpio = {WATCHED}$/gpio = {OTHER}/' /porthole.toml && kill -HUP $(pidof porthole)"
        ));
        board.wait_for_pin(OTHER, true);
        board.wait_for_pin(WATCHED, false);
        viewer.expect_only(Scene::Bars);

        board.stop_porthole();
        let trigger = board.sh(&format!("cat {LED}/trigger"));
        assert!(trigger.contains(&format!("[{TRIGGER}]")), "{trigger}");
        assert_eq!(board.sh(&format!("cat {LED}/brightness")).trim(), "0");
        assert!(!board.pin(OTHER), "the LED should be off");
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_latching_privacy_switch_holds_from_startup() {
    isolated(|| {
        let switch = r#"
[state]
directory = "/tmp/state"

[[button]]
gpio = 22
press = 'privacy.set {"on": true}'
release = 'privacy.set {"on": false}'
"#;
        let board = Board::boot(Guest::with_porthole(&format!("{CONFIGURATION}{switch}")).gpio());
        board.plug_gpio();
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        board.pull(SWITCH, true, 0);
        viewer.expect_scene(Scene::Placeholder);
        board.pull(SWITCH, false, 0);
        viewer.expect_scene(Scene::Bars);
        viewer.leave();

        // The switch changes while the program is not running.
        board.stop_porthole();
        board.sh("echo on > /tmp/state/privacy");
        board.start_porthole();
        let privacy = || board.status()["privacy"].as_bool();
        board.wait_until("the switch's own side to hold", LIMIT, || (privacy() == Some(false)).then_some(()));
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

/// The flashes between two pauses. A stalled board may miss one and never adds one, so the maximum of several groups
/// counts.
fn flashes(levels: &[(bool, u32)]) -> usize {
    /// Longer than the gap between two flashes and shorter than a pause, in hundredths of a second.
    const REST: u32 = 100;
    let groups = levels.split(|(level, lasted)| !level && *lasted > REST);
    let counts = groups.map(|group| group.iter().filter(|(level, _)| *level).count());
    counts.max().unwrap_or_default()
}
