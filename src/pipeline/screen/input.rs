//! What goes into the screen's pipeline: the frames of one talker after the other, in a queue with a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::media::ScreenFrame;
use crate::model::metrics::{Metrics, ScreenDrop};
use crate::util::broadcast::{Demand, DemandGuard};

/// Frames that may wait for the program: two seconds of them, in which a player starts.
const QUEUE_FRAMES: usize = 64;

/// Bytes of all of them: far more than these seconds have, and little enough for the smallest board.
const QUEUE_BYTES: usize = 2 << 20;

/// Tells talks apart; later ones are higher.
pub(super) type ShowId = u64;

/// A frame of a talk.
pub(super) struct QueuedFrame {
    pub(super) id: ShowId,
    pub(super) frame: ScreenFrame,
}

/// How much waits for the program.
#[derive(Debug, Default)]
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
}

/// Shows talkers; a cheap handle.
#[derive(Debug, Clone)]
pub struct ScreenInput {
    frames: SyncSender<QueuedFrame>,
    waiting: Arc<Waiting>,
    demand: Demand,
    metrics: Metrics,
    shows: Arc<AtomicU64>,
}

/// A talker who is shown, for as long as this lives.
#[derive(Debug)]
pub struct Showing {
    id: ShowId,
    input: ScreenInput,
    /// Whether the program can go on with a key frame only: it has not been given one, or something was left out.
    needs_key: bool,
    _demand: DemandGuard,
}

/// The thread's end of the queue.
pub(super) struct ScreenOutput {
    frames: Receiver<QueuedFrame>,
    waiting: Arc<Waiting>,
}

/// The input of a pipeline, and its other end.
pub(super) fn new(demand: Demand, metrics: Metrics) -> (ScreenInput, ScreenOutput) {
    let (frames, received) = sync_channel(QUEUE_FRAMES);
    let waiting = Arc::<Waiting>::default();
    let input = ScreenInput { frames, waiting: waiting.clone(), demand, metrics, shows: Arc::default() };
    (input, ScreenOutput { frames: received, waiting })
}

impl ScreenInput {
    /// Begins to show a talker.
    pub fn begin(&self) -> Showing {
        let id = self.shows.fetch_add(1, Ordering::Relaxed) + 1;
        Showing { id, input: self.clone(), needs_key: true, _demand: self.demand.register() }
    }

    /// How much the screen is in demand, and whether anything may be shown.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }
}

impl Showing {
    /// Has a frame shown. One that the program has no room for is dropped, and all after it up to the next key frame.
    pub fn push(&mut self, frame: ScreenFrame) {
        let Waiting { frames, bytes } = &*self.input.waiting;
        let length = frame.data.len();
        let has_room = bytes.load(Ordering::Relaxed) + length <= QUEUE_BYTES;
        let is_wanted = frame.key || !self.needs_key;
        // Counted before the thread can take it.
        frames.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(length, Ordering::Relaxed);
        let is_taken = is_wanted && has_room && self.input.frames.try_send(QueuedFrame { id: self.id, frame }).is_ok();
        self.needs_key = !is_taken;
        if !is_taken {
            frames.fetch_sub(1, Ordering::Relaxed);
            bytes.fetch_sub(length, Ordering::Relaxed);
            self.input.metrics.count_screen_drop(ScreenDrop::Full, 1);
        }
    }

    /// Whether the program can go on with a key frame only.
    pub fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Whether there is room again for a key frame and what follows it.
    pub fn has_room(&self) -> bool {
        let Waiting { frames, bytes } = &*self.input.waiting;
        frames.load(Ordering::Relaxed) <= QUEUE_FRAMES / 2 && bytes.load(Ordering::Relaxed) <= QUEUE_BYTES / 2
    }
}

impl ScreenOutput {
    /// The next frame, which is waited for; `None` if none comes in time.
    pub(super) fn next(&self, wait: Duration) -> Option<QueuedFrame> {
        match self.frames.recv_timeout(wait) {
            Ok(queued) => {
                self.waiting.frames.fetch_sub(1, Ordering::Relaxed);
                self.waiting.bytes.fetch_sub(queued.frame.data.len(), Ordering::Relaxed);
                Some(queued)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Drops what waits; how many frames that are.
    pub(super) fn clear(&self) -> u64 {
        std::iter::from_fn(|| self.next(Duration::ZERO)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::ScreenCodec;
    use crate::model::metrics::ScreenDropLabels;

    fn frame(key: bool, bytes: usize) -> ScreenFrame {
        ScreenFrame { codec: ScreenCodec::H264, key, ticks: 0, data: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn what_is_not_taken_is_dropped_up_to_the_next_key_frame() {
        let metrics = Metrics::new();
        let (input, output) = new(Demand::default(), metrics.clone());
        let dropped = || metrics.screen_dropped.get_or_create(&ScreenDropLabels { why: ScreenDrop::Full }).get();
        let mut showing = input.begin();
        assert!(showing.needs_key() && showing.has_room() && input.demand().guards() == 1);
        showing.push(frame(false, 10));
        assert_eq!((showing.needs_key(), dropped(), output.clear()), (true, 1, 0));
        showing.push(frame(true, 10));
        (1..QUEUE_FRAMES).for_each(|_| showing.push(frame(false, 10)));
        assert_eq!((showing.needs_key(), dropped(), showing.has_room()), (false, 1, false));
        showing.push(frame(false, 10));
        showing.push(frame(true, 10));
        assert_eq!((showing.needs_key(), dropped()), (true, 3));
        let taken = output.next(Duration::ZERO).expect("should wait");
        assert_eq!((taken.id, taken.frame.key), (1, true));
        showing.push(frame(false, 10));
        assert_eq!(dropped(), 4, "it depends on one that was dropped");
        showing.push(frame(true, 10));
        assert!(!showing.needs_key() && !showing.has_room());
        assert_eq!(output.clear(), QUEUE_FRAMES as u64);
        assert!(showing.has_room());
        // Few frames may be too much, too.
        showing.push(frame(true, QUEUE_BYTES));
        showing.push(frame(false, 1));
        assert_eq!((showing.needs_key(), dropped(), output.clear()), (true, 5, 1));
        drop(showing);
        assert_eq!(input.demand().guards(), 0);
        assert_eq!(input.begin().id, 2);
    }
}
