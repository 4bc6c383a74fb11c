//! The table of results as Markdown, and as JSON with every single measurement.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// The rows and the raw measurements.
pub struct Table {
    machine: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    raw: Map<String, Value>,
}

struct Row {
    what: String,
    figure: String,
    aim: String,
}

impl Table {
    /// An empty table for a described machine.
    pub fn new(machine: Vec<(&'static str, String)>) -> Self {
        Self { machine, rows: Vec::new(), raw: Map::new() }
    }

    /// Adds a property of the machine.
    pub fn machine(&mut self, fact: (&'static str, String)) {
        self.machine.push(fact);
    }

    /// Adds a row; `aim` is empty if there is no target.
    pub fn row(&mut self, what: impl Into<String>, figure: impl Into<String>, aim: &str) {
        let row = Row { what: what.into(), figure: figure.into(), aim: aim.into() };
        eprintln!("  {}: {}", row.what, row.figure);
        self.rows.push(row);
    }

    /// Adds raw measurements.
    pub fn raw(&mut self, name: &str, value: impl serde::Serialize) -> Result<()> {
        self.raw.insert(name.into(), serde_json::to_value(value)?);
        Ok(())
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| 1280x720, 30 frames a second, 2 Mbit/s, pattern and tone | Figure | Aim |\n");
        text.push_str("|---|---|---|\n");
        for Row { what, figure, aim } in &self.rows {
            let _ = writeln!(text, "| {what} | {figure} | {aim} |");
        }
        text.push_str("\n| Measured on | |\n|---|---|\n");
        for (name, value) in &self.machine {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text
    }

    /// Writes `stream.md` and `stream.json`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|Row { what, figure, aim }| json!({ "what": what, "figure": figure, "aim": aim }))
            .collect();
        let machine: Map<String, Value> =
            self.machine.iter().map(|(name, value)| ((*name).into(), value.clone().into())).collect();
        let all = json!({ "machine": machine, "rows": rows, "measurements": self.raw });
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        for (name, text) in [("stream.md", self.markdown()), ("stream.json", format!("{all:#}\n"))] {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The quantile `share` of the values; NaN if there are none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    let (low, high) = ((last * share).floor() as usize, (last * share).ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * (last * share).fract(),
        _ => f64::NAN,
    }
}

/// Median and range of the values, with `digits` digits and a unit.
pub fn spread(values: &[f64], digits: usize, unit: &str) -> String {
    let [least, middle, most] = [0.0, 0.5, 1.0].map(|share| percentile(values, share));
    format!("**{middle:.digits$}{unit}** ({least:.digits$} to {most:.digits$})")
}
