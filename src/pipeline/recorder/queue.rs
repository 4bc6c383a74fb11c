//! What waits for the storage thread: bounded in bytes, so that a slow card costs recordings and neither memory nor live video.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::name::RecordingCause;
use crate::media::EncodedFrame;
use crate::media::mp4::{FileHeader, Fragment};
use crate::util::lock::{Condvar, Mutex};

/// The most bytes that wait: what is kept before an event (16 MiB), which comes at once, and 16 s at 4 Mbit/s, longer than cards
/// pause to clean up.
const MAX_BYTES: usize = 24 << 20;

/// What the storage thread is asked to do, for the writer of that index.
#[derive(Debug)]
pub enum StorageJob {
    /// Begin a file.
    Begin(Box<BeginFile>),
    /// Append to the writer's file.
    Append(usize, Fragment),
    /// End the writer's file.
    End(usize),
}

/// A file to begin.
#[derive(Debug)]
pub struct BeginFile {
    /// The writer's index.
    pub writer: usize,
    /// Why.
    pub cause: RecordingCause,
    /// Its beginning.
    pub header: FileHeader,
    /// Its first key frame: when it starts, and its picture.
    pub first: EncodedFrame,
}

impl StorageJob {
    fn byte_count(&self) -> usize {
        match self {
            Self::Begin(begin) => begin.header.data.len() + begin.first.data.len(),
            Self::Append(_, fragment) => fragment.data.len(),
            Self::End(_) => 0,
        }
    }
}

/// The queue is full: the card is too slow.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

/// What the storage thread has waited for.
#[derive(Debug)]
pub enum NextJob {
    /// There is something to do.
    Job(StorageJob),
    /// Nothing came for so long.
    TimedOut,
    /// Nothing will come any more.
    Closed,
}

/// The queue; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct StorageQueue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: VecDeque<StorageJob>,
    bytes: usize,
    closed: Option<Instant>,
}

impl StorageQueue {
    /// Adds a job. The end of a file is always taken.
    ///
    /// # Errors
    ///
    /// When too much waits.
    pub fn push(&self, job: StorageJob) -> Result<(), QueueFull> {
        let mut state = self.0.state.lock();
        let bytes = job.byte_count();
        // What is larger than the whole queue is taken by an empty one.
        if bytes > 0 && state.bytes > 0 && state.bytes + bytes > MAX_BYTES {
            return Err(QueueFull);
        }
        state.bytes += bytes;
        state.jobs.push_back(job);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Whether so little waits that a recording can go on.
    pub fn has_room(&self) -> bool {
        self.0.state.lock().bytes <= MAX_BYTES / 4
    }

    /// Takes the next job; waits for `limit` at most.
    pub fn pop(&self, limit: Duration) -> NextJob {
        let state = self.0.state.lock();
        let met = |state: &QueueState| !state.jobs.is_empty() || state.closed.is_some();
        let mut state = self.0.changed.wait_until(state, Some(limit), met);
        match state.jobs.pop_front() {
            Some(job) => {
                state.bytes -= job.byte_count();
                NextJob::Job(job)
            }
            None if state.closed.is_some() => NextJob::Closed,
            None => NextJob::TimedOut,
        }
    }

    /// Has the storage thread end when it has done everything.
    pub fn close(&self) {
        self.0.state.lock().closed.get_or_insert_with(Instant::now);
        self.0.changed.notify_all();
    }

    /// Since when it is closed.
    pub fn closed_since(&self) -> Option<Instant> {
        self.0.state.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(bytes: usize) -> StorageJob {
        let fragment = Fragment { data: vec![0; bytes], start: Duration::ZERO, end: Duration::ZERO, key: true };
        StorageJob::Append(0, fragment)
    }

    #[test]
    fn it_takes_what_there_is_room_for_and_every_end() {
        let queue = StorageQueue::default();
        queue.push(append(MAX_BYTES - 10)).unwrap();
        assert_eq!(queue.push(append(11)), Err(QueueFull));
        queue.push(append(10)).unwrap();
        queue.push(StorageJob::End(0)).unwrap();
        assert!(!queue.has_room());
        for _ in 0..2 {
            assert!(matches!(queue.pop(Duration::ZERO), NextJob::Job(StorageJob::Append(..))));
        }
        assert!(queue.has_room());
        queue.close();
        assert!(matches!(queue.pop(Duration::ZERO), NextJob::Job(StorageJob::End(0))));
        assert!(matches!(queue.pop(Duration::from_secs(60)), NextJob::Closed));
        let large = StorageQueue::default();
        large.push(append(2 * MAX_BYTES)).unwrap();
        assert_eq!(large.push(append(1)), Err(QueueFull));
        assert!(matches!(large.pop(Duration::ZERO), NextJob::Job(_)));
        assert!(matches!(large.pop(Duration::ZERO), NextJob::TimedOut));
    }
}
