//! The least value of the last seconds.

use std::collections::VecDeque;

/// Values with their times; only those that are or may become the least are kept.
#[derive(Debug)]
pub(super) struct RecentLeast {
    /// How long a value counts, in seconds.
    window: f64,
    values: VecDeque<(f64, f64)>,
}

impl RecentLeast {
    pub fn new(window: f64) -> Self {
        Self { window, values: VecDeque::new() }
    }

    /// Notes a value at a time, in seconds.
    pub fn note(&mut self, value: f64, at: f64) {
        while self.values.back().is_some_and(|(_, last)| *last >= value) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        while self.values.front().is_some_and(|(noted, _)| at - noted > self.window) {
            self.values.pop_front();
        }
    }

    /// The least of the window that ends with the last value.
    pub fn least(&self) -> Option<f64> {
        self.values.front().map(|(_, value)| *value)
    }

    pub fn clear(&mut self) {
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_counts_until_it_is_old() {
        let mut recent = RecentLeast::new(10.0);
        assert_eq!(recent.least(), None);
        for (value, at, least) in
            [(5.0, 0.0, 5.0), (3.0, 1.0, 3.0), (7.0, 9.0, 3.0), (6.0, 10.0, 3.0), (9.0, 12.0, 6.0)]
        {
            recent.note(value, at);
            assert_eq!(recent.least(), Some(least), "at {at}");
        }
        recent.clear();
        assert_eq!(recent.least(), None);
    }
}
