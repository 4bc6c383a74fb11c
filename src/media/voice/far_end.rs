//! From the speaker to the echo canceller: what is played, in frames of 20 ms that begin when those of the microphone do. In
//! telephony the far end is the other side of the line.
//!
//! A queue with a bound for which neither side waits. Frames are matched by their time, so that nothing shifts when some are lost.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::media::{PcmFrame, Timestamp};

/// Frames that may be on their way: a third of a second. A speaker is given its sound less than 100 ms before it is heard.
const QUEUE: usize = 16;

/// Where the speaker puts what it plays; a cheap handle.
#[derive(Debug, Clone)]
pub struct FarEndSender(SyncSender<PcmFrame>);

/// Where the microphone finds it.
#[derive(Debug)]
pub struct FarEndReceiver {
    frames: Receiver<PcmFrame>,
    /// The first frame that is still to come.
    next: Option<PcmFrame>,
    /// What was asked for last.
    last: Option<Timestamp>,
}

/// What the speaker played during a frame of the microphone.
#[derive(Debug, Clone, PartialEq)]
pub struct FarEnd {
    /// The samples of one channel; empty if it played nothing, as far as known.
    pub samples: Vec<i16>,
    /// Whether earlier frames came after they had been asked for.
    pub was_late: bool,
}

/// The two ends of the queue.
pub fn far_end() -> (FarEndSender, FarEndReceiver) {
    let (sender, frames) = sync_channel(QUEUE);
    (FarEndSender(sender), FarEndReceiver { frames, next: None, last: None })
}

impl FarEndSender {
    /// Passes on a frame. It is dropped if the queue is full: then nobody hears the microphone.
    pub fn send(&self, frame: PcmFrame) {
        let _ = self.0.try_send(frame);
    }
}

impl FarEndReceiver {
    /// The frame that began at `captured`. Earlier ones are forgotten.
    pub fn take(&mut self, captured: Timestamp) -> FarEnd {
        let asked = self.last.replace(captured);
        let mut was_late = false;
        loop {
            let Some(frame) = self.next.take().or_else(|| self.frames.try_recv().ok()) else {
                return FarEnd { samples: Vec::new(), was_late };
            };
            if frame.captured > captured {
                self.next = Some(frame);
                return FarEnd { samples: Vec::new(), was_late };
            }
            if frame.captured == captured {
                return FarEnd { samples: frame.samples, was_late };
            }
            was_late |= asked.is_some_and(|asked| frame.captured <= asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(tick: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(20 * tick))
    }

    fn frame(tick: u64) -> PcmFrame {
        PcmFrame { captured: at(tick), gap: false, samples: vec![tick as i16; 960] }
    }

    /// What is found for a tick: the number in its samples, and whether others were late.
    fn take(receiver: &mut FarEndReceiver, tick: u64) -> (Option<i16>, bool) {
        let FarEnd { samples, was_late } = receiver.take(at(tick));
        (samples.first().copied(), was_late)
    }

    #[test]
    fn frames_are_found_by_their_time_and_what_is_missing_is_silence() {
        let (sender, mut receiver) = far_end();
        assert_eq!(take(&mut receiver, 1), (None, false));
        [5, 6, 8].into_iter().for_each(|tick| sender.send(frame(tick)));
        assert_eq!(take(&mut receiver, 4), (None, false), "not yet");
        assert_eq!(take(&mut receiver, 5), (Some(5), false));
        // The microphone has lost a frame.
        assert_eq!(take(&mut receiver, 7), (None, false));
        assert_eq!(take(&mut receiver, 8), (Some(8), false));
    }

    #[test]
    fn a_frame_that_comes_too_late_is_told() {
        let (sender, mut receiver) = far_end();
        sender.send(frame(1));
        assert_eq!(take(&mut receiver, 1), (Some(1), false));
        assert_eq!(take(&mut receiver, 2), (None, false));
        [2, 3].into_iter().for_each(|tick| sender.send(frame(tick)));
        assert_eq!(take(&mut receiver, 3), (Some(3), true));
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_not_late() {
        let (sender, mut receiver) = far_end();
        (0..1_000).for_each(|tick| sender.send(frame(tick)));
        assert_eq!(take(&mut receiver, 2_000), (None, false));
        sender.send(frame(2_001));
        assert_eq!(take(&mut receiver, 2_001), (Some(2_001), false));
    }
}
