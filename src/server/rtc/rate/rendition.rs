//! Which rendition of a camera a viewer is sent: the camera's own size, or the smaller one of half its width and height.
//!
//! A viewer whose network does not carry the bitrate that serves the others, nor its base layer (`layers`), goes on in the
//! smaller size, and so does one whose network carries so little that the smaller picture is the better one. It comes back
//! when its network has carried the camera's own size for a while: the sooner it has to leave again, the later it tries next.

use std::time::{Duration, Instant};

use super::patience::{CARRIED, COVERED, Patience};
use crate::model::status::Rendition;

/// How long a network must be too slow: estimates dip for a second when a machine is busy. Frames that were dropped for it are
/// proof enough.
const DOWN_TIME: Duration = Duration::from_secs(2);

/// An encoder that uses less than this share of its bitrate does not need more: the picture is as good as it gets.
const LIMITED: f64 = 0.7;

/// Bits per pixel below which a picture of half the width and height is the better one: at 30 frames a second 330 kbit/s for
/// 1280x720. The quantiser of the larger size is at its coarsest there as soon as anything moves, while the smaller one has
/// four times the bits for each of its pixels.
const COARSE: f64 = 0.012;

/// The camera's own size is worth coming back to from this multiple of that on.
const FINE: f64 = 1.3;

/// The bitrate in bit/s below which the smaller rendition of a camera's frames is the better picture, if that has
/// `small_limit` bit/s at most.
pub fn coarse_bitrate((width, height): (u32, u32), fps: f64, small_limit: u32) -> u32 {
    let pixels = f64::from(width) * f64::from(height) * fps.clamp(1.0, 240.0);
    // With less than the viewer's network carries it would be the worse one.
    ((pixels * COARSE) as u32).min(small_limit)
}

/// What is known of a viewer and its camera; all rates in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenditionInput {
    /// What the viewer's network leaves for video; `None` while that is not known.
    pub available: Option<u32>,
    /// The bitrate of the camera's own size, with this viewer among those that it is for.
    pub main: u32,
    /// The least of it that the viewer can be sent: less, if there are frames that no other needs, or if nothing moves.
    pub least: u32,
    /// What the video has in fact.
    pub sent: u32,
    /// The bitrate below which the smaller rendition is the better picture.
    pub coarse: u32,
    /// Whether frames were dropped for this viewer since the last time.
    pub has_skipped: bool,
}

/// Why a viewer is moved; rates in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoveReason {
    /// Down: its network does not carry what is encoded for all.
    #[error("its network carries {} kbit/s of video, and the camera's own size takes {}", available / 1_000, least / 1_000)]
    Slow {
        /// What it carries.
        available: u32,
        /// What the camera's own size takes at least.
        least: u32,
    },
    /// Down: the smaller picture is the better one.
    #[error("with {} kbit/s the smaller picture is the better one", bitrate / 1_000)]
    Coarse {
        /// The bitrate that the camera's own size would have.
        bitrate: u32,
    },
    /// Up: its network carries the camera's own size.
    #[error("its network carries {} kbit/s of video now", available / 1_000)]
    Carried {
        /// What it carries.
        available: u32,
    },
}

/// Decides for one viewer.
#[derive(Debug)]
pub struct RenditionPolicy {
    current: Rendition,
    patience: Patience,
}

impl Default for RenditionPolicy {
    fn default() -> Self {
        Self { current: Rendition::Main, patience: Patience::default() }
    }
}

impl RenditionPolicy {
    /// The rendition that the viewer is to be sent.
    pub fn current(&self) -> Rendition {
        self.current
    }

    /// Forgets what came of going back before: another camera is shown.
    pub fn forget_attempts(&mut self) {
        self.patience.forget();
    }

    /// Follows what is known at `now`. To be called a few times a second; `Some` if the viewer is to be moved.
    pub fn update(&mut self, input: &RenditionInput, now: Instant) -> Option<MoveReason> {
        let Some(available) = input.available else {
            self.patience.interrupt();
            return None;
        };
        match self.current {
            Rendition::Main => self.judge_main(available, input, now),
            Rendition::Small => self.judge_small(available, input, now),
        }
    }

    fn judge_main(&mut self, available: u32, input: &RenditionInput, now: Instant) -> Option<MoveReason> {
        let (least, bitrate) = (input.least, input.main.min(available));
        let is_slow = f64::from(available) < f64::from(least) * COVERED;
        let is_proven = input.has_skipped && available < least;
        let is_limited = f64::from(input.sent) >= f64::from(bitrate) * LIMITED;
        let reason = if is_slow || is_proven {
            MoveReason::Slow { available, least }
        } else if bitrate < input.coarse && is_limited {
            MoveReason::Coarse { bitrate }
        } else {
            self.patience.interrupt();
            return None;
        };
        if self.patience.lasting(now) < DOWN_TIME && !is_proven {
            return None;
        }
        self.patience.lower(now);
        self.current = Rendition::Small;
        Some(reason)
    }

    fn judge_small(&mut self, available: u32, input: &RenditionInput, now: Instant) -> Option<MoveReason> {
        let is_carried = f64::from(available) >= f64::from(input.least) * CARRIED;
        let is_fine = f64::from(input.main.min(available)) >= f64::from(input.coarse) * FINE;
        if !is_carried || !is_fine || input.has_skipped {
            self.patience.interrupt();
            return None;
        }
        if self.patience.lasting(now) < self.patience.up_time() {
            return None;
        }
        self.patience.raise(now);
        self.current = Rendition::Main;
        Some(MoveReason::Carried { available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: u32 = 2_000_000;
    const COARSE_720P: u32 = 331_776;

    fn input(available: u32) -> RenditionInput {
        RenditionInput {
            available: Some(available),
            main: MAIN,
            least: MAIN,
            sent: MAIN,
            coarse: COARSE_720P,
            has_skipped: false,
        }
    }

    /// One that the encoder follows, as it does for a lone viewer.
    fn followed(available: u32) -> RenditionInput {
        let main = available.min(MAIN);
        RenditionInput { main, least: main, sent: main, ..input(available) }
    }

    /// Updates twice a second for some seconds from `start` on, and returns the halves of a second in which it moved.
    fn moves(policy: &mut RenditionPolicy, start: Instant, seconds: u64, input: RenditionInput) -> Vec<u64> {
        (0..seconds * 2)
            .filter(|half| policy.update(&input, start + Duration::from_millis(half * 500)).is_some())
            .collect()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_smaller_picture_is_better_below_330_kbit_a_second_at_720p_but_never_with_less_than_the_network_carries() {
        assert_eq!(coarse_bitrate((1280, 720), 30.0, 500_000), COARSE_720P);
        assert_eq!(coarse_bitrate((1920, 1080), 30.0, 500_000), 500_000);
        assert_eq!(coarse_bitrate((1280, 720), 30.0, 50_000), 50_000);
        assert_eq!(coarse_bitrate((640, 360), 25.0, 500_000), 69_120);
        assert_eq!(coarse_bitrate((u32::MAX, u32::MAX), f64::NAN, 500_000), 0);
    }

    #[test]
    fn whoever_is_slower_than_the_others_goes_down_after_two_seconds_and_stays() {
        let (mut policy, start) = (RenditionPolicy::default(), Instant::now());
        assert_eq!(moves(&mut policy, start, 60, input(1_700_000)), [0_u64; 0], "covered");
        let still = RenditionInput { least: 800_000, sent: 800_000, ..input(900_000) };
        assert_eq!(moves(&mut policy, start, 60, still), [0_u64; 0], "a still scene takes less");
        assert_eq!(moves(&mut policy, start, 60, input(900_000)), [4]);
        assert_eq!(policy.current(), Rendition::Small);
        assert_eq!(moves(&mut policy, after(start, 60), 600, input(1_700_000)), [0_u64; 0], "not carried");
    }

    #[test]
    fn a_dip_is_no_reason_but_dropped_frames_are() {
        let (mut policy, start) = (RenditionPolicy::default(), Instant::now());
        for second in 0..20 {
            let nearly = after(start, 2 * second) + Duration::from_millis(1_900);
            assert_eq!(policy.update(&input(500_000), after(start, 2 * second)), None);
            assert_eq!(policy.update(&input(500_000), nearly), None);
            assert_eq!(policy.update(&input(MAIN), nearly), None);
        }
        let skipped = |available| RenditionInput { has_skipped: true, ..input(available) };
        assert_eq!(policy.update(&skipped(MAIN), after(start, 50)), None, "the viewer's own stall");
        let reason = policy.update(&skipped(1_800_000), after(start, 51)).expect("it does not carry it");
        let words = "its network carries 1800 kbit/s of video, and the camera's own size takes 2000";
        assert_eq!(reason.to_string(), words);
    }

    #[test]
    fn a_lone_viewer_keeps_the_size_until_the_smaller_picture_is_better() {
        let (mut policy, mut start) = (RenditionPolicy::default(), Instant::now());
        for available in [5_000_000, 1_000_000, 500_000, 335_000] {
            assert_eq!(moves(&mut policy, start, 30, followed(available)), [0_u64; 0], "{available}");
            start = after(start, 30);
        }
        let still = RenditionInput { sent: 150_000, ..followed(300_000) };
        assert_eq!(moves(&mut policy, start, 30, still), [0_u64; 0], "a still scene needs no more");
        assert_eq!(moves(&mut policy, start, 30, followed(300_000)), [4]);
        assert_eq!(moves(&mut policy, after(start, 30), 30, followed(400_000)), [0_u64; 0], "around the threshold");
        assert_eq!(moves(&mut policy, after(start, 60), 30, followed(450_000)), [10], "after 5 s");
    }

    #[test]
    fn a_network_that_carries_the_base_layer_needs_no_smaller_picture() {
        let (mut policy, start) = (RenditionPolicy::default(), Instant::now());
        let layered = |available| RenditionInput { least: 1_200_000, ..input(available) };
        assert_eq!(moves(&mut policy, start, 30, layered(1_000_000)), [0_u64; 0], "covered");
        let skipped = |available| RenditionInput { has_skipped: true, ..layered(available) };
        assert_eq!(moves(&mut policy, after(start, 30), 30, skipped(1_300_000)), [0_u64; 0], "carried");
        assert_eq!(moves(&mut policy, after(start, 60), 30, layered(900_000)), [4]);
        assert_eq!(moves(&mut policy, after(start, 90), 30, layered(1_000_000)), [0_u64; 0], "not carried");
        assert_eq!(moves(&mut policy, after(start, 120), 30, layered(1_200_000)), [10]);
    }

    #[test]
    fn nothing_is_decided_while_nothing_is_known() {
        let (mut policy, start) = (RenditionPolicy::default(), Instant::now());
        let unknown = RenditionInput { available: None, has_skipped: true, ..input(0) };
        assert_eq!(moves(&mut policy, start, 60, unknown), [0_u64; 0]);
        policy.update(&input(100_000), after(start, 60));
        policy.update(&unknown, after(start, 61));
        assert_eq!(policy.update(&input(100_000), after(start, 63)), None, "the time has to pass in one piece");
    }

    #[test]
    fn whoever_comes_back_in_vain_waits_longer_each_time() {
        let (mut policy, mut start) = (RenditionPolicy::default(), Instant::now());
        let mut waited = Vec::new();
        for _ in 0..7 {
            assert_eq!(moves(&mut policy, start, 4, input(500_000)).len(), 1);
            start = after(start, 4);
            let up = moves(&mut policy, start, 200, input(MAIN));
            waited.push(up[0] / 2);
            // It fails as soon as it is there.
            start += Duration::from_millis((up[0] + 1) * 500);
        }
        assert_eq!(waited, [5, 10, 20, 40, 80, 80, 80]);
        assert_eq!(moves(&mut policy, start, 31, input(MAIN)), [0_u64; 0]);
        start = after(start, 31);
        assert_eq!(moves(&mut policy, start, 4, input(500_000)).len(), 1);
        assert_eq!(
            moves(&mut policy, after(start, 4), 20, input(MAIN)),
            [10],
            "a stay of half a minute was none in vain"
        );
    }
}
