//! The benchmarks of `make bench`: what a stream costs and how late it is, measured on the whole program from outside.
//!
//! Here stand the order of the measurements and where the table goes; each measurement has its own file. What a line of
//! the table means stands in benches/README.md. Whether something works at all is a matter of the tests.

// Printing is what it is for.
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

/// What is measured: the size, rate and bitrate that the aims are set for, at the program's other defaults.
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

/// Frames a second of [`CONFIG`].
const FPS: u32 = 30;

/// The measurements, by the names under which they are chosen.
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

/// Makes the chosen measurements, all when none is named, and writes the table.
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
