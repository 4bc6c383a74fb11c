//! One encode, many viewers: the encoder's bitrate is the one that serves most of them best.
//!
//! Each candidate is what some viewer can just take, and counts how good the picture would be of all who can take it. A
//! viewer that can't take the chosen one gets its frames as far as its network carries them, so one that is much slower than
//! most does not decide for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The bitrate at which a picture begins to be worth something, in bit/s: the quality grows with the logarithm above it.
const QUALITY_UNIT: f64 = 200_000.0;

/// No candidate is below this share of what half of the viewers can take; one that is chosen may fall a little lower.
const FLOOR: f64 = 0.5;
const KEPT_FLOOR: f64 = 0.4;

/// Another viewer decides once the picture would be worth this much more for this long: estimates vary, and each change of
/// the bitrate shows.
const BETTER: f64 = 1.1;
const BETTER_TIME: Duration = Duration::from_secs(3);

/// A higher bitrate is taken once it is this much higher, and at most once in this time.
const RISE: f64 = 1.05;
const RISE_INTERVAL: Duration = Duration::from_millis(500);

/// A lower one is taken at once, from this on.
const FALL: f64 = 0.97;

/// What one viewer could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderDemand {
    /// Which viewer.
    pub viewer: u64,
    /// Who watches: an owner counts once, with however many viewers.
    pub owner: u64,
    /// What its estimate leaves for video, in bit/s.
    pub available: u32,
}

/// The bitrate of one camera's encoder.
#[derive(Debug)]
pub struct BitrateControl {
    min: u32,
    max: u32,
    current: u32,
    changed: Option<Instant>,
    /// The viewer whose network decides.
    decides: Option<u64>,
    /// Since when another one would be better.
    better_since: Option<Instant>,
}

/// What a viewer can take, and how much it counts.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    viewer: u64,
    /// In bit/s, within the bounds of the encoder.
    rate: u32,
    weight: f64,
}

impl BitrateControl {
    /// Starts at the configured bitrate `max` and never goes below `min`.
    pub fn new(min: u32, max: u32) -> Self {
        Self { min: min.min(max), max, current: max, changed: None, decides: None, better_since: None }
    }

    /// The bitrate in bit/s.
    pub fn bitrate(&self) -> u32 {
        self.current
    }

    /// Has the next update choose anew who decides: somebody came who is not to wait for it.
    pub fn reconsider(&mut self) {
        (self.decides, self.better_since) = (None, None);
    }

    /// Follows what the viewers can take; returns the new bitrate if it changes.
    pub fn update(&mut self, viewers: &[EncoderDemand], now: Instant) -> Option<u32> {
        let wanted = self.wanted(viewers, now);
        let ratio = f64::from(wanted) / f64::from(self.current.max(1));
        let recent = self.changed.is_some_and(|changed| now.saturating_duration_since(changed) < RISE_INTERVAL);
        let limit = wanted == self.max && wanted != self.current;
        if ratio > FALL && (recent || ratio < RISE && !limit) {
            return None;
        }
        (self.current, self.changed) = (wanted, Some(now));
        Some(wanted)
    }

    /// The bitrate that serves the viewers best; the configured one while nobody watches.
    fn wanted(&mut self, viewers: &[EncoderDemand], now: Instant) -> u32 {
        let viewers = self.weigh(viewers);
        let Some(best) = best(&viewers) else {
            (self.decides, self.better_since) = (None, None);
            return self.max;
        };
        let floor = f64::from(upper_median(&viewers)) * KEPT_FLOOR;
        let kept = viewers.iter().find(|viewer| Some(viewer.viewer) == self.decides);
        let Some(kept) = kept.filter(|kept| f64::from(kept.rate) >= floor) else {
            (self.decides, self.better_since) = (Some(best.viewer), None);
            return best.rate;
        };
        let (best_worth, kept_worth) = (worth(&viewers, best.rate), worth(&viewers, kept.rate));
        // The others follow a viewer down only if they gain by it.
        let falls = f64::from(kept.rate) < f64::from(self.current) * FALL;
        if best_worth < kept_worth * BETTER {
            self.better_since = None;
        }
        let is_better = best_worth >= kept_worth * BETTER
            && now.saturating_duration_since(*self.better_since.get_or_insert(now)) >= BETTER_TIME;
        if is_better || falls && best_worth > kept_worth {
            (self.decides, self.better_since) = (Some(best.viewer), None);
            return best.rate;
        }
        kept.rate
    }

    fn weigh(&self, viewers: &[EncoderDemand]) -> Vec<Weighed> {
        let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
        for viewer in viewers {
            *counts.entry(viewer.owner).or_default() += 1.0;
        }
        let weigh = |EncoderDemand { viewer, owner, available }: &EncoderDemand| Weighed {
            viewer: *viewer,
            rate: (*available).clamp(self.min, self.max),
            weight: counts.get(owner).map_or(1.0, |count| 1.0 / count),
        };
        viewers.iter().map(weigh).collect()
    }
}

/// The viewer whose rate is worth most, the faster one of two; `None` without viewers.
fn best(viewers: &[Weighed]) -> Option<Weighed> {
    let floor = f64::from(upper_median(viewers)) * FLOOR;
    let candidates = viewers.iter().filter(|viewer| f64::from(viewer.rate) >= floor);
    let worth = candidates.map(|viewer| (worth(viewers, viewer.rate), *viewer));
    worth.max_by(|(a, one), (b, other)| a.total_cmp(b).then(one.rate.cmp(&other.rate))).map(|(_, viewer)| viewer)
}

/// What the pictures of all viewers are worth with this bitrate.
fn worth(viewers: &[Weighed], rate: u32) -> f64 {
    let weight: f64 = viewers.iter().filter(|viewer| viewer.rate >= rate).map(|viewer| viewer.weight).sum();
    weight * (1.0 + f64::from(rate) / QUALITY_UNIT).log2()
}

/// What half of the viewers can take, at least: of two, the faster one's rate.
fn upper_median(viewers: &[Weighed]) -> u32 {
    let mut sorted = viewers.to_vec();
    sorted.sort_by_key(|viewer| viewer.rate);
    let half = sorted.iter().map(|viewer| viewer.weight).sum::<f64>() / 2.0;
    let mut counted = 0.0;
    for viewer in &sorted {
        counted += viewer.weight;
        if counted > half + 1e-9 {
            return viewer.rate;
        }
    }
    sorted.last().map_or(0, |viewer| viewer.rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: u32 = 2_000_000;

    /// Viewers of different owners.
    fn demands(available: &[u32]) -> Vec<EncoderDemand> {
        let demand = |(viewer, available): (u64, &u32)| EncoderDemand { viewer, owner: viewer, available: *available };
        (0..).zip(available).map(demand).collect()
    }

    fn settled(available: &[u32]) -> u32 {
        let mut control = BitrateControl::new(100_000, MAX);
        control.update(&demands(available), Instant::now());
        control.bitrate()
    }

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn one_viewer_gets_what_its_network_carries() {
        assert_eq!(settled(&[700_000]), 700_000);
        assert_eq!(settled(&[9_000_000]), MAX);
        assert_eq!(settled(&[10_000]), 100_000);
        assert_eq!(settled(&[]), MAX);
    }

    #[test]
    fn most_viewers_decide() {
        let mostly_fast: Vec<u32> = std::iter::repeat_n(5_000_000, 15).chain([700_000; 5]).collect();
        assert_eq!(settled(&mostly_fast), MAX);
        let mostly_slow: Vec<u32> = std::iter::repeat_n(700_000, 15).chain([5_000_000; 5]).collect();
        assert_eq!(settled(&mostly_slow), 700_000);
        let nearly: Vec<u32> = std::iter::repeat_n(1_000_000, 15).chain([700_000; 5]).collect();
        assert_eq!(settled(&nearly), 700_000, "all move");
    }

    #[test]
    fn one_of_two_costs_the_other_half_at_most() {
        assert_eq!(settled(&[MAX, 700_000]), MAX);
        assert_eq!(settled(&[500_000, MAX]), MAX);
        assert_eq!(settled(&[MAX, 1_200_000]), 1_200_000);
    }

    #[test]
    fn whoever_becomes_slower_takes_the_others_along_only_if_they_gain() {
        let start = Instant::now();
        for (slow, expected) in [(1_200_000, 1_200_000), (900_000, MAX)] {
            for index in 0..4 {
                let mut control = BitrateControl::new(100_000, MAX);
                let mut available = [MAX; 4];
                control.update(&demands(&available), start);
                available[index] = slow;
                control.update(&demands(&available), after(start, 100));
                control.update(&demands(&available), after(start, 4_000));
                let bitrate = control.bitrate();
                assert!(bitrate == expected || bitrate == MAX, "{slow}, {index}: {bitrate}");
            }
        }
    }

    #[test]
    fn an_owner_counts_once() {
        let mut viewers = demands(&[MAX, 300_000, 300_000, 300_000]);
        assert_eq!(settled(&[MAX, 300_000, 300_000, 300_000]), 300_000);
        viewers.iter_mut().skip(1).for_each(|viewer| viewer.owner = 7);
        let mut control = BitrateControl::new(100_000, MAX);
        control.update(&viewers, Instant::now());
        assert_eq!(control.bitrate(), MAX);
    }

    #[test]
    fn an_estimate_around_a_threshold_changes_nothing() {
        let start = Instant::now();
        let mut control = BitrateControl::new(100_000, MAX);
        assert_eq!(control.update(&demands(&[MAX, 900_000]), start), None);
        for step in 0..=100 {
            // On both sides of half of what the other one can take.
            let varying = if step % 2 == 0 { 950_000 } else { 1_050_000 };
            assert_eq!(control.update(&demands(&[MAX, varying]), after(start, step * 500)), None);
        }
        // What stays is followed, and kept then.
        let mut update = |slow, milliseconds| {
            control.update(&demands(&[MAX, slow]), after(start, milliseconds));
            control.bitrate()
        };
        assert_eq!(update(1_200_000, 60_000), MAX);
        assert_eq!(update(1_200_000, 62_900), MAX);
        assert_eq!(update(1_200_000, 63_000), 1_200_000);
        assert_eq!(update(950_000, 64_000), 950_000);
        assert_eq!(update(750_000, 65_000), MAX, "but not down to where it costs the other one too much");
    }

    #[test]
    fn it_need_not_wait_for_whoever_is_known_already() {
        let start = Instant::now();
        let mut control = BitrateControl::new(100_000, MAX);
        control.update(&demands(&[MAX]), start);
        assert_eq!(control.update(&demands(&[MAX, 1_200_000]), after(start, 100)), None);
        control.reconsider();
        assert_eq!(control.update(&demands(&[MAX, 1_200_000]), after(start, 200)), Some(1_200_000));
    }

    #[test]
    fn it_falls_at_once_and_rises_in_steps() {
        let start = Instant::now();
        let mut control = BitrateControl::new(100_000, MAX);
        let mut update = |available, milliseconds| control.update(&demands(&[available]), after(start, milliseconds));
        assert_eq!(update(1_000_000, 0), Some(1_000_000));
        assert_eq!(update(1_020_000, 10_000), None, "not worth a change");
        assert_eq!(update(1_200_000, 10_100), Some(1_200_000));
        assert_eq!(update(1_500_000, 10_200), None, "too soon");
        assert_eq!(update(800_000, 10_300), Some(800_000));
        assert_eq!(update(1_980_000, 20_000), Some(1_980_000));
        assert_eq!(update(3_000_000, 30_000), Some(MAX), "the last step is taken, however small");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(available in proptest::collection::vec(any::<u32>(), 0..30)) {
            let bitrate = settled(&available);
            prop_assert!((100_000..=MAX).contains(&bitrate));
        }
    }
}
