//! Raises and lowers the target by what the delay, the loss and the arriving rate say.
//!
//! Alone on the path it keeps the queue empty: it backs off to below the rate that arrives, waits until the queue has
//! drained, and goes on just below the rate that the path has shown. Beside a flow that fills the queue, such as a
//! download, it would never get anything that way; when the queue stays whatever is sent, only loss counts. A delay that does
//! not move at all when much less is sent is no queue: the path has become longer.

use super::trendline::Usage;

/// A queue longer than this is congestion, in seconds, whatever its trend.
const LONG_QUEUE: f64 = 0.07;

/// A growing queue is congestion from this length on; a shorter one is jitter.
const GROWING_QUEUE: f64 = 0.02;

/// Below this the path counts as idle enough to send more.
const SHORT_QUEUE: f64 = 0.03;

/// Below this the queue has drained.
const DRAINED: f64 = 0.02;

/// A change of the rate shows in the feedback after a round trip and this time, in seconds.
const RESPONSE: f64 = 0.1;

/// The share of the arriving rate to back off to: less, the longer the queue, so that it drains in about a second.
const BACK_OFF: f64 = 0.92;
const BACK_OFF_QUEUE: f64 = 0.6;
const BACK_OFF_RANGE: (f64, f64) = (0.5, 0.87);

/// A queue that has not drained for this long, in seconds, will not drain by waiting.
const MAX_DRAINING: f64 = 2.0;

/// The longer path: the delay stays within a band, in seconds, without loss, for a time in addition to two round trips, while
/// the target falls to this share or the time to drain is over.
const FLAT: f64 = 0.015;
const FLAT_TIME: f64 = 0.6;
const FLAT_SHARE: f64 = 0.7;

/// While less than this share of the target is sent, a queue is not made by what is sent. The target falls by less then.
const IDLE: f64 = 0.5;
const IDLE_BACK_OFF: f64 = 0.7;

/// The share of the path's rate to go on with after draining.
const RESUME: f64 = 0.92;

/// Growth each second: far from the known rate of the path, as a share; near to it, as a share and at least in bit/s.
const FAR_GROWTH: f64 = 0.25;
const NEAR_GROWTH: f64 = 0.04;
const NEAR_GROWTH_MIN: f64 = 30_000.0;

/// What "near" means: the ratio of target to the known rate.
const NEAR: (f64, f64) = (0.8, 1.12);

/// The target grows to at most this multiple of the rate that arrives: more is not proven by anything.
const UNPROVEN: f64 = 1.5;
const UNPROVEN_MIN: f64 = 50_000.0;

/// A queue that does not drain for this long, in seconds, in spite of so many decreases, is someone else's.
const COMPETING_AFTER: f64 = 3.0;
const COMPETING_DECREASES: u32 = 3;

/// Growth beside a competing flow: like TCP's, one full packet more in each round trip than in the one before, in bits.
const COMPETING_GROWTH: f64 = 9_600.0;

/// What is left of the rate after a loss beside a competing flow: CUBIC's factor.
const COMPETING_BACK_OFF: f64 = 0.7;

/// The share of lost packets in one feedback that counts as a loss event there.
const COMPETING_LOSS: f64 = 0.01;

/// How often to look whether the competing flow has gone, in seconds, and how: this share of the rate, for this long.
const CHECK_INTERVAL: f64 = 8.0;
const CHECK_SHARE: f64 = 0.5;
const CHECK_TIME: f64 = 0.6;

/// What a feedback says, at `now` in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub now: f64,
    /// Since the feedback before.
    pub elapsed: f64,
    pub rtt: f64,
    /// The standing queue, in seconds, and what is usual without one.
    pub queue: f64,
    pub usual: f64,
    pub usage: Usage,
    /// The rate that arrives, in bit/s: over a short and a longer time.
    pub arriving_short: Option<f64>,
    pub arriving: Option<f64>,
    /// The rate at which that was sent.
    pub sending: Option<f64>,
    /// The share of this feedback's packets that is lost.
    pub lost: f64,
}

/// Beside a flow that keeps the queue filled.
#[derive(Debug, Clone, Copy)]
struct Competing {
    last_loss: f64,
    next_check: f64,
    /// The end of the current check, and the rate to go back to.
    check: Option<(f64, f64)>,
}

/// A queue that has not been short since a time.
#[derive(Debug, Clone, Copy)]
struct Standing {
    since: f64,
    decreases: u32,
    /// The target before it.
    before: f64,
    flat: Flat,
}

/// A time in which the delay has stayed within a band.
#[derive(Debug, Clone, Copy)]
struct Flat {
    since: f64,
    least: f64,
    most: f64,
    /// The target at its begin.
    target: f64,
}

impl Flat {
    fn new(input: &Observation, target: f64) -> Self {
        Self { since: input.now, least: input.queue, most: input.queue, target }
    }

    fn follow(&mut self, input: &Observation, target: f64) {
        (self.least, self.most) = (self.least.min(input.queue), self.most.max(input.queue));
        if self.most - self.least > FLAT || input.lost > COMPETING_LOSS {
            *self = Self::new(input, target);
        }
    }
}

#[derive(Debug)]
pub(super) struct RateController {
    target: f64,
    min: f64,
    max: f64,
    /// The rate that the path carried when it was last full.
    capacity: Option<f64>,
    last_decrease: f64,
    draining: bool,
    standing: Option<Standing>,
    competing: Option<Competing>,
    /// Whether the path has become longer.
    is_longer: bool,
}

impl RateController {
    pub fn new(start: f64, min: f64, max: f64) -> Self {
        Self {
            target: start.clamp(min, max.max(min)),
            min,
            max: max.max(min),
            capacity: None,
            last_decrease: f64::NEG_INFINITY,
            draining: false,
            standing: None,
            competing: None,
            is_longer: false,
        }
    }

    pub fn target(&self) -> f64 {
        self.target
    }

    pub fn max(&self) -> f64 {
        self.max
    }

    /// Sets the most that the target may be. One that was there already follows: nothing has spoken against more.
    pub fn set_max(&mut self, max: f64) {
        let is_free = self.target >= self.max;
        self.max = max.max(self.min);
        self.set(if is_free { self.max } else { self.target });
    }

    /// Sets the target, within its bounds.
    pub fn set(&mut self, target: f64) {
        self.target = target.clamp(self.min, self.max);
    }

    /// Whether a probe would tell something: the queue is empty, and the last decrease is `pause` seconds ago.
    pub fn may_probe(&self, input: &Observation, pause: f64) -> bool {
        self.target < 0.98 * self.max
            && self.competing.is_none()
            && !self.draining
            && input.queue < DRAINED
            && input.usage != Usage::Over
            && input.now - self.last_decrease > pause
    }

    /// Notes the rate of the path that a probe has measured.
    pub fn set_capacity(&mut self, capacity: Option<f64>) {
        self.capacity = capacity;
    }

    /// Whether another flow fills the queue.
    pub fn is_competing(&self) -> bool {
        self.competing.is_some()
    }

    /// Whether the target was just lowered because of a queue that has not drained.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Forgets what queue there was: the path is another one.
    pub fn forget_queue(&mut self) {
        (self.capacity, self.standing, self.competing) = (None, None, None);
        (self.draining, self.is_longer) = (false, false);
    }

    /// Whether the path has turned out to be longer than before. Once.
    pub fn take_longer_path(&mut self) -> bool {
        std::mem::take(&mut self.is_longer)
    }

    pub fn on_feedback(&mut self, input: &Observation) {
        if self.competing.is_some() {
            self.compete(input);
        } else {
            self.follow_delay(input);
        }
        self.set(self.target);
    }

    /// Falls to what the path carries, in bit/s: far more was sent until now.
    pub fn fall_to(&mut self, rate: f64, now: f64) {
        self.set(self.target.min(rate * RESUME));
        self.capacity = Some(rate);
        (self.draining, self.last_decrease) = (true, now);
    }

    fn follow_delay(&mut self, input: &Observation) {
        if input.queue < SHORT_QUEUE {
            self.standing = None;
        } else {
            let (now, target) = (input.now, self.target);
            let flat = Flat::new(input, target);
            let new = Standing { since: now, decreases: 0, before: target, flat };
            self.standing.get_or_insert(new).flat.follow(input, target);
        }
        if let Some(before) = self.before_longer_path(input) {
            self.forget_queue();
            self.is_longer = true;
            self.target = self.target.max(before);
            return;
        }
        let growing = input.usage == Usage::Over && input.queue > GROWING_QUEUE;
        if growing || input.queue > LONG_QUEUE {
            self.back_off(input);
        } else if self.draining {
            let drained = input.queue < DRAINED + input.usual;
            self.draining = !drained && input.now - self.last_decrease < MAX_DRAINING;
            if drained {
                self.target = self.target.max(self.capacity.unwrap_or(0.0) * RESUME);
            }
        } else if input.queue < SHORT_QUEUE + input.usual && input.usage == Usage::Normal {
            self.grow(input);
        }
    }

    /// The target from before the delay grew, if that turns out to be the path's own.
    fn before_longer_path(&self, input: &Observation) -> Option<f64> {
        let Standing { decreases, before, flat, .. } = self.standing?;
        let time = input.now - flat.since;
        let is_lower = self.target <= flat.target * FLAT_SHARE;
        let is_over = time.min(input.now - self.last_decrease) > MAX_DRAINING;
        let is_longer = decreases > 0 && (is_over || is_lower && time > FLAT_TIME + 2.0 * input.rtt + input.queue);
        is_longer.then_some(before)
    }

    fn back_off(&mut self, input: &Observation) {
        // The path cannot be known to carry more than is sent.
        let Some(arriving) = input.arriving_short.or(input.arriving).map(|rate| rate.min(self.target)) else { return };
        if input.now - self.last_decrease < input.rtt + RESPONSE {
            return;
        }
        let is_idle = input.lost < COMPETING_LOSS && input.sending.is_some_and(|rate| rate < self.target * IDLE);
        if is_idle {
            // What little is sent says nothing about what the path carries.
            self.target *= IDLE_BACK_OFF;
        } else {
            let (least, most) = BACK_OFF_RANGE;
            let target = arriving * (BACK_OFF - BACK_OFF_QUEUE * input.queue).clamp(least, most);
            self.capacity = Some(arriving);
            self.target = self.target.min(target);
        }
        self.draining = true;
        self.last_decrease = input.now;
        let Some(standing) = &mut self.standing else { return };
        standing.decreases += 1;
        if input.now - standing.since > COMPETING_AFTER && standing.decreases >= COMPETING_DECREASES {
            let next_check = input.now + CHECK_INTERVAL;
            self.competing = Some(Competing { last_loss: input.now, next_check, check: None });
            self.draining = false;
        }
    }

    fn grow(&mut self, input: &Observation) {
        let near = self.capacity.is_some_and(|capacity| {
            let ratio = self.target / capacity;
            ratio > NEAR.0 && ratio < NEAR.1
        });
        if self.capacity.is_some_and(|capacity| self.target >= capacity * NEAR.1) {
            // The path has more than it had.
            self.capacity = None;
        }
        let growth = if near { (self.target * NEAR_GROWTH).max(NEAR_GROWTH_MIN) } else { self.target * FAR_GROWTH };
        let proven = input.arriving.map_or(self.target, |arriving| arriving * UNPROVEN + UNPROVEN_MIN);
        let grown = (self.target + growth * input.elapsed).min(proven);
        self.target = self.target.max(grown);
    }

    fn compete(&mut self, input: &Observation) {
        let Some(competing) = &mut self.competing else { return };
        if input.queue < DRAINED {
            // The other flow leaves room now; what is known of the path was measured beside it.
            let before = competing.check.map_or(self.target, |(_, before)| before);
            self.target = self.target.max(before * CHECK_SHARE);
            (self.competing, self.capacity, self.standing) = (None, None, None);
            return;
        }
        if let Some((until, before)) = competing.check {
            if input.now > until {
                self.target = before;
                competing.check = None;
                competing.next_check = input.now + CHECK_INTERVAL;
            }
            return;
        }
        if input.now > competing.next_check {
            competing.check = Some((input.now + CHECK_TIME + input.rtt, self.target));
            self.target *= CHECK_SHARE;
            return;
        }
        let round = input.rtt + input.queue;
        if input.lost > COMPETING_LOSS {
            if input.now - competing.last_loss > round + RESPONSE {
                competing.last_loss = input.now;
                self.target *= COMPETING_BACK_OFF;
            }
            return;
        }
        let grown = self.target + COMPETING_GROWTH / round.max(0.05).powi(2) * input.elapsed;
        let proven = input.arriving.map_or(self.target, |arriving| arriving * UNPROVEN + UNPROVEN_MIN);
        self.target = self.target.max(grown.min(proven));
    }
}

#[cfg(test)]
mod tests;
