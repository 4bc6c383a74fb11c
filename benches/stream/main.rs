//! The benchmarks of `make bench`: cost and latency of a stream, measured on the whole program from outside.
//!
//! This file has the order of the measurements and the output of the table; each measurement has its own file.
//! benches/README.md explains the table. Correctness is covered by the tests.

// Printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod browser;
mod cost;
mod join;
mod machine;
mod memory;
mod mjpeg;
mod reference;
mod scrape;
mod table;
mod viewers;

use std::path::Path;

use anyhow::{Context as _, Result};
use table::Table;

/// The measured configuration: the size, rate and bitrate of the targets, with the program's other defaults.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[[camera]]
device = "pattern"
width = 1280
height = 720
fps = 30
bitrate = 2_000_000
[audio]
device = "tone"
"#;

/// Frame rate of [`CONFIG`].
const FPS: u32 = 30;

/// The measurements by name.
const MEASUREMENTS: [&str; 5] = ["cost", "browser", "join", "memory", "mjpeg"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    if arguments.next_if(|argument| argument == viewers::ROLE).is_some() {
        return runtime.block_on(viewers::run(arguments));
    }
    let chosen: Vec<String> = arguments.collect();
    for name in &chosen {
        anyhow::ensure!(MEASUREMENTS.contains(&name.as_str()), "no measurement {name}; there are {MEASUREMENTS:?}");
    }
    runtime.block_on(measure(&chosen))
}

/// Runs the selected measurements, all by default, and writes the table.
async fn measure(chosen: &[String]) -> Result<()> {
    let mut table = Table::new(machine::describe());
    for name in MEASUREMENTS.into_iter().filter(|name| chosen.is_empty() || chosen.iter().any(|other| other == name)) {
        eprintln!("measuring: {name}");
        match name {
            "cost" => cost::measure(&mut table).await,
            "browser" => browser::measure(&mut table).await,
            "join" => join::measure(&mut table).await,
            "memory" => memory::measure(&mut table).await,
            _ => mjpeg::measure(&mut table).await,
        }
        .with_context(|| format!("measure {name}"))?;
    }
    table.machine(machine::load_at_end());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    table.write(&folder)?;
    println!("{}", table.markdown());
    eprintln!("written: {0}/stream.md, {0}/stream.json", folder.display());
    Ok(())
}
