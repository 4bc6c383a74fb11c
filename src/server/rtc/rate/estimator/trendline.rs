//! Whether the queue on the path is growing: the slope of the delay over groups of packets, against an adaptive threshold.
//!
//! The method is that of draft-ietf-rmcat-gcc-02 with a linear regression for its filter. Times are in milliseconds.

use std::collections::VecDeque;

/// Packets sent within this time are one group: a paced frame's packets queue behind each other without meaning anything.
const GROUP: f64 = 5.0;

/// Groups in the regression: about half a second of video.
const WINDOW: usize = 20;

/// The weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;

/// Differences counted into the trend at most. The trend of few differences is uncertain and weighs less.
const MAX_DELTAS: u32 = 60;

/// Scales the slope to the threshold, which is in milliseconds.
const GAIN: f64 = 4.0;

/// The threshold at first, its bounds, and how fast it follows a larger or smaller trend, per millisecond.
const THRESHOLD: f64 = 12.5;
const MIN_THRESHOLD: f64 = 6.0;
const MAX_THRESHOLD: f64 = 600.0;
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;

/// A trend this far above the threshold is a sudden drop of the path, which the threshold must not follow.
const MAX_EXCESS: f64 = 15.0;

/// How long a trend must be above the threshold.
const OVERUSE_TIME: f64 = 10.0;

/// The longest step of the threshold.
const MAX_STEP: f64 = 100.0;

/// How the path is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// The queue is neither growing nor draining.
    Normal,
    /// More is sent than the path carries.
    Over,
    /// The queue drains.
    Under,
}

/// Packets sent together, by their last times.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: f64,
    sent: f64,
    arrival: f64,
}

/// The detector.
#[derive(Debug)]
pub(super) struct Trendline {
    current: Option<Group>,
    previous: Option<Group>,
    accumulated: f64,
    smoothed: f64,
    deltas: u32,
    /// Arrival and smoothed delay of the last groups.
    points: VecDeque<(f64, f64)>,
    threshold: f64,
    updated: Option<f64>,
    last_trend: f64,
    over_time: f64,
    over_count: u32,
    usage: Usage,
}

impl Trendline {
    pub fn new() -> Self {
        Self {
            current: None,
            previous: None,
            accumulated: 0.0,
            smoothed: 0.0,
            deltas: 0,
            points: VecDeque::with_capacity(WINDOW + 1),
            threshold: THRESHOLD,
            updated: None,
            last_trend: 0.0,
            over_time: 0.0,
            over_count: 0,
            usage: Usage::Normal,
        }
    }

    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Notes a packet, in the order of sending.
    pub fn on_packet(&mut self, sent: f64, arrival: f64) {
        match &mut self.current {
            Some(group) if sent - group.first_sent <= GROUP => {
                group.sent = group.sent.max(sent);
                group.arrival = group.arrival.max(arrival);
                return;
            }
            _ => {}
        }
        let next = Group { first_sent: sent, sent, arrival };
        let Some(done) = self.current.replace(next) else { return };
        if let Some(previous) = self.previous.replace(done) {
            self.on_delta(done.arrival - previous.arrival, done.sent - previous.sent, done.arrival);
        }
    }

    fn on_delta(&mut self, arrival_delta: f64, send_delta: f64, arrival: f64) {
        self.deltas = (self.deltas + 1).min(MAX_DELTAS);
        self.accumulated += arrival_delta - send_delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.points.push_back((arrival, self.smoothed));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        if self.points.len() < WINDOW {
            return;
        }
        let trend = slope(&self.points) * f64::from(self.deltas) * GAIN;
        self.detect(trend, send_delta);
        self.adapt(trend, arrival);
        self.last_trend = trend;
    }

    fn detect(&mut self, trend: f64, send_delta: f64) {
        if trend > self.threshold {
            // The first group may have been above for half of its time only.
            self.over_time += if self.over_count == 0 { send_delta / 2.0 } else { send_delta };
            self.over_count += 1;
            if self.over_time > OVERUSE_TIME && self.over_count > 1 && trend >= self.last_trend {
                self.over_time = 0.0;
                self.over_count = 0;
                self.usage = Usage::Over;
            }
            return;
        }
        self.over_time = 0.0;
        self.over_count = 0;
        self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
    }

    /// Lets the threshold follow the trend slowly, so that the queue of another flow does not look like overuse forever.
    fn adapt(&mut self, trend: f64, now: f64) {
        let step = (now - self.updated.unwrap_or(now)).clamp(0.0, MAX_STEP);
        self.updated = Some(now);
        let size = trend.abs();
        if size > self.threshold + MAX_EXCESS {
            return;
        }
        let gain = if size < self.threshold { FALL } else { RISE };
        self.threshold = (self.threshold + gain * (size - self.threshold) * step).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
    }
}

/// The slope of the line through the points, by least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds groups every 20 ms whose delay grows by `growth` ms each; returns after how many it was found overusing.
    fn overuse_after(trendline: &mut Trendline, groups: u32, growth: f64) -> Option<u32> {
        (0..groups).find(|group| {
            let sent = f64::from(*group) * 20.0;
            trendline.on_packet(sent, sent + 30.0 + f64::from(*group) * growth);
            trendline.usage() == Usage::Over
        })
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_steady_one_is_not() {
        assert_eq!(overuse_after(&mut Trendline::new(), 500, 0.0), None);
        let found = overuse_after(&mut Trendline::new(), 100, 2.0).expect("a queue growing by 10 % should be found");
        assert!(found < 40, "after {found} groups");
    }

    #[test]
    fn a_draining_queue_is_underuse() {
        let mut trendline = Trendline::new();
        overuse_after(&mut trendline, 50, 5.0);
        for group in 50..90 {
            let sent = f64::from(group) * 20.0;
            trendline.on_packet(sent, sent + 280.0 - f64::from(group - 50) * 5.0);
        }
        assert_eq!(trendline.usage(), Usage::Under);
    }

    #[test]
    fn packets_of_one_burst_are_one_group() {
        let mut trendline = Trendline::new();
        for group in 0..100 {
            for packet in 0..5 {
                let sent = f64::from(group) * 33.0 + f64::from(packet);
                trendline.on_packet(sent, f64::from(group) * 33.0 + 20.0 + f64::from(packet) * 6.0);
            }
        }
        assert_eq!(trendline.usage(), Usage::Normal, "a burst's own queue is none");
    }
}
