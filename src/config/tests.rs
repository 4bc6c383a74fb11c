//! Tests of the configuration from the user's point of view: TOML text in, values or error messages out.

mod board;
mod network;

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::capture::audio::Gain;
use crate::capture::camera::{Constraint, DeviceSelector};
use crate::media::PixelFormat;

fn errors(text: &str) -> Vec<String> {
    let errors = Config::parse(text, "porthole.toml").expect_err("should be refused");
    errors.to_string().lines().map(String::from).collect()
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(Config::parse("", "porthole.toml").unwrap(), Config::default());
    assert_eq!(Config::parse("[http]\n[audio]\n[rtc]\n[log]\n[[camera]]\n", "").unwrap(), Config::default());
    assert_eq!(Config::default().cameras.len(), 1);
}

#[test]
fn every_key_reaches_its_field() {
    let text = r#"
        [log]
        level = "debug"
        [http]
        listen = "0.0.0.0:80"
        [[camera]]
        name = "door"
        device = "/dev/video2"
        width = 640
        height = 0x168
        fps = 15
        format = "MJPEG"
        keep_open = true
        bitrate = 1_000_000
        keyframe_interval = 10
        encoder_threads = 2
        [[camera]]
        name = "yard"
        device = "pattern"
        [audio]
        device = "hw:1,0"
        channels = 2
        bitrate = 128_000
        gain = "-3 dB"
        mute = true
        [rtc]
        max_viewers = 5
        playout_delay_min = 100
        playout_delay_max = 400
    "#;
    let config = Config::parse(text, "").unwrap();
    assert_eq!(config.log_level, tracing::Level::DEBUG);
    assert_eq!(config.http.listen, SocketAddr::from(([0, 0, 0, 0], 80)));
    let [door, yard] = &config.cameras[..] else { panic!("two cameras: {config:?}") };
    assert_eq!((door.camera.name.as_str(), door.camera.device.to_string().as_str()), ("door", "/dev/video2"));
    assert_eq!([door.camera.width, door.camera.height, door.camera.fps], [640, 360, 15].map(Constraint::exact));
    assert_eq!(door.camera.format, Some(PixelFormat::Mjpeg));
    assert!(door.keep_open);
    assert_eq!((door.encoder.bitrate, door.encoder.keyframe_interval, door.encoder.threads), (1_000_000, 10, 2));
    assert_eq!((yard.camera.name.as_str(), &yard.camera.device), ("yard", &DeviceSelector::Pattern));
    assert_eq!((yard.camera.width, yard.encoder.bitrate), (Constraint::ideal(1280), 2_000_000));
    assert_eq!((config.audio.device.as_str(), config.audio.channels, config.audio.bitrate), ("hw:1,0", 2, 128_000));
    assert_eq!((config.audio.gain, config.audio.mute), (Gain::Decibel(-3.0), true));
    let delay = PlayoutDelay { min_ms: 100, max_ms: 400 };
    assert_eq!((config.rtc.max_viewers, config.rtc.playout_delay), (5, delay));
}

#[test]
fn all_errors_are_reported_in_file_order() {
    let text = "[http]\n\
                listen = \"localhost\"\n\
                [[camera]]\n\
                wdth = 640\n\
                height = 719\n\
                fps = 500\n\
                [[camera]]\n\
                name = 7\n\
                keep_open = \"yes\"\n\
                [audio]\n\
                channels = 3\n\
                [adio]\n\
                bitrate = 1\n";
    assert_eq!(
        errors(text),
        [
            "porthole.toml:2: http.listen = \"localhost\": not an address; IP and port from 0 to 65535, such as \
             192.168.1.20:8080 or [::1]:8080, or :8080 for every address",
            "porthole.toml:4: camera[0].wdth = 640: unknown key; did you mean width?",
            "porthole.toml:5: camera[0].height = 719: not a multiple of 2; pixels from 16 to 4320 in steps of 2",
            "porthole.toml:6: camera[0].fps = 500: out of range; frames a second from 1 to 240",
            "porthole.toml:8: camera[1].name = 7: not text in quotes; 1 to 32 letters a to z, digits, - and _",
            "porthole.toml:9: camera[1].keep_open = \"yes\": not true or false",
            "porthole.toml:11: audio.channels = 3: out of range; channels from 1 to 2",
            "porthole.toml:12: adio: unknown section; did you mean audio?",
        ]
    );
}

#[test]
fn constraint_is_a_number_or_a_range() {
    let width =
        |text: &str| Config::parse(&format!("[[camera]]\nwidth = {text}"), "").map(|c| c.cameras[0].camera.width);
    assert_eq!(width("640").unwrap(), Constraint::exact(640));
    assert_eq!(width("{ ideal = 640 }").unwrap(), Constraint::ideal(640));
    assert_eq!(width("{ min = 320, max = 640 }").unwrap(), Constraint { min: 320, ideal: None, max: 640 });
    assert_eq!(
        width("{ min = 320, ideal = 480, max = 640 }").unwrap(),
        Constraint { min: 320, ideal: Some(480), max: 640 }
    );
    for (text, wrong) in [
        ("{}", "names none of min, ideal and max; pixels from 16 to 7680 in steps of 2"),
        ("{ min = 640, max = 320 }", "min is above max"),
        ("{ ideal = 640, max = 320 }", "ideal is not between min and max"),
        ("{ most = 640 }", "most is unknown here; known are min, ideal and max"),
        ("{ min = 641 }", "min: not a multiple of 2; pixels from 16 to 7680 in steps of 2"),
        ("{ ideal = \"x\" }", "ideal: not a whole number; pixels from 16 to 7680 in steps of 2"),
        ("[640]", "neither a whole number nor { min, ideal, max }; pixels from 16 to 7680 in steps of 2"),
    ] {
        let message = width(text).unwrap_err().to_string();
        assert!(message.ends_with(wrong), "{text}: {message}");
    }
}

#[test]
fn limits_are_inclusive_and_hold_on_both_sides() {
    let cases = [
        ("[[camera]]", "width", 16, 7680, 2),
        ("[[camera]]", "height", 16, 4320, 2),
        ("[[camera]]", "fps", 1, 240, 1),
        ("[[camera]]", "bitrate", 50_000, 50_000_000, 1),
        ("[[camera]]", "keyframe_interval", 1, 3600, 1),
        ("[[camera]]", "encoder_threads", 0, 64, 1),
        ("[audio]", "channels", 1, 2, 1),
        ("[audio]", "bitrate", 6_000, 510_000, 1),
        ("[rtc]", "max_viewers", 1, 1000, 1),
        ("[rtc]\nplayout_delay_max = 40950", "playout_delay_min", 0, 40_950, 10),
        ("[rtc]", "playout_delay_max", 0, 40_950, 10),
    ];
    for (section, key, min, max, step) in cases {
        let parse = |value: i64| Config::parse(&format!("{section}\n{key} = {value}"), "");
        for right in [min, max, min + step] {
            assert!(parse(right).is_ok(), "{key} = {right}");
        }
        for wrong in [min - step, max + step, i64::MIN, i64::MAX] {
            assert!(parse(wrong).unwrap_err().to_string().contains("out of range"), "{key} = {wrong}");
        }
        if step > 1 {
            assert!(parse(min + 1).unwrap_err().to_string().contains("not a multiple"), "{key} = {min} + 1");
        }
    }
    let huge = errors("[rtc]\nmax_viewers = 99999999999999999999999999");
    assert!(huge[0].contains("out of range"), "{huge:?}");
}

#[test]
fn wrong_types_are_named() {
    for (text, wrong) in [
        (
            "[[camera]]\nfps = 29.97",
            ":2: camera[0].fps = 29.97: neither a whole number nor { min, ideal, max }; frames a second from 1 to 240",
        ),
        (
            "[[camera]]\nfps = \"30\"",
            ":2: camera[0].fps = \"30\": neither a whole number nor { min, ideal, max }; frames a second from 1 to 240",
        ),
        ("[log]\nlevel = 3", ":2: log.level = 3: not text in quotes; error, warn, info, debug or trace"),
        ("[log]\nlevel = \"Info\"", ":2: log.level = \"Info\": not a log level; error, warn, info, debug or trace"),
        (
            "[camera]\nfps = 30",
            ":1: camera: not a list; write [[camera]] with two brackets, since there can be several",
        ),
        ("http = 80", ":1: http = 80: not a section; write [http] on a line of its own and its keys below it"),
        (
            "camera = [\n{},\n3]",
            ":3: camera[1] = 3: not a section; write [[camera]] on a line of its own and its keys below it",
        ),
    ] {
        assert_eq!(errors(text), [format!("porthole.toml{wrong}")]);
    }
}

#[test]
fn controls_are_a_section_below_their_camera() {
    let config = Config::parse(
        "[[camera]]\nname = \"a\"\n[camera.controls]\nzoom = 0x10\n0x00980900 = -5\n\"White Balance\" = false\n\
         frequency = \"50 Hz\"\n[[camera]]\nname = \"b\"\n",
        "",
    );
    let cameras = config.unwrap().cameras;
    let set: Vec<(&str, String)> =
        cameras[0].camera.controls.iter().map(|set| (set.control.as_str(), set.value.to_string())).collect();
    let expected = [("zoom", "16"), ("0x00980900", "-5"), ("White Balance", "false"), ("frequency", "\"50 Hz\"")];
    assert_eq!(set, expected.map(|(name, value)| (name, value.into())));
    assert!(cameras[1].camera.controls.is_empty());

    let found = errors(
        "[[camera]]\ncontrols = 3\n[[camera]]\nname = \"b\"\n[camera.controls]\na = 1.5\nb = [1]\n\
         c = 99999999999999999999\n",
    );
    assert_eq!(
        found,
        [
            "porthole.toml:2: camera[0].controls = 3: not a section; write [camera.controls] and below it a control and its \
             value on each line",
            "porthole.toml:6: camera[1].controls.a = 1.5: not a whole number, true, false or text in quotes",
            "porthole.toml:7: camera[1].controls.b = [1]: not a whole number, true, false or text in quotes",
            "porthole.toml:8: camera[1].controls.c = 99999999999999999999: out of range; a whole number of 64 bits",
        ]
    );
}

#[test]
fn conflicting_settings_are_rejected() {
    assert_eq!(
        errors("[[camera]]\n\n[[camera]]\ndevice = \"pattern\""),
        [
            "porthole.toml:3: camera[1].name = \"camera\": another camera has this name already; give each camera a name \
          of its own"
        ]
    );
    assert_eq!(
        errors("[rtc]\nplayout_delay_min = 200"),
        ["porthole.toml:2: rtc.playout_delay_min = 200: above playout_delay_max, which is 0; raise that one or lower \
          this one"]
    );
}

#[test]
fn an_unknown_key_far_from_all_known_ones_lists_them() {
    assert_eq!(
        errors("[http]\nx = [1]"),
        ["porthole.toml:2: http.x = [1]: unknown key; known here: listen, tls, redirect, hosts, origins, \
         trusted_proxies"]
    );
    assert_eq!(
        errors("port = 80\n[a.b]\n"),
        [
            "porthole.toml:1: port = 80: unknown key; known here: audio, auth, button, camera, hook, http, led, log, \
             mqtt, photos, privacy, publish, recording, rtc, rtsp, screen, speaker, state, timelapse",
            "porthole.toml:2: a: unknown section; known here: audio, auth, button, camera, hook, http, led, log, \
             mqtt, photos, privacy, publish, recording, rtc, rtsp, screen, speaker, state, timelapse",
        ]
    );
}

#[test]
fn keys_that_people_expect_are_pointed_to_what_is_meant() {
    assert_eq!(
        errors(
            "[auth]\npassword = \"secret\"\n[[camera]]\nresolution = \"1280x720\"\nFramerate = 30\n[http]\nport = 80\n"
        ),
        [
            "porthole.toml:2: auth.password = ***: unknown key; passwords are not in this file; `porthole password \
             operator` and `porthole password viewer` set them",
            "porthole.toml:4: camera[0].resolution = \"1280x720\": unknown key; write two keys: width = 1280 and \
             height = 720",
            "porthole.toml:5: camera[0].Framerate = 30: unknown key; the frame rate is fps, such as fps = 30",
            "porthole.toml:7: http.port = 80: unknown key; address and port are listen, such as listen = \":8080\"",
        ]
    );
}

#[test]
fn a_nul_byte_is_called_what_it_is() {
    let expected = |line| {
        format!(
            "porthole.toml:{line}: a NUL byte: the file is damaged, as after a power cut, or saved as UTF-16; restore it, or \
             save it as UTF-8"
        )
    };
    // In a value, in a comment, as the whole file, and in UTF-16.
    let utf16: String = "[http]\n".chars().flat_map(|c| [c, '\0']).collect();
    for (text, line) in
        [("[http]\nlisten = \":80\0\"\nfps = 1\n", 2), ("# a\0\n", 1), ("\0\0\0\0", 1), (utf16.as_str(), 1)]
    {
        assert_eq!(errors(text), [expected(line)], "{text:?}");
    }
}

#[test]
fn syntax_errors_are_reported_with_the_other_errors() {
    let found = errors("[http]\nlisten = 8x\n[[camera]]\nfps = 500\nname = \"a\nwidth =\n");
    assert_eq!(found.len(), 4, "{found:#?}");
    for (line, found) in [2, 4, 5, 6].into_iter().zip(&found) {
        assert!(found.starts_with(&format!("porthole.toml:{line}: ")), "{found}");
    }
    assert_eq!(found[1], "porthole.toml:4: camera[0].fps = 500: out of range; frames a second from 1 to 240");
}

#[test]
fn keys_below_a_broken_section_header_are_not_reported() {
    let found = errors("[[camera\nwidth = 3\n[rtc]\nx = 1");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("porthole.toml:1: unclosed array table"), "{found:?}");
}

#[test]
fn long_value_is_truncated_to_one_line() {
    let found = errors(&format!("[log]\nlevel = \"\"\"\n{}\"\"\"", "x\n".repeat(100)));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("porthole.toml:2: log.level = \"\"\"\\nx\\nx"), "{found:?}");
    assert!(found[0].contains("…: not a log level"), "{found:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_of_one_line() {
    let missing = Config::load(Path::new("/nonexistent/porthole.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/porthole.toml: cannot be read: "), "{missing}");
    let folder = Config::load(Path::new("/")).unwrap_err().to_string();
    assert!(folder.starts_with("/: cannot be read: "), "{folder}");
}

#[test]
fn a_file_that_is_not_utf8_is_an_error_with_its_line() {
    let path = std::env::temp_dir().join(format!("porthole-not-utf8-{}.toml", std::process::id()));
    std::fs::write(&path, b"[log]\n# caf\xe9\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.ends_with("not UTF-8 text from line 2 on; save the file as UTF-8"), "{error}");
}

/// Pieces of configuration files, so that random sequences of them get past the parser more often than random text.
const PIECES: &[&str] = &[
    "[",
    "]",
    "[[camera]]",
    "[camera]",
    "[http]",
    "[rtc]",
    "\n",
    "\n",
    "\n",
    " = ",
    " = ",
    ".",
    ",",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "name",
    "listen",
    "camera",
    "http",
    "fps",
    "width",
    "playout_delay_min",
    "format",
    "true",
    "3",
    "-1",
    "0x",
    "1e9",
    "99999999999999999999",
    "1979-05-27",
    "\"auto\"",
    "\"é\u{1b}\"",
    "\r\n",
    "\u{feff}",
    "\\u",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        rejected_or_accepted(&text);
    }

    #[test]
    fn no_sequence_of_pieces_makes_the_parser_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        rejected_or_accepted(&pieces.concat());
    }
}

/// Whatever the text is: a configuration with a camera, or errors of which each names a line of the text.
fn rejected_or_accepted(text: &str) {
    match Config::parse(text, "f") {
        Ok(config) => assert!(!config.cameras.is_empty()),
        Err(errors) => {
            for error in errors.to_string().split('\n') {
                let line = error.strip_prefix("f:").and_then(|rest| rest.split(':').next()).unwrap_or_default();
                let line: usize = line.parse().unwrap_or_else(|_| panic!("should name a line: {error:?}"));
                assert!(line >= 1 && line <= text.split('\n').count(), "{error:?} of {text:?}");
            }
        }
    }
}
