//! Finds the ticks of the built-in tone in decoded audio.

use super::tone;
use test_viewer::Audio;

/// Samples a second.
pub const RATE: u32 = 48_000;

/// Searched at once: more than the second between two ticks.
const WINDOW: usize = RATE as usize * 11 / 10;

/// By how many samples Opus delays what it decodes (the pre-skip of RFC 7845 section 4.2, as libopus has it).
const DECODER_DELAY: u32 = 312;

/// Audio that has not been searched yet.
#[derive(Debug, Default)]
pub struct Ticks {
    start: u32,
    samples: Vec<i16>,
}

impl Ticks {
    /// Adds decoded stereo audio; returns the RTP timestamp of a tick, about once a second.
    pub fn add(&mut self, audio: &Audio) -> Option<u32> {
        if audio.timestamp != self.start.wrapping_add(self.samples.len() as u32) {
            self.samples.clear();
        }
        if self.samples.is_empty() {
            self.start = audio.timestamp;
        }
        self.samples.extend(audio.samples.iter().step_by(2));
        if self.samples.len() < WINDOW {
            return None;
        }
        let onset = tone::onset(&self.samples, RATE);
        self.samples.clear();
        onset.map(|at| self.start.wrapping_add(at as u32).wrapping_sub(DECODER_DELAY))
    }
}
