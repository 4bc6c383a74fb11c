//! From a talker's packets to samples at the pace of whoever plays them: the jitter buffer, and Opus with concealment.
//!
//! Pure; time is an argument. Devices and threads do not belong here.

mod jitter_buffer;
mod jitter_histogram;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;

pub use jitter_buffer::{JitterBuffer, Playable, PlayoutCounts, TalkPacket};

use crate::media::Timestamp;

/// Samples a second: Opus in WebRTC is always 48 kHz (RFC 7587 section 4.1).
const RATE: u32 = 48_000;

/// The longest Opus packet, in samples: 120 ms (RFC 6716 section 3.2.5).
const MAX_DURATION: usize = 5_760;

/// The mean square of a packet below which it is a pause of the speech: -50 dB of full scale, the noise of a quiet room.
const PAUSE: f32 = 1e-5;

/// How much longer than needed packets are still held, in seconds, after a pause is left out.
const MIN_EXCESS: f64 = 0.005;

/// Samples over which the sound fades when nothing follows it: 5 ms, so that it does not click.
const FADE: usize = 240;

/// Plays one talker.
#[derive(Debug)]
pub struct Playout {
    buffer: JitterBuffer,
    decoder: opus::Decoder,
    /// Where packets are decoded.
    decoded: Vec<f32>,
    /// What is decoded and was not played yet.
    pending: VecDeque<f32>,
    /// The last sample, and whether it has faded.
    last: f32,
    is_silent: bool,
}

impl Playout {
    /// Nothing so far.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub fn new() -> anyhow::Result<Self> {
        // The speaker is one: stereo is mixed by the decoder.
        let decoder = opus::Decoder::new(RATE, opus::Channels::Mono).context("open opus decoder")?;
        let (buffer, decoded, pending) = (JitterBuffer::new(), vec![0.0; MAX_DURATION], VecDeque::new());
        Ok(Self { buffer, decoder, decoded, pending, last: 0.0, is_silent: true })
    }

    /// Adds a packet.
    pub fn insert(&mut self, packet: TalkPacket) {
        self.buffer.insert(packet);
    }

    /// Appends the next `count` samples, the first of which is heard at `due`.
    pub fn fill(&mut self, samples: &mut Vec<f32>, count: usize, due: Timestamp) {
        while self.pending.len() < count {
            self.decode_next(self.after_pending(due));
        }
        samples.extend(self.pending.drain(..count));
    }

    /// The factor near 1 by which the samples that begin to be heard at `due` must be stretched. To be called once for each
    /// 20 ms.
    pub fn stretch(&mut self, due: Timestamp) -> f64 {
        let due = self.after_pending(due);
        self.buffer.stretch(due)
    }

    /// Whether everything was played.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.is_silent
    }

    /// What has become of the packets so far.
    pub fn counts(&self) -> PlayoutCounts {
        self.buffer.counts()
    }

    /// When what follows the pending samples is heard, if they begin at `due`.
    fn after_pending(&self, due: Timestamp) -> Timestamp {
        due.saturating_add(Duration::from_secs_f64(self.pending.len() as f64 / f64::from(RATE)))
    }

    /// Decodes, conceals or leaves out the packet that is due at `due`.
    fn decode_next(&mut self, due: Timestamp) {
        let duration = self.buffer.duration().min(MAX_DURATION);
        match self.buffer.take(due) {
            Playable::Packet(payload) => match self.decode(&payload, MAX_DURATION, false) {
                Some(count) => self.play_packet(count, due),
                None => {
                    self.buffer.note_malformed();
                    self.conceal(duration);
                }
            },
            Playable::Recovered(after) => match self.decode(&after, duration, true) {
                Some(count) => self.play(count),
                None => self.conceal(duration),
            },
            Playable::Concealed => self.conceal(duration),
            Playable::Nothing => self.fade(duration),
        }
    }

    /// Decodes a packet, or its FEC of the one before, into `decoded`: how many samples; `None` if it is no Opus.
    fn decode(&mut self, payload: &[u8], room: usize, fec: bool) -> Option<usize> {
        // Without a payload the decoder would conceal.
        if payload.is_empty() {
            return None;
        }
        self.decoder.decode_float(payload, &mut self.decoded[..room], fec).ok().filter(|count| *count > 0)
    }

    /// Plays a decoded packet, or leaves it out if it is a pause and the delay has grown.
    fn play_packet(&mut self, count: usize, due: Timestamp) {
        let power = self.decoded[..count].iter().map(|sample| sample * sample).sum::<f32>() / count as f32;
        if power < PAUSE && self.buffer.excess(due).is_some_and(|excess| excess > MIN_EXCESS) {
            self.buffer.note_left_out();
        } else {
            self.play(count);
        }
    }

    fn conceal(&mut self, duration: usize) {
        match self.decoder.decode_float(&[], &mut self.decoded[..duration], false) {
            Ok(count) if count > 0 => self.play(count),
            // Before the first packet.
            _ => self.fade(duration),
        }
    }

    /// Plays what is decoded.
    fn play(&mut self, count: usize) {
        self.pending.extend(&self.decoded[..count]);
        self.last = self.decoded[count - 1];
        self.is_silent = false;
    }

    /// Plays silence, after a fade of the last sample.
    fn fade(&mut self, duration: usize) {
        let last = if std::mem::replace(&mut self.is_silent, true) { 0.0 } else { self.last };
        let level = |at: usize| last * (1.0 - at as f32 / FADE as f32).max(0.0);
        self.pending.extend((0..duration.max(1)).map(level));
    }
}
