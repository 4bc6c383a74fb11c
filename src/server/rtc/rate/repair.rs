//! Which of the packets that a viewer reports lost (NACK) are sent again, and whether it needs a key frame instead.
//!
//! On a link slower than the stream each packet that is sent again is late too and is asked for again, until repair is
//! most of the traffic. So it has a budget, and nothing is repaired that comes too late to be shown.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::history::RepairFate;

/// The packets remembered: a second of 10 Mbit/s.
const HISTORY: usize = 1_024;

/// The shortest time between two repairs of one packet, where the round trip is shorter.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// A longer round trip than this is not believed; the viewer itself reports it.
const MAX_RTT: Duration = Duration::from_secs(2);

/// An older packet belongs to a frame that a live viewer does not wait for.
const MAX_AGE: Duration = Duration::from_millis(500);

/// After a change of the path all that was sent on the old one is missing, and no frame behind it can be shown: for this long
/// packets up to this age are sent again, of as much time of the estimate.
const MOVED_TIME: Duration = Duration::from_secs(1);
const MOVED_AGE: Duration = Duration::from_secs(2);
const MOVED_CREDIT: f64 = 1.5;

/// A path that changes again within this time gives no more credit.
const MOVED_INTERVAL: Duration = Duration::from_secs(2);

/// The share of the estimate that repair may take: enough for 20 % random loss of packets, each repaired twice, and of their
/// repairs.
const SHARE: f64 = 0.5;

/// From each of these shares of random loss on, a packet is sent again in one more copy. Chromium asks again for a repair
/// that was lost as well only after 100 ms or more, and the picture stands still meanwhile; so that should be rare.
const COPIES_FROM: [f64; 2] = [0.01, 0.12];

/// The most copies.
pub const MAX_COPIES: u8 = COPIES_FROM.len() as u8 + 1;

/// What must be left of the budget for each additional copy, as a share.
const COPIES_BUDGET: [f64; 2] = [0.25, 0.6];

/// The budget that may be saved up: half a second of the estimate, which is more than a key frame, and its bounds in bytes.
const BURST_TIME: f64 = 0.5;
const BURST: (f64, f64) = (16_384.0, 131_072.0);

/// After a key frame, or a request for one, what is refused needs another one only this much later: it may still be on its
/// way.
const KEY_INTERVAL: Duration = Duration::from_millis(800);

/// Refused packets remembered. With more, only a key frame helps.
const MAX_REFUSED: usize = 256;

/// What becomes of one packet that is reported lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairVerdict {
    /// Send it again, in so many copies.
    Resend(u8),
    /// It is on its way again already.
    TooSoon,
    /// A repair of it has arrived, or a newer key frame makes it useless.
    Superseded,
    /// It is too old, was never sent, or is long forgotten.
    TooOld,
    /// Repair has taken its share.
    OverBudget,
}

/// How many packets got each answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairCounts {
    /// Sent again.
    pub answered: u64,
    /// Not sent again, because they are on their way or over the budget.
    pub suppressed: u64,
    /// Not sent again, because they would come too late.
    pub too_old: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u16,
    bytes: usize,
    at: Instant,
    resent: Option<Instant>,
    /// The copies of the last repair that may still arrive.
    copies: u8,
    /// Whether a repair has arrived. Some players (webrtc-rs) ask again all the same, as they do not see what a repair repeats.
    is_repaired: bool,
    /// The key frames begun when it was sent.
    keys: u64,
}

/// What was sent of one viewer's video, and what may be sent again.
#[derive(Debug)]
pub struct RepairBudget {
    /// By sequence number, modulo the length.
    sent: Vec<Option<Sent>>,
    rtt: Duration,
    estimate: f64,
    /// The share of random loss.
    loss: f64,
    /// Bytes that may be spent at `updated`.
    credit: f64,
    updated: Instant,
    /// When the path changed last.
    moved: Option<Instant>,
    keys: u64,
    /// The packets whose repair was refused, and that have not been repaired since.
    refused: BTreeSet<u16>,
    last_key: Option<Instant>,
    counts: RepairCounts,
}

impl RepairBudget {
    /// A full budget for an estimate of `estimate` bit/s.
    pub fn new(estimate: u32, now: Instant) -> Self {
        let mut budget = Self {
            sent: vec![None; HISTORY],
            rtt: Duration::ZERO,
            estimate: f64::from(estimate),
            loss: 0.0,
            credit: 0.0,
            updated: now,
            moved: None,
            keys: 0,
            refused: BTreeSet::new(),
            last_key: None,
            counts: RepairCounts::default(),
        };
        budget.credit = budget.burst();
        budget
    }

    /// Follows the estimate, in bit/s.
    pub fn set_estimate(&mut self, estimate: u32) {
        self.estimate = f64::from(estimate);
    }

    /// Follows the round trip time.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt.min(MAX_RTT);
    }

    /// Notes that packets take another path from now on.
    pub fn on_path_change(&mut self, now: Instant) {
        if self.moved.is_none_or(|moved| now.saturating_duration_since(moved) >= MOVED_INTERVAL) {
            self.moved = Some(now);
            self.credit = self.credit.max(self.estimate / 8.0 * MOVED_CREDIT);
        }
    }

    /// Follows the share of packets that the path loses whatever is sent.
    pub fn set_random_loss(&mut self, loss: f64) {
        self.loss = loss;
    }

    /// Notes a new packet of the video; `begins_key` if it is the first of a key frame.
    pub fn note_sent(&mut self, number: u16, bytes: usize, begins_key: bool, now: Instant) {
        if begins_key {
            self.keys += 1;
            self.refused.clear();
            self.last_key = Some(now);
        }
        self.sent[slot(number)] =
            Some(Sent { number, bytes, at: now, resent: None, copies: 0, is_repaired: false, keys: self.keys });
    }

    /// What becomes of a packet reported lost at `now`. If it is to be sent again, it counts as such.
    pub fn request(&mut self, number: u16, now: Instant) -> RepairVerdict {
        self.refill(now);
        let verdict = self.judge(number, now);
        match verdict {
            RepairVerdict::Resend(_) => {
                self.counts.answered += 1;
                self.refused.remove(&number);
            }
            RepairVerdict::TooSoon => self.counts.suppressed += 1,
            RepairVerdict::Superseded => self.counts.too_old += 1,
            RepairVerdict::OverBudget => {
                self.counts.suppressed += 1;
                self.refuse(number);
            }
            RepairVerdict::TooOld => {
                self.counts.too_old += 1;
                self.refuse(number);
            }
        }
        verdict
    }

    /// Notes what became of a repair. When no copy has arrived, this is as good as another request, and sooner than the
    /// viewer's own.
    pub fn on_fate(&mut self, fate: RepairFate, now: Instant) -> Option<RepairVerdict> {
        let sent = self.sent[slot(fate.number)].as_mut().filter(|sent| sent.number == fate.number)?;
        if fate.arrived {
            sent.is_repaired = true;
            self.refused.remove(&fate.number);
        }
        let left = if fate.arrived { 0 } else { sent.copies.saturating_sub(1) };
        let was_last = std::mem::replace(&mut sent.copies, left) == 1;
        (was_last && !fate.arrived).then(|| self.request(fate.number, now))
    }

    /// Whether the viewer needs a key frame, because something that it needs was refused. Asks once; how many key frames a
    /// viewer may cause is decided by its budget of them.
    pub fn take_key_request(&mut self, now: Instant) -> bool {
        let interval = KEY_INTERVAL.max(self.rtt * 2);
        let recent = self.last_key.is_some_and(|last| now.saturating_duration_since(last) < interval);
        if self.refused.is_empty() || recent {
            return false;
        }
        self.refused.clear();
        self.last_key = Some(now);
        true
    }

    /// The answers so far.
    pub fn counts(&self) -> RepairCounts {
        self.counts
    }

    /// Notes that the viewer needs a key frame, unless the packet is repaired after all.
    fn refuse(&mut self, number: u16) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.insert(number);
        }
    }

    fn judge(&mut self, number: u16, now: Instant) -> RepairVerdict {
        let (keys, copies) = (self.keys, self.copies());
        let is_moved = self.moved.is_some_and(|moved| now.saturating_duration_since(moved) < MOVED_TIME);
        let max_age = if is_moved { MOVED_AGE } else { MAX_AGE };
        let Some(sent) = self.sent[slot(number)].as_mut().filter(|sent| sent.number == number) else {
            return RepairVerdict::TooOld;
        };
        if sent.is_repaired || sent.keys < keys {
            return RepairVerdict::Superseded;
        }
        // On a path with a longer round trip nothing could be repaired otherwise.
        if now.saturating_duration_since(sent.at) > max_age.max(self.rtt * 2) {
            return RepairVerdict::TooOld;
        }
        let interval = self.rtt.max(MIN_INTERVAL);
        if sent.resent.is_some_and(|resent| now.saturating_duration_since(resent) < interval) {
            return RepairVerdict::TooSoon;
        }
        if self.credit < sent.bytes as f64 {
            return RepairVerdict::OverBudget;
        }
        (sent.resent, sent.copies) = (Some(now), copies);
        self.credit -= sent.bytes as f64 * f64::from(copies);
        RepairVerdict::Resend(copies)
    }

    /// In how many copies a packet is sent again.
    fn copies(&self) -> u8 {
        let left = self.credit / self.burst();
        let more =
            COPIES_FROM.iter().zip(COPIES_BUDGET).filter(|(loss, budget)| self.loss >= **loss && left >= *budget);
        1 + more.count() as u8
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        let refilled = (self.credit + elapsed * self.estimate / 8.0 * SHARE).min(self.burst());
        self.credit = self.credit.max(refilled);
    }

    /// The most that may be saved up, in bytes.
    fn burst(&self) -> f64 {
        (self.estimate / 8.0 * BURST_TIME).clamp(BURST.0, BURST.1)
    }
}

fn slot(number: u16) -> usize {
    usize::from(number) % HISTORY
}

#[cfg(test)]
mod tests;
