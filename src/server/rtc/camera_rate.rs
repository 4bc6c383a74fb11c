//! The bitrate of one encoder of a camera, by what the networks of its viewers carry.
//!
//! Which rate serves them is decided in `rate::allocation`; each session reports here what it can take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::rate::allocation::{BitrateControl, EncoderDemand};
use crate::media::encoder::BitrateTarget;
use crate::util::lock::Mutex;

/// The least bitrate of an encoder, in bit/s: at 640x360 the picture is coarse, but moves.
const MIN_BITRATE: u32 = 80_000;

/// Whoever is no viewer; those have smaller numbers.
const LOCAL: u64 = u64::MAX;

/// A change by more than one part in this many is reported at once.
const NOTABLE: u32 = 50;

/// What one viewer can take of a camera's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewerDemand {
    /// The bitrate in bit/s; `None` while nothing is known of its network.
    pub available: Option<u32>,
    /// Whether the estimate has found its level. One that has not counts only while there is no other: whoever joins, or is not
    /// heard of any more, is no reason for the others to see another picture.
    pub is_settled: bool,
    /// Whether an operator has bounded what it is sent: then it counts only while there is no other, too.
    pub is_limited: bool,
    /// Who watches, as a number.
    pub owner: u64,
}

/// The bitrate of one camera's encoder; a cheap handle.
#[derive(Debug, Clone)]
pub struct CameraRate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    encoder: BitrateTarget,
    viewers: Mutex<Viewers>,
}

#[derive(Debug)]
struct Viewers {
    control: BitrateControl,
    limit: u32,
    /// By order of arrival.
    demands: BTreeMap<u64, ViewerDemand>,
    arrivals: u64,
}

impl CameraRate {
    /// That of the encoder which follows `encoder`.
    pub fn new(encoder: BitrateTarget) -> Self {
        let limit = encoder.limit();
        let control = BitrateControl::new(MIN_BITRATE, limit);
        let viewers = Mutex::new(Viewers { control, limit, demands: BTreeMap::new(), arrivals: 0 });
        Self(Arc::new(Shared { encoder, viewers }))
    }

    /// The configured bitrate, in bit/s.
    pub fn limit(&self) -> u32 {
        self.0.encoder.limit()
    }

    /// Adds a viewer, who counts for as long as what is returned lives.
    pub fn join(&self, demand: ViewerDemand, now: Instant) -> ViewerShare {
        let arrival = self.change(now, |viewers| {
            if demand.counts() {
                // It comes from another rendition or camera.
                viewers.control.reconsider();
            }
            viewers.arrivals += 1;
            viewers.demands.insert(viewers.arrivals, demand);
            viewers.arrivals
        });
        ViewerShare { camera: self.clone(), arrival }
    }

    /// Adds whoever can take the configured bitrate and is no viewer, such as the recorder.
    pub fn join_locally(&self) -> ViewerShare {
        let demand = ViewerDemand { available: None, is_settled: true, is_limited: false, owner: LOCAL };
        self.join(demand, Instant::now())
    }

    /// The bitrate in bit/s that it would have with one more viewer, who can take `demand`.
    pub fn bitrate_with(&self, demand: ViewerDemand) -> u32 {
        self.bitrate_without(None, demand)
    }

    /// The bitrate with a viewer who can take `demand`, as if all had come just now, in place of one of them.
    fn bitrate_without(&self, replaced: Option<u64>, demand: ViewerDemand) -> u32 {
        let limit = self.limit();
        let viewers = self.0.viewers.lock();
        let others = viewers.demands.iter().filter(|(arrival, other)| Some(**arrival) != replaced && other.counts());
        let mut counting: Vec<EncoderDemand> =
            others.map(|(arrival, other)| other.for_encoder(*arrival, limit)).collect();
        drop(viewers);
        if !demand.is_limited || counting.is_empty() {
            counting.push(demand.for_encoder(replaced.unwrap_or(u64::MAX), limit));
        }
        let mut control = BitrateControl::new(MIN_BITRATE, limit);
        control.update(&counting, Instant::now());
        control.bitrate()
    }

    /// Changes who wants what, and has the encoder follow.
    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut Viewers) -> T) -> T {
        let Shared { encoder, viewers } = &*self.0;
        let mut viewers = viewers.lock();
        let done = change(&mut viewers);
        let limit = encoder.limit();
        if viewers.demands.is_empty() || viewers.limit != limit {
            viewers.limit = limit;
            viewers.control = BitrateControl::new(MIN_BITRATE, limit);
        }
        let none = viewers.demands.values().all(|demand| !demand.counts());
        let counting = viewers.demands.iter().filter(|(_, demand)| none || demand.counts());
        let counting: Vec<EncoderDemand> =
            counting.map(|(arrival, demand)| demand.for_encoder(*arrival, limit)).collect();
        viewers.control.update(&counting, now);
        let bitrate = viewers.control.bitrate();
        encoder.want((bitrate < limit).then_some(bitrate));
        done
    }
}

impl ViewerDemand {
    /// Whether it differs from another by enough to be reported at once.
    pub fn differs(&self, other: Self) -> bool {
        let limit = |demand: Self| demand.available.unwrap_or(u32::MAX);
        let (new, old) = (limit(*self), limit(other));
        self.counts() != other.counts() || self.is_settled != other.is_settled || new.abs_diff(old) > old / NOTABLE
    }

    /// Whether it counts beside others.
    fn counts(&self) -> bool {
        self.is_settled && !self.is_limited
    }

    fn for_encoder(self, viewer: u64, limit: u32) -> EncoderDemand {
        EncoderDemand { viewer, owner: self.owner, available: self.available.unwrap_or(limit).min(limit) }
    }
}

/// A viewer's say in the bitrate of a camera's encoder.
#[derive(Debug)]
pub struct ViewerShare {
    camera: CameraRate,
    arrival: u64,
}

impl ViewerShare {
    /// Reports what the viewer can take now.
    pub fn report(&self, demand: ViewerDemand, now: Instant) {
        self.camera.change(now, |viewers| viewers.demands.insert(self.arrival, demand));
    }

    /// The configured bitrate, in bit/s.
    pub fn limit(&self) -> u32 {
        self.camera.limit()
    }

    /// The bitrate that the encoder has now, in bit/s.
    pub fn bitrate(&self) -> u32 {
        self.camera.0.encoder.current()
    }

    /// Whether the encoder follows what its viewers can take; that of a camera does not.
    pub fn is_followed(&self) -> bool {
        self.camera.0.encoder.is_followed()
    }

    /// The bitrate in bit/s that it will have if this viewer can take `demand`, once the others' have been weighed.
    pub fn bitrate_with(&self, demand: ViewerDemand) -> u32 {
        self.camera.bitrate_without(Some(self.arrival), demand)
    }
}

impl Drop for ViewerShare {
    fn drop(&mut self) {
        self.camera.change(Instant::now(), |viewers| viewers.demands.remove(&self.arrival));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: u32 = 2_000_000;

    fn demand(available: u32) -> ViewerDemand {
        ViewerDemand { available: Some(available), is_settled: true, is_limited: false, owner: u64::from(available) }
    }

    #[test]
    fn the_encoder_follows_a_viewer_and_is_free_again_when_it_leaves() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        let share = camera.join(ViewerDemand { available: None, is_settled: false, is_limited: false, owner: 1 }, now);
        assert_eq!(encoder.current(), LIMIT, "nothing is known of it");
        share.report(demand(400_000), now);
        assert_eq!(encoder.current(), 400_000);
        share.report(demand(10_000_000), now + Duration::from_secs(1));
        assert_eq!(encoder.current(), LIMIT);
        share.report(demand(1), now + Duration::from_secs(2));
        assert_eq!(encoder.current(), MIN_BITRATE);
        drop(share);
        assert_eq!(encoder.current(), LIMIT);
    }

    #[test]
    fn whoever_joins_or_falls_silent_counts_alone_and_is_no_trouble_to_others() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        let guess = ViewerDemand { available: Some(500_000), is_settled: false, is_limited: false, owner: 1 };
        let first = camera.join(guess, now);
        assert_eq!(encoder.current(), 500_000);
        let later = now + Duration::from_secs(1);
        first.report(demand(LIMIT), later);
        assert_eq!(encoder.current(), LIMIT);
        let second = camera.join(guess, later);
        assert_eq!(encoder.current(), LIMIT);
        second.report(demand(LIMIT), later);
        second.report(ViewerDemand { is_settled: false, ..demand(100_000) }, later);
        assert_eq!((encoder.current(), second.bitrate()), (LIMIT, LIMIT));
    }

    #[test]
    fn one_slow_viewer_of_several_does_not_decide() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        let fast = camera.join(demand(LIMIT), now);
        let _slow = camera.join(demand(700_000), now);
        assert_eq!(encoder.current(), LIMIT);
        drop(fast);
        assert_eq!(encoder.current(), 700_000, "alone it does");
    }

    #[test]
    fn a_viewer_that_an_operator_has_bounded_is_no_trouble_to_others() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        let bounded = ViewerDemand { is_limited: true, ..demand(1_400_000) };
        let free = camera.join(demand(LIMIT), now);
        let share = camera.join(bounded, now);
        assert_eq!(encoder.current(), LIMIT, "in spite of what it could take");
        assert_eq!(camera.bitrate_with(bounded), LIMIT);
        drop(free);
        assert_eq!((encoder.current(), share.bitrate_with(bounded)), (1_400_000, 1_400_000), "alone it decides");
    }

    #[test]
    fn what_the_encoder_would_do_is_known_before_somebody_comes() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        assert_eq!(camera.bitrate_with(demand(700_000)), 700_000, "alone it decides");
        let fast = camera.join(demand(LIMIT), now);
        assert_eq!(camera.bitrate_with(demand(700_000)), LIMIT);
        assert_eq!(camera.bitrate_with(demand(1_200_000)), 1_200_000);
        assert_eq!(fast.bitrate_with(demand(700_000)), 700_000, "it is counted once");
        assert_eq!(encoder.current(), LIMIT, "nothing has changed");
        let _other = camera.join(demand(1_200_000), now);
        assert_eq!(encoder.current(), 1_200_000, "its network is known, so it need not wait");
    }

    #[test]
    fn another_limit_is_followed_at_once() {
        let encoder = BitrateTarget::new(LIMIT);
        let (camera, now) = (CameraRate::new(encoder.clone()), Instant::now());
        let share = camera.join(demand(10 * LIMIT), now);
        encoder.set_limit(2 * LIMIT);
        share.report(demand(10 * LIMIT), now);
        assert_eq!(encoder.current(), 2 * LIMIT);
    }
}
