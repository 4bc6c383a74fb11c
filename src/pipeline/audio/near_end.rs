//! What becomes of the microphone's sound before it is encoded. While the speaker is heard its echo is cancelled (full duplex), or
//! the microphone is turned down (half duplex, or if the processor is too slow); noise suppression and gain control follow.
//!
//! How it is done is in `media::voice` and `ducking`. Nothing runs here while nobody talks, unless the options ask for it.

use std::time::{Duration, Instant};

use crate::capture::audio;
use crate::capture::audio::speaker::TalkMode;
use crate::media::voice::{Budget, EchoCanceller, Enhancer, FarEnd, FarEndReceiver};
use crate::media::{PcmFrame, Timestamp};
use crate::model::status;
use crate::pipeline::ducking::{DuckedGain, Ducking};

/// How long the canceller is kept after the speaker was last heard. In the next words of a conversation it need not learn the room
/// again; it takes a few megabytes.
const KEEP: Duration = Duration::from_secs(60);

/// The sound of the microphone.
pub(super) struct NearEnd {
    channels: u16,
    ducking: Ducking,
    gain: DuckedGain,
    /// In full duplex.
    echo: Option<Echo>,
    enhancer: Option<Enhancer>,
}

/// The echo of the speaker.
struct Echo {
    channels: u16,
    far_end: FarEndReceiver,
    /// From the first talk on.
    canceller: Option<EchoCanceller>,
    /// Whether the canceller was used in the last frame.
    was_active: bool,
    budget: Budget,
    /// Whether the processor is too slow for it. Tried again in the next conversation.
    is_overloaded: bool,
    was_logged: bool,
    last_heard: Option<Timestamp>,
    /// The samples before they were changed.
    raw: Vec<i16>,
    publisher: status::StatusPublisher,
}

impl NearEnd {
    /// For a microphone with this configuration. With `far_end`, which has what the speaker plays, echo is cancelled.
    pub(super) fn new(
        config: &audio::Config,
        ducking: Ducking,
        far_end: Option<FarEndReceiver>,
        publisher: status::StatusPublisher,
    ) -> Self {
        let channels = config.channels.clamp(1, 2);
        let echo = |far_end| Echo {
            channels,
            far_end,
            canceller: None,
            was_active: false,
            budget: Budget::default(),
            is_overloaded: false,
            was_logged: false,
            last_heard: None,
            raw: Vec::new(),
            publisher,
        };
        Self {
            channels,
            ducking,
            gain: DuckedGain::new(),
            echo: far_end.map(echo),
            enhancer: Enhancer::new(config.enhancement, channels),
        }
    }

    /// Processes a frame in place.
    pub(super) fn process(&mut self, frame: &mut PcmFrame) {
        let (samples, captured) = (&mut frame.samples, frame.captured);
        let is_heard = self.ducking.is_active(captured);
        let is_cancelled = self.echo.as_mut().is_some_and(|echo| echo.process(samples, captured, is_heard));
        self.gain.apply(samples, usize::from(self.channels), is_heard && !is_cancelled);
        if let Some(enhancer) = &mut self.enhancer {
            enhancer.process(samples);
        }
    }

    /// Nobody hears it any more.
    pub(super) fn rest(&mut self) {
        if let Some(echo) = &mut self.echo {
            echo.rest();
        }
    }
}

impl Echo {
    /// Takes the echo out of what was captured at `captured`. Returns whether that works.
    fn process(&mut self, samples: &mut [i16], captured: Timestamp, is_heard: bool) -> bool {
        if is_heard {
            self.last_heard = Some(captured);
        } else if self.last_heard.is_none_or(|last| captured.saturating_since(last) > KEEP) {
            self.rest();
        }
        if self.is_overloaded || !(is_heard || self.was_active) {
            return false;
        }
        let FarEnd { samples: far, was_late } = self.far_end.take(captured);
        let begun = Instant::now();
        self.raw.clear();
        self.raw.extend_from_slice(samples);
        self.canceller.get_or_insert_with(|| EchoCanceller::new(self.channels)).process(samples, &far);
        let was_active = std::mem::replace(&mut self.was_active, is_heard);
        if was_active != is_heard {
            self.glide(samples);
        }
        if self.budget.note(begun.elapsed(), was_late) {
            self.give_up();
        }
        true
    }

    /// Changes from what was captured to what was made of it, or back, within a frame: the library's filters delay the sound a
    /// little, which would click.
    fn glide(&self, samples: &mut [i16]) {
        let count = samples.len().max(1) as f32;
        for (at, (sample, raw)) in samples.iter_mut().zip(&self.raw).enumerate() {
            let part = at as f32 / count;
            let share = if self.was_active { part } else { 1.0 - part };
            *sample = (f32::from(*sample) * share + f32::from(*raw) * (1.0 - share)) as i16;
        }
    }

    /// Goes on in half duplex.
    fn give_up(&mut self) {
        (self.canceller, self.was_active, self.is_overloaded) = (None, false, true);
        if !std::mem::replace(&mut self.was_logged, true) {
            tracing::warn!(
                "the processor is too slow to cancel the echo of the speaker; the microphone is turned down instead while \
                 somebody talks (mode = \"half\" in [speaker])"
            );
        }
        self.publisher.speaker(|speaker| speaker.mode = TalkMode::Half.name());
    }

    /// Forgets the room: nobody has talked for a while.
    fn rest(&mut self) {
        (self.canceller, self.was_active, self.last_heard) = (None, false, None);
        self.budget = Budget::default();
        if std::mem::take(&mut self.is_overloaded) {
            self.publisher.speaker(|speaker| speaker.mode = TalkMode::Full.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::media::voice::{FarEndSender, far_end};
    use crate::model::status::{Status, StatusPublisher};

    /// A microphone and a speaker.
    struct Rig {
        near_end: NearEnd,
        ducking: Ducking,
        speaker: FarEndSender,
        publisher: StatusPublisher,
        tick: u64,
    }

    fn at(tick: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(20 * tick))
    }

    /// A frame of noise that never repeats.
    fn noise(tick: u64) -> Vec<i16> {
        let number = |at: u64| (tick * 960 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555;
        (0..960).map(|at| (number(at).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 51) as i16 - 4_096).collect()
    }

    fn power(samples: &[i16]) -> f32 {
        samples.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / samples.len() as f32
    }

    impl Rig {
        fn new(config: &audio::Config) -> Self {
            let publisher = StatusPublisher::new(Status::default());
            publisher.speaker(|speaker| speaker.mode = TalkMode::Full.name());
            let (ducking, (speaker, played)) = (Ducking::default(), far_end());
            let near_end = NearEnd::new(config, ducking.clone(), Some(played), publisher.clone());
            Self { near_end, ducking, speaker, publisher, tick: 100 }
        }

        fn mode(&self) -> &'static str {
            self.publisher.snapshot().speaker.mode
        }

        /// The next frame, of these samples in each channel: what is left of the first one.
        fn frame(&mut self, samples: &[i16]) -> Vec<i16> {
            let channels = usize::from(self.near_end.channels);
            let samples = samples.iter().flat_map(|sample| std::iter::repeat_n(*sample, channels)).collect();
            let mut frame = PcmFrame { captured: at(self.tick), gap: false, samples };
            self.tick += 1;
            self.near_end.process(&mut frame);
            let frames = frame.samples.chunks(channels);
            assert!(frames.clone().all(|frame| (frame[0] - frame[channels - 1]).abs() < 50), "the channels differ");
            frames.map(|frame| frame[0]).collect()
        }

        /// The speaker plays noise for so many frames, of which half is heard by the microphone 40 ms later: how much less of it
        /// is left in the last of them, in decibels.
        fn talk(&mut self, frames: u64) -> f32 {
            let mut left = 0.0;
            for _ in 0..frames {
                self.ducking.note_heard(at(self.tick));
                self.speaker.send(PcmFrame { captured: at(self.tick), gap: false, samples: noise(self.tick) });
                let echo: Vec<i16> = noise(self.tick - 2).iter().map(|sample| sample / 2).collect();
                let heard = self.frame(&echo);
                left = 10.0 * (power(&echo) / power(&heard).max(1e-3)).log10();
            }
            left
        }

        /// Nobody talks for so many frames of a tone, which must stay as it is after the speaker's tail.
        fn pause(&mut self, frames: u64) {
            let tone: Vec<i16> = (0..960).map(|at| (8_000.0 * (TAU * at as f32 / 48.0).sin()) as i16).collect();
            for number in 0..frames {
                let heard = self.frame(&tone);
                assert!(number < 20 || heard == tone, "frame {number} of a pause was changed");
            }
        }
    }

    #[test]
    fn echo_is_cancelled_while_somebody_talks_and_nothing_runs_otherwise() {
        for channels in [1, 2] {
            let mut rig = Rig::new(&audio::Config { channels, ..audio::Config::default() });
            rig.pause(50);
            assert!(rig.near_end.echo.as_ref().is_some_and(|echo| echo.canceller.is_none()), "nobody has talked");
            // Of steady noise less goes than of speech; how much of that is tested in `tests/echo.rs`.
            let left = rig.talk(150);
            assert!(left > 15.0, "{left} dB");
            rig.pause(50);
            let again = rig.talk(5);
            assert!(again > 10.0, "it knows the room: {again} dB");
            rig.pause(3_050);
            assert!(rig.near_end.echo.as_ref().is_some_and(|echo| echo.canceller.is_none()), "it was kept");
            assert_eq!(rig.mode(), "full");
        }
    }

    #[test]
    fn the_microphone_is_turned_down_where_the_canceller_falls_behind_until_the_next_conversation() {
        let mut rig = Rig::new(&audio::Config::default());
        rig.talk(10);
        // The speaker's thread is a frame behind, as on a processor that has too much to do.
        for _ in 0..60 {
            rig.ducking.note_heard(at(rig.tick));
            rig.frame(&noise(rig.tick));
            rig.speaker.send(PcmFrame { captured: at(rig.tick - 1), gap: false, samples: noise(rig.tick) });
        }
        assert_eq!(rig.mode(), "half");
        let left = rig.talk(50);
        assert!((left - 30.0).abs() < 1.0, "turned down: {left} dB");
        rig.pause(3_050);
        assert_eq!(rig.mode(), "full");
        let left = rig.talk(150);
        assert!((15.0..28.0).contains(&left), "cancelled again: {left} dB");
    }

    #[test]
    fn options_of_the_microphone_work_though_nobody_talks() {
        let with = |noise_suppression, gain_control| {
            let enhancement = crate::media::voice::Enhancement { noise_suppression, gain_control };
            let mut rig = Rig::new(&audio::Config { enhancement, ..audio::Config::default() });
            // Steady noise at -63 dB of full scale.
            let quiet = |tick| noise(tick).iter().map(|sample| sample / 100).collect::<Vec<i16>>();
            let heard: Vec<Vec<i16>> = (0..250).map(|tick| rig.frame(&quiet(tick))).collect();
            assert!(rig.near_end.echo.as_ref().is_some_and(|echo| echo.canceller.is_none()));
            10.0 * (power(&heard[200..].concat()) / power(&(200..250).flat_map(quiet).collect::<Vec<_>>())).log10()
        };
        assert!(with(false, false).abs() < 0.01);
        let suppressed = with(true, false);
        assert!(suppressed < -6.0, "{suppressed} dB");
        // Noise is no voice, so that it is not raised to the level of one; but what there is at first is.
        let raised = with(false, true);
        assert!(raised > 3.0, "{raised} dB");
    }
}
