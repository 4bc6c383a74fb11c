//! Memory of the program before, during and after viewing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::CONFIG;
use crate::common::{LIMIT, Options, Porthole, Viewer};
use crate::join::closed;
use crate::table::Table;
use crate::viewers::Viewers;

/// Time for allocations to settle before a reading.
const SETTLE: Duration = Duration::from_secs(5);

/// A process's memory in MiB, as reported by the kernel.
#[derive(Debug, Serialize)]
struct Memory {
    when: String,
    /// All resident pages, shared libraries included.
    rss: f64,
    /// The same, with shared pages divided by their number of users.
    pss: f64,
    /// Private pages.
    private: f64,
}

/// Numbers of viewers. For the second one the encoder begins to work in two temporal layers, which takes memory of its own.
const VIEWERS: [usize; 4] = [1, 2, 10, 50];

/// Joins and leaves while another viewer watches.
const JOINS: usize = 1_000;

/// Those of them after which what a second viewer needs, such as the encoder's second layer, is there.
const FIRST_JOINS: usize = 10;

/// Measures and adds the rows.
pub async fn measure(table: &mut Table) -> Result<()> {
    let most = VIEWERS.into_iter().max().unwrap_or(0) + 1;
    let porthole = Porthole::start(&format!("{CONFIG}[rtc]\nmax_viewers = {most}\n"))?;
    tokio::time::sleep(SETTLE).await;
    let mut all = vec![read(&porthole, "idle after the start")?];
    let mut watched = Vec::new();
    for count in VIEWERS {
        let viewers = Viewers::start(&porthole.base, count)?;
        tokio::time::sleep(SETTLE).await;
        let memory = read(&porthole, &format!("viewers: {count}"))?;
        watched.push((count, memory.rss));
        all.push(memory);
        viewers.leave()?;
        closed(&porthole).await?;
        tokio::time::sleep(SETTLE).await;
        all.push(read(&porthole, &format!("idle after viewers: {count}"))?);
    }
    let joins = churn(&porthole).await?;
    let [before, first, after] = joins.each_ref().map(|memory| memory.rss);
    all.extend(joins);
    for Memory { when, rss, pss, private } in &all {
        let aim = if *when == "viewers: 50" { "RSS 57 MiB (60 MB)" } else { "" };
        let figure = format!("RSS **{rss:.1} MiB**, PSS {pss:.1} MiB, private {private:.1} MiB");
        table.row(format!("f. Memory, {when}"), figure, aim);
    }
    for pair in watched.windows(2) {
        let [(fewer, less), (count, more)] = [pair[0], pair[1]];
        // MiB to MB.
        let each = (more - less) / (count - fewer) as f64 * 1.048_576;
        let aim = if fewer > 1 { "0.4 MB" } else { "" };
        table.row(format!("f. Each further viewer from {fewer} to {count}"), format!("**{each:.2} MB**"), aim);
    }
    let grown = |from: f64, to: f64| format!("**{:+.1} %**", (to / from - 1.0) * 100.0);
    table.row(format!("f. RSS after the first {FIRST_JOINS} joins and leaves"), grown(before, first), "");
    table.row(format!("f. RSS after {JOINS}, from those on"), grown(first, after), "+5 %");
    table.raw("memory", all)
}

/// Memory with one viewer, before others join and leave, after the first of them, and after all.
async fn churn(porthole: &Porthole) -> Result<[Memory; 3]> {
    let watching = Viewers::start(&porthole.base, 1)?;
    tokio::time::sleep(SETTLE).await;
    let before = read(porthole, "a viewer, before others come and go")?;
    come_and_go(porthole, FIRST_JOINS).await?;
    let first = read(porthole, &format!("a viewer, after {FIRST_JOINS} came and went"))?;
    come_and_go(porthole, JOINS - FIRST_JOINS).await?;
    let after = read(porthole, &format!("a viewer, after {JOINS} came and went"))?;
    watching.leave()?;
    Ok([before, first, after])
}

async fn come_and_go(porthole: &Porthole, joins: usize) -> Result<()> {
    let options = Options { decode: false, ..Options::new(&porthole.base) };
    for _ in 0..joins {
        let mut viewer = Viewer::connect(&options).await?;
        viewer.frame(LIMIT).await?;
        viewer.leave().await?;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

fn read(porthole: &Porthole, when: &str) -> Result<Memory> {
    let path = format!("/proc/{}/smaps_rollup", porthole.pid());
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let value = |key: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kib = line.with_context(|| format!("{path} has no {key}"))?.trim().trim_end_matches(" kB");
        Ok(kib.parse::<f64>()? / 1024.0)
    };
    let private = value("Private_Clean")? + value("Private_Dirty")?;
    Ok(Memory { when: when.into(), rss: value("Rss")?, pss: value("Pss")?, private })
}
