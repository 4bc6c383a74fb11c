//! Puts a talker's packets back into order, and holds them until nearly all have arrived: for as long as the jitter of the
//! network asks for, and no longer.
//!
//! Whoever plays takes one packet after the other when it is due. What has not arrived by then is lost: the packet after it
//! may make up for it (in-band FEC), or it is concealed. When nothing is there at all, the last packet is drawn out by
//! concealment, since what is late will still be played, and the delay grows by as much. It shrinks again in pauses of the
//! speech and, slowly, by playing a little faster.
//!
//! Pure; time is an argument. Decoding is in the parent module.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::jitter_histogram::JitterHistogram;
use crate::media::Timestamp;
use crate::media::clock_drift::{ClockDrift, DriftEstimate};

/// Ticks a second of the timestamps (RFC 7587 section 4.1).
const RATE: u32 = 48_000;

/// Packets held at once: more than a second, five times the largest depth.
const CAPACITY: usize = 64;

/// The shortest and the longest time that packets are held, in seconds. One packet of 20 ms is the least that a player can
/// be late by; more than the longest is no conversation.
const DEPTH: (f64, f64) = (0.02, 0.2);

/// How much longer packets are held than their jitter asks for, in seconds: a player takes what is heard in the next 20 ms at
/// once, so what is heard at the end of them has to be there that much earlier.
const MARGIN: f64 = 0.02;

/// The share of packets lost above which packets are held for one packet longer, so that the packet after a lost one has
/// arrived when it is due: one in the last few seconds.
const LOSS: f64 = 0.002;

/// The weight of a packet in the share of packets lost: that of the last four seconds.
const LOSS_WEIGHT: f64 = 0.005;

/// How much more than its depth the delay may be, in seconds, before packets are skipped also where somebody speaks.
const MAX_EXCESS: f64 = 0.1;

/// How often in succession the last packet is drawn out, in packets of 20 ms: after 100 ms concealment is a hum.
const MAX_WAITED: u32 = 5;

/// Packets between two that are drawn out to reach a greater depth: too rarely to be heard as a stutter.
const INSERTION_INTERVAL: u32 = 10;

/// A packet whose number is further off than this belongs to another stream (RFC 3550 appendix A.1, for 20 ms).
const MAX_JUMP: i64 = 1_000;

/// The same for timestamps: 10 seconds.
const MAX_TIME_JUMP: i64 = 10 * RATE as i64;

/// What the count of a stream's first sample is, so that older packets that arrive later have a count too.
const FIRST_COUNT: i64 = MAX_TIME_JUMP;

/// The duration of a packet in samples, until it is known: 20 ms.
const USUAL_DURATION: i64 = 960;

/// What it may be: 2.5 to 120 ms, in steps of 2.5 ms (RFC 6716 section 3.2.5).
const DURATIONS: RangeInclusive<i64> = 120..=5_760;

/// An audio packet of a talker.
#[derive(Debug, Clone)]
pub struct TalkPacket {
    /// Its sequence number.
    pub sequence: u16,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// When it was received.
    pub arrived: Timestamp,
    /// Whether it came along with a later one (RFC 2198), so that its arrival says nothing about the network.
    pub is_redundant: bool,
    /// The Opus packet.
    pub payload: Bytes,
}

/// What is played next, for the duration of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playable {
    /// This packet.
    Packet(Bytes),
    /// The packet before this one, which is lost, as far as this one makes up for it.
    Recovered(Bytes),
    /// What conceals that there is none.
    Concealed,
    /// Silence.
    Nothing,
}

/// What has become of the packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutCounts {
    /// Packets that were played.
    pub played: u64,
    /// Lost packets that the one after them made up for, as far as it could.
    pub recovered: u64,
    /// Times that a packet's duration was concealed.
    pub concealed: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Packets that were skipped, because the delay had grown.
    pub skipped: u64,
    /// Packets that are no Opus.
    pub malformed: u64,
}

/// Holds the packets of one talker.
#[derive(Debug)]
pub struct JitterBuffer {
    packets: BTreeMap<i64, HeldPacket>,
    /// The highest sequence number with its timestamp, both without wraps.
    newest: Option<(i64, i64)>,
    /// The timestamp of the stream's first packet.
    origin: i64,
    /// The number that is due next, with its timestamp as far as known.
    next: (i64, i64),
    /// Whether packets are being played; otherwise the next ones are held until it is their time.
    is_playing: bool,
    /// How often the last packet was drawn out.
    waited: u32,
    /// Packets played since one was drawn out to reach a greater depth.
    since_insertion: u32,
    /// The duration of a packet, in samples.
    duration: i64,
    clock: ClockDrift,
    jitter: JitterHistogram,
    /// The share of packets lost lately.
    loss: f64,
    counts: PlayoutCounts,
}

#[derive(Debug)]
struct HeldPacket {
    timestamp: i64,
    payload: Bytes,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self {
            packets: BTreeMap::new(),
            newest: None,
            origin: 0,
            next: (0, 0),
            is_playing: false,
            waited: 0,
            since_insertion: 0,
            duration: USUAL_DURATION,
            clock: ClockDrift::new(RATE),
            jitter: JitterHistogram::new(),
            loss: 0.0,
            counts: PlayoutCounts::default(),
        }
    }

    /// Adds a packet. Copies, and packets whose time is over, are dropped.
    pub fn insert(&mut self, packet: TalkPacket) {
        let (sequence, timestamp) = self.extend(&packet);
        if !packet.is_redundant {
            self.note_arrival(timestamp, packet.arrived);
        }
        if let Some((newest, newest_timestamp)) = self.newest
            && sequence == newest + 1
            && DURATIONS.contains(&(timestamp - newest_timestamp))
            && (timestamp - newest_timestamp) % DURATIONS.start() == 0
        {
            self.duration = timestamp - newest_timestamp;
        }
        if self.newest.is_none_or(|(newest, _)| sequence > newest) {
            self.newest = Some((sequence, timestamp));
        }
        if sequence < self.next.0 {
            // A copy of one that was played is not late.
            self.counts.late += u64::from(!packet.is_redundant);
            return;
        }
        self.packets.entry(sequence).or_insert(HeldPacket { timestamp, payload: packet.payload });
        if self.packets.len() > CAPACITY {
            self.skip_first();
        }
    }

    /// What is played for the duration of the next packet, which begins to be heard at `due`.
    pub fn take(&mut self, due: Timestamp) -> Playable {
        if !self.is_playing && !self.begin(due) {
            return Playable::Nothing;
        }
        loop {
            let Some((&first, held)) = self.packets.first_key_value() else { return self.draw_out() };
            let (timestamp, is_next) = (held.timestamp, first == self.next.0);
            let (delay, depth) = (self.delay(timestamp, due), self.depth());
            if delay > depth + MAX_EXCESS && self.packets.len() > 1 {
                self.skip_first();
                continue;
            }
            if is_next {
                return if self.is_early(delay, depth) { self.draw_out() } else { self.play_first() };
            }
            if self.waited > 0 {
                // Its time has passed in concealment.
                self.waited -= 1;
                self.note_fate(true);
                self.advance(self.next.1 + self.duration);
            } else if delay >= depth + self.seconds() {
                // It is the next one's time already, and more.
                self.note_fate(true);
                self.next = (first, timestamp);
            } else {
                return self.replace_lost();
            }
        }
    }

    /// Whether there is nothing to play, and nothing being played.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && !self.is_playing
    }

    /// The duration of a packet, in samples.
    pub fn duration(&self) -> usize {
        usize::try_from(self.duration).unwrap_or(0)
    }

    /// How long packets are to be held for now, in seconds.
    pub fn depth(&self) -> f64 {
        let for_loss = if self.loss > LOSS { self.seconds() } else { 0.0 };
        (self.jitter.quantile() + MARGIN + for_loss).clamp(DEPTH.0, DEPTH.1)
    }

    /// How much longer what is due at `due` has been held than needed, in seconds; negative for less. `None` while nothing is
    /// played.
    pub fn excess(&self, due: Timestamp) -> Option<f64> {
        self.is_playing.then(|| self.delay(self.next.1, due) - self.depth())
    }

    /// The factor near 1 by which what is due at `due` must be stretched, so that the talker's clock is followed and the delay
    /// comes near the depth. To be called once for each 20 ms.
    pub fn stretch(&mut self, due: Timestamp) -> f64 {
        let excess = self.excess(due).unwrap_or(0.0);
        self.clock.steer(excess)
    }

    /// What has become of the packets so far.
    pub fn counts(&self) -> PlayoutCounts {
        self.counts
    }

    /// Counts that a packet that was played is no Opus.
    pub(super) fn note_malformed(&mut self) {
        self.counts.played = self.counts.played.saturating_sub(1);
        self.counts.malformed += 1;
    }

    /// Counts that a packet was taken and left out.
    pub(super) fn note_left_out(&mut self) {
        self.counts.played = self.counts.played.saturating_sub(1);
        self.counts.skipped += 1;
    }

    /// The number and the timestamp without wraps. A packet that is far off begins another stream.
    fn extend(&mut self, packet: &TalkPacket) -> (i64, i64) {
        if let Some((sequence, timestamp)) = self.newest {
            let steps = i64::from(packet.sequence.wrapping_sub(sequence as u16) as i16);
            let time = i64::from(packet.timestamp.wrapping_sub(timestamp as u32) as i32);
            if steps.abs() <= MAX_JUMP && time.abs() <= MAX_TIME_JUMP {
                return (sequence + steps, timestamp + time);
            }
            let counts = self.counts;
            *self = Self { counts, ..Self::new() };
        }
        let (sequence, timestamp) = (i64::from(packet.sequence), i64::from(packet.timestamp));
        self.origin = timestamp;
        // Until the first is played, those that were sent before it and arrive later are in time.
        self.next = (sequence - MAX_JUMP, timestamp);
        (sequence, timestamp)
    }

    /// Compares the clock of the talker with ours, and notes how late the packet was.
    fn note_arrival(&mut self, timestamp: i64, arrived: Timestamp) {
        let Ok(count) = u64::try_from(timestamp - self.origin + FIRST_COUNT) else { return };
        if self.clock.observe(count, arrived) != DriftEstimate::Steady {
            // Another path, or the first packets were late.
            self.clock = ClockDrift::new(RATE);
            self.clock.observe(count, arrived);
        }
        self.jitter.add(self.clock.lag(count as f64, arrived).unwrap_or(0.0));
    }

    /// The duration of a packet, in seconds.
    fn seconds(&self) -> f64 {
        self.duration as f64 / f64::from(RATE)
    }

    /// How long after the packet of this timestamp would have arrived without jitter `due` is, in seconds.
    fn delay(&self, timestamp: i64, due: Timestamp) -> f64 {
        self.clock.lag((timestamp - self.origin + FIRST_COUNT) as f64, due).unwrap_or(0.0)
    }

    /// Begins to play, if it is time for the first packet.
    fn begin(&mut self, due: Timestamp) -> bool {
        let Some((&first, held)) = self.packets.first_key_value() else { return false };
        if self.delay(held.timestamp, due) < self.depth() {
            return false;
        }
        self.next = (first, held.timestamp);
        (self.is_playing, self.waited, self.since_insertion) = (true, 0, 0);
        true
    }

    /// Whether the next packet should be played later than now.
    fn is_early(&self, delay: f64, depth: f64) -> bool {
        // Before it could have arrived: the talker was silent in between.
        let is_ahead = delay < 0.0;
        let is_short = delay < depth - self.seconds();
        is_ahead || is_short && self.waited == 0 && self.since_insertion >= INSERTION_INTERVAL
    }

    fn play_first(&mut self) -> Playable {
        let Some((_, HeldPacket { timestamp, payload })) = self.packets.pop_first() else { return Playable::Nothing };
        self.note_fate(false);
        self.counts.played += 1;
        self.since_insertion = self.since_insertion.saturating_add(1);
        self.waited = 0;
        self.advance(timestamp + self.duration);
        Playable::Packet(payload)
    }

    /// Conceals that the next packet is not there yet; after a while it is silent.
    fn draw_out(&mut self) -> Playable {
        self.since_insertion = 0;
        self.waited += 1;
        if self.waited <= MAX_WAITED {
            self.counts.concealed += 1;
            return Playable::Concealed;
        }
        // What comes next is held until it is its time.
        self.is_playing = false;
        Playable::Nothing
    }

    /// Makes up for the next packet, which is lost, as well as can be.
    fn replace_lost(&mut self) -> Playable {
        self.note_fate(true);
        self.advance(self.next.1 + self.duration);
        match self.packets.get(&self.next.0) {
            Some(after) => {
                self.counts.recovered += 1;
                Playable::Recovered(after.payload.clone())
            }
            None => {
                self.counts.concealed += 1;
                Playable::Concealed
            }
        }
    }

    /// Skips to after the first packet.
    fn skip_first(&mut self) {
        if let Some((sequence, held)) = self.packets.pop_first() {
            self.counts.skipped += 1;
            self.next = (sequence + 1, held.timestamp + self.duration);
        }
    }

    /// Goes on with the next packet, which has this timestamp.
    fn advance(&mut self, timestamp: i64) {
        self.next = (self.next.0 + 1, timestamp);
    }

    fn note_fate(&mut self, is_lost: bool) {
        self.loss += (f64::from(u8::from(is_lost)) - self.loss) * LOSS_WEIGHT;
    }
}
