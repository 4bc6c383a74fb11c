//! Tells loss by congestion from loss that the path has anyway, where no queue shows which it is.
//!
//! Congestion goes when less is sent; a bad radio link loses its share of whatever is sent. So a suspicion is tested: the
//! rate is cut once, by little. If the loss stays, it belongs to the path, and the cut is taken back.

/// Packets that make a measurement.
const MIN_PACKETS: f64 = 60.0;

/// The shortest time of a measurement, in seconds.
const MIN_TIME: f64 = 0.8;

/// The least loss above the path's own that is suspected.
const SUSPICIOUS: f64 = 0.03;

/// The cut of a test.
const CUT: f64 = 0.85;

/// How much of a lower loss is taken over with each measurement: a path that gets better is learned within seconds.
const DECAY: f64 = 0.2;

/// What to do with the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LossVerdict {
    Keep,
    /// Send less: this much in bit/s.
    Cut(f64),
    /// The cut was in vain: back to this.
    Restore(f64),
}

/// A running test.
#[derive(Debug, Clone, Copy)]
struct Test {
    before: f64,
    loss: f64,
    /// When the cut shows in the feedback, in seconds.
    from: f64,
}

#[derive(Debug, Default)]
pub(super) struct LossControl {
    lost: f64,
    arrived: f64,
    since: Option<f64>,
    /// The share that the path itself loses.
    inherent: f64,
    /// The share lost in the last measurement.
    measured: f64,
    test: Option<Test>,
}

impl LossControl {
    /// The share of packets lost, of the last measurement.
    pub fn share(&self) -> f64 {
        self.measured
    }

    /// Whether the last measurement has more loss than the path's own.
    pub fn is_suspicious(&self) -> bool {
        self.measured > self.inherent + SUSPICIOUS
    }

    /// Notes a feedback at `now`, in seconds; `rtt` until a change shows.
    pub fn on_feedback(&mut self, arrived: usize, lost: usize, now: f64, rtt: f64, target: f64) -> LossVerdict {
        if self.test.is_some_and(|test| now < test.from) {
            return LossVerdict::Keep;
        }
        self.arrived += arrived as f64;
        self.lost += lost as f64;
        let since = *self.since.get_or_insert(now);
        let packets = self.arrived + self.lost;
        if packets < MIN_PACKETS || now - since < MIN_TIME {
            return LossVerdict::Keep;
        }
        self.measured = self.lost / packets;
        (self.lost, self.arrived, self.since) = (0.0, 0.0, Some(now));
        self.judge(now, rtt, target)
    }

    fn judge(&mut self, now: f64, rtt: f64, target: f64) -> LossVerdict {
        if let Some(test) = self.test.take() {
            // What the loss would be now if the path carried only what arrived before the cut.
            let by_congestion = (1.0 - (1.0 - test.loss) / CUT).max(0.0);
            if self.measured < f64::midpoint(test.loss, by_congestion) {
                return LossVerdict::Keep;
            }
            self.inherent = self.inherent.max(self.measured.min(test.loss));
            return LossVerdict::Restore(test.before);
        }
        if self.is_suspicious() {
            self.test = Some(Test { before: target, loss: self.measured, from: now + rtt + 0.1 });
            return LossVerdict::Cut(target * CUT);
        }
        if self.measured < self.inherent {
            self.inherent += (self.measured - self.inherent) * DECAY;
        }
        LossVerdict::Keep
    }

    /// The delay has decided meanwhile: the test says nothing any more.
    pub fn abandon_test(&mut self) {
        self.test = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs for `seconds` with the loss that `loss` gives for a target; returns the target's course.
    fn run(seconds: u32, loss: impl Fn(f64) -> f64) -> Vec<f64> {
        let (mut control, mut target, mut course) = (LossControl::default(), 2_000_000.0, Vec::new());
        for step in 0..seconds * 10 {
            let now = f64::from(step) / 10.0;
            let sent = 20;
            let lost = (loss(target) * f64::from(sent)).round() as usize;
            match control.on_feedback(sent as usize - lost, lost, now, 0.05, target) {
                LossVerdict::Keep => {}
                LossVerdict::Cut(to) | LossVerdict::Restore(to) => target = to,
            }
            course.push(target);
        }
        course
    }

    #[test]
    fn random_loss_costs_one_cut_that_is_taken_back() {
        for loss in [0.05, 0.1, 0.2] {
            let course = run(20, |_| loss);
            assert!(course.iter().all(|target| *target >= 1_700_000.0 * 0.99), "{loss}");
            assert!((course[199] - 2_000_000.0).abs() < 1.0, "{loss}: {}", course[199]);
        }
    }

    #[test]
    fn a_path_without_a_queue_is_not_overrun() {
        let course = run(30, |target| (1.0 - 1_000_000.0 / target).max(0.0));
        assert!(course[299] < 1_200_000.0, "{}", course[299]);
    }
}
