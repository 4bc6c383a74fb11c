//! The cost of decoding and converting a frame, for each camera format, relative to its encoding, and that of looking for motion
//! in it: a part of `make bench`. benches/README.md explains the table.
//!
//! Correctness is covered by the tests.

// Printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

// Shared with the other benchmark, which uses more of it.
mod frames;
#[allow(dead_code)]
#[path = "../stream/machine.rs"]
mod machine;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use porthole::media::convert::{Converter, LumaReader};
use porthole::media::encoder;
use porthole::media::encoder::StreamDecoder;
use porthole::media::motion::{self, LumaPlane, MotionDetector};
use porthole::media::{RawFrame, Timestamp};

/// Rounds that each measure everything once, so that background load affects all rows alike.
const ROUNDS: usize = 15;

/// Frames a second that motion is looked for in.
const MOTION_FPS: f64 = 5.0;

/// Times of one format per round, in milliseconds of CPU time per frame.
struct Line {
    name: String,
    bytes: usize,
    frames: Vec<RawFrame>,
    took: Vec<f64>,
    motion: Motion,
}

/// Looks for motion in the frames of one format.
struct Motion {
    reader: LumaReader,
    plane: LumaPlane,
    detector: MotionDetector,
    frames: u32,
    took: Vec<f64>,
}

impl Motion {
    fn new() -> Self {
        let detector = MotionDetector::new(&motion::Config { enabled: true, ..motion::Config::default() });
        Self { reader: LumaReader::default(), plane: LumaPlane::default(), detector, frames: 0, took: Vec::new() }
    }

    fn look(&mut self, frame: &RawFrame) -> Result<()> {
        self.frames += 1;
        self.reader.read(frame, &mut self.plane)?;
        black_box(self.detector.frame(&self.plane, Duration::from_secs_f64(f64::from(self.frames) / MOTION_FPS)));
        Ok(())
    }
}

fn main() -> Result<()> {
    let facts = machine::describe();
    eprintln!("drawing the frames");
    let originals = frames::originals()?;
    let mut lines = Vec::new();
    for (name, frames) in frames::inputs(&originals)? {
        let bytes = frames.iter().map(|frame| frame.data.len()).sum::<usize>() / frames.len();
        lines.push(Line { name, bytes, frames, took: Vec::new(), motion: Motion::new() });
    }
    let first = originals.first().context("there should be frames")?;
    let mut encoder = encoder::open(&encoder::Config { bitrate: 2_000_000, ..Default::default() }, &first.format)?;
    let mut encoding = Vec::new();
    let mut converter = Converter::new();
    let mut number = 0u32;
    // The first round warms up: rate control, memory, caches.
    for round in 0..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        let mut times = Vec::new();
        let before = used();
        for at in 0..originals.len() {
            // Forward and backward, so that nothing jumps.
            let original = &originals[if round % 2 == 0 { at } else { originals.len() - 1 - at }];
            number += 1;
            let captured = Timestamp::from_start(Duration::from_secs(1) / 30 * number);
            black_box(encoder.encode(&RawFrame { captured, ..original.clone() }, number == 1)?);
        }
        times.push(milliseconds(used() - before, originals.len()));
        for line in &lines {
            let before = used();
            for frame in &line.frames {
                black_box(converter.i420(frame)?);
            }
            times.push(milliseconds(used() - before, line.frames.len()));
        }
        for line in &mut lines {
            let before = used();
            for frame in &line.frames {
                line.motion.look(frame)?;
            }
            let took = milliseconds(used() - before, line.frames.len());
            line.motion.took.extend((round > 0).then_some(took));
        }
        if round > 0 {
            encoding.push(times[0]);
            lines.iter_mut().zip(&times[1..]).for_each(|(line, took)| line.took.push(*took));
        }
    }
    let key_frames = key_frames(&originals)?;
    let text = markdown(&encoding, &lines, &key_frames, &facts);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("convert.md");
    std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    println!("{text}");
    eprintln!("written: {}", path.display());
    Ok(())
}

/// The times of decoding a key frame, for cameras that encode H.264 themselves, and of looking for motion in it.
fn key_frames(originals: &[RawFrame]) -> Result<Vec<f64>> {
    let first = originals.first().context("there should be frames")?;
    let mut encoder = encoder::open(&encoder::Config { bitrate: 2_000_000, ..Default::default() }, &first.format)?;
    let (mut decoder, mut motion, mut took) = (StreamDecoder::default(), Motion::new(), Vec::new());
    for round in 0..=ROUNDS {
        let captured = Timestamp::from_start(Duration::from_secs(1) * round as u32);
        let original = RawFrame { captured, ..originals[round % originals.len()].clone() };
        let key = encoder.encode(&original, true)?.context("a key frame")?;
        let before = used();
        if let Some(frame) = decoder.decode(&key)? {
            motion.look(&frame)?;
        }
        took.extend((round > 0).then(|| milliseconds(used() - before, 1)));
    }
    Ok(took)
}

fn markdown(encoding: &[f64], lines: &[Line], key_frames: &[f64], facts: &[(&str, String)]) -> String {
    let mut text = String::from(
        "| 1280x720 into I420 | Bytes a frame | CPU time a frame | Share of the encode |\n|---|---:|---:|---:|\n",
    );
    for Line { name, bytes, took, .. } in lines {
        // Ratios are taken per round, whose measurements are close in time.
        let shares: Vec<f64> = took.iter().zip(encoding).map(|(took, encoding)| took / encoding * 100.0).collect();
        let (least, middle, most) = spread(&shares);
        let (_, time, _) = spread(took);
        let _ = writeln!(text, "| {name} | {bytes} | {time:.3} ms | **{middle:.1} %** ({least:.1} to {most:.1}) |");
    }
    let (least, middle, most) = spread(encoding);
    let _ =
        writeln!(text, "| the encode (openh264, 2 Mbit/s) | | **{middle:.2} ms** ({least:.2} to {most:.2}) | 100 % |");
    let share = |milliseconds: f64, fps: f64| milliseconds * fps / 10.0;
    text.push_str("\n| Motion detection in 1280x720 | CPU time a frame | Share of a core |\n|---|---:|---:|\n");
    for Line { name, motion, .. } in lines {
        let (_, time, _) = spread(&motion.took);
        let share = share(time, MOTION_FPS);
        let _ = writeln!(text, "| {name}, {MOTION_FPS} frames a second | {time:.3} ms | **{share:.2} %** |");
    }
    let (_, time, _) = spread(key_frames);
    let _ = writeln!(text, "| H264, a key frame a second | {time:.3} ms | **{:.2} %** |", share(time, 1.0));
    text.push_str("\n| Measured on | |\n|---|---|\n");
    for (name, value) in facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

/// Minimum, median and maximum.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

fn milliseconds(time: Duration, frames: usize) -> f64 {
    time.as_secs_f64() * 1e3 / frames as f64
}

/// CPU time of the whole process: the encoder may have its own threads.
fn used() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
