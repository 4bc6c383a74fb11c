//! Tests of the sizes of frames with several threads, on the scenes of `benches/rate` in a small size.

// The benchmark uses more of it.
#[allow(dead_code)]
#[path = "../../../../benches/rate/scenes.rs"]
mod scenes;

use std::time::Duration;

use super::*;
use crate::media::encoder::{Encoder as _, SMALL_NAL};
use crate::media::{Colorimetry, PixelFormat};
use scenes::{Painter, Scene};

const WIDTH: usize = 320;
const HEIGHT: usize = 192;
const BITRATE: u32 = 400_000;

/// Encodes a scene in one layer and returns the bytes of each frame, and whether it is a key frame. A key frame is requested at
/// the start and after half of the time.
fn encode(painter: &Painter, scene: Scene, threads: u16, time: (usize, usize), declared: f64) -> Vec<(usize, bool)> {
    encode_layers(painter, scene, (threads, false), time, declared)
}

/// The same, in two layers if `layered`.
fn encode_layers(
    painter: &Painter,
    scene: Scene,
    (threads, layered): (u16, bool),
    (fps, seconds): (usize, usize),
    declared: f64,
) -> Vec<(usize, bool)> {
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let format =
        VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: declared, color: Colorimetry::SRGB };
    let config = Config { bitrate: BITRATE, threads, ..Config::default() };
    let mut encoder = OpenH264::open(&config, &format);
    encoder.set_layers(layered);
    let encode = |number| {
        let captured = Timestamp::from_start(Duration::from_secs(number as u64) / fps as u32);
        let frame = RawFrame::new(captured, format, painter.frame(scene, number, fps).into());
        let key = number == 0 || number == fps * seconds / 2;
        let encoded = encoder.encode(&frame, key).expect("encode").expect("picture");
        assert!(encoded.key || !key, "frame {number}");
        (encoded.data.len(), encoded.key)
    };
    (0..fps * seconds).map(encode).collect()
}

/// The median, the 95th percentile and the maximum.
fn quantiles(mut sizes: Vec<usize>) -> [usize; 3] {
    sizes.sort_unstable();
    let last = sizes.len() - 1;
    [sizes[last / 2], sizes[last * 95 / 100], sizes[last]]
}

#[test]
fn frames_are_alike_with_any_number_of_threads() {
    let painter = Painter::new(WIDTH, HEIGHT);
    for scene in [Scene::Pan, Scene::Dark, Scene::Cut] {
        for threads in [1, 2, 4] {
            let sizes = encode(&painter, scene, threads, (15, 8), 15.0);
            let [median, high, largest] = quantiles(sizes.iter().map(|(bytes, _)| *bytes).collect());
            let words = format!("{}, {threads} threads: {median}, {high}, {largest} bytes", scene.name());
            assert!(high <= median * 2 && largest <= median * 4, "{words}");
            let rate = sizes.iter().map(|(bytes, _)| bytes * 8).sum::<usize>() / 8;
            assert!((BITRATE as usize * 7 / 10..=BITRATE as usize * 21 / 20).contains(&rate), "{words}, {rate} bit/s");
        }
    }
}

#[test]
fn two_layers_keep_the_bitrate_and_the_largest_frame() {
    let painter = Painter::new(WIDTH, HEIGHT);
    let interval = BITRATE as usize / 8 / 15;
    for scene in [Scene::Pan, Scene::Dark, Scene::Cut, Scene::Light, Scene::StopAndGo] {
        for threads in [1, 2] {
            let sizes = encode_layers(&painter, scene, (threads, true), (15, 8), 15.0);
            // A frame of the base layer with the next one, which is smaller: the more so, the more moves.
            let pairs = sizes.chunks(2).map(|pair| pair.iter().map(|(bytes, _)| bytes).sum()).collect();
            let [median, high, largest] = quantiles(pairs);
            let most = sizes.iter().map(|(bytes, _)| *bytes).max();
            let rate = sizes.iter().map(|(bytes, _)| bytes * 8).sum::<usize>() / 8;
            let words = format!(
                "{}, {threads} threads: pairs of {median}, {high}, {largest} bytes, at most {most:?}, {rate} bit/s",
                scene.name()
            );
            assert!(most <= Some(interval * 3), "{words}");
            assert!(rate <= BITRATE as usize * 21 / 20, "{words}");
            if matches!(scene, Scene::Pan | Scene::Dark | Scene::Cut) {
                assert!(high <= median * 2 && largest <= median * 3, "{words}");
                assert!(rate >= BITRATE as usize * 7 / 10, "{words}");
            }
        }
    }
}

#[test]
fn no_frame_exceeds_three_frame_intervals() {
    let painter = Painter::new(WIDTH, HEIGHT);
    let interval = BITRATE as usize / 8 / 15;
    for scene in [Scene::Static, Scene::Light, Scene::StopAndGo] {
        for threads in [1, 2, 4] {
            let sizes = encode(&painter, scene, threads, (15, 8), 15.0);
            let [_, _, largest] = quantiles(sizes.iter().map(|(bytes, _)| *bytes).collect());
            assert!(largest <= interval * 3, "{}, {threads} threads: {largest} bytes", scene.name());
        }
    }
}

#[test]
fn small_nal_units_fit_a_packet_and_keep_the_bitrate() {
    let painter = Painter::new(WIDTH, HEIGHT);
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let format =
        VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 15.0, color: Colorimetry::SRGB };
    for (scene, threads) in [(Scene::Pan, 1), (Scene::Pan, 2), (Scene::Cut, 1), (Scene::WhiteNoise, 1)] {
        // Ten times of it makes large frames, and macroblocks of many bytes.
        let bitrate = BITRATE * 10;
        let mut encoder = OpenH264::open(&Config { bitrate, threads, ..Config::default() }, &format);
        let mut encode = |number: usize, small: bool| {
            encoder.set_small_nals(small);
            let captured = Timestamp::from_start(Duration::from_secs(number as u64) / 15);
            let frame = RawFrame::new(captured, format, painter.frame(scene, number, 15).into());
            let encoded = encoder.encode(&frame, false).expect("encode").expect("picture");
            let largest = h264::nals(&encoded.data).map(<[u8]>::len).max().expect("slice");
            (encoded.key, largest, encoded.data.len())
        };
        let words = format!("{}, {threads} threads", scene.name());
        let (key, largest, _) = encode(0, false);
        assert!(key && largest > SMALL_NAL, "{words}: {largest} bytes");
        let mut sum = 0;
        for number in 1..=60 {
            let (key, largest, bytes) = encode(number, true);
            assert!(key || number > 1, "{words}: a viewer has to begin with it");
            assert!(largest <= SMALL_NAL, "{words}: {largest} bytes in frame {number}");
            sum += bytes;
        }
        assert!(sum * 8 / 4 <= bitrate as usize * 21 / 20, "{words}: {} bit/s", sum * 8 / 4);
        let (key, largest, _) = encode(61, false);
        assert!(key && largest > SMALL_NAL, "{words}: {largest} bytes");
    }
}

#[test]
fn the_bitrate_is_used_at_other_frame_rates_than_the_declared_one() {
    let painter = Painter::new(WIDTH, HEIGHT);
    for fps in [7, 15, 60] {
        let sizes = encode(&painter, Scene::Dark, 1, (fps, 8), 30.0);
        // Without the first two seconds, in which it settles.
        let rate = sizes[fps * 2..].iter().map(|(bytes, _)| bytes * 8).sum::<usize>() / 6;
        assert!((BITRATE as usize * 8 / 10..=BITRATE as usize * 21 / 20).contains(&rate), "{fps} fps: {rate} bit/s");
    }
}

#[test]
fn white_noise_drops_frames_and_is_never_more_than_a_second_behind() {
    for layered in [false, true] {
        white_noise(layered);
    }
}

fn white_noise(layered: bool) {
    let painter = Painter::new(WIDTH, HEIGHT);
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let format =
        VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 30.0, color: Colorimetry::SRGB };
    let config = Config { bitrate: BITRATE, threads: 1, ..Config::default() };
    let mut encoder = OpenH264::open(&config, &format);
    encoder.set_layers(layered);
    let (mut backlog, mut worst, mut sent, mut dropped) = (0f64, 0f64, 0, 0);
    for number in 0..300 {
        let captured = Timestamp::from_start(Duration::from_secs(number as u64) / 30);
        let scene = if number < 30 { Scene::Static } else { Scene::WhiteNoise };
        let frame = RawFrame::new(captured, format, painter.frame(scene, number, 30).into());
        backlog = (backlog - f64::from(BITRATE) / 30.0).max(0.0);
        match encoder.encode(&frame, false) {
            Ok(encoded) => {
                backlog += encoded.expect("picture").data.len() as f64 * 8.0;
                sent += 1;
            }
            Err(Error::Backlog) => dropped += 1,
            Err(error) => panic!("frame {number}: {error}"),
        }
        worst = worst.max(backlog / f64::from(BITRATE));
    }
    assert!(worst <= 1.0, "layered: {layered}: {worst} s behind, {dropped} dropped");
    assert!(sent > 30 && dropped > 30, "layered: {layered}: {sent} sent, {dropped} dropped");
}
