//! When each packet of a viewer is sent: audio first, then repair, then new frames, at no more than a multiple of the
//! estimate, in slices that suit a batch of datagrams.
//!
//! Frames older than a bound are dropped, by the rules of `video_queue`: a viewer sees less rather than later. A key frame
//! itself may take longer, and one that has begun to leave is finished: on a slow path pictures come one by one. Sequence
//! numbers are given to what leaves the pacer, so they stay dense.

mod video_queue;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::estimator::ProbeCluster;
use super::history::PacketKind;
use video_queue::{MAX_AGE, VideoQueue};

pub use video_queue::{FrameKind, PacerDrops};

/// The pace, as a multiple of the estimate: a key frame leaves fast, but not as a burst that overflows the path's queue.
const PACE: f64 = 2.5;

/// Packets leave in slices of this time of the pace: fewer timers and system calls, and no queue to speak of.
const SLICE: Duration = Duration::from_millis(5);

/// What a late timer may make up for, while packets wait: on a busy machine each is late by more than a slice.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The time between two requests for a key frame: doubled, up to the second, while each is followed by another. Key frames
/// are for all viewers, and one that falls behind after each gains nothing by more of them.
const KEY_INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

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

#[derive(Debug, Clone, Copy)]
struct Probing {
    cluster: ProbeCluster,
    left: usize,
}

/// The pacer of one viewer's packets.
#[derive(Debug)]
pub struct SendPacer<T> {
    /// Packets with their sizes in bytes.
    audio: VecDeque<(T, usize)>,
    repair: VecDeque<(T, usize)>,
    video: VideoQueue<T>,
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
    /// When a key frame was requested last, and how long not to request another.
    key_requested: Option<Instant>,
    key_interval: Duration,
}

impl<T> SendPacer<T> {
    /// An empty pacer for an estimate of `estimate` bit/s.
    pub fn new(estimate: u32, now: Instant) -> Self {
        Self {
            audio: VecDeque::new(),
            repair: VecDeque::new(),
            video: VideoQueue::default(),
            pace: (f64::from(estimate) * PACE).max(MIN_PACE),
            limit: None,
            is_free: false,
            credit: 0.0,
            updated: now,
            is_backlogged: false,
            probe: None,
            padding: false,
            key_requested: None,
            key_interval: Duration::ZERO,
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
    pub fn push_audio(&mut self, packet: T, bytes: usize) {
        push_other(&mut self.audio, packet, bytes);
    }

    /// Queues a packet that is sent again; the oldest is lost if too many wait.
    pub fn push_repair(&mut self, packet: T, bytes: usize) {
        push_other(&mut self.repair, packet, bytes);
    }

    /// Queues the packets of a new frame with their sizes. A frame that the viewer cannot decode is dropped.
    pub fn push_frame(&mut self, packets: impl IntoIterator<Item = (T, usize)>, kind: FrameKind, now: Instant) {
        self.video.push(packets, kind, now);
    }

    /// Drops what waits and is not wanted, and the video behind it that needs it. Returns how many frames that are.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> u64 {
        for queue in [&mut self.audio, &mut self.repair] {
            queue.retain(|(packet, _)| is_wanted(packet));
        }
        self.video.retain(is_wanted)
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
        self.video.drop_late(now);
        while let Some(packet) = self.audio.pop_front() {
            self.leave(packet, PacketKind::Audio, out);
        }
        if std::mem::take(&mut self.padding) {
            self.credit -= PADDING as f64;
            out.push(PacedPacket::Padding { bytes: PADDING, probe: None });
        }
        while self.credit > 0.0 || self.is_free {
            let (packet, kind) = if let Some(packet) = self.repair.pop_front() {
                (packet, PacketKind::Repair)
            } else if open && let Some(packet) = self.video.pop(now) {
                (packet, PacketKind::Video)
            } else if let Some(probing) = self.probe.filter(|_| self.credit > 0.0) {
                self.credit -= PADDING as f64;
                out.push(PacedPacket::Padding { bytes: PADDING, probe: Some(probing.cluster.id) });
                self.count_probe(PADDING);
                continue;
            } else {
                break;
            };
            self.leave(packet, kind, out);
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
        self.video.key_wanted = true;
    }

    /// Drops the video that waits, up to a key frame: one that waits already, or one that is requested.
    pub fn skip_waiting(&mut self) {
        self.video.skip_waiting();
    }

    /// Whether to request a key frame, because frames were dropped: once until one comes and frames are dropped again, and the
    /// more seldom, the sooner they always are. `is_covered` is whether the path carries the stream at all: one that does
    /// not can do no more than show a picture now and then.
    pub fn take_key_request(&mut self, is_covered: bool, now: Instant) -> bool {
        let (least, most) = KEY_INTERVAL;
        let interval = if is_covered { self.key_interval } else { most };
        let waited = self.key_requested.map(|requested| now.saturating_duration_since(requested));
        if !self.video.key_wanted || waited.is_some_and(|waited| waited < interval) {
            return false;
        }
        // After as long again without a request the last key frame was of use.
        let is_repeated = waited.is_some_and(|waited| waited < self.key_interval * 2);
        self.key_interval = if is_repeated { (self.key_interval * 2).min(most) } else { least };
        (self.video.key_wanted, self.key_requested) = (false, Some(now));
        true
    }

    /// The frames dropped so far.
    pub fn drops(&self) -> PacerDrops {
        self.video.drops()
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

    fn leave(&mut self, (packet, bytes): (T, usize), kind: PacketKind, out: &mut Vec<PacedPacket<T>>) {
        if !self.is_free {
            self.credit -= bytes as f64;
        }
        let probe = self.probe.map(|probing| probing.cluster.id);
        out.push(PacedPacket::Pushed { packet, kind, probe });
        self.count_probe(bytes);
    }

    fn count_probe(&mut self, bytes: usize) {
        if let Some(probing) = &mut self.probe {
            probing.left = probing.left.saturating_sub(bytes);
            if probing.left == 0 {
                self.probe = None;
            }
        }
    }
}

fn push_other<T>(queue: &mut VecDeque<(T, usize)>, packet: T, bytes: usize) {
    if queue.len() >= MAX_OTHER {
        queue.pop_front();
    }
    queue.push_back((packet, bytes));
}

#[cfg(test)]
mod tests;
