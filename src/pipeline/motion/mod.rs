//! Motion detection in the frames of one camera, on a thread of its own and of low priority, which the live picture never
//! waits for.
//!
//! The encode thread offers each frame; a few a second are taken, and only while the thread is not at work, so that at most
//! one of the camera's buffers is held. Of a camera that encodes itself, key frames are decoded. What moves is decided in
//! `media::motion`, who is told of it in `server`.

mod thread;

use std::sync::Arc;

use crate::media::motion::Config;
use crate::media::{EncodedFrame, RawFrame, Timestamp};
use crate::model::protocol::MotionEvent;
use crate::pipeline::mjpeg::Pace;
use crate::util::broadcast::Broadcast;
use crate::util::lock::{Condvar, Mutex, MutexGuard};

pub(super) use thread::MotionThread;

/// Frames a second that are looked at: something that crosses the picture in a second is seen five times.
const FPS: f64 = 5.0;

/// Key frames a second that are decoded, at most: one takes as long as several other frames.
const KEY_FPS: f64 = 1.0;

/// Events that are kept for somebody who lags: far more than begin and end in a moment.
const EVENTS: usize = 16;

/// The motion detection of a camera; a cheap handle.
#[derive(Debug, Clone)]
pub struct MotionHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_enabled: bool,
    state: Mutex<State>,
    changed: Condvar,
    events: Broadcast<MotionEvent>,
}

#[derive(Debug)]
struct State {
    job: Option<Job>,
    /// Whether the thread is at work.
    busy: bool,
    frames: Pace,
    key_frames: Pace,
    /// A configuration that the thread has not applied yet.
    config: Option<Config>,
    closed: bool,
}

/// What the thread does next.
#[derive(Debug)]
enum Job {
    Frame(RawFrame),
    KeyFrame(EncodedFrame),
    /// The camera's picture ends: forget it.
    Forget,
}

impl MotionHandle {
    /// The detection with this configuration.
    pub(super) fn new(config: &Config) -> Self {
        let state = State {
            job: None,
            busy: false,
            frames: Pace::new(Some(FPS)),
            key_frames: Pace::new(Some(KEY_FPS)),
            config: None,
            closed: false,
        };
        let (state, changed, events) = (Mutex::new(state), Condvar::new(), Broadcast::new(EVENTS));
        Self(Arc::new(Shared { is_enabled: config.enabled, state, changed, events }))
    }

    /// Whether anything is detected.
    pub fn is_enabled(&self) -> bool {
        self.0.is_enabled
    }

    /// Where motion is told that begins and ends.
    pub fn events(&self) -> &Broadcast<MotionEvent> {
        &self.0.events
    }

    /// Goes on with another configuration. Whether anything is detected stays as it is.
    pub fn reconfigure(&self, config: &Config) {
        self.lock().config = Some(config.clone());
    }

    /// Offers a frame, which is taken if one is due and the thread is not at work; never blocks.
    pub(super) fn offer(&self, frame: &RawFrame) {
        self.offer_if_due(|state| &mut state.frames, || Job::Frame(frame.clone()));
    }

    /// As [`offer`](Self::offer), a key frame that the camera encoded.
    pub(super) fn offer_key_frame(&self, frame: &EncodedFrame) {
        self.offer_if_due(|state| &mut state.key_frames, || Job::KeyFrame(frame.clone()));
    }

    /// The camera's picture ends; it may show something else when it is back.
    pub(super) fn forget(&self) {
        if self.0.is_enabled {
            let replaced = self.lock().job.replace(Job::Forget);
            self.0.changed.notify_one();
            drop(replaced);
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_one();
    }

    fn offer_if_due(&self, pace: fn(&mut State) -> &mut Pace, job: impl FnOnce() -> Job) {
        if !self.0.is_enabled {
            return;
        }
        let (mut state, now) = (self.lock(), Timestamp::now());
        if state.busy || matches!(state.job, Some(Job::Forget)) || !pace(&mut state).is_due(now) {
            return;
        }
        pace(&mut state).taken(now);
        let replaced = state.job.replace(job());
        drop(state);
        self.0.changed.notify_one();
        // Outside the lock, because it gives a buffer back to the camera.
        drop(replaced);
    }

    /// The thread's next job, and a configuration that is to be applied before it; `None` at the end.
    fn next_job(&self) -> Option<(Job, Option<Config>)> {
        let mut state = self.lock();
        state.busy = false;
        let mut state = self.0.changed.wait_until(state, None, |state| state.closed || state.job.is_some());
        state.busy = true;
        if state.closed {
            return None;
        }
        Some((state.job.take()?, state.config.take()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

#[cfg(test)]
mod tests;
