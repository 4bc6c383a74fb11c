//! The cost of decoding and converting a frame, for each camera format, relative to its encoding: a part of `make
//! bench`. benches/README.md explains the table.
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
use porthole::media::convert::Converter;
use porthole::media::encoder;
use porthole::media::{RawFrame, Timestamp};

/// Rounds that each measure everything once, so that background load affects all rows alike.
const ROUNDS: usize = 15;

/// Times of one format per round, in milliseconds of CPU time per frame.
struct Line {
    name: String,
    bytes: usize,
    frames: Vec<RawFrame>,
    took: Vec<f64>,
}

fn main() -> Result<()> {
    let facts = machine::describe();
    eprintln!("drawing the frames");
    let originals = frames::originals()?;
    let mut lines = Vec::new();
    for (name, frames) in frames::inputs(&originals)? {
        let bytes = frames.iter().map(|frame| frame.data.len()).sum::<usize>() / frames.len();
        lines.push(Line { name, bytes, frames, took: Vec::new() });
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
        if round > 0 {
            encoding.push(times[0]);
            lines.iter_mut().zip(&times[1..]).for_each(|(line, took)| line.took.push(*took));
        }
    }
    let text = markdown(&encoding, &lines, &facts);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("convert.md");
    std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    println!("{text}");
    eprintln!("written: {}", path.display());
    Ok(())
}

fn markdown(encoding: &[f64], lines: &[Line], facts: &[(&str, String)]) -> String {
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
