//! The threads that sessions run on, and the sockets of all sessions. Each thread is a runtime of its own: in one with several
//! workers, the one that is woken for a frame wakes another to look for more work, which with a few viewers is never there.
//!
//! What else waits for the network, such as HTTP, runs on the program's own runtime.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::model::metrics::Metrics;
use crate::util::lock::Mutex;

/// Sessions that share a thread before another one is started. To send a frame takes a session 0.1 ms, or half of one on a
/// small board: the last of four is 2 ms late.
const SHARING: usize = 4;

/// The threads.
#[derive(Debug)]
pub struct SessionThreads {
    threads: Mutex<Vec<SessionThread>>,
    /// How many there may be.
    most: usize,
    metrics: Metrics,
}

/// One of them.
#[derive(Debug)]
struct SessionThread {
    /// `None` once it has ended.
    runtime: Option<Runtime>,
    handle: Handle,
    /// One reference for each session, and this one.
    sessions: Arc<()>,
}

/// The place of a session, for as long as it lives.
#[derive(Debug)]
pub struct SessionPlace {
    /// Where its task belongs.
    pub handle: Handle,
    /// Counts it.
    _session: Arc<()>,
}

impl SessionThreads {
    /// Starts the first thread; there will be one for each core at most.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(metrics: Metrics) -> anyhow::Result<Self> {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = Mutex::new(vec![SessionThread::start(0, &metrics)?]);
        Ok(Self { threads, most, metrics })
    }

    /// The first thread, for what all sessions share.
    pub fn first(&self) -> Handle {
        self.threads.lock()[0].handle.clone()
    }

    /// The place of a new session: on the first thread that has room, or the one with the fewest sessions.
    pub fn place(&self) -> SessionPlace {
        let mut threads = self.threads.lock();
        let number = threads.len();
        if threads.iter().all(|thread| thread.sessions() >= SHARING) && number < self.most {
            match SessionThread::start(number, &self.metrics) {
                Ok(thread) => threads.push(thread),
                Err(error) => tracing::warn!("{error:#}; sessions share the {number} that there are"),
            }
        }
        let free = threads.iter().find(|thread| thread.sessions() < SHARING);
        let thread = free.or_else(|| threads.iter().min_by_key(|thread| thread.sessions()));
        let SessionThread { handle, sessions, .. } = thread.expect("there should be the first one");
        SessionPlace { handle: handle.clone(), _session: sessions.clone() }
    }
}

impl SessionThread {
    fn start(number: usize, metrics: &Metrics) -> anyhow::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name(format!("sessions-{number}")).enable_all().build();
        let runtime = runtime.context("start a thread for sessions")?;
        let handle = runtime.handle().clone();
        metrics.count_tasks_of(handle.clone());
        Ok(Self { runtime: Some(runtime), handle, sessions: Arc::default() })
    }

    fn sessions(&self) -> usize {
        Arc::strong_count(&self.sessions) - 1
    }
}

impl Drop for SessionThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped by a task, which must not wait for others.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_fill_one_thread_after_the_other_and_then_all_alike() {
        let threads = SessionThreads { most: 2, ..SessionThreads::start(Metrics::new()).expect("start") };
        let sessions = || threads.threads.lock().iter().map(SessionThread::sessions).collect::<Vec<_>>();
        let mut places: Vec<SessionPlace> = (0..SHARING).map(|_| threads.place()).collect();
        assert_eq!(sessions(), [SHARING]);
        places.extend((0..SHARING + 3).map(|_| threads.place()));
        assert_eq!(sessions(), [SHARING + 2, SHARING + 1]);
        places.drain(..SHARING);
        assert_eq!(sessions(), [2, SHARING + 1]);
        places.push(threads.place());
        assert_eq!(sessions(), [3, SHARING + 1]);
        assert_eq!(places[0].handle.runtime_flavor(), tokio::runtime::RuntimeFlavor::MultiThread);
    }
}
