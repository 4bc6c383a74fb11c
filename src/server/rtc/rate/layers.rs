//! Whether a viewer is sent all frames of a stream, or only its base layer: without the frames that no other needs.
//!
//! Where the encoder's bitrate is not for this viewer to decide, that is the least that can be done about a slow network: the
//! picture keeps its size and its sharpness, and moves in larger steps. All frames are sent again when the network has
//! carried them for a while. Only where the base layer is too much, too, the smaller `rendition` helps.

use std::time::{Duration, Instant};

use super::patience::{CARRIED, COVERED, Patience};

pub use crate::model::status::Layers;

/// How long a network must be too slow: less than for the smaller rendition, which is the next step. Frames that were dropped
/// for it are proof enough.
const DOWN_TIME: Duration = Duration::from_secs(1);

/// For so long after all frames were sent again the first sign that they are too much is enough: an estimate may be higher than
/// it should while less is sent.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A base layer of more than this share of the stream is not worth the frames that it lacks.
const WORTHWHILE: f64 = 0.9;

/// What is known of a viewer and its stream; all rates in bit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerInput {
    /// What the viewer's network leaves for video; `None` while that is not known.
    pub available: Option<u32>,
    /// The bitrate of the stream with all frames.
    pub all: u32,
    /// The share of it that the base layer has.
    pub base_share: f64,
    /// Whether frames were dropped for this viewer since the last time.
    pub has_skipped: bool,
}

/// Why a viewer is sent fewer frames, or all of them again; rates in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayerReason {
    /// Fewer.
    #[error("its network carries {} kbit/s of video, and all frames take {}", available / 1_000, all / 1_000)]
    Slow {
        /// What the network carries.
        available: u32,
        /// The bitrate of all frames.
        all: u32,
    },
    /// All.
    #[error("its network carries {} kbit/s of video now", available / 1_000)]
    Carried {
        /// What the network carries.
        available: u32,
    },
}

/// Decides for one viewer.
#[derive(Debug)]
pub struct LayerPolicy {
    current: Layers,
    patience: Patience,
}

impl Default for LayerPolicy {
    fn default() -> Self {
        Self { current: Layers::All, patience: Patience::default() }
    }
}

impl LayerPolicy {
    /// What the viewer is to be sent.
    pub fn current(&self) -> Layers {
        self.current
    }

    /// Whether the base layer of a stream is so much smaller that it is worth sending alone.
    pub fn is_worthwhile(base_share: f64) -> bool {
        base_share <= WORTHWHILE
    }

    /// The viewer is sent another stream from now on: what is known decides at once, so that a stream that its network does
    /// not carry does not fill the queues first. How much smaller its base layer is is not known yet.
    pub fn begin(&mut self, available: Option<u32>, all: u32) {
        self.patience.forget();
        let is_slow = available.is_some_and(|available| f64::from(available) < f64::from(all) * COVERED);
        self.current = if is_slow { Layers::Base } else { Layers::All };
    }

    /// Follows what is known at `now`. To be called a few times a second; `Some` if the viewer is to be sent something else.
    pub fn update(&mut self, input: &LayerInput, now: Instant) -> Option<LayerReason> {
        let Some(available) = input.available else {
            self.patience.interrupt();
            return None;
        };
        match self.current {
            Layers::All => self.judge_all(available, input, now),
            Layers::Base => self.judge_base(available, input, now),
        }
    }

    fn judge_all(&mut self, available: u32, input: &LayerInput, now: Instant) -> Option<LayerReason> {
        let is_slow = f64::from(available) < f64::from(input.all) * COVERED;
        let is_proven = input.has_skipped && available < input.all;
        if !(is_slow || is_proven) || !Self::is_worthwhile(input.base_share) {
            self.patience.interrupt();
            return None;
        }
        let is_attempt = self.patience.since_raise(now).is_some_and(|since| since < ATTEMPT);
        if self.patience.lasting(now) < DOWN_TIME && !is_proven && !is_attempt {
            return None;
        }
        self.patience.lower(now);
        self.current = Layers::Base;
        Some(LayerReason::Slow { available, all: input.all })
    }

    fn judge_base(&mut self, available: u32, input: &LayerInput, now: Instant) -> Option<LayerReason> {
        if !Self::is_worthwhile(input.base_share) {
            // There was hardly anything to leave out.
            self.patience.forget();
            self.current = Layers::All;
            return None;
        }
        if f64::from(available) < f64::from(input.all) * CARRIED || input.has_skipped {
            self.patience.interrupt();
            return None;
        }
        if self.patience.lasting(now) < self.patience.up_time() {
            return None;
        }
        self.patience.raise(now);
        self.current = Layers::All;
        Some(LayerReason::Carried { available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = 2_000_000;

    fn input(available: u32) -> LayerInput {
        LayerInput { available: Some(available), all: ALL, base_share: 0.6, has_skipped: false }
    }

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// Updates twice a second for some seconds from `start` on, and returns the halves of a second in which it changed.
    fn changes(policy: &mut LayerPolicy, start: Instant, seconds: u64, input: LayerInput) -> Vec<u64> {
        (0..seconds * 2).filter(|half| policy.update(&input, after(start, half * 500)).is_some()).collect()
    }

    #[test]
    fn frames_are_left_out_after_a_second_and_sent_again_after_five() {
        let (mut policy, start) = (LayerPolicy::default(), Instant::now());
        assert_eq!(changes(&mut policy, start, 60, input(1_700_000)), [0_u64; 0], "covered");
        assert_eq!(changes(&mut policy, after(start, 60_000), 60, input(1_200_000)), [2]);
        assert_eq!(policy.current(), Layers::Base);
        assert_eq!(changes(&mut policy, after(start, 120_000), 60, input(1_700_000)), [0_u64; 0], "not carried");
        assert_eq!(changes(&mut policy, after(start, 180_000), 60, input(1_950_000)), [10]);
        assert_eq!(policy.current(), Layers::All);
    }

    #[test]
    fn a_dip_is_no_reason_but_dropped_frames_are() {
        let (mut policy, start) = (LayerPolicy::default(), Instant::now());
        for second in 0..20 {
            assert_eq!(policy.update(&input(500_000), after(start, 2_000 * second)), None);
            assert_eq!(policy.update(&input(500_000), after(start, 2_000 * second + 900)), None);
            assert_eq!(policy.update(&input(ALL), after(start, 2_000 * second + 900)), None);
        }
        let skipped = |available| LayerInput { has_skipped: true, ..input(available) };
        assert_eq!(policy.update(&skipped(ALL), after(start, 50_000)), None, "the viewer's own stall");
        let reason = policy.update(&skipped(1_800_000), after(start, 51_000)).expect("it does not carry them");
        assert_eq!(reason.to_string(), "its network carries 1800 kbit/s of video, and all frames take 2000");
        assert_eq!(
            changes(&mut policy, after(start, 51_000), 60, skipped(ALL)),
            [0_u64; 0],
            "not while more are dropped"
        );
    }

    #[test]
    fn a_lone_viewer_is_sent_all_frames_as_the_encoder_follows_it() {
        let (mut policy, mut start) = (LayerPolicy::default(), Instant::now());
        for available in [5_000_000, 1_000_000, 300_000, 80_000] {
            let followed = LayerInput { all: available.min(ALL), has_skipped: true, ..input(available) };
            assert_eq!(changes(&mut policy, start, 30, followed), [0_u64; 0], "{available}");
            start = after(start, 30_000);
        }
    }

    #[test]
    fn a_stream_whose_frames_are_nearly_all_needed_is_sent_whole() {
        let (mut policy, start) = (LayerPolicy::default(), Instant::now());
        let needed = LayerInput { base_share: 1.0, has_skipped: true, ..input(500_000) };
        assert_eq!(changes(&mut policy, start, 60, needed), [0_u64; 0]);
        policy.begin(Some(500_000), ALL);
        assert_eq!(policy.current(), Layers::Base);
        assert_eq!(policy.update(&needed, start), None);
        assert_eq!(policy.current(), Layers::All, "there is nothing to leave out");
    }

    #[test]
    fn another_stream_begins_with_what_is_known_of_the_network() {
        let mut policy = LayerPolicy::default();
        for (available, layers) in
            [(Some(1_200_000), Layers::Base), (Some(1_700_000), Layers::All), (None, Layers::All)]
        {
            policy.begin(available, ALL);
            assert_eq!(policy.current(), layers, "{available:?}");
        }
    }

    #[test]
    fn nothing_is_decided_while_nothing_is_known() {
        let (mut policy, start) = (LayerPolicy::default(), Instant::now());
        let unknown = LayerInput { available: None, has_skipped: true, ..input(0) };
        assert_eq!(changes(&mut policy, start, 60, unknown), [0_u64; 0]);
        policy.update(&input(100_000), after(start, 60_000));
        policy.update(&unknown, after(start, 60_500));
        assert_eq!(policy.update(&input(100_000), after(start, 61_000)), None, "the time has to pass in one piece");
    }

    #[test]
    fn all_frames_in_vain_are_tried_later_each_time() {
        let (mut policy, mut start) = (LayerPolicy::default(), Instant::now());
        let mut waited = Vec::new();
        for attempt in 0..6 {
            // They are too much as soon as they are there.
            let down = if attempt == 0 { 2 } else { 0 };
            assert_eq!(changes(&mut policy, start, 2, input(1_200_000)), [down]);
            start = after(start, 2_000);
            let up = changes(&mut policy, start, 100, input(ALL));
            waited.push(up[0] / 2);
            start = after(start, (up[0] + 1) * 500);
        }
        assert_eq!(waited, [5, 10, 20, 40, 80, 80]);
        assert_eq!(changes(&mut policy, start, 31, input(ALL)), [0_u64; 0]);
        assert_eq!(changes(&mut policy, after(start, 31_000), 2, input(1_200_000)), [2]);
        assert_eq!(changes(&mut policy, after(start, 33_000), 20, input(ALL)), [10], "30 s of them were not in vain");
    }
}
