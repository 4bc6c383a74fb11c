//! Makes room: deletes the recordings that have to go, and says what there is after that. Which ones go is decided in `keep`; the
//! time and the free space are arguments.

use crate::pipeline::recorder::keep::{KeepRules, KeptRecording, MissingRoom};
use crate::pipeline::recorder::library::Library;

/// What there is, for recordings and for time-lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes of all of them, as far as is known.
    pub totals: [u64; 2],
    /// What is missing.
    pub missing: [Option<MissingRoom>; 2],
}

impl Room {
    /// Deletes what the rules ask for at `now`, in seconds since the Unix epoch, with so many bytes of the file system free.
    ///
    /// # Errors
    ///
    /// When the recordings cannot be listed.
    pub fn make(library: &Library, rules: &KeepRules, now: i64, free: u64) -> anyhow::Result<Self> {
        let recordings = library.list()?;
        let kept = recordings.iter().map(|recording| KeptRecording {
            number: recording.name.number,
            kind: recording.name.cause.kind(),
            bytes: recording.bytes,
            end: recording.name.end(),
            stays: recording.is_running || recording.name.protected,
        });
        let kept: Vec<KeptRecording> = kept.collect();
        let mut totals = [0; 2];
        kept.iter().for_each(|recording| totals[recording.kind as usize] += recording.bytes);
        let cleanups = rules.cleanup(kept.clone(), now, free);
        let missing = cleanups.each_ref().map(|cleanup| cleanup.missing);
        for number in cleanups.into_iter().flat_map(|cleanup| cleanup.delete) {
            match library.delete(number) {
                Ok(()) => {
                    let deleted = kept.iter().filter(|recording| recording.number == number);
                    deleted.for_each(|recording| totals[recording.kind as usize] -= recording.bytes);
                }
                Err(error) => tracing::warn!("recording {number} is not deleted to make room: {error}"),
            }
        }
        Ok(Self { totals, missing })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::pipeline::recorder::clock::ClockSetting;
    use crate::pipeline::recorder::keep::KeepLimits;
    use crate::pipeline::recorder::library::StoredRecording;
    use crate::pipeline::recorder::name::{FileKind, RecordingCause};
    use crate::util::state_dir::StateDir;

    const MB: u64 = 1_000_000;
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;

    /// When the day begins, in seconds since the Unix epoch.
    const BEGIN: i64 = 1_796_083_200;

    /// What is recorded: how often a file begins, for how long it is written, and why.
    const FILES: [(i64, i64, RecordingCause); 3] = [
        (HOUR, HOUR, RecordingCause::Always),
        (HOUR / 2, 2 * MINUTE, RecordingCause::Motion),
        (24 * HOUR, 24 * HOUR, RecordingCause::Timelapse),
    ];

    /// A file that is being written.
    struct Running {
        number: u64,
        file: File,
        begun: i64,
        ends: i64,
        bytes_per_second: u64,
    }

    /// A day on a card of 70 GB, whose files have their sizes and nothing in them; room is made as often as the storage thread
    /// makes it. At first age decides what goes, then there is three times as much to record and the bytes do, and in the end
    /// others fill the card. In between the clock is an hour ahead.
    #[test]
    fn files_keep_to_each_limit_for_24_hours() {
        let (folder, card) = (tempfile::tempdir().unwrap(), 70_000 * MB);
        let library = Library::open(Some(folder.path()), &StateDir::open(None));
        let age = Some(Duration::from_secs(6 * HOUR as u64));
        let recordings = KeepLimits { bytes: Some(8_000 * MB), age, min_free: 1_000 * MB };
        let rules = KeepRules { recordings, timelapses: KeepLimits { bytes: Some(100 * MB), age: None, ..recordings } };
        let clock = ClockSetting::now();
        let (mut running, mut protected, mut others) = (Vec::<Running>::new(), Vec::new(), 20_000 * MB);
        let (mut before, mut room) = (BTreeSet::new(), Room::default());
        for second in (0..24 * HOUR).step_by(MINUTE as usize) {
            let ahead = if (5 * HOUR..7 * HOUR).contains(&second) { HOUR } else { 0 };
            library.follow_clock(clock.ahead(ahead)).unwrap();
            let now = BEGIN + second + ahead;
            let (ended, rest): (Vec<_>, Vec<_>) = running.into_iter().partition(|file| file.ends <= second);
            running = rest;
            for Running { number, begun, ends, .. } in ended {
                library.finish(number, Duration::from_secs((ends - begun) as u64)).unwrap();
            }
            for (_, length, cause) in FILES.into_iter().filter(|(interval, ..)| second % interval == 0) {
                let start = SystemTime::UNIX_EPOCH + Duration::from_secs(now as u64);
                let (name, file) = library.create("door", start, cause).unwrap();
                let number = name.number;
                if cause == RecordingCause::Motion && [2 * HOUR, 12 * HOUR].contains(&second) {
                    library.protect(number, true).unwrap();
                    protected.push(number);
                }
                let bytes_per_second = match cause.kind() {
                    FileKind::Timelapse => 1_000,
                    FileKind::Recording if second < 10 * HOUR => 250_000,
                    FileKind::Recording => 750_000,
                };
                running.push(Running { number, file, begun: second, ends: second + length, bytes_per_second });
            }
            for Running { file, bytes_per_second, .. } in &running {
                file.set_len(file.metadata().unwrap().len() + bytes_per_second * MINUTE as u64).unwrap();
            }
            let written: u64 = library.list().unwrap().iter().map(|recording| recording.bytes).sum();
            others = (others + if second >= 16 * HOUR { 100 * MB } else { 0 }).min(card - written);
            room = Room::make(&library, &rules, now, card - others - written).unwrap();

            let listed = library.list().unwrap();
            let (films, listed): (Vec<_>, Vec<_>) =
                listed.into_iter().partition(|recording| recording.name.cause.kind() == FileKind::Timelapse);
            let total = |of: &[_]| of.iter().map(|recording: &StoredRecording| recording.bytes).sum::<u64>();
            assert_eq!(room.totals, [total(&listed), total(&films)], "{second}");
            assert_eq!(films.len(), 1, "{second}");
            let numbers: BTreeSet<u64> = listed.iter().map(|recording| recording.name.number).collect();
            let stay = running.iter().map(|file| file.number).chain(protected.iter().copied());
            let stay: BTreeSet<u64> = stay.filter(|number| *number != films[0].name.number).collect();
            assert!(numbers.is_superset(&stay), "{second}: {stay:?} of {numbers:?}");
            let mut old = listed.iter().filter(|recording| !stay.contains(&recording.name.number));
            // An event is as old as the file of an hour before it, which has ended later.
            assert!(old.all(|recording| now - recording.name.end() <= 7 * HOUR), "{second}: {listed:#?}");
            let gone = before.difference(&numbers).max();
            assert!(numbers.difference(&stay).all(|kept| gone.is_none_or(|gone| kept > gone)), "the oldest first");
            let free = card - others - total(&listed) - total(&films);
            assert!(total(&listed) <= 8_000 * MB, "{second}");
            assert!(free >= 1_000 * MB || numbers == stay, "{second}: {free} free");
            assert_eq!(room.missing[0], (free < 1_000 * MB).then_some(MissingRoom::Free), "{second}");
            let oldest = listed.iter().find(|recording| !stay.contains(&recording.name.number));
            let oldest = oldest.map_or(0, |recording| now - recording.name.end());
            match second + MINUTE {
                // Each limit is the one that decides, in turn.
                end if end == 10 * HOUR => assert!(oldest > 5 * HOUR && total(&listed) < 7_500 * MB, "{oldest}"),
                end if end == 16 * HOUR => assert!(oldest < 4 * HOUR && total(&listed) > 5_000 * MB, "{oldest}"),
                end if end == 23 * HOUR => assert!(free < 4_000 * MB && total(&listed) < 7_500 * MB, "{free}"),
                _ => {}
            }
            before = numbers;
        }
        // Nothing is left but what stays.
        assert_eq!(room.missing, [Some(MissingRoom::Free); 2]);
        assert_eq!(before.len(), protected.len() + running.len() - 1);
    }
}
