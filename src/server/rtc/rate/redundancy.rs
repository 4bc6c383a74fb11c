//! How many earlier audio packets each one carries again, so that audio has no gaps on a network that loses packets.
//!
//! Audio is not sent again on request: it would come too late to be heard. In-band FEC of Opus covers speech at low bitrates
//! only, so it is for viewers who cannot be sent earlier packets. One of these turns 5 % of random loss into gaps of 0.25 %.

use std::time::{Duration, Instant};

/// The most earlier packets that one carries.
pub const MAX_REDUNDANCY: usize = 2;

/// From each of these shares of lost packets on, each packet carries one more.
const LOSS: [f64; MAX_REDUNDANCY] = [0.01, 0.1];

/// The time over which the loss is averaged, in seconds: single packets get lost anywhere.
const AVERAGED: f64 = 3.0;

/// How long the loss must have been lower until there are fewer: radio links lose packets in bursts.
const CALM: Duration = Duration::from_secs(30);

/// Audio without redundancy takes this share of what the network carries at most, or there is none: with two earlier packets
/// it takes three times as much, and on a network that is too slow for the video that would only lose more packets. To begin
/// with redundancy the network must carry somewhat more, or it would come and go.
const AUDIO_SHARE: f64 = 1.0 / 6.0;
const BEGIN: f64 = 1.2;

/// The redundancy for one viewer.
#[derive(Debug, Default)]
pub struct RedundancyPolicy {
    /// Whether the viewer takes any.
    is_negotiated: bool,
    depth: usize,
    /// What the loss asks for.
    wanted: usize,
    /// The averaged share of lost packets, and when it was updated last.
    loss: f64,
    updated: Option<Instant>,
    /// Since when less would do, and the most that was needed since.
    calm: Option<(Instant, usize)>,
}

impl RedundancyPolicy {
    /// None yet; `is_negotiated` is whether the viewer takes any.
    pub fn new(is_negotiated: bool) -> Self {
        Self { is_negotiated, ..Self::default() }
    }

    /// How many earlier packets each one carries.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Follows the share of packets that are lost, and what the network carries in bit/s, as far as is known. `audio` is the
    /// bitrate of the audio without redundancy. To be called a few times a second.
    pub fn update(&mut self, loss: f64, estimate: Option<u32>, audio: f64, now: Instant) {
        let elapsed = self.updated.replace(now).map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64());
        self.loss += (loss - self.loss) * (1.0 - (-elapsed / AVERAGED).exp());
        self.follow_loss(now);
        let needed = audio / AUDIO_SHARE * if self.depth == 0 { BEGIN } else { 1.0 };
        let is_affordable = estimate.is_none_or(|estimate| f64::from(estimate) >= needed);
        self.depth = if self.is_negotiated && is_affordable { self.wanted } else { 0 };
    }

    /// Whether the viewer loses packets and is sent none of them again, so that in-band FEC is of use.
    pub fn needs_fec(&self) -> bool {
        self.wanted > 0 && self.depth == 0
    }

    fn follow_loss(&mut self, now: Instant) {
        let wanted = LOSS.iter().filter(|from| self.loss >= **from).count();
        if wanted >= self.wanted {
            (self.wanted, self.calm) = (wanted, None);
            return;
        }
        let (since, most) = self.calm.unwrap_or((now, wanted));
        let most = most.max(wanted);
        self.calm = Some((since, most));
        if now.saturating_duration_since(since) >= CALM {
            (self.wanted, self.calm) = (most, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy after some seconds of each of these losses.
    fn depths(losses: &[(u64, f64)]) -> Vec<usize> {
        let (mut policy, mut now) = (RedundancyPolicy::new(true), Instant::now());
        let mut after = |(seconds, loss): &(u64, f64)| {
            for _ in 0..seconds * 2 {
                policy.update(*loss, Some(2_000_000), 60_000.0, now);
                now += Duration::from_millis(500);
            }
            policy.depth()
        };
        losses.iter().map(&mut after).collect()
    }

    #[test]
    fn redundancy_follows_the_loss_and_goes_after_it_was_calm() {
        assert_eq!(depths(&[(9, 0.0), (9, 0.009), (9, 0.015), (20, 0.11)]), [0, 0, 1, 2]);
        assert_eq!(depths(&[(20, 0.2), (25, 0.05), (15, 0.05)]), [2, 2, 1]);
        assert_eq!(depths(&[(20, 0.05), (25, 0.0), (25, 0.0)]), [1, 1, 0]);
        assert_eq!(depths(&[(20, 0.05), (25, 0.0), (5, 0.05), (25, 0.0)]), [1, 1, 1, 1], "it was not calm");
    }

    #[test]
    fn a_single_loss_is_no_reason_and_one_lucky_measurement_neither() {
        // One packet of sixty within a second.
        assert_eq!(depths(&[(30, 0.0), (1, 0.017), (9, 0.0)]), [0, 0, 0]);
        let (mut policy, mut now) = (RedundancyPolicy::new(true), Instant::now());
        for tick in 0..180 {
            // 12 % at first, then 5 %, and at the very moment in which it was calm for long nothing.
            let loss = [0.12, 0.05, 0.0][(tick >= 60) as usize + (tick >= 130) as usize];
            policy.update(loss, None, 60_000.0, now);
            now += Duration::from_millis(500);
            assert!(tick < 60 || policy.depth() >= 1, "after {tick} ticks");
        }
    }

    #[test]
    fn a_slow_network_carries_no_audio_twice_and_does_not_toggle() {
        let (mut policy, mut now) = (RedundancyPolicy::new(true), Instant::now());
        let mut depth = |estimate| {
            for _ in 0..40 {
                policy.update(0.2, estimate, 60_000.0, now);
                now += Duration::from_millis(500);
            }
            policy.depth()
        };
        assert_eq!([depth(Some(350_000)), depth(Some(400_000)), depth(Some(440_000))], [0, 0, 2]);
        assert_eq!([depth(Some(370_000)), depth(Some(350_000)), depth(None)], [2, 0, 2]);
    }

    #[test]
    fn fec_is_for_those_who_lose_packets_and_are_sent_none_again() {
        for (is_negotiated, estimate, loss, needs) in [
            (true, None, 0.05, false),
            (true, Some(350_000), 0.05, true),
            (false, None, 0.05, true),
            (false, None, 0.005, false),
            (false, None, 0.0, false),
        ] {
            let (mut policy, now) = (RedundancyPolicy::new(is_negotiated), Instant::now());
            for tick in 0..20 {
                policy.update(loss, estimate, 60_000.0, now + Duration::from_millis(500 * tick));
            }
            assert_eq!(policy.needs_fec(), needs, "{is_negotiated} {estimate:?} {loss}");
            assert!(is_negotiated || policy.depth() == 0);
        }
    }
}
