//! Tests of the detector with clips that are made from a seed (`clips`).
//!
//! The figures of many clips and of hours are printed by `cargo test --release --lib motion -- --ignored --nocapture`.

use std::time::Duration;

use super::clips::{Calm, Clip, HEIGHT, WIDTH};
use super::*;

/// Frames a second.
const FPS: f32 = 5.0;

/// Sizes in percent of the picture's width, contrasts in luma levels, and seconds in the picture, each from and to.
type Kind = (&'static str, (f32, f32), (f32, f32), (f32, f32), Option<Calm>);

/// What crosses the picture.
const CROSSINGS: [Kind; 9] = [
    ("any", (3.0, 35.0), (15.0, 90.0), (0.8, 40.0), None),
    ("small", (1.8, 3.0), (30.0, 90.0), (2.0, 20.0), None),
    ("fast", (4.0, 20.0), (25.0, 90.0), (0.8, 1.6), None),
    ("slow", (4.0, 20.0), (20.0, 90.0), (30.0, 90.0), None),
    ("faint", (5.0, 30.0), (11.0, 15.0), (2.0, 20.0), None),
    ("large", (30.0, 60.0), (20.0, 90.0), (1.5, 20.0), None),
    ("in rain", (4.0, 30.0), (30.0, 90.0), (2.0, 20.0), Some(Calm::Rain)),
    ("in noise", (4.0, 30.0), (30.0, 90.0), (2.0, 20.0), Some(Calm::Noise)),
    ("under clouds", (4.0, 30.0), (30.0, 90.0), (2.0, 20.0), Some(Calm::Clouds)),
];

const CALM: [Calm; 7] =
    [Calm::Noise, Calm::Exposure, Calm::Lamp, Calm::Rain, Calm::Clouds, Calm::Flicker, Calm::Leaves];

fn at(seconds: f32) -> Duration {
    Duration::from_secs_f32(seconds)
}

fn crossing((_, size, contrast, seconds, calm): Kind, seed: u64) -> Clip {
    let clip = Clip::crossing(size, contrast, seconds, seed);
    match calm {
        Some(calm) => clip.during(calm),
        None => clip,
    }
}

/// What the detector says to a clip of this length, frame by frame, without what is nothing.
fn told(detector: &mut MotionDetector, clip: &mut Clip, seconds: f32, fps: f32) -> Vec<(f32, Motion)> {
    let mut plane = LumaPlane::default();
    let frames = (0..(seconds * fps) as u32).map(|frame| frame as f32 / fps);
    let motions = frames.map(|time| {
        clip.draw(time, &mut plane);
        (time, detector.frame(&plane, at(time)))
    });
    motions.filter(|(_, motion)| *motion != Motion::None).collect()
}

/// When motion began, and its score.
fn begun(config: &Config, clip: &mut Clip, seconds: f32) -> Vec<(f32, u8)> {
    let told = told(&mut MotionDetector::new(config), clip, seconds, FPS).into_iter();
    told.filter_map(|(time, motion)| if let Motion::Begun(region) = motion { Some((time, region.score)) } else { None })
        .collect()
}

/// The score of a clip's object, if it is found while it is in the picture.
fn found(config: &Config, clip: &mut Clip) -> Option<u8> {
    let crossing = clip.crossing.expect("an object");
    let begun = begun(config, clip, crossing.leaves() + 0.6).into_iter();
    begun.filter(|(time, _)| *time >= crossing.enters).map(|(_, score)| score).next()
}

#[test]
fn crossings_are_found() {
    // Short ones, so that it takes no longer than other tests.
    for (name, size, contrast, seconds, calm) in CROSSINGS.into_iter().filter(|(.., seconds, _)| seconds.0 < 5.0) {
        let kind = (name, size, contrast, (seconds.0, seconds.1.min(3.0)), calm);
        let mut clip = crossing(kind, 5);
        assert!(found(&Config::default(), &mut clip).is_some(), "{}: {:?}", kind.0, clip.crossing);
    }
}

#[test]
fn nothing_moves_in_noise_rain_and_changing_light() {
    for calm in CALM {
        let begun = begun(&Config::default(), &mut Clip::calm(calm, 2), 15.0);
        assert!(begun.is_empty(), "{calm:?}: {begun:?}");
    }
}

#[test]
fn an_event_begins_goes_on_and_ends_and_tells_where() {
    let mut clip = Clip::crossing((10.0, 10.0), (60.0, 60.0), (6.0, 6.0), 3);
    let object = clip.crossing.expect("an object");
    let told = told(&mut MotionDetector::new(&Config::default()), &mut clip, 16.0, FPS);
    let [(began, Motion::Begun(first)), going @ .., (ended, Motion::Ended(whole))] = &told[..] else {
        panic!("{told:?}")
    };
    assert!((object.enters..object.enters + 2.0).contains(began), "{began}");
    assert!((object.leaves() + 1.5..object.leaves() + 3.0).contains(ended), "{ended}");
    assert!(going.iter().all(|(_, motion)| matches!(motion, Motion::GoesOn(_))));
    assert!(
        whole.score >= first.score && whole.rect.width * whole.rect.height > 2.0 * first.rect.width * first.rect.height
    );
    let inside = |rect: &PictureRect| rect.x >= 0.0 && rect.y >= 0.0 && rect.x + rect.width <= 1.0001;
    assert!(inside(&first.rect) && inside(&whole.rect), "{first:?} {whole:?}");
}

#[test]
fn zones_include_and_exclude() {
    let find = |include: &[PictureRect], exclude: &[PictureRect]| {
        let (include, exclude) = (include.to_vec(), exclude.to_vec());
        let config = Config { include, exclude, ..Config::default() };
        // It crosses from left to right below the middle.
        found(&config, &mut Clip::crossing((8.0, 8.0), (70.0, 70.0), (8.0, 8.0), 3)).is_some()
    };
    let rect = |x, y, width, height| PictureRect { x, y, width, height };
    let crossing = Clip::crossing((8.0, 8.0), (70.0, 70.0), (8.0, 8.0), 3).crossing.expect("an object");
    let (top, bottom) = crossing.lines();
    let (top, bottom) = (top / HEIGHT as f32, bottom / HEIGHT as f32);
    let band = rect(0.0, top, 1.0, bottom - top);
    assert!(find(&[], &[]) && find(&[band], &[]));
    assert!(!find(&[], &[band]), "what is excluded is ignored");
    assert!(!find(&[rect(0.0, 0.0, 1.0, top)], &[]) || top < 0.05, "only what is included counts");
    assert!(!find(&[band], &[rect(0.0, 0.0, 1.0, 1.0)]), "what is both is excluded");
}

#[test]
fn sensitivity_decides_and_the_score_tells_which_is_needed() {
    let score = |sensitivity: u8, clip: fn() -> Clip| found(&Config { sensitivity, ..Config::default() }, &mut clip());
    let faint = || Clip::crossing((4.0, 4.0), (14.0, 14.0), (5.0, 5.0), 8);
    let clear = || Clip::crossing((20.0, 20.0), (80.0, 80.0), (5.0, 5.0), 8);
    assert!(score(80, faint).is_some() && score(15, faint).is_none());
    let (faint, clear) = (score(80, faint).expect("found"), score(15, clear).expect("found"));
    assert!(clear > faint + 15, "{clear} {faint}");
}

#[test]
fn what_moves_for_too_short_a_time_is_no_motion() {
    let find = |min_duration| {
        let config = Config { min_duration, ..Config::default() };
        found(&config, &mut Clip::crossing((8.0, 8.0), (70.0, 70.0), (3.0, 3.0), 4)).is_some()
    };
    assert!(find(0) && find(1_000) && !find(4_000));
}

#[test]
fn a_camera_that_is_moved_learns_its_new_scene() {
    let (mut one, mut other) = (Clip::empty(1), Clip::crossing((10.0, 10.0), (60.0, 60.0), (4.0, 4.0), 2));
    let object = other.crossing.expect("an object");
    let (mut detector, mut plane) = (MotionDetector::new(&Config::default()), LumaPlane::default());
    let mut begun = Vec::new();
    for frame in 0..90 {
        let time = frame as f32 / FPS;
        // The other scene from the tenth second on, when its own clock is at four.
        if time < 10.0 {
            one.draw(time, &mut plane);
        } else {
            other.draw(time - 9.0, &mut plane);
        }
        if let Motion::Begun(_) = detector.frame(&plane, at(time)) {
            begun.push(time - 9.0);
        }
    }
    let [began] = begun[..] else { panic!("{begun:?}") };
    assert!((object.enters..object.leaves()).contains(&began), "{began}");
}

#[test]
fn a_frame_a_second_is_enough_for_what_stays_longer() {
    let mut clip = Clip::crossing((10.0, 10.0), (60.0, 60.0), (10.0, 10.0), 3);
    clip.enter_at(12.0);
    let told = told(&mut MotionDetector::new(&Config::default()), &mut clip, 24.0, 1.0);
    assert!(matches!(told.first(), Some((_, Motion::Begun(_)))), "{told:?}");
}

#[test]
fn a_reset_ends_the_event_and_forgets_the_scene() {
    let mut clip = Clip::crossing((10.0, 10.0), (60.0, 60.0), (8.0, 8.0), 3);
    let mut detector = MotionDetector::new(&Config::default());
    let told = told(&mut detector, &mut clip, 9.0, FPS);
    assert!(matches!(told.last(), Some((_, Motion::GoesOn(_)))), "{told:?}");
    assert!(matches!(detector.reset(), Motion::Ended(_)));
    assert_eq!(detector.reset(), Motion::None);
    let mut plane = LumaPlane::default();
    for frame in 45..52 {
        clip.draw(frame as f32 / FPS, &mut plane);
        assert_eq!(detector.frame(&plane, at(frame as f32 / FPS)), Motion::None, "it learns");
    }
}

#[test]
fn odd_sizes_and_times_do_no_harm() {
    let mut detector = MotionDetector::new(&Config { sensitivity: 100, min_duration: 0, ..Config::default() });
    for (number, (width, height)) in [(1, 1), (80, 1), (1, 80), (3, 2), (9, 80), (80, 80)].into_iter().enumerate() {
        for frame in 0..12 {
            let cells = (0..width * height).map(|cell| ((cell * 37 + frame * 211) % 4080) as u16).collect();
            let plane = LumaPlane::of_cells(width, height, cells);
            detector.frame(&plane, Duration::from_secs(number as u64 * 12 + frame as u64));
            // The same time again, and one that goes back.
            detector.frame(&plane, Duration::from_secs(number as u64 * 12 + frame as u64));
            detector.frame(&plane, Duration::ZERO);
        }
    }
    let config = Config { exclude: vec![PictureRect { x: 0.0, y: 0.0, width: 1.0, height: 1.0 }], ..Config::default() };
    detector.reconfigure(&config);
    let plane = LumaPlane::of_cells(WIDTH, HEIGHT, vec![1600; WIDTH * HEIGHT]);
    (0..20).for_each(|frame| {
        assert!(!matches!(detector.frame(&plane, Duration::from_secs(900 + frame)), Motion::Begun(_)))
    });
}

/// The figures of docs/motion.md.
#[test]
#[ignore = "takes some minutes, optimised"]
// Printing is its purpose.
#[allow(clippy::print_stdout)]
fn figures_of_many_clips_and_of_an_hour() {
    let (config, clips) = (Config::default(), 200);
    let mut lines = vec![format!("{:24} found", "crossings")];
    let mut wrong = Vec::new();
    for kind in CROSSINGS {
        // Other seeds than those that the detector was made with.
        let count = (0..clips).filter(|seed| found(&config, &mut crossing(kind, 100_000 + seed)).is_some()).count();
        lines.push(format!("{:24} {count} of {clips}", kind.0));
        if matches!(kind.0, "any" | "small") && count * 100 < clips as usize * 95 {
            wrong.push(format!("{count} of {clips} found: {}", kind.0));
        }
    }
    lines.push(format!("{:24} false events in ten hours", "nothing moves"));
    let mut first_hour = 0;
    for calm in CALM {
        let mut all = 0;
        for hour in 0..10u64 {
            let begun: usize =
                (0..6).map(|part| begun(&config, &mut Clip::calm(calm, 100_000 + hour * 6 + part), 600.0).len()).sum();
            all += begun;
        }
        // An hour has its share of each kind.
        first_hour += begun(&config, &mut Clip::calm(calm, 200_000), 3600.0 / CALM.len() as f32).len();
        lines.push(format!("{:24} {all}", format!("{calm:?}")));
    }
    lines.push(format!("{:24} {first_hour}", "an hour with all of them"));
    println!("{}", lines.join("\n"));
    assert!(wrong.is_empty() && first_hour <= 1, "{wrong:?}, {first_hour} false events in an hour");
}
