//! Turns sound at 48 kHz into frames of 20 ms at the rate of the sound card that plays them, by the card's own clock.
//!
//! The counterpart of `framer`. Pure; time is an argument. The clocks are compared in `media::clock_drift`.

use super::resample::{Resample, Resampler};
use crate::media::Timestamp;
use crate::media::clock_drift::{ClockDrift, DriftEstimate};

/// The deviation of a card's clock that is followed, in ppm: far more than that of a bad crystal.
const MAX_DEVIATION: f64 = 5_000.0;

/// Feeds one opening of a card.
pub(super) struct Feeder<R = Resampler> {
    rate: u32,
    resampler: R,
    drift: ClockDrift,
    /// Samples that the card was given since it began.
    written: u64,
    /// How much the next frame is stretched, besides what the card's clock asks for.
    stretch: f64,
}

impl Feeder {
    /// A feeder for a card with a rate of `rate` hertz.
    pub(super) fn new(rate: u32) -> Self {
        Self::with(rate, Resampler::to(rate))
    }
}

impl<R: Resample> Feeder<R> {
    fn with(rate: u32, resampler: R) -> Self {
        Self { rate, resampler, drift: ClockDrift::new(rate), written: 0, stretch: 1.0 }
    }

    /// Samples at 48 kHz that the next frame needs.
    pub(super) fn needs(&mut self) -> usize {
        let deviation = self.drift.deviation_ppm().clamp(-MAX_DEVIATION, MAX_DEVIATION);
        // A card that counts fast needs more samples in the same time. How many depends on the ratio, so it changes here only.
        self.resampler.stretch(self.stretch * (1.0 + deviation * 1e-6));
        self.resampler.needs()
    }

    /// The next frame for the card, of as many samples as it [`needs`](Self::needs). The one after it is stretched by the factor
    /// `stretch` near 1, besides what the card's clock asks for.
    pub(super) fn frame(&mut self, samples: &[f32], stretch: f64) -> &[f32] {
        self.stretch = stretch;
        self.resampler.frame(samples)
    }

    /// Records that the card was given so many samples.
    pub(super) fn note_written(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// Records that, at `at`, it had not played the last `queued` of them yet.
    pub(super) fn observe(&mut self, queued: usize, at: Timestamp) {
        let Some(played) = self.written.checked_sub(queued as u64).filter(|played| *played > 0) else { return };
        if self.drift.observe(played, at) != DriftEstimate::Steady {
            self.drift = ClockDrift::new(self.rate);
            self.drift.observe(played, at);
        }
    }

    /// Starts over after the card has stopped: it counts from zero.
    pub(super) fn restart(&mut self) {
        (self.drift, self.written) = (ClockDrift::new(self.rate), 0);
    }

    /// The deviation of the card's clock from the system clock in ppm, as far as known.
    pub(super) fn deviation_ppm(&self) -> f64 {
        self.drift.deviation_ppm()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::media::playout::{JitterBuffer, Playable, TalkPacket};

    /// Frames of a minute.
    const MINUTE: u64 = 3_000;

    /// Counts samples instead of computing them.
    struct Counting {
        ratio: f64,
        stretch: f64,
        /// The part of a sample that the frames so far need beyond what they took.
        rest: f64,
        frame: Vec<f32>,
    }

    impl Counting {
        fn to(rate: u32) -> Self {
            let frame = vec![0.0; rate as usize / 50];
            Self { ratio: f64::from(rate) / 48_000.0, stretch: 1.0, rest: 0.0, frame }
        }
    }

    impl Resample for Counting {
        const DELAY: usize = 0;

        fn needs(&self) -> usize {
            (self.frame.len() as f64 / (self.ratio * self.stretch) + self.rest) as usize
        }

        fn frame(&mut self, input: &[f32]) -> &[f32] {
            self.rest += self.frame.len() as f64 / (self.ratio * self.stretch) - input.len() as f64;
            &self.frame
        }

        fn stretch(&mut self, stretch: f64) {
            self.stretch = stretch;
        }

        fn reset(&mut self) {}
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs_f64(40.0 + seconds))
    }

    /// A talker of whom each 20 ms arrive 20 ms later, and a card that wants the next frame when 20 ms are left, for an hour:
    /// the delay after a minute, the least and the most from then on, in seconds, and how often there was nothing to play.
    fn hour(rate: u32, talker_ppm: f64, card_ppm: f64) -> (f64, f64, f64, u64) {
        let (mut feeder, mut buffer) = (Feeder::with(rate, Counting::to(rate)), JitterBuffer::new());
        let (mut sent, mut pending) = (0u64, 0usize);
        let (mut begin, mut least, mut most) = (0.0, f64::MAX, f64::MIN);
        let sent_at = |number: u64| number as f64 * 0.02 / (1.0 + talker_ppm * 1e-6);
        for request in 0..180_000u64 {
            let now = 0.031 + request as f64 * 0.02 / (1.0 + card_ppm * 1e-6);
            while sent_at(sent) <= now {
                buffer.insert(TalkPacket {
                    sequence: sent as u16,
                    timestamp: (sent * 960) as u32,
                    arrived: at(sent_at(sent)),
                    is_redundant: false,
                    payload: Bytes::copy_from_slice(&sent.to_be_bytes()),
                });
                sent += 1;
            }
            if request > 0 {
                feeder.observe(rate as usize / 50, at(now));
            }
            while pending < feeder.needs() {
                let due = now + pending as f64 / 48_000.0;
                if let Playable::Packet(payload) = buffer.take(at(due)) {
                    let number = u64::from_be_bytes(payload[..].try_into().expect("should be a number"));
                    let delay = due - sent_at(number);
                    if request < MINUTE {
                        begin = delay;
                    } else {
                        (least, most) = (delay.min(least), delay.max(most));
                    }
                }
                pending += 960;
            }
            let samples = vec![0.0; feeder.needs()];
            pending -= samples.len();
            let stretch = buffer.stretch(at(now + 0.02 + pending as f64 / 48_000.0));
            let count = feeder.frame(&samples, stretch).len();
            feeder.note_written(count);
        }
        (begin, least, most, buffer.counts().concealed)
    }

    #[test]
    fn an_hour_of_a_talker_on_a_card_with_another_clock_keeps_the_delay() {
        for (rate, talker_ppm, card_ppm) in
            [(48_000, 200.0, 0.0), (48_000, 0.0, -200.0), (44_100, -200.0, 200.0), (96_000, 0.0, 0.0)]
        {
            let (begin, least, most, concealed) = hour(rate, talker_ppm, card_ppm);
            let case =
                format!("{rate} Hz, {talker_ppm} and {card_ppm} ppm: {begin} s after a minute, {least} to {most} s");
            assert!(most - begin < 0.02 && begin - least < 0.02, "{case}");
            assert!(concealed <= 2, "{concealed} concealed; {case}");
        }
    }

    #[test]
    fn frames_of_any_ratio_are_made_of_what_they_need() {
        let mut feeder = Feeder::new(44_100);
        for frame in 0..500u32 {
            feeder.note_written(882);
            // The card is 300 ppm fast.
            feeder.observe(0, at(f64::from(frame) * 0.02 / 1.000_3));
            let samples = vec![0.5; feeder.needs()];
            let stretch = 1.0 + f64::from(frame % 7) * 1e-4;
            assert_eq!(feeder.frame(&samples, stretch).len(), 882);
        }
    }

    #[test]
    fn the_cards_clock_is_measured_from_what_it_has_played() {
        let mut feeder = Feeder::with(48_000, Counting::to(48_000));
        for frame in 0..4_000u32 {
            feeder.note_written(960);
            // The last two frames are queued; the card is 100 ppm fast.
            feeder.observe(1_920, at(f64::from(frame) * 0.02 / 1.000_1));
        }
        assert!((feeder.deviation_ppm() - 100.0).abs() < 10.0, "{}", feeder.deviation_ppm());
        feeder.restart();
        assert_eq!(feeder.deviation_ppm(), 0.0);
    }
}
