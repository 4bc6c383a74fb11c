//! Tests of the negotiation: constraints and the modes of real cameras, with the exact selection or error.

use super::*;
use crate::capture::camera::Constraint;

/// The webcam input of the test driver vivid with `multiplanar=2`, as Linux 6.1 reports it, in the formats that can be
/// used: pixel formats, then sizes, each with its times between frames.
const VIVID: &str = "
    YUYV UYVY YU12 YV12 NV12 NV21 GREY RGB3 BGR3 YM12 YM21 NM12 NM21
    320x180 1/1 1/2 1/4 1/5 1/10 2/25 1/15 1/25 1/30 1/40 1/50 1/60
    640x360 1/1 1/2 1/4 1/5 1/10 2/25 1/15 1/25 1/30 1/40
    640x480 1/1 1/2 1/4 1/5 1/10 2/25 1/15 1/25
    1280x720 1/1 1/2 1/4 1/5 1/10 2/25
    1920x1080 1/1 1/2 1/4 1/5
    3840x2160 1/1 1/2";

/// A webcam that also encodes, in the manner of Logitech's C920: uncompressed frames as fast as USB 2 carries them.
const WEBCAM: &str = "
    YUYV
    640x480 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    320x240 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    800x600 1/24 1/20 1/15 1/10 2/15 1/5
    1280x720 1/10 2/15 1/5
    1920x1080 1/5
    2304x1536 1/2
    MJPG H264
    640x480 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    320x240 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    800x600 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    1280x720 1/30 1/24 1/20 1/15 1/10 2/15 1/5
    1920x1080 1/30 1/24 1/20 1/15 1/10 2/15 1/5";

/// A capture card that scales, for television's rates; its encoder is faster than its bus.
const CARD: &str = "
    NV12
    32-1920/16x32-1080/4 1001/30000-1/5
    H264
    1920x1080 1001/60000";

/// An infrared camera that also has a few colours.
const INFRARED: &str = "
    GREY
    640x480 1/30 1/15
    YUYV
    320x240 1/15";

fn parse_fraction(text: &str) -> Fraction {
    let (numerator, denominator) = text.split_once('/').expect("should be a fraction");
    Fraction { numerator: numerator.parse().unwrap(), denominator: denominator.parse().unwrap() }
}

fn parse_interval(text: &str) -> FrameInterval {
    match text.split_once('-') {
        Some((min, max)) => FrameInterval::Range { min: parse_fraction(min), max: parse_fraction(max) },
        None => FrameInterval::Discrete(parse_fraction(text)),
    }
}

fn parse_size(text: &str) -> FrameSize {
    let (width, height) = text.split_once('x').expect("should be a size");
    let side = |text: &str| -> (u32, u32, u32) {
        let (range, step) = text.split_once('/').unwrap_or((text, "1"));
        let (min, max) = range.split_once('-').unwrap_or((range, range));
        (min.parse().unwrap(), max.parse().unwrap(), step.parse().unwrap())
    };
    match (side(width), side(height)) {
        (width, height) if width.0 < width.1 => FrameSize::Stepwise { width, height },
        (width, height) => FrameSize::Discrete { width: width.0, height: height.0 },
    }
}

fn parse(text: &str) -> Vec<CaptureMode> {
    let mut offers: Vec<CaptureMode> = Vec::new();
    let mut formats = Vec::new();
    let mut sizes: Vec<(FrameSize, Vec<FrameInterval>)> = Vec::new();
    let mut finish = |formats: &mut Vec<Known>, sizes: &mut Vec<(FrameSize, Vec<FrameInterval>)>| {
        for Known { fourcc, pixel, .. } in formats.drain(..) {
            let offer = |(size, intervals): &(_, Vec<_>)| CaptureMode {
                fourcc,
                pixel,
                size: Some(*size),
                intervals: intervals.clone(),
            };
            offers.extend(sizes.iter().map(offer));
        }
        sizes.clear();
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        if line.contains('x') {
            let size = parse_size(words.next().unwrap());
            sizes.push((size, words.map(parse_interval).collect()));
        } else {
            finish(&mut formats, &mut sizes);
            let fourcc = |word: &str| FourCc::new(word.as_bytes().try_into().unwrap());
            formats = words.map(|word| Known::of(fourcc(word)).expect("should be known")).collect();
        }
    }
    finish(&mut formats, &mut sizes);
    offers
}

fn constraint(text: &str) -> Constraint {
    let number = |text: &str| text.parse().expect("should be a number");
    match text.split_once("..") {
        // As in a table of `min`, `ideal` and `max`: 640..800, or 640..720..800 with an ideal in between.
        Some((min, rest)) => {
            let (ideal, max) = rest.split_once("..").map_or((None, rest), |(ideal, max)| (Some(number(ideal)), max));
            Constraint {
                min: if min.is_empty() { 0 } else { number(min) },
                ideal,
                max: if max.is_empty() { u32::MAX } else { number(max) },
            }
        }
        None => text
            .strip_prefix('~')
            .map_or_else(|| Constraint::exact(number(text)), |ideal| Constraint::ideal(number(ideal))),
    }
}

/// `640 x ~480 at 15..30` or `MJPEG 640 x 480 at 30`.
fn config(text: &str) -> Config {
    let words: Vec<&str> = text.split(' ').collect();
    let (format, words) = if words.len() == 6 { (Some(words[0]), &words[1..]) } else { (None, &words[..]) };
    let format =
        format.map(|name| *PixelFormat::ALL.iter().find(|pixel| pixel.name() == name).expect("should be known"));
    Config {
        width: constraint(words[0]),
        height: constraint(words[2]),
        fps: constraint(words[4]),
        format,
        ..Config::default()
    }
}

/// What vivid is said to offer.
const VIVID_OFFERS: &str = "it offers YUYV, UYVY, YU12, YV12, NV12, NV21, GREY, RGB24, BGR24 in 320x180 at 1 to 60, 640x360 \
                            at 1 to 40, 640x480 at 1 to 25, 1280x720 at 1 to 12.5, 1920x1080 at 1/2/4/5, 3840x2160 at 1/2";

/// What the webcam is said to offer.
const WEBCAM_OFFERS: &str = "it offers YUYV in 640x480, 320x240 at 5 to 30, 800x600 at 5 to 24, 1280x720 at 5/7.5/10, \
                             1920x1080 at 5, 2304x1536 at 2; MJPEG, H264 in 640x480, 320x240, 800x600, 1280x720, 1920x1080 at \
                             5 to 30";

/// What the card is said to offer.
const CARD_OFFERS: &str = "it offers NV12 in 32x32 to 1920x1080 at 5 to 29.97; H264 in 1920x1080 at 59.94";

fn refused(offers: &[CaptureMode], wishes: &str) -> String {
    let refusal = choose(offers, &config(wishes)).expect_err(wishes);
    assert!(refusal.supported.len() < 700, "{} bytes are too long for a page", refusal.supported.len());
    format!("{} is not supported; {}", refusal.requested, refusal.supported)
}

/// The request, and below it the choice: pixel format, frame interval, and the reason.
const CHOICES: [(&str, &str); 4] = [
    (VIVID, "
        ~1280 x ~720 at ~30
            YM12 2/25 YU12 1280x720 at 12.5 frames/s: the nearest to 1280x720 at 30 frames/s, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12
        640 x 360 at 30
            YM12 1/30 YU12 640x360 at 30 frames/s: as requested, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12
        NV12 640 x 360 at 30
            NM12 1/30 NV12 640x360 at 30 frames/s: as requested, in the configured format
        RGB24 640 x 480 at 25
            RGB3 1/25 RGB24 640x480 at 25 frames/s: as requested, in the configured format
        ~1000 x ~700 at 30
            YM12 1/30 YU12 640x360 at 30 frames/s: the nearest to 1000x700 at 30 frames/s, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12
        ..800 x ..480 at 25
            YM12 1/25 YU12 640x480 at 25 frames/s: as requested, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12
        ~1920 x ~1080 at 10..
            YM12 1/10 YU12 1280x720 at 10 frames/s: the nearest to 1920x1080 at 10 frames/s, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12
        GREY ~1280 x ~720 at ~12
            GREY 2/25 GREY 1280x720 at 12.5 frames/s: the nearest to 1280x720 at 12 frames/s, in the configured format
        1920.. x 1080.. at 1..
            YM12 1/1 YU12 1920x1080 at 1 frames/s: as requested, the least CPU of BGR24, NV12, NV21, RGB24, UYVY, YU12, YUYV, YV12"),
    (WEBCAM, "
        ~1280 x ~720 at ~30
            MJPG 1/30 MJPEG 1280x720 at 30 frames/s: as requested, only in MJPEG; H264 is used only if configured, because key frames then depend on the camera
        1280 x 720 at 10
            YUYV 1/10 YUYV 1280x720 at 10 frames/s: as requested, the least CPU of MJPEG, YUYV; H264 is used only if configured, because key frames then depend on the camera
        640 x 480 at ~30
            YUYV 1/30 YUYV 640x480 at 30 frames/s: as requested, the least CPU of MJPEG, YUYV; H264 is used only if configured, because key frames then depend on the camera
        H264 1920 x 1080 at 30
            H264 1/30 H264 1920x1080 at 30 frames/s: as requested, in the configured format
        2304 x ~1536 at ~30
            YUYV 1/2 YUYV 2304x1536 at 2 frames/s: the nearest to 2304x1536 at 30 frames/s, only in YUYV
        ..1300 x ~700 at 20..
            MJPG 1/20 MJPEG 1280x720 at 20 frames/s: the nearest to 1300x700 at 20 frames/s, only in MJPEG; H264 is used only if configured, because key frames then depend on the camera
        700..1000 x ~600 at 25..30
            MJPG 1/30 MJPEG 800x600 at 30 frames/s: as requested, only in MJPEG; H264 is used only if configured, because key frames then depend on the camera
        ~1920 x ~1080 at 5
            YUYV 1/5 YUYV 1920x1080 at 5 frames/s: as requested, the least CPU of MJPEG, YUYV; H264 is used only if configured, because key frames then depend on the camera"),
    (CARD, "
        1280 x 720 at 30
            NV12 1001/30000 NV12 1280x720 at 29.97 frames/s: as requested, only in NV12
        ~1290 x ~717 at ~25
            NV12 1/25 NV12 1296x716 at 25 frames/s: the nearest to 1290x717 at 25 frames/s, only in NV12
        1000..1400..1500 x ~717 at 5..60
            NV12 1001/30000 NV12 1392x716 at 29.97 frames/s: the nearest to 1400x717 at 60 frames/s, only in NV12
        1920 x 1080 at 60
            H264 1001/60000 H264 1920x1080 at 59.94 frames/s: as requested, available only in H264; passed through as the camera encodes it
        ~1920 x ~1080 at ~60
            H264 1001/60000 H264 1920x1080 at 59.94 frames/s: as requested, available only in H264; passed through as the camera encodes it"),
    (INFRARED, "
        640 x 480 at ~30
            GREY 1/30 GREY 640x480 at 30 frames/s: as requested, available only in grey
        ~640 x ~480 at ~30
            YUYV 1/15 YUYV 320x240 at 15 frames/s: the nearest to 640x480 at 30 frames/s, only in YUYV"),
];

#[test]
fn best_offered_mode_is_selected() {
    for (camera, table) in CHOICES {
        let offers = parse(camera);
        let lines: Vec<&str> = table.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        for case in lines.chunks_exact(2) {
            let choice = choose(&offers, &config(case[0])).expect(case[0]);
            let Fraction { numerator, denominator } = choice.interval;
            assert_eq!(format!("{} {numerator}/{denominator} {choice}", choice.fourcc), case[1], "{}", case[0]);
        }
    }
}

#[test]
fn unsupported_request_is_rejected_with_the_available_modes() {
    for (camera, config, requested, supported) in [
        (VIVID, "1280 x 720 at 30", "width 1280, height 720, fps 30", VIVID_OFFERS),
        (
            VIVID,
            "MJPEG ~1280 x ~720 at ~30",
            "format MJPEG, width { ideal = 1280 }, height { ideal = 720 }, fps { ideal = 30 }",
            VIVID_OFFERS,
        ),
        (VIVID, "320 x 180 at 20..24", "width 320, height 180, fps { min = 20, max = 24 }", VIVID_OFFERS),
        (WEBCAM, "1280 x 720 at 60", "width 1280, height 720, fps 60", WEBCAM_OFFERS),
        (WEBCAM, "641 x 480 at 30", "width 641, height 480, fps 30", WEBCAM_OFFERS),
        (WEBCAM, "NV12 640 x 480 at 30", "format NV12, width 640, height 480, fps 30", WEBCAM_OFFERS),
        (CARD, "1290 x ~720 at ~25", "width 1290, height { ideal = 720 }, fps { ideal = 25 }", CARD_OFFERS),
        (
            CARD,
            "~1920 x ~1080 at 1..4",
            "width { ideal = 1920 }, height { ideal = 1080 }, fps { min = 1, max = 4 }",
            CARD_OFFERS,
        ),
        (
            INFRARED,
            "640 x 480 at 60",
            "width 640, height 480, fps 60",
            "it offers GREY in 640x480 at 15/30; YUYV in 320x240 at 15",
        ),
    ] {
        assert_eq!(refused(&parse(camera), config), format!("{requested} is not supported; {supported}"), "{config}");
    }
}

#[test]
fn long_list_is_truncated() {
    let sizes: Vec<String> = (0..200).map(|n| format!("{}x{} 1/{}", 16 + n, 16 + n, 1 + n % 7)).collect();
    let many = refused(&parse(&format!("YUYV\n{}\nNV12\n8x8 1/1", sizes.join("\n"))), "999 x 999 at 1");
    assert!(many.contains("it offers YUYV in 16x16 at 1, 17x17 at 2, "), "{many}");
    assert!(many.ends_with(" and more; `porthole devices` lists it all"), "{many}");
    let second = refused(&parse(&format!("NV12\n8x8 1/1\nYUYV\n{}", sizes.join("\n"))), "999 x 999 at 1");
    assert!(second.ends_with("it offers NV12 in 8x8 at 1 and more; `porthole devices` lists it all"), "{second}");
}

#[test]
fn error_lists_the_usable_formats() {
    let none = refused(&[], "~640 x ~480 at ~30");
    assert!(none.contains("none of the formats that can be used: YU12, YV12, NV12"), "{none}");
    assert!(none.ends_with("H264; `porthole devices` shows what it offers"), "{none}");
}

#[test]
fn constraint_is_requested_from_a_driver_that_enumerates_nothing() {
    let silent = CaptureMode { size: None, intervals: Vec::new(), ..parse(INFRARED).remove(1) };
    let choice = choose(std::slice::from_ref(&silent), &config("640 x 480 at 25")).expect("should choose");
    assert_eq!(choice.interval, parse_fraction("1/25"));
    let shown = "YUYV 640x480 at 25 frames/s: the driver does not list its sizes; requesting 640x480 at 25 frames/s";
    assert_eq!(choice.to_string(), shown);
    assert!(
        refused(&[silent], "NV12 640 x 480 at 25").ends_with("it offers YUYV in sizes that the driver does not list")
    );
    assert!(choose(&parse("YUYV\n0x0 1/30"), &config("~640 x ~480 at ~30")).is_err(), "nothing is connected to it");
}

#[test]
fn ties_are_decided_by_format_preference_in_any_order() {
    let chosen = |formats: &str| {
        let choice = choose(&parse(&format!("{formats}\n640x480 1/30")), &config("640 x 480 at 30"));
        choice.expect("should choose").fourcc.to_string()
    };
    assert_eq!(chosen("MJPG RGB3 YUYV NV12 NM12 YU12 YM12"), "YM12");
    assert_eq!(chosen("MJPG RGB3 YUYV NV12 NM12"), "NM12");
    assert_eq!(chosen("MJPG RGB3 YUYV"), "YUYV");
    assert_eq!(chosen("H264 MJPG GREY"), "MJPG");
    assert_eq!(chosen("GREY H264"), "H264");
}

#[test]
fn mode_set_by_the_driver_is_checked_against_the_constraints() {
    let judged = |wishes: &str, width, height, fps| is_acceptable(width, height, fps, &config(wishes));
    assert!(judged("640 x 480 at 30", 640, 480, Some(29.97)));
    assert!(judged("640 x 480 at 30", 640, 480, None), "an unknown rate may be right");
    assert!(!judged("640 x 480 at 30", 640, 480, Some(25.0)));
    assert!(!judged("640 x 480 at 30", 640, 482, Some(30.0)));
    assert!(judged("~640 x ~480 at ~30", 320, 240, Some(7.5)));
    assert!(!judged("400.. x ~480 at ~30", 320, 240, Some(7.5)));
}
