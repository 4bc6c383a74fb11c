//! Glass-to-glass latency: from the capture time in a frame to its display in Chromium.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::CONFIG;
use crate::common::Porthole;
use crate::join::closed;
use crate::table::{Table, percentile, spread};

/// Browser starts; each has another phase between the screen refresh and the camera's frames.
const STARTS: usize = 8;

/// Seconds of playback before the measurement: the jitter buffer settles.
const SETTLE: u32 = 4;

/// Measured seconds per start.
const SECONDS: u32 = 5;

/// The output of glass.mjs.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// The browser's version.
    browser: String,
    frames: Vec<Frame>,
    /// Frames without a readable timecode.
    unread: u32,
    /// Clock error in milliseconds.
    error: f64,
    /// The page's own setup times, in milliseconds.
    setup: Setup,
}

/// Milliseconds since the offer was sent.
#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    answered: Option<f64>,
    connected: Option<f64>,
    #[serde(rename = "firstFrame")]
    first_frame: Option<f64>,
}

/// One frame: milliseconds since its capture.
#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    number: u32,
    /// Until its last packet arrived.
    received: Option<f64>,
    /// Until it was submitted for composition.
    presented: f64,
    /// Until the page's frame callback.
    callback: f64,
    /// Until its expected display.
    displayed: f64,
}

/// Measures and adds the rows; without Node or Chromium one row says so.
pub async fn measure(table: &mut Table) -> Result<()> {
    let porthole = Porthole::start(CONFIG)?;
    let mut reports = Vec::new();
    for _ in 0..STARTS {
        closed(&porthole).await?;
        match play(&porthole.base)? {
            Ok(report) => reports.push(report),
            Err(reason) => {
                table.row("d. Glass to glass in Chromium", format!("not measured: {reason}"), "");
                return Ok(());
            }
        }
    }
    rows(table, &reports);
    table.raw("browser", reports)
}

/// Plays the page in a fresh browser; the inner error says why that is impossible here.
fn play(base: &str) -> Result<Result<Report, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/stream/glass.mjs");
    let mut command = Command::new("node");
    let output = match command.arg(script).args([base, &SETTLE.to_string(), &SECONDS.to_string()]).output() {
        Ok(output) => output,
        Err(error) => return Ok(Err(format!("node: {error}"))),
    };
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(error.lines().find(|line| line.contains("Error")).unwrap_or("no reason given").into()));
    }
    Ok(Ok(serde_json::from_slice(&output.stdout).context("read what glass.mjs printed")?))
}

fn rows(table: &mut Table, reports: &[Report]) {
    let figure = |time: fn(&Frame) -> Option<f64>| {
        let times: Vec<f64> = reports.iter().flat_map(|report| &report.frames).filter_map(time).collect();
        let [p50, p95] = [0.5, 0.95].map(|share| percentile(&times, share));
        format!("p50 **{p50:.1} ms**, p95 {p95:.1} ms")
    };
    // Without a screen Chromium may report a display time in the past.
    table.row("d. Glass to glass in Chromium", figure(|frame| Some(frame.displayed.max(frame.callback))), "");
    table.row("d. Of it: captured to received", figure(|frame| frame.received), "");
    table.row("d. Of it: captured to handed on to be shown", figure(|frame| Some(frame.presented)), "");
    table.row("d. Of it: captured to the page's frame callback", figure(|frame| Some(frame.callback)), "");
    table.row("d. As Chromium itself expects the display", figure(|frame| Some(frame.displayed)), "");
    let count = |of: fn(&Report) -> u32| -> u32 { reports.iter().map(of).sum() };
    let received: usize = reports.iter().map(|report| report.frames.len()).sum();
    let missed = count(|report| {
        let gaps = report.frames.windows(2).map(|pair| pair[1].number.wrapping_sub(pair[0].number));
        gaps.map(|gap| gap.saturating_sub(1)).sum()
    });
    let unread = count(|report| report.unread);
    table.row("d. Frames", format!("{received} seen, {missed} missed, {unread} unread; {STARTS} starts"), "");
    let setup = |time: fn(&Setup) -> Option<f64>| -> Vec<f64> {
        reports.iter().filter_map(|report| time(&report.setup)).collect()
    };
    let figure = spread(&setup(|setup| setup.first_frame), 0, " ms");
    table.row(format!("e. POST to first frame in Chromium, idle camera, {STARTS} joins"), figure, "");
    let [answered, connected] = [setup(|setup| setup.answered), setup(|setup| setup.connected)];
    let figure = format!("answered {}, connected {}", spread(&answered, 0, " ms"), spread(&connected, 0, " ms"));
    table.row("e. On the way", figure, "");
    let error = reports.iter().map(|report| report.error).fold(0.0, f64::max);
    let version = reports.first().map_or("", |report| report.browser.as_str());
    table.machine(("Browser", format!("{version}, clocks within {error:.1} ms")));
}
