//! The frames of one camera as JPEGs, for readers that play no H.264: who reads them, and in which size and quality.
//!
//! The encode thread offers every frame of the camera and every placeholder; `thread` makes the JPEGs, once for all readers
//! of the same variant, and only when one of them is ready for the next frame. So a reader that is slow or has stopped
//! costs nothing and delays nobody: it gets the newest frame when it asks again. HTTP does not belong here.

mod pace;
mod reader;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::media::{RawFrame, Timestamp};
use crate::util::lock::{Condvar, Mutex, MutexGuard};

pub(super) use pace::Pace;
pub use reader::MjpegReader;
pub(super) use reader::Source;
pub(super) use thread::MjpegThread;

/// Variants at the same time. Each costs as much as a viewer who needs an encoder of its own, so they are few: the
/// camera's full size, one for phones, one for an overview of many cameras, and one more.
const MAX_VARIANTS: usize = 4;

/// What a reader asks for. Readers of the same variant get the same JPEGs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct MjpegVariant {
    /// The greatest width in pixels; the height follows. `None` for the camera's full size.
    pub width: Option<u32>,
    /// The JPEG quality, 1 to 100. `None` for the camera's own JPEGs if it delivers any, otherwise for a good one.
    pub quality: Option<u8>,
}

/// One frame as a JPEG file.
#[derive(Debug, Clone)]
pub struct MjpegFrame {
    /// When it was captured.
    pub captured: Timestamp,
    /// The file.
    pub data: Bytes,
    /// Whether it is a placeholder, and not video of the camera.
    pub placeholder: bool,
    /// Its number among the frames that were offered.
    number: u64,
}

/// The JPEGs of a camera; a cheap handle for readers and for the threads.
#[derive(Debug, Clone, Default)]
pub struct MjpegOutput(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Readers by their number; each has the next one.
    readers: BTreeMap<u64, ReaderState>,
    arrivals: u64,
    /// Where the JPEGs of each variant go that has readers.
    outputs: BTreeMap<MjpegVariant, Latest>,
    /// Frames offered so far.
    offered: u64,
    job: Option<Job>,
    /// Whether the thread is at work.
    busy: bool,
    closed: bool,
}

#[derive(Debug)]
struct ReaderState {
    variant: MjpegVariant,
    pace: Pace,
    /// Whether it waits for a frame.
    ready: bool,
}

/// The newest JPEG of a variant.
type Latest = watch::Sender<Option<MjpegFrame>>;

/// What the thread does next.
#[derive(Debug)]
enum Job {
    /// Make JPEGs of a frame.
    Frame { frame: RawFrame, placeholder: bool, number: u64 },
    /// Decode what the camera has encoded.
    Stream { number: u64 },
    /// Nobody reads: release the buffers.
    Idle,
}

/// As many variants are being read as there may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_VARIANTS} sizes and qualities are being read already, and each costs an encoder: ask for one of them ({0})"
)]
pub struct TooManyVariants(String);

impl MjpegOutput {
    /// Whether anybody reads.
    pub fn has_readers(&self) -> bool {
        !self.lock().readers.is_empty()
    }

    /// Offers a frame, which is taken if a reader is ready for it and the thread is not at work; never blocks. A camera has
    /// few buffers, so none waits here. Returns whether there are readers.
    pub(super) fn offer(&self, frame: &RawFrame, placeholder: bool) -> bool {
        let mut state = self.lock();
        if state.readers.is_empty() {
            return false;
        }
        state.offered += 1;
        if !state.busy && state.is_due(Timestamp::now()) {
            let job = Job::Frame { frame: frame.clone(), placeholder, number: state.offered };
            let replaced = state.job.replace(job);
            drop(state);
            self.0.changed.notify_one();
            // Outside the lock, because it gives a buffer back to the camera.
            drop(replaced);
        }
        true
    }

    /// Announces a frame that the camera encoded itself, which the thread gets from the camera's broadcast. All of them have
    /// to be decoded, whether a reader is ready or not.
    pub(super) fn announce_encoded(&self) {
        let mut state = self.lock();
        if !state.readers.is_empty() {
            state.offered += 1;
            state.job = Some(Job::Stream { number: state.offered });
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// Ends the thread and all readers.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let outputs = std::mem::take(&mut state.outputs);
        drop(state);
        self.0.changed.notify_one();
        // Outside the lock, because it wakes the readers.
        drop(outputs);
    }

    /// The thread's next job; `None` at the end.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        state.busy = false;
        let mut state = self.0.changed.wait_until(state, None, |state| state.closed || state.job.is_some());
        state.busy = true;
        if state.closed { None } else { state.job.take() }
    }

    /// The variants that a reader waits for, and where their JPEGs go.
    fn due(&self, now: Timestamp) -> Vec<(MjpegVariant, Latest)> {
        let state = self.lock();
        let due: BTreeSet<MjpegVariant> =
            state.readers.values().filter(|reader| reader.is_due(now)).map(|reader| reader.variant).collect();
        due.into_iter().filter_map(|variant| Some((variant, state.outputs.get(&variant)?.clone()))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl State {
    fn is_due(&self, now: Timestamp) -> bool {
        self.readers.values().any(|reader| reader.is_due(now))
    }
}

impl ReaderState {
    fn is_due(&self, now: Timestamp) -> bool {
        self.ready && self.pace.is_due(now)
    }
}

#[cfg(test)]
mod tests;
