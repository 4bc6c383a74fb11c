//! When each packet of a viewer is sent: audio first, then repair, then new frames, at no more than a multiple of the
//! estimate, in slices that suit a batch of datagrams.
//!
//! Frames older than a bound are dropped up to the next key frame: a viewer sees less rather than later. A key frame itself
//! may take longer, and one that has begun to leave is finished: on a slow path pictures come one by one. Sequence numbers are
//! given to what leaves the pacer, so they stay dense.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::estimator::ProbeCluster;
use super::history::PacketKind;

/// The pace, as a multiple of the estimate: a key frame leaves fast, but not as a burst that overflows the path's queue.
const PACE: f64 = 2.5;

/// Packets leave in slices of this time of the pace: fewer timers and system calls, and no queue to speak of.
const SLICE: Duration = Duration::from_millis(5);

/// What a late timer may make up for, while packets wait: on a busy machine each is late by more than a slice.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A frame that has waited this long is too late to be of use.
const MAX_AGE: Duration = Duration::from_millis(250);

/// A key frame may wait this long, or stop for this long once it has begun to leave: what is cut off in the middle was in
/// vain, and the next one would fare no better.
const MAX_KEY_AGE: Duration = Duration::from_secs(2);

/// The time between two requests for a key frame: doubled, up to the second, while each is followed by another. Key frames
/// are for all viewers, and one that falls behind after each gains nothing by more of them.
const KEY_INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// Video packets that wait at most: a key frame of 2.4 MB. More are dropped like those that are too old.
const MAX_VIDEO: usize = 2_048;

/// Audio and repair packets that wait at most: audio leaves at once, repair has a budget.
const MAX_OTHER: usize = 512;

/// The size of a padding packet, in bytes: as much as fits in the padding of one RTP packet, which is a byte's length.
const PADDING: usize = 255;

/// The least pace, in bit/s.
const MIN_PACE: f64 = 50_000.0;

/// A packet that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacedPacket<T> {
    /// A packet that was pushed.
    Pushed {
        /// The packet.
        packet: T,
        /// What it carries.
        kind: PacketKind,
        /// The probe that it is part of.
        probe: Option<u32>,
    },
    /// Padding to be made: it fills a probe, or asks for feedback.
    Padding {
        /// The size to send, in bytes.
        bytes: usize,
        /// The probe that it is part of.
        probe: Option<u32>,
    },
}

/// What is dropped, as counts of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacerDrops {
    /// Frames that had waited too long, and those behind them that need them.
    pub late: u64,
    /// Frames that came while the viewer waited for a key frame.
    pub awaiting_key: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    packet: T,
    bytes: usize,
    since: Instant,
    /// Which frame it is of, and whether that is a key frame.
    frame: u64,
    key: bool,
}

#[derive(Debug, Clone, Copy)]
struct Probing {
    cluster: ProbeCluster,
    left: usize,
}

/// The pacer of one viewer's packets.
#[derive(Debug)]
pub struct SendPacer<T> {
    audio: VecDeque<Waiting<T>>,
    repair: VecDeque<Waiting<T>>,
    video: VecDeque<Waiting<T>>,
    next_frame: u64,
    /// The key frame whose packets have left last, and when.
    key_progress: Option<(u64, Instant)>,
    /// Bits per second.
    pace: f64,
    /// The most that it may be.
    limit: Option<u32>,
    /// Whether the pace does not matter: what is there leaves at once.
    is_free: bool,
    /// Bytes that may leave at `updated`; negative after audio, which waits for nothing, or a packet larger than its slice.
    credit: f64,
    updated: Instant,
    /// Whether packets waited for credit when the last ones left.
    is_backlogged: bool,
    probe: Option<Probing>,
    /// Whether to send a packet of padding.
    padding: bool,
    awaiting_key: bool,
    key_wanted: bool,
    /// When a key frame was requested last, and how long not to request another.
    key_requested: Option<Instant>,
    key_interval: Duration,
    drops: PacerDrops,
}

impl<T> SendPacer<T> {
    /// An empty pacer for an estimate of `estimate` bit/s.
    pub fn new(estimate: u32, now: Instant) -> Self {
        Self {
            audio: VecDeque::new(),
            repair: VecDeque::new(),
            video: VecDeque::new(),
            next_frame: 0,
            key_progress: None,
            pace: (f64::from(estimate) * PACE).max(MIN_PACE),
            limit: None,
            is_free: false,
            credit: 0.0,
            updated: now,
            is_backlogged: false,
            probe: None,
            padding: false,
            awaiting_key: false,
            key_wanted: false,
            key_requested: None,
            key_interval: Duration::ZERO,
            drops: PacerDrops::default(),
        }
    }

    /// Follows the estimate, in bit/s.
    pub fn set_estimate(&mut self, estimate: u32) {
        let pace = f64::from(estimate) * PACE;
        self.pace = self.limit.map_or(pace, |limit| pace.min(limit.into())).max(MIN_PACE);
    }

    /// Paces by at most `limit` bit/s from the next estimate on. Audio waits for nothing, but counts.
    pub fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Lets what is there leave at once: the path carries far more than is sent, or nothing is known of it. Padding keeps to
    /// its rate.
    pub fn set_free(&mut self, free: bool) {
        self.is_free = free;
    }

    /// Queues an audio packet; the oldest is lost if too many wait.
    pub fn push_audio(&mut self, packet: T, bytes: usize, now: Instant) {
        push_other(&mut self.audio, packet, bytes, now);
    }

    /// Queues a packet that is sent again; the oldest is lost if too many wait.
    pub fn push_repair(&mut self, packet: T, bytes: usize, now: Instant) {
        push_other(&mut self.repair, packet, bytes, now);
    }

    /// Queues the packets of a new frame with their sizes. A frame that the viewer cannot decode is dropped.
    pub fn push_frame(&mut self, packets: impl IntoIterator<Item = (T, usize)>, key: bool, now: Instant) {
        if self.awaiting_key && !key {
            self.drops.awaiting_key += 1;
            return;
        }
        self.drop_late(now);
        if key {
            (self.awaiting_key, self.key_wanted) = (false, false);
        } else if self.awaiting_key {
            self.drops.awaiting_key += 1;
            return;
        }
        let frame = self.next_frame;
        self.next_frame += 1;
        for (packet, bytes) in packets {
            self.video.push_back(Waiting { packet, bytes, since: now, frame, key });
        }
        if self.video.len() > MAX_VIDEO {
            // What waits behind a key frame first.
            self.skip(self.behind_key().unwrap_or(0));
            if self.video.len() > MAX_VIDEO {
                self.skip(0);
            }
        }
    }

    /// Drops what waits and is not wanted, and the video behind it that needs it. Returns how many frames that are.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> usize {
        let before = self.frames_waiting();
        for queue in [&mut self.audio, &mut self.repair, &mut self.video] {
            queue.retain(|waiting| is_wanted(&waiting.packet));
        }
        let is_cut = self.frames_waiting() < before;
        if is_cut && self.video.front().is_none_or(|first| !first.key) {
            self.video.clear();
            (self.awaiting_key, self.key_wanted) = (true, true);
        }
        before - self.frames_waiting()
    }

    fn frames_waiting(&self) -> usize {
        let mut last = None;
        self.video.iter().filter(|waiting| last.replace(waiting.frame) != Some(waiting.frame)).count()
    }

    /// Sends a probe cluster: faster than the pace, and filled with padding.
    pub fn start_probe(&mut self, cluster: ProbeCluster) {
        self.probe = Some(Probing { cluster, left: cluster.bytes });
    }

    /// Sends one packet of padding, for the feedback on it.
    pub fn send_padding(&mut self) {
        self.padding = true;
    }

    /// Takes what is to leave at `now` to the end of `out`; video only if `open`, that is, if the path's window is.
    pub fn take(&mut self, now: Instant, open: bool, out: &mut Vec<PacedPacket<T>>) {
        self.refill(now);
        self.drop_late(now);
        while let Some(waiting) = self.audio.pop_front() {
            self.leave(waiting, PacketKind::Audio, out);
        }
        if std::mem::take(&mut self.padding) {
            self.credit -= PADDING as f64;
            out.push(PacedPacket::Padding { bytes: PADDING, probe: None });
        }
        while self.credit > 0.0 || self.is_free {
            let (waiting, kind) = if let Some(waiting) = self.repair.pop_front() {
                (waiting, PacketKind::Repair)
            } else if let Some(waiting) = pop_if(&mut self.video, |_| open) {
                if waiting.key {
                    self.key_progress = Some((waiting.frame, now));
                }
                (waiting, PacketKind::Video)
            } else if let Some(probing) = self.probe.filter(|_| self.credit > 0.0) {
                self.credit -= PADDING as f64;
                out.push(PacedPacket::Padding { bytes: PADDING, probe: Some(probing.cluster.id) });
                self.count_probe(PADDING);
                continue;
            } else {
                break;
            };
            self.leave(waiting, kind, out);
        }
        self.is_backlogged = !self.repair.is_empty() || open && !self.video.is_empty();
    }

    /// When to call [`Self::take`] next; `None` while nothing waits.
    pub fn next_at(&self, open: bool) -> Option<Instant> {
        if !self.audio.is_empty() || self.padding {
            return Some(self.updated);
        }
        if self.probe.is_none() && self.repair.is_empty() && self.video.is_empty() {
            return None;
        }
        if self.probe.is_none() && self.repair.is_empty() && !open {
            // Feedback opens the window; without any, the frames become too old.
            return Some(self.updated + MAX_AGE);
        }
        let debt = (-self.credit).max(0.0) * 8.0 / self.rate();
        Some(self.updated + Duration::from_secs_f64(debt).max(self.slice()))
    }

    /// Has a key frame requested, if none is on its way.
    pub fn want_key(&mut self) {
        self.key_wanted = true;
    }

    /// Drops the video that waits, up to a key frame: one that waits already, or one that is requested.
    pub fn skip_waiting(&mut self) {
        if self.video.front().is_none_or(|first| !first.key) {
            self.skip(0);
            self.key_wanted |= self.video.is_empty();
        }
    }

    /// Whether to request a key frame, because frames were dropped: once until one comes and frames are dropped again, and the
    /// more seldom, the sooner they always are. `is_covered` is whether the path carries the stream at all: one that does
    /// not can do no more than show a picture now and then.
    pub fn take_key_request(&mut self, is_covered: bool, now: Instant) -> bool {
        let (least, most) = KEY_INTERVAL;
        let interval = if is_covered { self.key_interval } else { most };
        let waited = self.key_requested.map(|requested| now.saturating_duration_since(requested));
        if !self.key_wanted || waited.is_some_and(|waited| waited < interval) {
            return false;
        }
        // After as long again without a request the last key frame was of use.
        let is_repeated = waited.is_some_and(|waited| waited < self.key_interval * 2);
        self.key_interval = if is_repeated { (self.key_interval * 2).min(most) } else { least };
        (self.key_wanted, self.key_requested) = (false, Some(now));
        true
    }

    /// The frames dropped so far.
    pub fn drops(&self) -> PacerDrops {
        self.drops
    }

    /// The rate of the pace or of the probe, in bit/s.
    fn rate(&self) -> f64 {
        self.probe.map_or(self.pace, |probing| f64::from(probing.cluster.bitrate).max(MIN_PACE))
    }

    /// A probe is measured by its own spacing and has finer slices.
    fn slice(&self) -> Duration {
        if self.probe.is_some() { SLICE / 5 } else { SLICE }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        // What was not used is lost, except a slice, or what packets waited for since the last time; a probe's own slices
        // are shorter than timers are exact.
        let kept = if self.is_backlogged { CATCH_UP } else { SLICE };
        let most = kept.as_secs_f64() * self.rate() / 8.0;
        self.credit = (self.credit + elapsed * self.rate() / 8.0).min(most.max(1.0));
    }

    fn leave(&mut self, waiting: Waiting<T>, kind: PacketKind, out: &mut Vec<PacedPacket<T>>) {
        if !self.is_free {
            self.credit -= waiting.bytes as f64;
        }
        let probe = self.probe.map(|probing| probing.cluster.id);
        out.push(PacedPacket::Pushed { packet: waiting.packet, kind, probe });
        self.count_probe(waiting.bytes);
    }

    fn count_probe(&mut self, bytes: usize) {
        if let Some(probing) = &mut self.probe {
            probing.left = probing.left.saturating_sub(bytes);
            if probing.left == 0 {
                self.probe = None;
            }
        }
    }

    fn drop_late(&mut self, now: Instant) {
        let Some(first) = self.video.front() else { return };
        let behind = self.behind_key().and_then(|at| Some((at, self.video.get(at)?)));
        let age = |waiting: &Waiting<T>| now.saturating_duration_since(waiting.since);
        let is_superseded = behind.is_some_and(|(_, next)| next.key);
        let progress = self.key_progress.filter(|(frame, _)| *frame == first.frame).map(|(_, at)| at);
        let is_late = match progress {
            Some(at) => now.saturating_duration_since(at) > MAX_KEY_AGE,
            None if first.key && !is_superseded => age(first) > MAX_KEY_AGE,
            None => age(first) > MAX_AGE,
        };
        if is_late {
            self.skip(0);
        } else if let Some((at, next)) = behind
            && !next.key
            && age(next) > MAX_AGE
        {
            self.skip(at);
        }
    }

    /// Where what waits behind the key frame at the front begins, if there is one.
    fn behind_key(&self) -> Option<usize> {
        let first = self.video.front().filter(|first| first.key)?.frame;
        Some(self.video.partition_point(|waiting| waiting.frame <= first))
    }

    /// Drops the video from a place on, up to the next key frame that begins behind the frame there, or all of it.
    fn skip(&mut self, start: usize) {
        let Some(first) = self.video.get(start).map(|waiting| waiting.frame) else { return };
        let next = self.video.iter().skip(start).position(|waiting| waiting.key && waiting.frame != first);
        let end = next.map_or(self.video.len(), |offset| start + offset);
        let mut last = None;
        for waiting in self.video.drain(start..end) {
            if last.replace(waiting.frame) != Some(waiting.frame) {
                self.drops.late += 1;
            }
        }
        if next.is_none() {
            (self.awaiting_key, self.key_wanted) = (true, true);
        }
    }
}

fn push_other<T>(queue: &mut VecDeque<Waiting<T>>, packet: T, bytes: usize, now: Instant) {
    if queue.len() >= MAX_OTHER {
        queue.pop_front();
    }
    queue.push_back(Waiting { packet, bytes, since: now, frame: 0, key: false });
}

/// Takes the first element if it is as wanted.
fn pop_if<T>(queue: &mut VecDeque<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(wanted) { queue.pop_front() } else { None }
}

#[cfg(test)]
mod tests;
