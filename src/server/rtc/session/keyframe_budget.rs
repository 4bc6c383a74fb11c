//! The key frames that one viewer may cause: a request is passed on at once while the viewer's budget lasts, and else when
//! it has recovered. Pure: time is an argument.
//!
//! A key frame is many times the size of other frames, and every viewer of the camera is sent it. A viewer whose decoder
//! keeps failing asks for them without end.

use std::time::{Duration, Instant};

use crate::media::EncodedFrame;
use crate::util::broadcast::Broadcast;
use crate::util::lock::Mutex;
use crate::util::token_bucket::{Bucket, Rate};

/// Key frames at once: the first one, and three losses in a row. After that one in this time, which a camera's other
/// viewers hardly notice: it adds about a tenth to the bitrate.
const RATE: Rate = Rate::every(4, Duration::from_secs(2));

/// The budget of one viewer, for all cameras.
#[derive(Debug)]
pub struct KeyframeBudget(Mutex<State>);

#[derive(Debug)]
struct State {
    bucket: Bucket,
    /// Whether a request has not been passed on yet.
    deferred: bool,
}

impl KeyframeBudget {
    /// A full budget at `now`.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State { bucket: Bucket::new(RATE, now), deferred: false }))
    }

    /// Requests a key frame of `video`, or defers the request.
    pub fn request(&self, video: &Broadcast<EncodedFrame>, now: Instant) {
        // Somebody else's request is as good.
        if video.refresh_requested() {
            return;
        }
        let mut state = self.0.lock();
        match state.bucket.try_acquire(RATE, now) {
            Ok(()) => video.request_refresh(),
            Err(_) => state.deferred = true,
        }
    }

    /// Whether a deferred request is to be passed on at `now`; then it is no longer deferred.
    pub fn take_due(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        if !state.deferred || state.bucket.try_acquire(RATE, now).is_err() {
            return false;
        }
        state.deferred = false;
        true
    }

    /// Notes that a key frame is sent, which was all that a deferred request was for.
    pub fn note_sent(&self) {
        self.0.lock().deferred = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_requests_pass_at_once_and_later_ones_are_deferred() {
        let (start, video) = (Instant::now(), Broadcast::new(4));
        let budget = KeyframeBudget::new(start);
        let passes = |now| {
            budget.request(&video, now);
            video.take_refresh_request()
        };
        assert_eq!((0..10).filter(|_| passes(start)).count(), 4);
        let second = Duration::from_secs(1);
        assert!(!budget.take_due(start + second), "not yet");
        assert!(budget.take_due(start + 2 * second) && !budget.take_due(start + 4 * second));
        assert!(passes(start + 4 * second) && !passes(start + 4 * second));
        budget.note_sent();
        assert!(!budget.take_due(start + 60 * second), "it has been met");
        assert!((0..4).all(|_| passes(start + 60 * second)), "a viewer that asks seldom is served at once");
    }

    #[test]
    fn a_request_that_is_pending_already_costs_nothing() {
        let (now, video) = (Instant::now(), Broadcast::new(4));
        let (budget, other) = (KeyframeBudget::new(now), KeyframeBudget::new(now));
        other.request(&video, now);
        (0..100).for_each(|_| budget.request(&video, now));
        assert!(video.take_refresh_request());
        budget.request(&video, now);
        assert!(video.refresh_requested());
    }
}
