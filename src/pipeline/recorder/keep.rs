//! Which recordings are deleted to make room: the oldest first. Pure: times, sizes and free space are arguments.

use std::time::Duration;

use super::name::FileKind;

/// What is kept of each kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRules {
    /// Of recordings.
    pub recordings: KeepLimits,
    /// Of time-lapses.
    pub timelapses: KeepLimits,
}

impl KeepRules {
    /// What is kept of a kind of file.
    pub fn of(&self, kind: FileKind) -> &KeepLimits {
        match kind {
            FileKind::Recording => &self.recordings,
            FileKind::Timelapse => &self.timelapses,
        }
    }

    /// What to do about recordings, and about time-lapses; see [`KeepLimits::cleanup`]. For free space, recordings are deleted
    /// before any time-lapse: these are much smaller, and meant to last.
    pub fn cleanup(&self, all: Vec<KeptRecording>, now: i64, free: u64) -> [Cleanup; 2] {
        let (recordings, timelapses): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|recording| recording.kind == FileKind::Recording);
        let mut of_recordings = self.recordings.cleanup(recordings.clone(), now, free);
        let deleted = recordings.iter().filter(|recording| of_recordings.delete.contains(&recording.number));
        let free = free.saturating_add(deleted.map(|recording| recording.bytes).sum());
        let of_timelapses = self.timelapses.cleanup(timelapses, now, free);
        if of_timelapses.missing != Some(MissingRoom::Free) {
            of_recordings.missing.take_if(|missing| *missing == MissingRoom::Free);
        }
        [of_recordings, of_timelapses]
    }
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLimits {
    /// The most bytes of all recordings together; `None` for as many as there is space for.
    pub bytes: Option<u64>,
    /// How long; `None` for as long as there is space.
    pub age: Option<Duration>,
    /// How much of the file system stays free for others.
    pub min_free: u64,
}

/// A recording, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptRecording {
    /// Counts all recordings.
    pub number: u64,
    /// What it has in it.
    pub kind: FileKind,
    /// Its size.
    pub bytes: u64,
    /// When it has ended, in seconds since the Unix epoch, by the clock as it was then.
    pub end: i64,
    /// Whether it stays: somebody has protected it, or it is being written.
    pub stays: bool,
}

/// What has to be done to keep to the limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleanup {
    /// The numbers of the recordings to delete.
    pub delete: Vec<u64>,
    /// What is still missing after that, as nothing else may be deleted.
    pub missing: Option<MissingRoom>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRoom {
    /// What stays takes more than recordings may.
    Bytes,
    /// Others have filled the file system.
    Free,
}

impl KeepLimits {
    /// What to delete of `recordings`, at `now` in seconds since the Unix epoch, with so many bytes of the file system free.
    pub fn cleanup(&self, mut recordings: Vec<KeptRecording>, now: i64, free: u64) -> Cleanup {
        recordings.sort_by_key(|recording| recording.number);
        let mut total: u64 = recordings.iter().map(|recording| recording.bytes).sum();
        let mut free = free;
        let mut cleanup = Cleanup::default();
        // A clock that was ahead tells nothing: a recording is as old as the next one of which the age is known, or it and those
        // before it would be kept until the clock gets there.
        let mut next = now;
        for recording in recordings.iter_mut().rev() {
            next = if recording.end > now { next } else { recording.end };
            recording.end = next;
        }
        // A board without a battery starts with a clock that is behind. A recording is not older than those before it, or it
        // would be deleted as soon as the clock is set.
        let mut latest = i64::MIN;
        for recording in recordings {
            latest = latest.max(recording.end);
            let age = u64::try_from(now.saturating_sub(latest)).unwrap_or(0);
            let is_old = self.age.is_some_and(|limit| Duration::from_secs(age) > limit);
            let is_needed = self.missing(total, free).is_some();
            if !recording.stays && (is_old || is_needed) {
                total -= recording.bytes;
                free = free.saturating_add(recording.bytes);
                cleanup.delete.push(recording.number);
            }
        }
        cleanup.missing = self.missing(total, free);
        cleanup
    }

    /// What is missing with so many bytes of recordings, and so many free.
    fn missing(&self, total: u64, free: u64) -> Option<MissingRoom> {
        if free < self.min_free {
            return Some(MissingRoom::Free);
        }
        self.bytes.is_some_and(|limit| total > limit).then_some(MissingRoom::Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;
    const NONE: KeepLimits = KeepLimits { bytes: None, age: None, min_free: 0 };
    const NEW: KeptRecording = KeptRecording { number: 0, kind: FileKind::Recording, bytes: 0, end: 0, stays: false };

    /// So many recordings of 10 MB and a minute each, one after another.
    fn minutes(count: u64) -> Vec<KeptRecording> {
        (1..=count).map(|number| KeptRecording { number, bytes: 10 * MB, end: number as i64 * 60, ..NEW }).collect()
    }

    #[test]
    fn the_oldest_go_first_until_each_limit_is_kept() {
        for (limits, free, deleted) in [
            (NONE, 0, 0),
            (KeepLimits { bytes: Some(100 * MB), ..NONE }, 0, 0),
            (KeepLimits { bytes: Some(99 * MB), ..NONE }, 0, 1),
            (KeepLimits { bytes: Some(31 * MB), ..NONE }, 0, 7),
            (KeepLimits { age: Some(Duration::from_secs(120)), ..NONE }, 0, 7),
            (KeepLimits { min_free: 50 * MB, ..NONE }, 49 * MB, 1),
            (KeepLimits { min_free: 50 * MB, ..NONE }, 50 * MB, 0),
            (KeepLimits { min_free: 50 * MB, bytes: Some(60 * MB), age: Some(Duration::from_secs(500)) }, 0, 5),
        ] {
            let mut shuffled = minutes(10);
            shuffled.reverse();
            let expected = Cleanup { delete: (1..=deleted).collect(), missing: None };
            assert_eq!(limits.cleanup(shuffled, 600, free), expected, "{limits:?}");
        }
    }

    #[test]
    fn what_stays_stays_and_what_is_missing_is_said() {
        let mut recordings = minutes(4);
        for recording in &mut recordings[..3] {
            recording.stays = true;
        }
        let limits = KeepLimits { bytes: Some(20 * MB), age: Some(Duration::from_secs(1)), ..NONE };
        let expected = Cleanup { delete: vec![4], missing: Some(MissingRoom::Bytes) };
        assert_eq!(limits.cleanup(recordings.clone(), 600, 0), expected);
        let limits = KeepLimits { min_free: 100 * MB, ..NONE };
        let expected = Cleanup { delete: vec![4], missing: Some(MissingRoom::Free) };
        assert_eq!(limits.cleanup(recordings, 600, 0), expected);
    }

    #[test]
    fn time_lapses_have_limits_of_their_own_and_make_room_last() {
        let mut all = minutes(8);
        for timelapse in &mut all[..3] {
            timelapse.kind = FileKind::Timelapse;
        }
        let recordings = KeepLimits { bytes: Some(40 * MB), min_free: 100 * MB, ..NONE };
        let timelapses = KeepLimits { bytes: Some(20 * MB), min_free: 100 * MB, ..NONE };
        let rules = KeepRules { recordings, timelapses };
        let deleted = |free: u64| rules.cleanup(all.clone(), 600, free).map(|cleanup| cleanup.delete);
        assert_eq!(deleted(100 * MB), [vec![4], vec![1]], "the oldest of each kind");
        assert_eq!(deleted(60 * MB), [vec![4, 5, 6, 7], vec![1]]);
        assert_eq!(deleted(40 * MB), [vec![4, 5, 6, 7, 8], vec![1]]);
        assert_eq!(deleted(30 * MB), [vec![4, 5, 6, 7, 8], vec![1, 2]]);
        // What is missing in the end is missing for both, and what time-lapses make up for is not.
        let missing = |free: u64| rules.cleanup(all.clone(), 600, free).map(|cleanup| cleanup.missing);
        assert_eq!(missing(30 * MB), [None, None]);
        assert_eq!(missing(10 * MB), [Some(MissingRoom::Free); 2]);
        all.iter_mut().for_each(|kept| kept.stays = kept.kind == FileKind::Timelapse);
        assert_eq!(rules.cleanup(all, 600, 100 * MB).map(|cleanup| cleanup.missing), [None, Some(MissingRoom::Bytes)]);
    }

    #[test]
    fn a_clock_that_was_behind_costs_no_recording() {
        // After a power cut the board thinks that it is 1970, until it has asked for the time.
        let year = 31_536_000;
        let mut recordings = minutes(3);
        for recording in &mut recordings {
            recording.end += 56 * year;
        }
        recordings.push(KeptRecording { number: 4, bytes: MB, end: 60, ..NEW });
        let limits = KeepLimits { age: Some(Duration::from_secs(3_600)), ..NONE };
        assert_eq!(limits.cleanup(recordings.clone(), 56 * year + 600, 0), Cleanup::default());
        // A clock that goes back deletes nothing either.
        assert_eq!(limits.cleanup(recordings, 0, 0), Cleanup::default());
    }

    #[test]
    fn a_clock_that_was_ahead_shields_nothing() {
        let mut recordings = minutes(6);
        let (year, limits) = (31_536_000, KeepLimits { age: Some(Duration::from_secs(120)), ..NONE });
        // The second run had another year.
        recordings[2].end += year;
        recordings[3].end += year;
        let deleted = |now: i64| limits.cleanup(recordings.clone(), now, 0).delete;
        assert_eq!(deleted(360), [1, 2], "the third and the fourth are as old as the fifth");
        assert_eq!(deleted(421), [1, 2, 3, 4, 5]);
        // Of the last ones nothing is known.
        recordings.truncate(4);
        let deleted = |now: i64| limits.cleanup(recordings.clone(), now, 0).delete;
        assert_eq!(deleted(3_600), [1, 2]);
    }

    /// A day of recordings of a camera, of 60 minutes or of events, on a card with other files, whose limits are checked as often
    /// as the storage thread checks them.
    #[test]
    fn the_limits_hold_through_a_day() {
        let card = 32_000 * MB;
        let limits =
            KeepLimits { bytes: Some(8_000 * MB), age: Some(Duration::from_secs(8 * 3_600)), min_free: 1_000 * MB };
        let mut recordings: Vec<KeptRecording> = Vec::new();
        let (mut number, mut others) = (0, 10_000 * MB);
        for second in (0..24 * 3_600_i64).step_by(10) {
            // An event of two minutes every ten minutes, besides a file for each hour.
            for (interval, length, protected) in [(3_600, 3_600, 7 * 3_600), (600, 120, 3_000)] {
                if second % interval == 0 {
                    number += 1;
                    let stays = second % protected == 0 && second > 0;
                    recordings.push(KeptRecording { number, end: second + length, stays, ..NEW });
                }
            }
            for recording in recordings.iter_mut().filter(|recording| second < recording.end) {
                recording.bytes += 10 * 250_000;
            }
            // Somebody else fills the card in the afternoon.
            others += if second > 15 * 3_600 { 5 * MB } else { 0 };
            let total: u64 = recordings.iter().map(|recording| recording.bytes).sum();
            let free = card.saturating_sub(others + total);
            let running = |recording: &KeptRecording| second < recording.end;
            let seen = recordings.iter().map(|recording| {
                let stays = recording.stays || running(recording);
                KeptRecording { stays, ..*recording }
            });
            let cleanup = limits.cleanup(seen.collect(), second, free);
            let deleted = |recording: &KeptRecording| cleanup.delete.contains(&recording.number);
            assert!(!recordings.iter().any(|recording| deleted(recording) && (recording.stays || running(recording))));
            recordings.retain(|recording| !deleted(recording));
            let total: u64 = recordings.iter().map(|recording| recording.bytes).sum();
            let staying = recordings.iter().filter(|recording| recording.stays || running(recording));
            let staying: u64 = staying.map(|recording| recording.bytes).sum();
            let free = card.saturating_sub(others + total);
            assert!(total <= 8_000 * MB.max(staying), "{second}: {total}");
            assert!(free >= 1_000 * MB || total == staying, "{second}: {free} free");
            assert_eq!(cleanup.missing.is_some(), free < 1_000 * MB || total > 8_000 * MB, "{second}");
            let old = recordings.iter().filter(|recording| !recording.stays && second - recording.end > 8 * 3_600);
            assert_eq!(old.count(), 0, "{second}");
        }
        assert!(recordings.iter().filter(|recording| recording.stays).count() > 3 && number > 160);
    }
}
