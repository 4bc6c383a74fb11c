//! The estimate for players without congestion control feedback: what they estimate themselves (REMB), or the loss and the
//! round trip time of their receiver reports.

use super::least::RecentLeast;

/// Loss below this lets the rate grow, in a report's share; above [`HIGH_LOSS`] it shrinks. The bounds of GCC's loss
/// controller.
const LOW_LOSS: f64 = 0.02;
const HIGH_LOSS: f64 = 0.1;

/// How much it grows with each second of low loss.
const GROWTH: f64 = 0.08;

/// A round trip that is longer than the shortest by this many seconds is a queue.
const QUEUE: f64 = 0.15;

/// A REMB is believed for this long, in seconds.
const REMB_TIME: f64 = 10.0;

/// The longest time between two reports that lets the rate grow, in seconds.
const MAX_INTERVAL: f64 = 2.0;

/// How long the shortest round trip holds, in seconds: a path that has become longer is believed after that.
const RTT_WINDOW: f64 = 20.0;

/// The estimate.
#[derive(Debug)]
pub struct ReportEstimator {
    target: f64,
    min: f64,
    max: f64,
    remb: Option<(f64, f64)>,
    rtts: RecentLeast,
    last: Option<f64>,
}

impl ReportEstimator {
    /// Starts at `start` bit/s and stays within `min` and `max`.
    pub fn new(start: u32, min: u32, max: u32) -> Self {
        let (start, min, max) = (f64::from(start), f64::from(min), f64::from(max.max(min)));
        Self { target: start.clamp(min, max), min, max, remb: None, rtts: RecentLeast::new(RTT_WINDOW), last: None }
    }

    /// The rate in bit/s at `now`, in seconds.
    pub fn target(&self, now: f64) -> u32 {
        let remb = self.remb.filter(|(_, at)| now - at < REMB_TIME).map_or(self.max, |(rate, _)| rate);
        self.target.min(remb).clamp(self.min, self.max) as u32
    }

    /// Sets the most that the viewer can use. Without bad news that is the estimate.
    pub fn set_max(&mut self, max: u32) {
        let max = f64::from(max).max(self.min);
        let is_free = self.target >= self.max;
        self.target = if is_free { max } else { self.target.min(max) };
        self.max = max;
    }

    /// Notes the viewer's own estimate.
    pub fn on_remb(&mut self, bitrate: f64, now: f64) {
        if bitrate.is_finite() && bitrate > 0.0 {
            // With an estimate of its own the viewer knows more than its loss says.
            self.target = self.target.max(bitrate.min(self.max));
            self.remb = Some((bitrate, now));
        }
    }

    /// Notes a receiver report: the share lost since the last one, and the round trip time in seconds if it is known.
    pub fn on_report(&mut self, lost: f64, rtt: Option<f64>, now: f64) {
        let interval = (now - self.last.unwrap_or(now)).clamp(0.0, MAX_INTERVAL);
        self.last = Some(now);
        if let Some(rtt) = rtt {
            self.rtts.note(rtt, now);
        }
        let queue = rtt.zip(self.rtts.least()).map_or(0.0, |(rtt, shortest)| rtt - shortest);
        if lost > HIGH_LOSS {
            self.target *= 1.0 - 0.5 * lost.min(1.0);
        } else if queue > QUEUE {
            self.target *= 0.8;
        } else if lost < LOW_LOSS {
            self.target *= 1.0 + GROWTH * interval;
        }
        self.target = self.target.clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimator() -> ReportEstimator {
        ReportEstimator::new(1_000_000, 100_000, 3_000_000)
    }

    #[test]
    fn loss_and_queues_lower_it_and_their_absence_raises_it() {
        let mut lossy = estimator();
        lossy.on_report(0.2, None, 1.0);
        assert_eq!(lossy.target(1.0), 900_000);
        lossy.on_report(0.05, None, 2.0);
        assert_eq!(lossy.target(2.0), 900_000, "random loss lowers nothing");
        lossy.on_report(0.0, None, 3.0);
        assert_eq!(lossy.target(3.0), 972_000);
        let mut queued = estimator();
        queued.on_report(0.0, Some(0.05), 1.0);
        queued.on_report(0.0, Some(0.5), 2.0);
        assert_eq!(queued.target(2.0), 800_000);
        for second in 0..100 {
            queued.on_report(1.0, Some(5.0), f64::from(second));
        }
        assert_eq!(queued.target(100.0), 100_000);
    }

    #[test]
    fn a_path_that_has_become_longer_is_no_queue_for_good() {
        let mut moved = estimator();
        for second in 0..200 {
            // One report shows an absurd round trip.
            let rtt = if second == 40 {
                0.0
            } else if second < 10 {
                0.05
            } else {
                0.3
            };
            moved.on_report(0.0, Some(rtt), f64::from(second));
        }
        assert_eq!(moved.target(200.0), 3_000_000);
    }

    #[test]
    fn without_bad_news_it_is_the_most_that_can_be_used() {
        let mut free = ReportEstimator::new(u32::MAX, 100_000, 3_000_000);
        free.set_max(5_000_000);
        assert_eq!(free.target(0.0), 5_000_000);
        free.on_report(0.2, None, 1.0);
        free.set_max(9_000_000);
        assert_eq!(free.target(1.0), 4_500_000);
        free.set_max(1_000_000);
        assert_eq!(free.target(1.0), 1_000_000);
    }

    #[test]
    fn the_viewers_own_estimate_holds_while_it_is_new() {
        let mut estimator = estimator();
        estimator.on_remb(f64::NAN, 1.0);
        estimator.on_remb(400_000.0, 1.0);
        assert_eq!(estimator.target(2.0), 400_000);
        assert_eq!(estimator.target(20.0), 1_000_000);
        estimator.on_remb(1e12, 21.0);
        assert_eq!(estimator.target(21.0), 3_000_000);
    }
}
