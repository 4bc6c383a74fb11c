//! Glass to glass: from the capture time in the picture to the moment when Chromium shows that picture.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::CONFIG;
use crate::common::Porthole;
use crate::table::{Table, percentile};

/// Seconds that the page plays before it is measured: the browser's jitter buffer has settled.
const SETTLE: u32 = 5;

/// Seconds that are measured.
const SECONDS: u32 = 20;

/// What glass.mjs prints.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// The browser's version.
    browser: String,
    frames: Vec<Frame>,
    /// Pictures without a readable code.
    unread: u32,
    /// Plus or minus so many milliseconds, because of the clocks.
    error: f64,
    /// The page's own figures of the set-up, in milliseconds.
    setup: Setup,
    /// What the page's panel says of the latency.
    page_median: Option<f64>,
}

/// Milliseconds since the offer was sent.
#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    answered: Option<f64>,
    connected: Option<f64>,
    #[serde(rename = "firstFrame")]
    first_frame: Option<f64>,
}

/// One picture: milliseconds since it was captured.
#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    number: u32,
    /// Until its last packet had come in.
    received: Option<f64>,
    /// Until it was handed on to be shown.
    presented: f64,
    /// Until the page's script was told.
    told: f64,
    /// Until the screen shows it.
    displayed: f64,
}

/// Measures and fills in the rows; without Node or Chromium there is one that says so.
pub async fn measure(table: &mut Table) -> Result<()> {
    let porthole = Porthole::start(CONFIG)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/stream/glass.mjs");
    let mut command = Command::new("node");
    command.arg(script).args([&porthole.base, &SETTLE.to_string(), &SECONDS.to_string()]);
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            let line = error.lines().find(|line| line.contains("Error")).unwrap_or("no reason given");
            table.row("d. Glass to glass in Chromium", format!("not measured: {line}"), "");
            return Ok(());
        }
        Err(error) => {
            table.row("d. Glass to glass in Chromium", format!("not measured: node: {error}"), "");
            return Ok(());
        }
    };
    let report: Report = serde_json::from_slice(&output.stdout).context("read what glass.mjs printed")?;
    rows(table, &report);
    table.raw("browser", report)
}

fn rows(table: &mut Table, report: &Report) {
    let figure = |time: fn(&Frame) -> Option<f64>| {
        let times: Vec<f64> = report.frames.iter().filter_map(time).collect();
        let [p50, p95] = [0.5, 0.95].map(|share| percentile(&times, share));
        format!("p50 **{p50:.1} ms**, p95 {p95:.1} ms")
    };
    let missed: u32 = report.frames.windows(2).map(|pair| pair[1].number.wrapping_sub(pair[0].number) - 1).sum();
    table.row("d. Glass to glass in Chromium", figure(|frame| Some(frame.displayed)), "");
    table.row("d. Of it: captured to received", figure(|frame| frame.received), "");
    table.row("d. Of it: captured to handed on to be shown", figure(|frame| Some(frame.presented)), "");
    table.row("d. Of it: captured to the page's script being told", figure(|frame| Some(frame.told)), "");
    let count = format!("{} seen, {missed} missed, {} unread", report.frames.len(), report.unread);
    table.row("d. Pictures", count, "");
    let page = report.page_median.map_or("unknown".into(), |median| format!("{median:.1} ms"));
    table.row("d. The page's own panel says", page, "");
    let ms = |time: Option<f64>| time.map_or("unknown".into(), |time| format!("{time:.0} ms"));
    let Setup { answered, connected, first_frame } = &report.setup;
    let figure = format!("**{}** (answered {}, connected {})", ms(*first_frame), ms(*answered), ms(*connected));
    table.row("e. POST to first picture in Chromium, idle camera, one join", figure, "");
    table.machine(("Browser", format!("{}, clocks within {:.1} ms", report.browser, report.error)));
}
