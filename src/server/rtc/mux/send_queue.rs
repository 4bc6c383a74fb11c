//! Datagrams that wait until a UDP socket is writable. Nobody waits for it: what is too much is dropped and counted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::datagrams::DatagramRun;
use super::send_stats::SendStats;
use crate::media::Timestamp;
use crate::util::lock::Mutex;

/// Datagrams queued while the kernel's buffer is full: a key frame of 100 packets for each of 20 viewers.
const QUEUE_CAPACITY: usize = 2_048;

/// A datagram queued for longer is too late for any viewer, which will NACK what it still needs.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(200);

/// A run that waits.
#[derive(Debug)]
pub struct QueuedRun {
    /// The peer.
    pub to: SocketAddr,
    contents: Bytes,
    length: usize,
    count: usize,
    /// The capture time of the video frame that ends with it.
    pub last_of: Option<Timestamp>,
    queued_at: Instant,
    /// Where it is counted.
    pub stats: SendStats,
}

impl QueuedRun {
    /// A copy of `run` that waits from now on.
    pub fn new(to: SocketAddr, run: DatagramRun<'_>, last_of: Option<Timestamp>, stats: &SendStats) -> Self {
        let DatagramRun { contents, length, count } = run;
        let (contents, stats) = (Bytes::copy_from_slice(contents), stats.clone());
        Self { to, contents, length, count, last_of, queued_at: Instant::now(), stats }
    }

    /// Its datagrams.
    pub fn run(&self) -> DatagramRun<'_> {
        DatagramRun { contents: &self.contents, length: self.length, count: self.count }
    }

    fn is_stale(&self) -> bool {
        self.queued_at.elapsed() > MAX_QUEUE_AGE
    }
}

/// The queue of one socket.
#[derive(Debug, Default)]
pub struct SendQueue {
    runs: Mutex<Runs>,
    /// Whether runs are queued; later ones queue behind them, to keep the order.
    has_queued: AtomicBool,
    queued: Notify,
}

#[derive(Debug, Default)]
struct Runs {
    queue: VecDeque<QueuedRun>,
    /// The datagrams of all of them.
    datagrams: usize,
}

impl SendQueue {
    /// Queues a run behind others, if there are any; gives it back if there are none.
    pub fn push_behind_others(&self, run: QueuedRun) -> Option<QueuedRun> {
        let mut runs = self.runs.lock();
        if !self.has_queued() {
            return Some(run);
        }
        self.add(&mut runs, run);
        None
    }

    /// Queues a run.
    pub fn push(&self, run: QueuedRun) {
        self.add(&mut self.runs.lock(), run);
    }

    /// Whether runs wait.
    pub fn has_queued(&self) -> bool {
        self.has_queued.load(Ordering::Acquire)
    }

    /// The next run that is not too old, once there is one. Only one task may ask.
    pub async fn next(&self) -> QueuedRun {
        loop {
            match self.pop() {
                Some(run) if run.is_stale() => run.stats.dropped(run.count),
                Some(run) => return run,
                None => self.queued.notified().await,
            }
        }
    }

    fn add(&self, runs: &mut Runs, run: QueuedRun) {
        if runs.datagrams + run.count > QUEUE_CAPACITY {
            run.stats.dropped(run.count);
            return;
        }
        runs.datagrams += run.count;
        runs.queue.push_back(run);
        self.has_queued.store(true, Ordering::Release);
        self.queued.notify_one();
    }

    fn pop(&self) -> Option<QueuedRun> {
        let mut runs = self.runs.lock();
        let next = runs.queue.pop_front();
        match &next {
            Some(run) => runs.datagrams -= run.count,
            None => self.has_queued.store(false, Ordering::Release),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::{DropLabels, DropPoint, Metrics};

    fn run(byte: u8, stats: &SendStats) -> QueuedRun {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        QueuedRun::new(to, DatagramRun { contents: &[byte], length: 1, count: 1 }, None, stats)
    }

    fn dropped(stats: &SendStats) -> u64 {
        stats.metrics.dropped.get_or_create(&DropLabels { at: DropPoint::Socket }).get()
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_length_and_age() {
        let (queue, stats) = (SendQueue::default(), SendStats { metrics: Metrics::new() });
        let queued_at = Instant::now().checked_sub(2 * MAX_QUEUE_AGE).expect("the machine should run for longer");
        queue.push(QueuedRun { queued_at, ..run(1, &stats) });
        for _ in 0..QUEUE_CAPACITY {
            queue.push(run(2, &stats));
        }
        assert_eq!((queue.runs.lock().queue.len(), dropped(&stats)), (QUEUE_CAPACITY, 1));
        assert_eq!(queue.next().await.run().contents, [2], "the stale one should be gone");
        assert_eq!(dropped(&stats), 2);
        for _ in 2..QUEUE_CAPACITY {
            queue.next().await;
        }
        queue.push(run(3, &stats));
        assert_eq!(queue.next().await.run().contents, [3], "there is room again");
        assert_eq!(dropped(&stats), 2);
    }

    #[tokio::test]
    async fn a_run_queues_behind_others_and_only_behind_others() {
        let (queue, stats) = (SendQueue::default(), SendStats { metrics: Metrics::new() });
        assert!(queue.push_behind_others(run(1, &stats)).is_some(), "nothing waits");
        queue.push(run(1, &stats));
        assert!(queue.push_behind_others(run(2, &stats)).is_none());
        for byte in [1, 2] {
            assert_eq!(queue.next().await.run().contents, [byte]);
        }
        assert!(queue.has_queued(), "the last run is being sent");
        assert!(queue.pop().is_none() && !queue.has_queued());
    }
}
