//! An event that is recorded: what has started it, and when it ends. Pure: times are arguments.
//!
//! An operator and motion can both have it go on; what is written is in `machine`.

use std::time::Duration;

use super::name::RecordingCause;
use crate::media::Timestamp;

/// An event.
#[derive(Debug)]
pub struct RecordedEvent {
    /// What has started it.
    pub cause: RecordingCause,
    /// Whether an operator has started it, or had it go on, and not stopped it since.
    is_held: bool,
    /// Whether something moves.
    is_moving: bool,
    /// Whether an operator has stopped it.
    is_stopped: bool,
    /// When it ends, once nothing has it go on.
    ends: Option<Timestamp>,
}

impl RecordedEvent {
    /// One that an operator has started.
    pub fn started() -> Self {
        let cause = RecordingCause::Manual;
        Self { cause, is_held: true, is_moving: false, is_stopped: false, ends: None }
    }

    /// One that motion has started.
    pub fn moving() -> Self {
        Self { cause: RecordingCause::Motion, is_held: false, is_moving: true, ..Self::started() }
    }

    /// An operator has it go on.
    pub fn start(&mut self) {
        (self.is_held, self.is_stopped, self.ends) = (true, false, None);
    }

    /// Motion has it go on.
    pub fn motion_begun(&mut self) {
        (self.is_moving, self.is_stopped, self.ends) = (true, false, None);
    }

    /// Nothing moves any more: it ends after a while, unless an operator has it go on.
    pub fn motion_ended(&mut self, now: Timestamp, after: Duration) {
        self.is_moving = false;
        if !self.is_held {
            self.ends.get_or_insert_with(|| now.saturating_add(after));
        }
    }

    /// An operator stops it: it ends after a while, and while something moves, after that. If it was stopped before, or is about
    /// to end, it ends at once.
    pub fn stop(&mut self, now: Timestamp, after: Duration) {
        let is_again = self.is_stopped || self.ends.is_some();
        (self.is_held, self.is_stopped) = (false, true);
        if is_again {
            self.ends = Some(now);
        } else if !self.is_moving {
            self.ends = Some(now.saturating_add(after));
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(second))
    }

    /// The second at which it ends by itself; `None` if it goes on.
    fn end(event: &RecordedEvent) -> Option<u64> {
        (0..1_000).find(|second| event.is_over(at(*second)))
    }

    #[test]
    fn motion_has_it_go_on_until_a_while_after_it() {
        let mut event = RecordedEvent::moving();
        assert_eq!((event.cause, end(&event)), (RecordingCause::Motion, None));
        event.motion_ended(at(20), AFTER);
        assert_eq!(end(&event), Some(30));
        event.motion_begun();
        assert_eq!(end(&event), None);
        event.motion_ended(at(50), AFTER);
        // An end that is told again changes nothing.
        event.motion_ended(at(55), AFTER);
        assert_eq!(end(&event), Some(60));
    }

    #[test]
    fn an_operator_stops_it_after_a_while_or_at_once() {
        let mut event = RecordedEvent::started();
        assert_eq!((event.cause, end(&event)), (RecordingCause::Manual, None));
        event.stop(at(5), AFTER);
        assert_eq!(end(&event), Some(15));
        event.start();
        assert_eq!(end(&event), None);
        event.stop(at(20), AFTER);
        event.stop(at(22), AFTER);
        assert_eq!(end(&event), Some(22));
    }

    #[test]
    fn each_of_both_has_it_go_on() {
        // What an operator has started, motion does not end.
        let mut event = RecordedEvent::started();
        event.motion_begun();
        event.motion_ended(at(10), AFTER);
        assert_eq!(end(&event), None);
        // And the other way round.
        event.motion_begun();
        event.stop(at(20), AFTER);
        assert_eq!(end(&event), None);
        event.motion_ended(at(30), AFTER);
        assert_eq!(end(&event), Some(40));
        // Also motion that comes after the stop has it go on, and is stopped by another two.
        event.motion_begun();
        event.stop(at(50), AFTER);
        assert_eq!(end(&event), None);
        event.stop(at(51), AFTER);
        assert_eq!(end(&event), Some(51));
        // One that ends anyway is ended at once.
        let mut event = RecordedEvent::moving();
        event.motion_ended(at(10), AFTER);
        event.stop(at(12), AFTER);
        assert_eq!(end(&event), Some(12));
        // An operator keeps what motion has started.
        let mut event = RecordedEvent::moving();
        event.start();
        event.motion_ended(at(10), AFTER);
        assert_eq!((event.cause, end(&event)), (RecordingCause::Motion, None));
    }
}
