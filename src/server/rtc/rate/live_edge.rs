//! Decides when a viewer is to skip to the live edge: its page shows frames later than its network explains, and goes on to.
//! Pure: time is an argument.
//!
//! The delay that a page reports is that of the camera, the path, the queues on it, and what the browser buffers. The round
//! trip grows with the path and its queues, which the estimate and the pacer are for. What remains has a minimum that belongs
//! to the camera and the browser; anything above it can be cut.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A viewer notices this much more delay, and jitter explains less.
const GROWN: Duration = Duration::from_millis(150);

/// How long the delay has to stay grown: what goes away by itself needs no cut, which costs a key frame.
const LASTING: Duration = Duration::from_secs(2);

/// How long the minimum is remembered. After that the delay has become the usual one.
const WINDOW: Duration = Duration::from_secs(60);

/// Reports further apart say nothing about the time between them.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The time between two cuts: doubled, up to the second, while each is followed by another. A key frame is for all viewers,
/// and where a cut does not help, more of them don't either.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(80));

/// The reports that are kept for the minimum: those of the window at one a second.
const MAX_REPORTS: usize = 64;

/// What one viewer's page has reported.
#[derive(Debug, Default)]
pub struct LiveEdge {
    /// The reports of the window: when, and the delay without the round trip, in seconds.
    reports: VecDeque<(Instant, f64)>,
    /// Since when the delay is grown.
    grown: Option<Instant>,
    /// The last cut, and how long to wait for the next one.
    cut: Option<(Instant, Duration)>,
}

impl LiveEdge {
    /// The page shows frames `delay` after their capture, the round trip takes `rtt`, and the browser may buffer `margin` by
    /// what it was told. Whether to skip to the live edge.
    pub fn on_report(&mut self, delay: Duration, rtt: Duration, margin: Duration, now: Instant) -> bool {
        let last = self.reports.back().map(|(at, _)| *at);
        if last.is_some_and(|last| now.saturating_duration_since(last) > MAX_SILENCE) {
            self.grown = None;
        }
        let own = delay.as_secs_f64() - rtt.as_secs_f64();
        self.reports.push_back((now, own));
        let is_old = |at: Instant| now.saturating_duration_since(at) > WINDOW;
        while self.reports.front().is_some_and(|(at, _)| is_old(*at)) || self.reports.len() > MAX_REPORTS {
            self.reports.pop_front();
        }
        let least = self.reports.iter().map(|(_, own)| *own).fold(own, f64::min);
        if own - least <= (GROWN + margin).as_secs_f64() {
            self.grown = None;
            return false;
        }
        let since = *self.grown.get_or_insert(now);
        let waited = self.cut.map(|(at, pause)| (now.saturating_duration_since(at), pause));
        if now.saturating_duration_since(since) < LASTING || waited.is_some_and(|(waited, pause)| waited < pause) {
            return false;
        }
        let (shortest, longest) = PAUSE;
        let pause = match waited {
            Some((waited, pause)) if waited < pause * 2 => (pause * 2).min(longest),
            _ => shortest,
        };
        self.cut = Some((now, pause));
        self.grown = None;
        true
    }

    /// What was reported says nothing any more: the camera or what the browser is to buffer has changed, or the page no longer
    /// knows its delay.
    pub fn forget(&mut self) {
        self.reports.clear();
        self.grown = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A viewer that reports each second, from a start on.
    struct Viewer {
        edge: LiveEdge,
        now: Instant,
    }

    impl Viewer {
        fn new() -> Self {
            Self { edge: LiveEdge::default(), now: Instant::now() }
        }

        /// The seconds of `count` in which it is to skip, with this delay and round trip in milliseconds.
        fn reports(&mut self, count: u64, delay: u64, rtt: u64) -> Vec<u64> {
            let mut report = |second| {
                self.now += Duration::from_secs(1);
                let [delay, rtt] = [delay, rtt].map(Duration::from_millis);
                self.edge.on_report(delay, rtt, Duration::ZERO, self.now).then_some(second)
            };
            (0..count).filter_map(&mut report).collect()
        }
    }

    #[test]
    fn a_delay_that_stays_grown_is_cut_after_two_seconds() {
        let mut viewer = Viewer::new();
        assert!(viewer.reports(10, 80, 50).is_empty());
        assert_eq!(viewer.reports(4, 400, 50), [2]);
        assert!(viewer.reports(10, 80, 50).is_empty(), "it has helped");
    }

    #[test]
    fn what_passes_or_is_small_is_left_alone() {
        let mut viewer = Viewer::new();
        for _ in 0..10 {
            assert!(viewer.reports(3, 80, 50).is_empty());
            assert!(viewer.reports(2, 900, 50).is_empty());
            assert!(viewer.reports(5, 220, 50).is_empty());
        }
    }

    #[test]
    fn a_longer_path_or_a_queue_on_it_is_not_cut() {
        let mut viewer = Viewer::new();
        viewer.reports(5, 80, 50);
        assert!(viewer.reports(20, 600, 600).is_empty());
        assert_eq!(viewer.reports(3, 900, 600), [2], "but what the browser adds is");
    }

    #[test]
    fn cuts_that_do_not_help_become_rare_until_the_delay_is_the_usual_one() {
        let mut viewer = Viewer::new();
        viewer.reports(5, 80, 50);
        assert_eq!(viewer.reports(200, 600, 50), [2, 7, 17, 37]);
        assert_eq!(viewer.reports(10, 900, 50)[..1], [2], "it has grown again");
    }

    #[test]
    fn what_the_browser_is_told_to_buffer_is_left_alone() {
        let (mut edge, start) = (LiveEdge::default(), Instant::now());
        let mut report = |second, delay| {
            let [delay, rtt, margin] = [delay, 50, 800].map(Duration::from_millis);
            edge.on_report(delay, rtt, margin, start + Duration::from_secs(second))
        };
        assert!(!(0..5).any(|second| report(second, 300)));
        assert!(!(5..20).any(|second| report(second, 1_200)));
        assert!((20..25).any(|second| report(second, 1_400)));
    }

    #[test]
    fn after_a_change_or_a_long_silence_it_begins_anew() {
        let mut viewer = Viewer::new();
        viewer.reports(5, 80, 50);
        viewer.edge.forget();
        assert!(viewer.reports(20, 400, 50).is_empty(), "another camera");
        viewer.reports(2, 800, 50);
        viewer.now += Duration::from_secs(20);
        assert_eq!(viewer.reports(3, 800, 50), [2], "nothing is known of the silence");
    }
}
