//! Tests of what becomes of frames, against a queue that the test empties or not.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::machine::{RecordingMachine, RecordingRules};
use super::name::RecordingCause;
use super::queue::{NextJob, StorageJob};
use super::storage::Storage;
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::model::metrics::Metrics;
use crate::model::status::{Status, StatusPublisher};

/// Sequence parameter sets of 1280x720, and of another level.
const SPS: [&[u8]; 2] = [
    &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80],
    &[0x67, 0x42, 0xc0, 0x28, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80],
];

const RULES: RecordingRules = RecordingRules {
    camera: 0,
    always: true,
    before: Duration::ZERO,
    after: Duration::from_secs(3),
    max_length: Duration::from_secs(3_600),
    max_bytes: u64::MAX,
    channels: Some(1),
};

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(milliseconds))
}

/// A frame with so many bytes; a key frame with these parameter sets.
fn frame(milliseconds: u64, key: Option<&[u8]>, bytes: usize) -> EncodedFrame {
    let slice = [&[0, 0, 1, if key.is_some() { 0x65 } else { 0x41 }][..], &vec![1; bytes]].concat();
    let sets = key.map(|sps| [&[0, 0, 1][..], sps, &[0, 0, 1, 0x68, 0xce, 0x3c, 0x80]].concat());
    let data = Bytes::from([sets.unwrap_or_default(), slice].concat());
    EncodedFrame::new(at(milliseconds), key.is_some(), data)
}

fn machine(rules: RecordingRules) -> (RecordingMachine, Storage, Metrics) {
    let (metrics, publisher) = (Metrics::new(), StatusPublisher::new(Status::default()));
    let storage = Storage::new(1, publisher);
    (RecordingMachine::new(rules, storage.clone(), metrics.clone()), storage, metrics)
}

/// What waits for the storage thread: `B`egin, `A`ppend and `E`nd.
fn jobs(storage: &Storage) -> String {
    let mut jobs = String::new();
    while let NextJob::Job(job) = storage.queue.pop(Duration::ZERO) {
        jobs.push(match job {
            StorageJob::Begin(_) => 'B',
            StorageJob::Append(..) => 'A',
            StorageJob::End(_) => 'E',
        });
    }
    jobs
}

fn dropped(metrics: &Metrics) -> u64 {
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("porthole_frames_dropped_total{at=\"Recorder\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_file_begins_with_a_key_frame_and_another_where_it_has_to() {
    let (mut machine, storage, metrics) = machine(RecordingRules { max_length: Duration::from_secs(20), ..RULES });
    machine.push_video(frame(0, None, 10));
    assert_eq!((jobs(&storage).as_str(), dropped(&metrics)), ("", 0));
    for second in 1..=4 {
        machine.push_video(frame(second * 1_000, (second == 1).then_some(SPS[0]), 10));
    }
    assert_eq!(jobs(&storage), "BAAA");
    // Other parameter sets.
    machine.push_video(frame(5_000, Some(SPS[1]), 10));
    assert_eq!(jobs(&storage), "AEB");
    machine.push_video(frame(6_000, Some(SPS[1]), 10));
    // It is long enough.
    machine.push_video(frame(25_000, None, 10));
    machine.push_video(frame(26_000, Some(SPS[1]), 10));
    assert_eq!(jobs(&storage), "AAAEB");
    // The camera is away.
    machine.push_video(EncodedFrame { placeholder: true, ..frame(27_000, Some(SPS[0]), 10) });
    machine.push_video(frame(28_000, None, 10));
    assert_eq!(jobs(&storage), "AE");
    machine.push_video(frame(29_000, Some(SPS[1]), 10));
    // Nothing comes any more.
    machine.tick(at(30_000));
    assert_eq!(jobs(&storage), "B");
    machine.tick(at(31_500));
    assert_eq!(jobs(&storage), "A");
    machine.forget();
    assert_eq!((jobs(&storage).as_str(), dropped(&metrics)), ("E", 0));
}

#[test]
fn a_file_of_enough_bytes_is_followed_by_another() {
    let (mut machine, storage, _) = machine(RecordingRules { max_bytes: 60_000, ..RULES });
    for second in 0..10 {
        machine.push_video(frame(second * 1_000, Some(SPS[0]), 20_000));
    }
    assert_eq!(jobs(&storage).matches('B').count(), 3);
}

#[test]
fn a_slow_card_costs_a_gap_up_to_a_key_frame() {
    const MEGABYTE: usize = 1_000_000;
    let (mut machine, storage, metrics) = machine(RULES);
    assert!(machine.take_key_request(at(0)));
    machine.push_video(frame(0, Some(SPS[0]), MEGABYTE));
    for second in 1..40 {
        machine.push_video(frame(second * 1_000, None, MEGABYTE));
    }
    assert!(dropped(&metrics) > 10, "{}", dropped(&metrics));
    let fault = storage.watch().borrow().fault.clone();
    assert!(fault.is_some_and(|fault| fault.starts_with("the card is too slow")));
    // Whoever watches does not pay for it with key frames.
    assert!(!machine.take_key_request(at(60_000)));
    machine.push_video(frame(60_000, Some(SPS[0]), MEGABYTE));
    let waiting = jobs(&storage);
    assert!(waiting.len() > 20 && waiting.replace('A', "") == "B", "{waiting}");
    assert!(machine.take_key_request(at(61_000)));
    machine.push_video(frame(61_000, None, MEGABYTE));
    assert_eq!(jobs(&storage), "");
    machine.push_video(frame(62_000, Some(SPS[0]), MEGABYTE));
    machine.push_video(frame(63_000, None, MEGABYTE));
    // In the same file.
    assert_eq!(jobs(&storage), "A");
}

#[test]
fn missed_frames_are_a_gap() {
    let (mut machine, storage, metrics) = machine(RULES);
    machine.push_video(frame(0, Some(SPS[0]), 10));
    machine.push_video(frame(40, None, 10));
    machine.missed(7);
    assert_eq!(jobs(&storage), "BA");
    machine.push_video(frame(400, None, 10));
    machine.push_video(frame(440, Some(SPS[0]), 10));
    machine.push_video(frame(1_440, None, 10));
    assert_eq!((jobs(&storage).as_str(), dropped(&metrics)), ("A", 8));
}

#[test]
fn a_file_that_failed_is_followed_by_another_after_a_pause() {
    let (mut machine, storage, metrics) = machine(RULES);
    machine.push_video(frame(0, Some(SPS[0]), 10));
    assert_eq!(jobs(&storage), "B");
    let now = Instant::now();
    machine.failed(now);
    machine.push_video(frame(1_000, Some(SPS[0]), 10));
    assert!(!machine.take_key_request(at(9_000)));
    assert_eq!((jobs(&storage).as_str(), dropped(&metrics)), ("", 1));
    machine.recovered();
    assert!(machine.take_key_request(at(9_000)));
    machine.push_video(frame(9_000, Some(SPS[0]), 10));
    assert_eq!(jobs(&storage), "B");
}

#[test]
fn an_event_begins_before_its_start_and_ends_after_its_stop() {
    let rules = RecordingRules { always: false, before: Duration::from_secs(2), ..RULES };
    let (mut machine, storage, _) = machine(rules);
    assert!(machine.needs_frames());
    let key = |second: u64| second.is_multiple_of(2).then_some(SPS[0]);
    for second in 0..=7 {
        machine.push_video(frame(second * 1_000, key(second), 10));
        machine.push_audio(AudioPacket { captured: at(second * 1_000), gap: false, data: Bytes::from_static(b"x") });
    }
    assert_eq!(jobs(&storage), "");
    machine.start();
    // From the second 4 on.
    assert_eq!(jobs(&storage), "BAAA");
    machine.stop(at(7_500));
    for second in 8..=10 {
        machine.push_video(frame(second * 1_000, key(second), 10));
    }
    assert_eq!(jobs(&storage), "AAA");
    machine.push_video(frame(10_600, None, 10));
    assert_eq!(jobs(&storage), "AE");
    // It goes on if it is started again in between, and ends at once with a second stop.
    machine.start();
    machine.stop(at(11_000));
    machine.start();
    machine.tick(at(20_000));
    machine.push_video(frame(20_000, Some(SPS[0]), 10));
    machine.stop(at(20_100));
    assert!(!jobs(&storage).contains('E'));
    machine.stop(at(20_200));
    assert!(jobs(&storage).ends_with('E'));
    let without = RecordingRules { before: Duration::ZERO, ..RULES };
    let (mut idle, ..) = self::machine(RecordingRules { always: false, ..without });
    assert!(!idle.needs_frames());
    idle.start();
    assert!(idle.needs_frames());
    idle.forget();
    assert!(!idle.needs_frames());
}

#[test]
fn motion_is_recorded_from_before_it_until_a_while_after_it() {
    let rules = RecordingRules { always: false, before: Duration::from_secs(4), ..RULES };
    let (mut machine, storage, _) = machine(rules);
    let push = |machine: &mut RecordingMachine, seconds: std::ops::RangeInclusive<u64>| {
        for second in seconds {
            machine.push_video(frame(second * 1_000, second.is_multiple_of(2).then_some(SPS[0]), 10));
        }
    };
    push(&mut machine, 0..=9);
    assert_eq!(jobs(&storage), "");
    machine.motion_begun();
    push(&mut machine, 10..=10);
    let NextJob::Job(StorageJob::Begin(begin)) = storage.queue.pop(Duration::ZERO) else { panic!("no file") };
    // The last key frame that is four seconds before what was seen last.
    assert_eq!((begin.cause, begin.first.captured), (RecordingCause::Motion, at(4_000)));
    assert_eq!(jobs(&storage), "AAAAAA");
    // Other motion prolongs it, also while it is about to end.
    machine.motion_ended(at(10_000));
    push(&mut machine, 11..=12);
    machine.motion_begun();
    push(&mut machine, 13..=20);
    machine.motion_ended(at(20_000));
    push(&mut machine, 21..=22);
    assert!(!jobs(&storage).contains(['B', 'E']));
    push(&mut machine, 23..=24);
    assert_eq!(jobs(&storage), "AE");
    // Motion that ends when it is no longer recorded changes nothing.
    machine.motion_ended(at(25_000));
    push(&mut machine, 25..=30);
    assert_eq!(jobs(&storage), "");
    // What goes on is cut into files too.
    let (mut machine, storage, _) =
        self::machine(RecordingRules { always: false, max_length: Duration::from_secs(6), ..RULES });
    machine.motion_begun();
    push(&mut machine, 0..=20);
    assert_eq!(jobs(&storage).matches('B').count(), 4);
    assert!(machine.needs_frames());
    machine.forget();
    assert!(jobs(&storage).ends_with('E') && !machine.needs_frames());
}
