//! The count of pictures that did not arrive, and whether the next one follows the one before.

use super::Dropped;

/// What was lost since the opening.
#[derive(Debug, Default)]
pub struct DropTracker {
    dropped: Dropped,
    /// The driver's count at its last buffer.
    last: Option<u32>,
    /// Whether anything was lost since the last picture that was given away.
    gap: bool,
}

impl DropTracker {
    /// Accounts for a buffer of the driver.
    pub fn see(&mut self, sequence: u32, whole: bool) {
        if let Some(last) = self.last.replace(sequence) {
            let step = sequence.wrapping_sub(last);
            if step < u32::MAX / 2 {
                let lost = step.saturating_sub(1);
                self.dropped.driver += u64::from(lost);
                self.gap |= lost > 0;
            } else {
                // A driver that counts anew. How many it lost meanwhile is not known.
                self.gap = true;
            }
        }
        if !whole {
            self.dropped.damaged += 1;
            self.gap = true;
        }
    }

    /// Accounts for a good picture that a newer one took the place of.
    pub fn stale(&mut self) {
        self.dropped.stale += 1;
        self.gap = true;
    }

    /// Whether anything was lost between the last picture that was given away and this one, which is given away now.
    pub fn gap(&mut self) -> bool {
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
    fn gaps_in_the_count_of_the_driver_are_losses() {
        let mut losses = DropTracker::default();
        let mut gaps = Vec::new();
        for sequence in [7, 8, 11, 11, 0, 1] {
            losses.see(sequence, true);
            gaps.push(losses.gap());
        }
        // A count that stands still is a driver that does not count; one that steps back counts anew.
        assert_eq!(gaps, [false, false, true, false, true, false]);
        assert_eq!(losses.dropped(), Dropped { driver: 2, stale: 0, damaged: 0 });
        losses.last = Some(u32::MAX);
        losses.see(1, true);
        assert_eq!(losses.dropped().driver, 3);
    }

    #[test]
    fn whatever_was_lost_shows_before_the_next_picture() {
        let mut losses = DropTracker::default();
        losses.see(0, false);
        losses.see(1, true);
        assert!(losses.gap() && !losses.gap());
        losses.see(2, true);
        losses.stale();
        assert!(losses.gap() && !losses.gap());
        assert_eq!(losses.dropped(), Dropped { driver: 0, stale: 1, damaged: 1 });
    }
}
