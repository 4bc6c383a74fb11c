//! The capture times of a driver's frames. Pure: time is an argument.

use crate::media::Timestamp;

/// Judges the driver's timestamps.
#[derive(Debug)]
pub struct DriverClock {
    /// The driver's newest timestamp that was plausible, at first the start of the stream.
    last_stamp: Timestamp,
    /// The newest capture time.
    last_captured: Timestamp,
}

impl DriverClock {
    /// The clock of a stream that starts at `now`.
    pub fn started(now: Timestamp) -> Self {
        Self { last_stamp: now, last_captured: now }
    }

    /// The capture time of a frame that is dequeued at `now`: the driver's timestamp, if plausible. A timestamp in the
    /// future comes from a driver that predicts the end of the frame, and would make the latency negative. One that is not
    /// after the driver's previous one, or after the start of the stream, is from another clock or missing. What is wrong
    /// with one timestamp says nothing about the next; but time never goes back.
    pub fn capture_timestamp(&mut self, stamp: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let plausible = stamp.filter(|&stamp| stamp > self.last_stamp && stamp <= now);
        self.last_stamp = plausible.unwrap_or(self.last_stamp);
        self.last_captured = plausible.unwrap_or(now).max(self.last_captured);
        self.last_captured
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn capture_time_is_after_the_previous_frame_and_before_the_dequeue() {
        for (stamp, taken) in [(None, 9), (Some(7), 7), (Some(9), 9), (Some(12), 9), (Some(5), 9), (Some(0), 9)] {
            let mut clock = DriverClock::started(at(5));
            assert_eq!(clock.capture_timestamp(stamp.map(at), at(9)), at(taken), "{stamp:?}");
        }
    }

    #[test]
    fn one_wrong_timestamp_does_not_affect_those_after_the_next() {
        // Frames every 33 ms that are dequeued 50 ms after their capture.
        for wrong in [None, Some(at(0)), Some(at(9_000_000))] {
            let mut clock = DriverClock::started(at(0));
            let mut captured = Vec::new();
            for number in 1..6 {
                let stamp = at(number * 33);
                let stamp = if number == 2 { wrong } else { Some(stamp) };
                captured.push(clock.capture_timestamp(stamp, at(number * 33 + 50)));
            }
            // The second frame is taken for as old as its dequeue; the third one was captured before that.
            assert_eq!(captured, [33, 116, 116, 132, 165].map(at), "{wrong:?}");
        }
    }
}
