//! Readings of the program's `/metrics`, and their differences.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::common::{Porthole, request};

/// One reading: the value of every series by its printed name and labels.
#[derive(Debug, Clone, Default)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads the metrics now.
    pub async fn take(porthole: &Porthole) -> Result<Self> {
        let url = format!("{}metrics", porthole.base);
        let answer = request("GET", &url, &[], String::new()).await?;
        anyhow::ensure!(answer.status == 200, "GET {url}: {}", answer.status);
        let series = answer.body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(series.collect()))
    }

    /// The increase since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let difference = |(name, value): (&String, &f64)| (name.clone(), value - before.0.get(name).unwrap_or(&0.0));
        Self(self.0.iter().map(difference).collect())
    }

    /// The sum of two differences.
    pub fn plus(mut self, other: &Self) -> Self {
        for (name, value) in &other.0 {
            *self.0.entry(name.clone()).or_default() += value;
        }
        self
    }

    /// The sum of all series of a metric; an error if there is none.
    pub fn sum(&self, metric: &str) -> Result<f64> {
        let is_of = |name: &str| name.strip_prefix(metric).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        let values: Vec<f64> = self.0.iter().filter(|(name, _)| is_of(name)).map(|(_, value)| *value).collect();
        anyhow::ensure!(!values.is_empty(), "/metrics has no {metric}");
        Ok(values.iter().sum())
    }

    /// As `sum`, but zero if the metric has no series yet.
    pub fn sum_or_zero(&self, metric: &str) -> f64 {
        self.sum(metric).unwrap_or(0.0)
    }

    /// A quantile of a histogram of seconds, in milliseconds; values are interpolated linearly within a bucket.
    pub fn quantile(&self, histogram: &str, share: f64) -> Result<f64> {
        let prefix = format!("{histogram}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(name, count)| {
                let bound = name.strip_prefix(&prefix)?.strip_suffix("\"}")?;
                Some((bound.replace("+Inf", "inf").parse().ok()?, *count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last().with_context(|| format!("/metrics has no histogram {histogram}"))?.1;
        anyhow::ensure!(total > 0.0, "{histogram} counted nothing");
        let wanted = share * total;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted && count > below {
                // Above the last bound there is only the bound.
                let high = if bound.is_finite() { bound } else { low };
                return Ok((low + (high - low) * (wanted - below) / (count - below)) * 1e3);
            }
            (low, below) = (bound, count);
        }
        Ok(low * 1e3)
    }

    /// The mean of a histogram of seconds, in milliseconds.
    pub fn mean(&self, histogram: &str) -> Result<f64> {
        Ok(self.sum(&format!("{histogram}_sum"))? / self.sum(&format!("{histogram}_count"))? * 1e3)
    }
}
