//! Memory of the program before, during and after viewing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::CONFIG;
use crate::common::Porthole;
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

/// Measures and adds the rows.
pub async fn measure(table: &mut Table) -> Result<()> {
    let porthole = Porthole::start(CONFIG)?;
    tokio::time::sleep(SETTLE).await;
    let mut all = vec![read(&porthole, "idle after the start")?];
    for count in [1, 10] {
        let viewers = Viewers::start(&porthole.base, count)?;
        tokio::time::sleep(SETTLE).await;
        all.push(read(&porthole, &format!("viewers: {count}"))?);
        viewers.leave()?;
        closed(&porthole).await?;
        tokio::time::sleep(SETTLE).await;
        all.push(read(&porthole, &format!("idle after viewers: {count}"))?);
    }
    for Memory { when, rss, pss, private } in &all {
        let figure = format!("RSS **{rss:.1} MiB**, PSS {pss:.1} MiB, private {private:.1} MiB");
        table.row(format!("f. Memory, {when}"), figure, "");
    }
    table.raw("memory", all)
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
