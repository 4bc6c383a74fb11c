//! The sizes of frames: how evenly the software encoder spends its bitrate on several kinds of scenes, for each number of
//! threads. benches/README.md explains the table.
//!
//! Unit tests of the encoder check bounds on the same scenes in a small size.

// Printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod scenes;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use porthole::media::encoder;
use porthole::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use scenes::{Painter, Scene};

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const BITRATE: u32 = 2_000_000;

/// Frames per second, those of the issue that this table is for: a webcam in a room.
const FPS: usize = 15;

/// How long each scene is, with a request for a key frame after half of it.
const SECONDS: usize = 12;

/// Numbers of threads; 0 is the default.
const THREADS: [u16; 4] = [0, 1, 2, 4];

const SCENES: [Scene; 7] =
    [Scene::Pan, Scene::Static, Scene::Dark, Scene::Cut, Scene::Light, Scene::StopAndGo, Scene::WhiteNoise];

/// One encoder's frames.
struct Run {
    /// Bytes of each frame, and whether it is a key frame; `None` if it was dropped.
    sizes: Vec<Option<(usize, bool)>>,
    took: Duration,
}

fn main() -> Result<()> {
    let painter = Painter::new(WIDTH, HEIGHT);
    let mut text = String::from(
        "| 1280x720, 15 fps, 2 Mbit/s | Threads | kbit/s | Median | p95 | Largest | Largest in frame intervals | Without key \
         frames and first second: median | p95 | Largest | Key frames | Dropped | Worst backlog | Wall-clock time a frame |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for scene in SCENES {
        for threads in THREADS {
            eprintln!("{}, {threads} threads", scene.name());
            line(&mut text, scene, threads, &run(&painter, scene, threads)?)?;
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("rate.md");
    std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    println!("{text}");
    eprintln!("written: {}", path.display());
    Ok(())
}

fn run(painter: &Painter, scene: Scene, threads: u16) -> Result<Run> {
    let format = VideoFormat {
        pixel: PixelFormat::I420,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        stride: WIDTH as u32,
        fps: FPS as f64,
        color: Colorimetry::SRGB,
    };
    let config = encoder::Config { bitrate: BITRATE, threads, ..Default::default() };
    let mut encoder = encoder::open(&config, &format)?;
    let mut run = Run { sizes: Vec::new(), took: Duration::ZERO };
    for number in 0..FPS * SECONDS {
        let captured = Timestamp::from_start(Duration::from_secs(number as u64) / FPS as u32);
        let frame = RawFrame::new(captured, format, painter.frame(scene, number, FPS).into());
        let key = number == 0 || number == FPS * SECONDS / 2;
        let started = Instant::now();
        let encoded = encoder.encode(&frame, key);
        run.took += started.elapsed();
        run.sizes.push(match encoded {
            Err(encoder::Error::Backlog) => None,
            encoded => {
                let encoded = encoded?.context("there should be a frame")?;
                Some((encoded.data.len(), encoded.key))
            }
        });
    }
    Ok(run)
}

fn line(text: &mut String, scene: Scene, threads: u16, run: &Run) -> Result<()> {
    let interval = BITRATE as usize / 8 / FPS;
    let (mut backlog, mut worst) = (0, 0);
    for frame in &run.sizes {
        backlog = usize::saturating_sub(backlog, interval) + frame.map_or(0, |(bytes, _)| bytes);
        worst = worst.max(backlog);
    }
    let all: Vec<usize> = run.sizes.iter().flatten().map(|(bytes, _)| *bytes).collect();
    let settled = run.sizes.iter().skip(FPS).flatten().filter(|(_, key)| !key).map(|(bytes, _)| *bytes);
    let settled: Vec<usize> = settled.collect();
    let keys = run.sizes.iter().flatten().filter(|(_, key)| *key).count();
    let dropped = run.sizes.iter().filter(|frame| frame.is_none()).count();
    let rate = all.iter().sum::<usize>() * 8 / SECONDS / 1000;
    let threads = if threads == 0 { "default".to_owned() } else { threads.to_string() };
    let [median, high, largest] = quantiles(all);
    write!(
        text,
        "| {} | {threads} | {rate} | {median} | {high} ({:.2}) | {largest} ({:.2}) | {:.2} |",
        scene.name(),
        high as f64 / median as f64,
        largest as f64 / median as f64,
        largest as f64 / interval as f64,
    )?;
    let [median, high, largest] = quantiles(settled);
    writeln!(
        text,
        " {median} | {high} ({:.2}) | {largest} ({:.2}) | {keys} | {dropped} | {} ms | {:.1} ms |",
        high as f64 / median as f64,
        largest as f64 / median as f64,
        worst * 8 * 1000 / BITRATE as usize,
        run.took.as_secs_f64() * 1000.0 / run.sizes.len() as f64,
    )?;
    Ok(())
}

/// The median, the 95th percentile and the maximum.
fn quantiles(mut sizes: Vec<usize>) -> [usize; 3] {
    sizes.sort_unstable();
    let last = sizes.len().saturating_sub(1);
    [last / 2, last * 95 / 100, last].map(|at| sizes.get(at).copied().unwrap_or(0))
}
