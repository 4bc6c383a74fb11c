//! Counts dropped frames, and reports whether the next frame follows the previous one without a gap.

use std::time::{Duration, Instant};

use super::Dropped;
use super::layout::BufferLayout;
use crate::device::v4l2::Lease;

/// A camera whose JPEGs have all lacked their end for this long never writes one. Before that, the bus has cut some off.
const CUT_PATIENCE: Duration = Duration::from_millis(500);

/// Decides about JPEGs without an end.
#[derive(Debug, Default)]
pub struct CutFrames {
    /// Since when there has been no JPEG with an end.
    since: Option<Instant>,
}

impl CutFrames {
    /// Whether a frame that is not complete is to be delivered all the same. A complete one resets this.
    pub fn is_usable(&mut self, layout: &BufferLayout, lease: &Lease, now: Instant) -> bool {
        layout.is_jpeg(lease) && self.has_lasted(now)
    }

    fn has_lasted(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= CUT_PATIENCE
    }
}

/// Counts drops since the camera was opened.
#[derive(Debug, Default)]
pub struct DropTracker {
    dropped: Dropped,
    /// The sequence number of the driver's last buffer.
    last: Option<u32>,
    /// Whether anything was lost since the last frame that was delivered.
    gap: bool,
}

impl DropTracker {
    /// Accounts for a dequeued buffer.
    pub fn observe_sequence(&mut self, sequence: u32, intact: bool) {
        if let Some(last) = self.last.replace(sequence) {
            let step = sequence.wrapping_sub(last);
            if step < u32::MAX / 2 {
                let lost = step.saturating_sub(1);
                self.dropped.driver += u64::from(lost);
                self.gap |= lost > 0;
            } else {
                // The driver restarted its count. How many frames it lost meanwhile is unknown.
                self.gap = true;
            }
        }
        if !intact {
            self.dropped.damaged += 1;
            self.gap = true;
        }
    }

    /// Accounts for a good frame that was superseded by a newer one.
    pub fn count_stale(&mut self) {
        self.dropped.stale += 1;
        self.gap = true;
    }

    /// Whether anything was lost between the last delivered frame and this one, which is delivered now.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    /// The counts.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_frames_are_delivered_once_there_are_no_others() {
        let mut cut = CutFrames::default();
        let start = Instant::now();
        assert!(!cut.has_lasted(start) && !cut.has_lasted(start + CUT_PATIENCE / 2));
        assert!(cut.has_lasted(start + CUT_PATIENCE));
        cut = CutFrames::default();
        assert!(!cut.has_lasted(start + 2 * CUT_PATIENCE));
    }

    #[test]
    fn sequence_gaps_count_as_drops() {
        let mut drops = DropTracker::default();
        let mut gaps = Vec::new();
        for sequence in [7, 8, 11, 11, 0, 1] {
            drops.observe_sequence(sequence, true);
            gaps.push(drops.take_gap());
        }
        // A count that stands still is a driver that does not count; one that steps back restarts its count.
        assert_eq!(gaps, [false, false, true, false, true, false]);
        assert_eq!(drops.dropped(), Dropped { driver: 2, stale: 0, damaged: 0 });
        drops.last = Some(u32::MAX);
        drops.observe_sequence(1, true);
        assert_eq!(drops.dropped().driver, 3);
    }

    #[test]
    fn any_drop_marks_a_gap_on_the_next_frame() {
        let mut drops = DropTracker::default();
        drops.observe_sequence(0, false);
        drops.observe_sequence(1, true);
        assert!(drops.take_gap() && !drops.take_gap());
        drops.observe_sequence(2, true);
        drops.count_stale();
        assert!(drops.take_gap() && !drops.take_gap());
        assert_eq!(drops.dropped(), Dropped { driver: 0, stale: 1, damaged: 1 });
    }
}
