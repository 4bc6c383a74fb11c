//! What a sound card plays, in frames of 20 ms on the same grid as those of the microphone: the reference of the echo canceller.
//!
//! It is taken where the card takes it, after everything that changes rate or pace, and follows the card's clock as the sound of a
//! microphone does. Pure; time is an argument.

use std::time::Duration;

use super::framer::Framer;
use crate::media::Timestamp;
use crate::media::clock_drift::DriftEstimate;
use crate::media::voice::FarEndSender;

/// How much earlier than it is heard a frame is passed on. Drivers know the time of a sample to some milliseconds, and an echo must
/// not come before its cause; a canceller finds out how much later it comes. More would be too late: the card is given its sound
/// 20 ms before it plays it at the latest, and the microphone's frame begins 20 ms before it is there.
const LEAD: Duration = Duration::from_millis(10);

/// Follows one opening of a card.
pub(super) struct Loopback {
    framer: Framer,
    far_end: FarEndSender,
}

impl Loopback {
    /// For a card with a rate of `rate` hertz.
    pub(super) fn new(rate: u32, far_end: FarEndSender) -> Self {
        Self { framer: Framer::new(rate, 1), far_end }
    }

    /// Adds samples that the card is given.
    pub(super) fn add(&mut self, samples: &[f32]) {
        self.framer.input().extend_from_slice(samples);
    }

    /// Passes on what was added, the last sample of which is heard at `heard`.
    pub(super) fn heard(&mut self, heard: Timestamp) {
        if self.framer.observe(0, heard.saturating_sub(LEAD)) != DriftEstimate::Steady {
            return self.restart();
        }
        while let Some(frame) = self.framer.frame() {
            self.far_end.send(frame);
        }
    }

    /// Starts over after the card has stopped.
    pub(super) fn restart(&mut self) {
        self.framer.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::pacer::FrameClock;
    use crate::media::voice::far_end;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs_f64(30.0 + seconds))
    }

    #[test]
    fn what_is_heard_is_passed_on_before_and_follows_the_cards_clock() {
        for (rate, ppm) in [(48_000, 0.0), (44_100, 150.0), (16_000, -150.0)] {
            let (sender, mut receiver) = far_end();
            let (mut loopback, clock) = (Loopback::new(rate, sender), FrameClock::new(50));
            let real_rate = f64::from(rate) * (1.0 + ppm * 1e-6);
            let (mut count, mut worst, mut compared, mut before) = (0u32, 0.0f64, 0, None);
            for number in 0..3_000u32 {
                // A ramp from -1 to 1 in each second, by the clock of the room.
                let frame = rate / 50;
                let ramp = |at: u32| ((f64::from(at) / real_rate).fract() * 2.0 - 1.0) as f32;
                loopback.add(&(count..count + frame).map(ramp).collect::<Vec<f32>>());
                count += frame;
                // Some readings are late, as those of a card that counts in periods.
                let late = f64::from(number * 7 % 5) * 1e-3;
                loopback.heard(at(f64::from(count) / real_rate + late));
                let tick = clock.start(clock.tick(at(f64::from(count) / real_rate - 0.05)));
                // A card that is fast or slow gets a frame more or less than there are ticks.
                if before.replace(tick) == Some(tick) {
                    continue;
                }
                let samples = receiver.take(tick).samples;
                let wanted = ((tick.saturating_since(at(0.0)) + LEAD).as_secs_f64() + 0.01).fract();
                // Not where it leaps.
                if number >= 100 && (0.05..0.95).contains(&wanted) {
                    assert_eq!(samples.len(), 960, "{rate} Hz, frame {number}");
                    let heard = (f64::from(samples[480]) / 32_767.0 + 1.0) / 2.0;
                    worst = worst.max((heard - wanted).abs());
                    compared += 1;
                }
            }
            assert!(compared > 2_500 && worst < 0.004, "{rate} Hz: {worst} s off in {compared} frames");
        }
    }

    #[test]
    fn a_card_that_stopped_is_followed_anew() {
        let (sender, mut receiver) = far_end();
        let mut loopback = Loopback::new(48_000, sender);
        let clock = FrameClock::new(50);
        let mut found = 0;
        for number in 0..100u32 {
            // It stops for half a second.
            let pause = if number < 50 { 0.0 } else { 0.5 };
            if number == 50 {
                loopback.restart();
            }
            loopback.add(&vec![if number < 50 { 0.25 } else { 0.5 }; 960]);
            let end = 0.02 * f64::from(number + 1) + pause;
            loopback.heard(at(end));
            let samples = receiver.take(clock.start(clock.tick(at(end - 0.05)))).samples;
            let wanted = if number < 50 { 8_192 } else { 16_384 };
            if samples.iter().all(|sample| sample.abs_diff(wanted) < 20) && !samples.is_empty() {
                found += 1;
            }
        }
        assert!(found > 85, "{found} of 100 frames");
    }
}
