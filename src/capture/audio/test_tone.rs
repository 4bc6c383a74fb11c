//! The built-in audio source: a quiet tone that proves audio arrives, and a tick at the start of every second of the
//! capture clock, when the test pattern flashes, so that the offset between audio and video can be measured.
//!
//! Both repeat every second, so one second of samples is stored. Encoding does not belong here.

use std::f64::consts::TAU;
use std::time::Duration;

use super::{CaptureSource, Error, FRAME_SAMPLES, FRAMES, SAMPLE_RATE};
use crate::media::pacer;
use crate::media::pacer::{FrameClock, PaceStep, Pacer};
use crate::media::{PcmFrame, Timestamp};

/// The tone in hertz: the concert pitch A (ISO 16). A whole number, so that a second ends where it begins.
pub const TONE_HZ: u32 = 440;

/// The tick's pitch in hertz: well apart from the tone and its harmonics.
pub const TICK_HZ: u32 = 1000;

/// The duration of the tick: long enough to be heard as a tick rather than a click that a codec smears.
pub const TICK: Duration = Duration::from_millis(50);

/// The peak of the tone, -30 dBFS: audible if you listen for it, and unobtrusive.
const TONE_PEAK: f64 = 1036.0;

/// The peak of the tick, -12 dBFS: 18 dB above the tone, so that its onset is sharp after any codec.
const TICK_PEAK: f64 = 8231.0;

/// The number of frames kept for a late consumer: 100 ms, like a sound card's ring buffer.
const BACKLOG: u64 = 5;

/// The built-in microphone.
pub struct Tone {
    channels: u16,
    second: Vec<i16>,
    pacer: Pacer,
}

impl Tone {
    /// Opens the tone with 1 or 2 channels, both the same; more become 2.
    pub fn open(channels: u16) -> Self {
        let second = (0..SAMPLE_RATE).map(sample).collect();
        Self { channels: channels.clamp(1, 2), second, pacer: Pacer::new(FrameClock::new(FRAMES), BACKLOG) }
    }

    /// The frame that is complete at `now`.
    ///
    /// # Errors
    ///
    /// How long until the next frame is complete.
    pub fn poll(&mut self, now: Timestamp) -> Result<PcmFrame, Duration> {
        // As with a sound card, a frame is available once its last sample was captured: one frame after its first.
        let length = Duration::from_secs(1) / FRAMES;
        match self.pacer.poll(now.saturating_sub(length)) {
            PaceStep::Wait(wait) => Err(wait),
            PaceStep::Due { tick: number, start, missed } => {
                let first = (number % u64::from(FRAMES)) as usize * FRAME_SAMPLES;
                let mono = self.second[first..first + FRAME_SAMPLES].iter();
                let samples = mono.flat_map(|s| std::iter::repeat_n(*s, usize::from(self.channels))).collect();
                Ok(PcmFrame { captured: start, gap: missed > 0, samples })
            }
        }
    }
}

impl CaptureSource for Tone {
    fn label(&self) -> &str {
        "test tone"
    }

    fn channels(&self) -> u16 {
        self.channels
    }

    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error> {
        Ok(pacer::wait(wait, |now| self.poll(now)))
    }
}

/// Sample number `index` of a second that begins with a full second of the wall clock.
fn sample(index: u32) -> i16 {
    let time = f64::from(index) / f64::from(SAMPLE_RATE);
    let length = TICK.as_secs_f64();
    // The tick begins at full strength and fades: the begin is what is measured, the end must not click.
    let envelope = (1.0 - time / length).max(0.0);
    let tone = TONE_PEAK * (time * f64::from(TONE_HZ) * TAU).sin();
    let tick = TICK_PEAK * envelope * (time * f64::from(TICK_HZ) * TAU).sin();
    (tone + tick).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment `millis` after a full second of the wall clock.
    fn after_second(millis: u64) -> Timestamp {
        let begun = u64::from(Timestamp::default().unix().subsec_nanos());
        Timestamp::from_start(Duration::from_nanos(5_000_000_000 - begun + millis * 1_000_000))
    }

    /// `count` frames from a consumer that is never late.
    fn frames(tone: &mut Tone, mut now: Timestamp, count: usize) -> Vec<PcmFrame> {
        let mut frames = Vec::new();
        while frames.len() < count {
            match tone.poll(now) {
                Ok(frame) => frames.push(frame),
                Err(wait) => now = now.saturating_add(wait),
            }
        }
        frames
    }

    #[test]
    fn tick_starts_at_full_second_of_capture_clock() {
        let frames = frames(&mut Tone::open(1), after_second(500), 100);
        for frame in &frames {
            assert_eq!(frame.samples.len(), FRAME_SAMPLES);
            let loud = frame.samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0) > 1100;
            let into = frame.captured.unix().subsec_millis();
            assert_eq!(loud, into < 50, "at {into} ms of the second");
        }
        let first = frames.iter().find(|frame| frame.captured.unix().subsec_nanos() == 0).expect("a full second");
        assert_eq!(first.samples[0], 0);
        assert!(first.samples[12] > 8000, "a quarter of a period in, the tick is at its peak");
    }

    #[test]
    fn consecutive_frames_are_continuous() {
        let frames = frames(&mut Tone::open(1), after_second(0), 120);
        for pair in frames.windows(2) {
            assert_eq!(pair[1].captured.saturating_since(pair[0].captured), Duration::from_millis(20));
            assert!(!pair[1].gap);
        }
        let samples: Vec<i16> = frames.iter().flat_map(|frame| frame.samples.clone()).collect();
        // The steepest step of both sines together at their peaks.
        let steepest = TAU * (TONE_PEAK * f64::from(TONE_HZ) + TICK_PEAK * f64::from(TICK_HZ)) / f64::from(SAMPLE_RATE);
        assert!(samples.windows(2).all(|pair| f64::from(pair[1].abs_diff(pair[0])) <= steepest + 1.0));
    }

    #[test]
    fn frame_is_due_at_its_last_sample() {
        let mut tone = Tone::open(1);
        assert_eq!(tone.poll(after_second(5)).expect_err("not yet"), Duration::from_millis(15));
        assert_eq!(tone.poll(after_second(20)).expect("due").captured, after_second(0));
    }

    #[test]
    fn late_consumer_loses_oldest_frames_and_sees_one_gap() {
        let mut tone = Tone::open(1);
        tone.poll(after_second(0)).expect_err("nothing is due yet");
        let late: Vec<PcmFrame> = std::iter::from_fn(|| tone.poll(after_second(300)).ok()).collect();
        let gaps: Vec<bool> = late.iter().map(|frame| frame.gap).collect();
        assert_eq!(gaps, [true, false, false, false, false, false]);
        assert_eq!(late[5].captured, after_second(280));
    }

    #[test]
    fn stereo_channels_are_identical() {
        let (mono, stereo) = (&mut Tone::open(1), &mut Tone::open(2));
        let (mono, stereo) = (frames(mono, after_second(3), 3), frames(stereo, after_second(3), 3));
        let doubled: Vec<i16> = mono[2].samples.iter().flat_map(|s| [*s, *s]).collect();
        assert_eq!(stereo[2].samples, doubled);
        assert_eq!(Tone::open(9).channels(), 2);
        assert_eq!(Tone::open(0).channels(), 1);
    }
}
