//! CPU time with a Motion JPEG camera, whose frames must be decoded first, relative to the encoder alone.
//!
//! The camera is the preloaded fake of `tests/fake`, so no hardware is needed: it delivers precompressed frames. Their
//! content is defined here because it decides the result: texture and noise as from a sensor.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use porthole::media::convert::Converter;
use porthole::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use turbojpeg::{Subsamp, YuvImage};

use crate::common::Porthole;
use crate::common::fake::{DEVICE, Fake};
use crate::cost::{self, Window};
use crate::reference::{Pace, Reference, encode_all};
use crate::table::{Table, percentile, spread};
use crate::viewers::Sound;
use crate::{CONFIG, FPS};

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;

/// Frames in the loop: one full circle of the camera movement.
const FRAMES: usize = 90;

/// Target size of a frame in bytes: between the 100 and 150 kB of a webcam at this size.
const AIM: usize = 125_000;

/// Radius of the movement in pixels: at three seconds per circle, two or three pixels per frame.
const RADIUS: f32 = 36.0;

/// Standard deviation of sensor noise in luma, half of it in chroma: indoors in daylight.
const NOISE: f32 = 2.0;

/// Rounds, alternating between the live window and the encoder alone.
const ROUNDS: usize = 3;

#[derive(serde::Serialize)]
struct Round {
    live: Window,
    at_once: Reference,
    paced: Reference,
}

/// Measures and adds the rows.
pub async fn measure(table: &mut Table) -> Result<()> {
    let jpegs = jpegs()?;
    let sizes: Vec<f64> = jpegs.iter().map(|jpeg| jpeg.len() as f64 / 1e3).collect();
    let raw = decoded(&jpegs)?;
    let fake = Fake::new(&format!("format MJPG {WIDTH}x{HEIGHT}@{FPS}\n"))?.quiet()?;
    let folder = fake.frames(&jpegs)?;
    fake.plug(&format!("format MJPG files={} {WIDTH}x{HEIGHT}@{FPS}\n", folder.display()))?;
    let config = CONFIG.replace("\"pattern\"", &format!("\"{DEVICE}\""));
    let porthole = Porthole::start_with(&config, &fake.environment()?)?;
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        eprintln!("  round {number} of {ROUNDS}");
        let live = cost::window(&porthole, 1, Sound::On).await?;
        let status = porthole.status().await?;
        ensure!(status["cameras"][0]["format"] == "MJPEG", "the camera does not give MJPEG: {status:#}");
        let frame = |number: usize| {
            let captured = Timestamp::from_start(Duration::from_secs(1) / FPS * number as u32);
            RawFrame { captured, ..raw[number % raw.len()].clone() }
        };
        let (at_once, paced) =
            (encode_all(cost::FRAMES, Pace::AtOnce, frame)?, encode_all(cost::FRAMES, Pace::Live, frame)?);
        rounds.push(Round { live, at_once, paced });
    }
    rows(table, &rounds, &sizes);
    table.raw("mjpeg", rounds)
}

fn rows(table: &mut Table, rounds: &[Round], sizes: &[f64]) {
    let each = |figure: &dyn Fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(figure).collect() };
    let core = each(&|round| round.live.core_percent);
    table.row("g. MJPEG camera, CPU with one viewer, % of one core", spread(&core, 1, ""), "");
    let ratio = each(&|round| round.live.cpu_per_frame / round.at_once.cpu);
    table.row("g. The same a frame, encoding alone = 1", spread(&ratio, 3, ""), "");
    let ratio = each(&|round| round.live.cpu_per_frame / round.paced.cpu);
    table.row("g. The same, against encoding alone at the camera's pace", spread(&ratio, 3, ""), "");
    let threads: Vec<String> = rounds[0]
        .live
        .threads
        .keys()
        .map(|name| (name, percentile(&each(&|round| *round.live.threads.get(name).unwrap_or(&0.0)), 0.5)))
        .filter(|(_, percent)| *percent >= 0.05)
        .map(|(name, percent)| format!("{name} {percent:.1}"))
        .collect();
    table.row("g. Its threads, % of one core", threads.join(", "), "");
    let milliseconds = each(&|round| round.paced.cpu);
    table.row("g. Encoding these frames alone, at the camera's rate, per frame", spread(&milliseconds, 2, " ms"), "");
    table.row("g. Size of a JPEG", spread(sizes, 0, " kB"), "");
    let dropped: f64 = rounds.iter().map(|round| round.live.dropped).sum();
    table.row("g. Frames dropped in these windows", format!("{dropped}"), "0");
}

/// The frames as the encoder receives them.
fn decoded(jpegs: &[Vec<u8>]) -> Result<Vec<RawFrame>> {
    let format = |pixel, stride| VideoFormat {
        pixel,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        stride,
        fps: f64::from(FPS),
        color: Colorimetry::SRGB,
    };
    let mut converter = Converter::new();
    let raw = |jpeg: &Vec<u8>| -> Result<RawFrame> {
        let jpeg = RawFrame::new(Timestamp::default(), format(PixelFormat::Mjpeg, 0), jpeg.clone().into());
        let planes = converter.i420(&jpeg)?;
        let data = Bytes::from([planes.y, planes.u, planes.v].concat());
        Ok(RawFrame::new(Timestamp::default(), format(PixelFormat::I420, WIDTH as u32), data))
    };
    jpegs.iter().map(raw).collect()
}

/// The JPEGs of one circle.
fn jpegs() -> Result<Vec<Vec<u8>>> {
    let scene = Scene::new();
    let mut random = StdRng::seed_from_u64(720);
    let raw: Vec<Vec<u8>> = (0..FRAMES).map(|number| scene.render(number, &mut random)).collect();
    // The best quality within the target size.
    let quality = (1..=95).rev().find(|quality| jpeg(&raw[0], *quality).is_ok_and(|jpeg| jpeg.len() <= AIM));
    let quality = quality.context("no quality makes the JPEG small enough")?;
    raw.iter().map(|raw| jpeg(raw, quality)).collect()
}

fn jpeg(pixels: &[u8], quality: i32) -> Result<Vec<u8>> {
    let image = YuvImage { pixels, width: WIDTH, align: 1, height: HEIGHT, subsamp: Subsamp::Sub2x1 };
    Ok(turbojpeg::compress_yuv(image, quality)?.to_vec())
}

/// A textured surface with detail at every scale, like walls, leaves and clothes, larger than the frame, so that the
/// camera can move over it.
struct Scene {
    width: usize,
    luma: Vec<f32>,
    blue: Vec<f32>,
    red: Vec<f32>,
}

impl Scene {
    fn new() -> Self {
        let margin = 2 * (RADIUS as usize + 1);
        let (width, height) = (WIDTH + margin, HEIGHT + margin);
        let mut random = StdRng::seed_from_u64(1);
        // Half the scale has about half the contrast in natural images: a 1/f spectrum.
        let luma = texture(
            width,
            height,
            &[(256, 60.0), (128, 36.0), (64, 22.0), (32, 14.0), (16, 9.0), (8, 6.0), (4, 4.0), (2, 3.0)],
            &mut random,
        );
        let blue = texture(width, height, &[(256, 24.0), (64, 10.0), (16, 4.0)], &mut random);
        let red = texture(width, height, &[(256, 24.0), (64, 10.0), (16, 4.0)], &mut random);
        Self { width, luma, blue, red }
    }

    /// The sensor image at a position on the circle, in 4:2:2.
    fn render(&self, number: usize, random: &mut StdRng) -> Vec<u8> {
        let angle = std::f32::consts::TAU * number as f32 / FRAMES as f32;
        let (left, top) = ((RADIUS + RADIUS * angle.cos()) as usize, (RADIUS + RADIUS * angle.sin()) as usize);
        let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 2);
        let mut plane = |values: &[f32], step: usize, noise: f32| {
            for y in 0..HEIGHT {
                let line = &values[(top + y) * self.width + left..][..WIDTH];
                pixels.extend(line.iter().step_by(step).map(|value| (value + noise * bell(random)) as u8));
            }
        };
        plane(&self.luma, 1, NOISE);
        plane(&self.blue, 2, NOISE / 2.0);
        plane(&self.red, 2, NOISE / 2.0);
        pixels
    }
}

/// Values around 128: a sum of random lattices with these spacings and contrasts, interpolated smoothly.
fn texture(width: usize, height: usize, octaves: &[(usize, f32)], random: &mut StdRng) -> Vec<f32> {
    let mut values = vec![128.0; width * height];
    for &(distance, contrast) in octaves {
        let columns = width / distance + 2;
        let lattice: Vec<f32> =
            (0..columns * (height / distance + 2)).map(|_| random.random_range(-contrast..contrast)).collect();
        let smooth = |at: usize| {
            let part = (at % distance) as f32 / distance as f32;
            (at / distance, part * part * (3.0 - 2.0 * part))
        };
        for (y, line) in values.chunks_mut(width).enumerate() {
            let (row, down) = smooth(y);
            for (x, value) in line.iter_mut().enumerate() {
                let (column, right) = smooth(x);
                let at = |row: usize, column: usize| lattice[row * columns + column];
                let above = at(row, column) * (1.0 - right) + at(row, column + 1) * right;
                let below = at(row + 1, column) * (1.0 - right) + at(row + 1, column + 1) * right;
                *value += above * (1.0 - down) + below * down;
            }
        }
    }
    values
}

/// A random number with mean 0 and deviation 1: the sum of three uniform ones is close enough to a normal distribution.
fn bell(random: &mut StdRng) -> f32 {
    (0..3).map(|_| random.random_range(-1.0f32..1.0)).sum()
}
