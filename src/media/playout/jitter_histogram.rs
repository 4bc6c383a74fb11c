//! How late packets arrive: a histogram that forgets, of which a quantile is how long packets have to be held.
//!
//! Pure. What is held for how long is decided in `jitter_buffer`.

/// The width of a bin, in seconds: a fraction of a packet's duration.
const BIN: f64 = 0.005;

/// Bins, up to 250 ms: more than is ever held.
const BINS: usize = 50;

/// The share of its weight that a packet keeps with the next one: half of what counts came in the last three seconds.
const KEEP: f64 = 0.995;

/// The share of packets that the depth covers. One spike of many in a few seconds is not worth a delay for all others.
const COVERED: f64 = 0.99;

/// How late packets are taken to be before any has arrived: that of a quiet Wi-Fi network.
const EXPECTED: f64 = 0.02;

/// A histogram of how late packets have arrived.
#[derive(Debug)]
pub(super) struct JitterHistogram {
    weights: [f64; BINS],
}

impl JitterHistogram {
    /// One that knows nothing of this network.
    pub(super) fn new() -> Self {
        let mut weights = [0.0; BINS];
        weights[bin(EXPECTED)] = 1.0;
        Self { weights }
    }

    /// Records how late a packet was, in seconds.
    pub(super) fn add(&mut self, late: f64) {
        self.weights.iter_mut().for_each(|weight| *weight *= KEEP);
        self.weights[bin(late)] += 1.0 - KEEP;
    }

    /// How late nearly all packets are at most, in seconds.
    pub(super) fn quantile(&self) -> f64 {
        let mut sum = 0.0;
        // The weights add up to one, within rounding.
        let covered = self.weights.iter().position(|weight| {
            sum += weight;
            sum >= COVERED
        });
        (covered.unwrap_or(BINS - 1) + 1) as f64 * BIN
    }
}

fn bin(late: f64) -> usize {
    // The cast saturates, also for what is no number.
    ((late / BIN) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_follows_the_network_in_seconds() {
        let mut histogram = JitterHistogram::new();
        assert!((histogram.quantile() - 0.025).abs() < 1e-9);
        (0..1_000).for_each(|_| histogram.add(0.001));
        assert!((histogram.quantile() - 0.005).abs() < 1e-9, "{}", histogram.quantile());
        (0..50).for_each(|number| histogram.add(f64::from(number % 10) * 0.01));
        assert!((0.09..=0.1).contains(&histogram.quantile()), "{}", histogram.quantile());
    }

    #[test]
    fn one_spike_is_not_followed() {
        let mut histogram = JitterHistogram::new();
        (0..2_000).for_each(|_| histogram.add(0.001));
        histogram.add(0.2);
        assert!((histogram.quantile() - 0.005).abs() < 1e-9);
        [f64::NAN, -1.0, f64::INFINITY].into_iter().for_each(|late| histogram.add(late));
        assert!(histogram.quantile() <= 0.25);
    }
}
