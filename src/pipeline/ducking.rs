//! Half duplex: while the speaker plays, the microphone is turned down, so that nobody hears themselves and nothing howls.
//!
//! The speaker's pipeline says so, and that of the microphone follows. With full duplex it cancels the echo instead. Pure; time is
//! an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::media::Timestamp;

/// How long the microphone stays turned down after the speaker was last heard: what a driver and a room take until it is quiet.
const TAIL: Duration = Duration::from_millis(300);

/// What is left of the microphone: -30 dB. The echo of a talker's own voice is not noticed any more, and the others still hear
/// that somebody talks.
const DUCKED: f32 = 0.031_6;

/// Whether the speaker plays; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Ducking(Arc<AtomicU64>);

impl Ducking {
    /// Notes that the speaker is heard at `now`.
    pub fn note_heard(&self, now: Timestamp) {
        let until = now.saturating_add(TAIL).since_start().as_millis() as u64;
        self.0.fetch_max(until, Ordering::Relaxed);
    }

    /// Whether the microphone shall be turned down at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.0.load(Ordering::Relaxed) > now.since_start().as_millis() as u64
    }
}

/// The gain of the microphone, which glides.
#[derive(Debug)]
pub(super) struct DuckedGain(f32);

impl DuckedGain {
    /// Not turned down.
    pub(super) fn new() -> Self {
        Self(1.0)
    }

    /// Turns interleaved samples of `channels` down, or no longer.
    pub(super) fn apply(&mut self, samples: &mut [i16], channels: usize, is_ducked: bool) {
        let goal = if is_ducked { DUCKED } else { 1.0 };
        let start = std::mem::replace(&mut self.0, goal);
        if start == 1.0 && goal == 1.0 {
            return;
        }
        let count = samples.len().div_ceil(channels.max(1)).max(1) as f32;
        for (at, frame) in samples.chunks_mut(channels.max(1)).enumerate() {
            let gain = start + (goal - start) * (at + 1) as f32 / count;
            frame.iter_mut().for_each(|sample| *sample = (f32::from(*sample) * gain) as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(1_000 + millis))
    }

    #[test]
    fn the_microphone_is_turned_down_while_the_speaker_is_heard_and_for_a_moment_after() {
        let ducking = Ducking::default();
        let mut gain = DuckedGain::new();
        let mut level = |millis: u64| {
            let mut samples = vec![10_000i16; 1_920];
            gain.apply(&mut samples, 2, ducking.is_active(at(millis)));
            let steepest = samples.chunks(2).map(|frame| frame[0]).collect::<Vec<_>>();
            assert!(steepest.windows(2).all(|pair| pair[0].abs_diff(pair[1]) < 20), "it glides");
            samples[1_919]
        };
        assert_eq!(level(0), 10_000);
        ducking.note_heard(at(20));
        assert_eq!((level(20), level(300)), (316, 316));
        assert_eq!((level(320), level(340)), (10_000, 10_000));
        // What is noted late does not end it earlier.
        ducking.note_heard(at(1_000));
        ducking.note_heard(at(500));
        assert!(ducking.is_active(at(1_299)) && !ducking.is_active(at(1_300)));
    }
}
