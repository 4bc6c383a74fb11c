//! The video that waits for its turn, and the rules by which it is dropped.
//!
//! A frame that no other needs is left out by itself, and sooner than the others would have to be dropped: the picture goes
//! on with fewer frames. What others need is dropped together with those, up to the next key frame. When each packet leaves
//! is decided in `pacer`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A frame that has waited this long is too late to be of use.
pub(super) const MAX_AGE: Duration = Duration::from_millis(250);

/// A frame that no other needs is left out when it has waited this long: what is behind it can still be in time.
const MAX_DISPOSABLE_AGE: Duration = Duration::from_millis(125);

/// A key frame may wait this long, or stop for this long once it has begun to leave: what is cut off in the middle was in
/// vain, and the next one would fare no better.
const MAX_KEY_AGE: Duration = Duration::from_secs(2);

/// Video packets that wait at most: a key frame of 2.4 MB. More are dropped like those that are too old.
pub(super) const MAX_VIDEO: usize = 2_048;

/// What a frame is to those that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Decoding can start at it.
    Key,
    /// Others are predicted from it.
    Reference,
    /// No other is.
    Disposable,
}

/// What is dropped, as counts of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacerDrops {
    /// Frames that had waited too long, and those behind them that need them.
    pub late: u64,
    /// Frames that came while the viewer waited for a key frame.
    pub awaiting_key: u64,
    /// Frames that no other needs, which had waited while others did.
    pub left_out: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    packet: T,
    bytes: usize,
    since: Instant,
    /// Which frame it is of.
    frame: u64,
    kind: FrameKind,
}

impl<T> Waiting<T> {
    fn is_key(&self) -> bool {
        self.kind == FrameKind::Key
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// The packets of frames, in the order in which they are sent.
#[derive(Debug)]
pub(super) struct VideoQueue<T> {
    waiting: VecDeque<Waiting<T>>,
    next_frame: u64,
    /// The frame whose packets have left last, and when.
    progress: Option<(u64, Instant)>,
    /// Whether the viewer can decode nothing until a key frame comes.
    awaiting_key: bool,
    /// Whether a key frame is to be requested.
    pub key_wanted: bool,
    drops: PacerDrops,
}

impl<T> Default for VideoQueue<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            next_frame: 0,
            progress: None,
            awaiting_key: false,
            key_wanted: false,
            drops: PacerDrops::default(),
        }
    }
}

impl<T> VideoQueue<T> {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The frames dropped so far.
    pub fn drops(&self) -> PacerDrops {
        self.drops
    }

    /// Adds the packets of a new frame with their sizes. A frame that the viewer cannot decode is dropped.
    pub fn push(&mut self, packets: impl IntoIterator<Item = (T, usize)>, kind: FrameKind, now: Instant) {
        self.drop_late(now);
        if kind == FrameKind::Key {
            (self.awaiting_key, self.key_wanted) = (false, false);
        } else if self.awaiting_key {
            self.drops.awaiting_key += 1;
            return;
        }
        let frame = self.next_frame;
        self.next_frame += 1;
        for (packet, bytes) in packets {
            self.waiting.push_back(Waiting { packet, bytes, since: now, frame, kind });
        }
        if self.waiting.len() > MAX_VIDEO {
            // What waits behind a key frame first.
            self.drops.late += self.skip(self.behind_key().unwrap_or(0));
            if self.waiting.len() > MAX_VIDEO {
                self.drops.late += self.skip(0);
            }
        }
    }

    /// Takes the next packet with its size.
    pub fn pop(&mut self, now: Instant) -> Option<(T, usize)> {
        let next = self.waiting.pop_front()?;
        self.progress = Some((next.frame, now));
        Some((next.packet, next.bytes))
    }

    /// Drops what is too late at `now`.
    pub fn drop_late(&mut self, now: Instant) {
        self.leave_out(now);
        let Some(first) = self.waiting.front() else { return };
        let behind = self.behind_key().and_then(|at| Some((at, self.waiting.get(at)?)));
        let is_superseded = behind.is_some_and(|(_, next)| next.is_key());
        let progress = self.progress.filter(|(frame, _)| first.is_key() && *frame == first.frame).map(|(_, at)| at);
        let is_late = match progress {
            Some(at) => now.saturating_duration_since(at) > MAX_KEY_AGE,
            None if first.is_key() && !is_superseded => first.age(now) > MAX_KEY_AGE,
            None => first.age(now) > MAX_AGE,
        };
        if is_late {
            self.drops.late += self.skip(0);
        } else if let Some((at, next)) = behind
            && !next.is_key()
            && next.age(now) > MAX_AGE
        {
            self.drops.late += self.skip(at);
        }
    }

    /// Leaves out the frames that no other needs and that have waited for long. One that has begun to leave is finished: the
    /// viewer would take what follows for the rest of it.
    fn leave_out(&mut self, now: Instant) {
        let is_old = |waiting: &Waiting<T>| waiting.age(now) > MAX_DISPOSABLE_AGE;
        if !self.waiting.front().is_some_and(is_old) {
            return;
        }
        let begun = self.progress.map(|(frame, _)| frame);
        let is_left_out = |waiting: &Waiting<T>| {
            waiting.kind == FrameKind::Disposable && is_old(waiting) && Some(waiting.frame) != begun
        };
        let before = self.frames();
        self.waiting.retain(|waiting| !is_left_out(waiting));
        self.drops.left_out += before - self.frames();
    }

    /// Drops what is not wanted, and what needs it. Returns how many frames that are.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> u64 {
        let before = self.frames();
        self.waiting.retain(|waiting| is_wanted(&waiting.packet));
        let mut dropped = before - self.frames();
        if dropped > 0 {
            dropped += self.skip_to_key();
            self.awaiting_key |= self.waiting.is_empty();
        }
        dropped
    }

    /// Drops what waits, up to a key frame: one that waits already, or one that is wanted now.
    pub fn skip_waiting(&mut self) {
        self.drops.late += self.skip_to_key();
    }

    fn skip_to_key(&mut self) -> u64 {
        if self.waiting.front().is_some_and(Waiting::is_key) {
            return 0;
        }
        let dropped = self.skip(0);
        self.key_wanted |= self.waiting.is_empty();
        dropped
    }

    /// Drops what waits from a place on, up to the next key frame that begins behind the frame there, or all of it. Returns
    /// how many frames that are.
    fn skip(&mut self, start: usize) -> u64 {
        let Some(first) = self.waiting.get(start).map(|waiting| waiting.frame) else { return 0 };
        let next = self.waiting.iter().skip(start).position(|waiting| waiting.is_key() && waiting.frame != first);
        let end = next.map_or(self.waiting.len(), |offset| start + offset);
        let dropped = distinct(self.waiting.drain(start..end).map(|waiting| waiting.frame));
        if next.is_none() {
            (self.awaiting_key, self.key_wanted) = (true, true);
        }
        dropped
    }

    /// Where what waits behind the key frame at the front begins, if there is one.
    fn behind_key(&self) -> Option<usize> {
        let first = self.waiting.front().filter(|first| first.is_key())?.frame;
        Some(self.waiting.partition_point(|waiting| waiting.frame <= first))
    }

    fn frames(&self) -> u64 {
        distinct(self.waiting.iter().map(|waiting| waiting.frame))
    }
}

/// How many frames packets are of.
fn distinct(frames: impl Iterator<Item = u64>) -> u64 {
    let mut last = None;
    frames.filter(|frame| last.replace(*frame) != Some(*frame)).count() as u64
}
