//! Tests of the test pattern. Time is an argument everywhere.

use super::*;
use crate::capture::camera::Constraint;
use crate::capture::camera::timecode;

fn config(width: u32, height: u32) -> Config {
    Config {
        name: "yard".into(),
        width: Constraint::exact(width),
        height: Constraint::exact(height),
        fps: Constraint::exact(30),
        ..Config::default()
    }
}

/// A moment `millis` after a full second of the wall clock.
fn after_second(millis: u64) -> Timestamp {
    let begun = u64::from(Timestamp::default().unix().subsec_nanos());
    Timestamp::from_start(Duration::from_nanos(5_000_000_000 - begun + millis * 1_000_000))
}

fn luma(frame: &RawFrame) -> &[u8] {
    &frame.data[..(frame.format.stride * frame.format.height) as usize]
}

/// The mean luma of `area`.
fn level(frame: &RawFrame, area: Rect) -> usize {
    let lines = luma(frame).chunks(frame.format.stride as usize).skip(area.y).take(area.height);
    let sum: usize = lines.flat_map(|line| &line[area.x..area.x + area.width]).map(|p| usize::from(*p)).sum();
    sum / (area.width * area.height)
}

#[test]
fn every_size_gives_a_complete_frame_and_small_ones_omit_parts() {
    for (width, height) in [
        (16, 16),
        (16, 1080),
        (1920, 16),
        (64, 64),
        (256, 64),
        (160, 120),
        (321, 181),
        (360, 640),
        (640, 480),
        (1920, 1080),
    ] {
        let pattern = TestPattern::open(&config(width, height));
        let format = pattern.format();
        assert_eq!((format.width, format.height, format.stride), (width & !1, height & !1, width & !1));
        let frame = pattern.render(77, after_second(40));
        assert_eq!(frame.data.len() as u32, format.width * format.height * 3 / 2, "{width}x{height}");
        let (width, height) = (format.width as usize, format.height as usize);
        let read = timecode::read(luma(&frame), width, height, width);
        assert_eq!(read.map(|code| code.frame), timecode::cell(width, height).map(|_| 77), "{width}x{height}");
    }
}

#[test]
fn constraints_out_of_range_are_clamped() {
    let pattern = TestPattern::open(&Config { fps: Constraint::exact(0), ..config(0, 3) });
    assert_eq!((pattern.format().width, pattern.format().height, pattern.format().fps), (16, 16, 1.0));
}

#[test]
fn timecode_holds_frame_number_capture_time_and_camera() {
    let mut pattern = TestPattern::open(&config(320, 180));
    let mut now = after_second(1);
    let mut codes = Vec::new();
    while codes.len() < 60 {
        match pattern.poll(now) {
            Err(wait) => now = now.saturating_add(wait),
            Ok(frame) => {
                let code = timecode::read(luma(&frame), 320, 180, 320).expect("a code");
                assert_eq!(u128::from(code.captured), frame.captured.unix().as_micros() / 100);
                assert_eq!(code.camera, timecode::camera_hash("yard"));
                codes.push(code);
            }
        }
    }
    assert!(codes.windows(2).all(|pair| pair[1].frame == pair[0].frame.wrapping_add(1)));
    assert_eq!(codes[30].captured - codes[0].captured, 10_000, "30 frames are one second");
    assert_eq!(pattern.dropped(), Dropped::default());
}

#[test]
fn late_consumer_skips_frame_numbers_and_drops_are_counted() {
    let mut pattern = TestPattern::open(&config(320, 180));
    pattern.poll(after_second(0)).expect_err("nothing is due before the next tick");
    let first = pattern.poll(after_second(34)).expect("due");
    let late = pattern.poll(after_second(170)).expect("due");
    let number = |frame| timecode::read(luma(frame), 320, 180, 320).expect("a code").frame;
    assert_eq!(number(&late), number(&first) + 4);
    assert_eq!(late.captured.saturating_since(after_second(166)).as_micros(), 666, "tick 5 of 30");
    assert_eq!(pattern.dropped(), Dropped { driver: 3, ..Dropped::default() });
}

#[test]
fn flash_is_on_for_the_first_tenth_of_every_second() {
    for (width, height) in [(320, 180), (1280, 720)] {
        let (pattern, lamp) =
            (TestPattern::open(&config(width, height)), lamp(width, height).expect("room for the flash"));
        for (millis, lit) in [(0, true), (66, true), (99, true), (100, false), (500, false), (999, false), (1000, true)]
        {
            let level = level(&pattern.render(0, after_second(millis)), lamp);
            assert!(if lit { level == 235 } else { level < 64 }, "{width}x{height} at {millis} ms: {level}");
        }
    }
}

#[test]
fn frame_drawn_over_another_equals_a_fresh_one() {
    let (used, fresh) = (TestPattern::open(&config(640, 360)), TestPattern::open(&config(640, 360)));
    let first = used.render(1, after_second(20));
    let address = first.data.as_ptr();
    drop(first);
    let second = used.render(2, after_second(777));
    assert_eq!(second.data.as_ptr(), address, "the buffer came back");
    assert!(second.data == fresh.render(2, after_second(777)).data);
}

#[test]
fn frames_in_use_are_not_overwritten() {
    let pattern = TestPattern::open(&config(320, 180));
    let held: Vec<RawFrame> = (0..8).map(|n| pattern.render(n, after_second(u64::from(n) * 33))).collect();
    for (number, frame) in held.iter().enumerate() {
        assert_eq!(timecode::read(luma(frame), 320, 180, 320).map(|code| code.frame), Some(number as u32));
    }
}
