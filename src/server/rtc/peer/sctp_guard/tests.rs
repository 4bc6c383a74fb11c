//! The limits on packets that are made up, and what we send in between.

use super::*;
use crate::server::rtc::peer::sctp_chunks::HEADER_LEN;

fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
    [vec![0; HEADER_LEN], chunks.concat()].concat()
}

fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, 0];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn data(tsn: u32, stream: u16, len: usize) -> Vec<u8> {
    let header = [&tsn.to_be_bytes()[..], &stream.to_be_bytes(), &[0; 6]].concat();
    chunk(chunk::DATA, &[header, vec![7; len]].concat())
}

fn init(tag: u32, first: u32) -> Vec<u8> {
    chunk(chunk::INIT, &[tag, 0, 0, first].map(u32::to_be_bytes).concat())
}

fn init_ack(tag: u32, first: u32) -> Vec<u8> {
    chunk(chunk::INIT_ACK, &[tag, 0, 0, first].map(u32::to_be_bytes).concat())
}

fn sack(acknowledged: u32, window: u32) -> Vec<u8> {
    packet(&[sack_with(acknowledged, window, &[])])
}

fn sack_with(acknowledged: u32, window: u32, gaps: &[[u16; 2]]) -> Vec<u8> {
    let counts = (gaps.len() as u32) << 16;
    let blocks: Vec<u8> = gaps.as_flattened().iter().flat_map(|end| end.to_be_bytes()).collect();
    chunk(chunk::SACK, &[[acknowledged, window, counts].map(u32::to_be_bytes).concat(), blocks].concat())
}

/// A request that resets one stream after the chunk `last`.
fn reset(number: u32, last: u32) -> Vec<u8> {
    let header = [&13_u16.to_be_bytes()[..], &18_u16.to_be_bytes()].concat();
    let numbers = [number, 0, last].map(u32::to_be_bytes).concat();
    chunk(chunk::RECONFIG, &[header, numbers, vec![0, 1, 0, 0]].concat())
}

/// What we answer to it.
fn reset_response(number: u32, result: u32) -> Vec<u8> {
    let header = [&16_u16.to_be_bytes()[..], &12_u16.to_be_bytes()].concat();
    packet(&[chunk(chunk::RECONFIG, &[header, [number, result].map(u32::to_be_bytes).concat()].concat())])
}

/// A guard whose viewer has connected, and the time.
fn connected() -> (SctpGuard, Instant) {
    let (mut guard, now) = (SctpGuard::new(true), Instant::now());
    assert_eq!(guard.check(&packet(&[init_ack(1, 100)]), now), Ok(true));
    (guard, now)
}

#[test]
fn error_causes_that_exceed_their_chunk_do_not_pass() {
    let error = |causes: &[u8]| {
        let length = (causes.len() as u16 + 4).to_be_bytes();
        let chunk = [&[chunk::ERROR, 0], &length[..], causes].concat();
        SctpGuard::new(true).check(&packet(&[chunk]), Instant::now())
    };
    let cause = |length: u16| [&[0, 13], &length.to_be_bytes()[..], b"text"].concat();
    for (causes, passes) in [
        (Vec::new(), true),
        (cause(8), true),
        ([cause(8), cause(8)].concat(), true),
        (cause(9), false),
        (cause(u16::MAX), false),
        ([cause(8), cause(9)].concat(), false),
        (cause(0), false),
    ] {
        assert_eq!(error(&causes), Ok(passes), "{causes:?}");
    }
}

#[test]
fn messages_that_are_read_pass_without_end() {
    let (mut guard, now) = connected();
    for tsn in 100..100 + 10 * MAX_CHUNKS as u32 {
        assert_eq!(guard.check(&packet(&[data(tsn, 0, 1_000)]), now), Ok(true), "{tsn}");
        guard.note_sent(&sack(tsn, WINDOW));
    }
}

#[test]
fn a_viewer_that_ignores_the_closed_window_is_ended() {
    let (mut guard, now) = connected();
    guard.note_sent(&sack(200, 0));
    let mut tsn = 201;
    let mut passed = 0;
    let violation = loop {
        match guard.check(&packet(&[data(tsn, 0, 1_000)]), now) {
            Ok(true) => passed += 1,
            Ok(false) => {}
            Err(violation) => break violation,
        }
        tsn += 1;
    };
    assert!(matches!(violation, SctpViolation::Window(ignored) if ignored < MAX_IGNORED + 2_000), "{violation}");
    assert_eq!(passed, 1, "only the probe");
}

#[test]
fn a_viewer_that_waits_for_the_window_stays() {
    let (mut guard, start) = connected();
    guard.note_sent(&sack(200, 0));
    for second in 0..20 {
        let probe = guard.check(&packet(&[data(201, 0, 1_000)]), start + Duration::from_secs(second));
        assert_eq!(probe, Ok(true), "the probe after {second} s");
    }
    guard.note_sent(&sack(201, WINDOW));
    let later = start + Duration::from_secs(3_600);
    assert!((202..300).all(|tsn| guard.check(&packet(&[data(tsn, 0, 1_000)]), later) == Ok(true)));
}

#[test]
fn small_chunks_count_although_they_hardly_fill_the_window() {
    let (mut guard, now) = connected();
    let mut passed = 0;
    for tsn in 100..100 + 2 * MAX_CHUNKS as u32 {
        let unread = tsn - 99;
        passed += u32::from(guard.check(&packet(&[data(tsn, 0, 1)]), now).expect("no violation yet"));
        guard.note_sent(&sack(tsn, WINDOW - NEARLY_EMPTY - unread));
    }
    assert_eq!(passed as usize, MAX_CHUNKS + 1);
    let late = now + MAX_BLOCKED + Duration::from_secs(1);
    assert_eq!(guard.check(&packet(&[data(100, 0, 1)]), late), Err(SctpViolation::Incomplete));
}

#[test]
fn streams_resets_and_empty_chunks_are_limited() {
    let (mut guard, now) = connected();
    for stream in 0..MAX_STREAMS as u16 {
        assert_eq!(guard.check(&packet(&[data(100, 2 * stream, 1)]), now), Ok(true));
    }
    assert_eq!(guard.check(&packet(&[data(100, 1, 1)]), now), Err(SctpViolation::Streams));
    let (mut guard, now) = connected();
    let request = [&[0, 13, 0, 16][..], &[0; 12]].concat();
    let reset = packet(&[chunk(chunk::RECONFIG, &request)]);
    assert!((0..MAX_RESETS).all(|_| guard.check(&reset, now) == Ok(true)));
    assert_eq!(guard.check(&reset, now), Err(SctpViolation::Resets));
    let (mut guard, now) = connected();
    assert_eq!(guard.check(&packet(&[data(100, 0, 0)]), now), Err(SctpViolation::Empty));
}

#[test]
fn sequence_numbers_far_away_and_further_associations_are_dropped() {
    let (mut guard, now) = connected();
    let forward = |tsn: u32| packet(&[chunk(chunk::FORWARD_TSN, &tsn.to_be_bytes())]);
    assert_eq!(guard.check(&forward(99 + MAX_DISTANCE), now), Ok(true));
    assert_eq!(guard.check(&forward(100 + MAX_DISTANCE), now), Ok(false));
    assert_eq!(guard.check(&packet(&[data(100 + MAX_DISTANCE, 0, 1)]), now), Ok(false));
    assert_eq!(guard.check(&packet(&[data(99, 0, 1)]), now), Ok(true), "one that is repeated");
    for far in [98_u32.wrapping_sub(MAX_DISTANCE), 100 + (1 << 31), 99 + (1 << 31)] {
        assert_eq!(guard.check(&forward(far), now), Ok(false), "{far} is behind, but not of what the library has");
    }
    let far = 100 + 2 * MAX_DISTANCE;
    for other in [init(1, 100), init_ack(2, 100), init_ack(1, far), chunk(chunk::INIT_ACK, &[])] {
        assert_eq!(guard.check(&packet(std::slice::from_ref(&other)), now), Ok(false), "{other:?}");
        assert_eq!(guard.check(&forward(far), now), Ok(false), "after {other:?}");
    }
    assert_eq!(guard.check(&packet(&[init_ack(1, 100)]), now), Ok(true), "one that is repeated");
    guard.note_sent(&sack(100, WINDOW));
    assert_eq!(guard.check(&packet(&[init_ack(1, 100)]), now), Ok(false), "the association has begun");
    assert_eq!(SctpGuard::new(true).check(&forward(100), now), Ok(false), "there is no association");
}

#[test]
fn damaged_packets_are_left_to_the_library() {
    let (mut guard, now) = connected();
    let whole = packet(&[data(100, 0, 9), data(101, 0, 9)]);
    for len in 0..whole.len() {
        assert_eq!(guard.check(&whole[..len], now), Ok(true), "{len}");
        guard.note_sent(&whole[..len]);
    }
    assert_eq!(guard.check(&packet(&[vec![0; 4]]), now), Ok(true));
}

#[test]
fn a_viewer_opens_an_association_once_and_is_answered_again() {
    let (mut guard, now) = (SctpGuard::new(false), Instant::now());
    let opening = packet(&[init(1, 100)]);
    assert!(!guard.is_repeated_opening(&opening));
    assert_eq!(guard.check(&packet(&[init_ack(1, 100)]), now), Ok(false), "nothing was opened here");
    assert_eq!(guard.check(&opening, now), Ok(true));
    for (other, is_repeated) in [(opening, true), (packet(&[init(2, 100)]), false), (packet(&[init(1, 101)]), false)] {
        assert_eq!((guard.check(&other, now), guard.is_repeated_opening(&other)), (Ok(false), is_repeated));
    }
}

#[test]
fn chunks_behind_a_gap_count_until_it_is_closed() {
    let (mut guard, now) = connected();
    let passed = (101..101 + 2 * MAX_CHUNKS as u32)
        .filter(|tsn| {
            let passes = guard.check(&packet(&[data(*tsn, 0, 1)]), now) == Ok(true);
            guard.note_sent(&packet(&[sack_with(99, WINDOW, &[[2, (tsn - 99) as u16]])]));
            passes
        })
        .count();
    assert_eq!(passed, MAX_CHUNKS + 1, "and the probe");
    guard.note_sent(&sack(100 + MAX_CHUNKS as u32, WINDOW));
    assert_eq!(guard.check(&packet(&[data(101 + MAX_CHUNKS as u32, 0, 1)]), now), Ok(true));
}

#[test]
fn few_resets_wait_at_once_and_others_pass_when_those_are_done() {
    let (mut guard, now) = connected();
    let check = |guard: &mut SctpGuard, number| guard.check(&packet(&[reset(number, 1_000)]), now);
    for number in [1, 2, 3, 4, 4, 1] {
        assert_eq!(check(&mut guard, number), Ok(true), "{number}");
    }
    assert_eq!(check(&mut guard, 5), Ok(false));
    guard.note_sent(&reset_response(2, 6));
    assert_eq!(check(&mut guard, 5), Ok(false), "it is still in progress");
    guard.note_sent(&reset_response(2, 1));
    assert_eq!(check(&mut guard, 5), Ok(true));
    assert_eq!(check(&mut guard, 2), Ok(false));
}

#[test]
fn nothing_is_acknowledged_twice_or_before_it_is_sent() {
    let (mut guard, now) = connected();
    let check = |guard: &mut SctpGuard, acknowledged, gaps: &[[u16; 2]]| {
        guard.check(&packet(&[sack_with(acknowledged, WINDOW, gaps)]), now) == Ok(true)
    };
    assert!(!check(&mut guard, 499, &[]), "nothing was sent");
    guard.note_sent(&packet(&[data(500, 0, 1), data(501, 0, 1)]));
    guard.note_sent(&packet(&[data(509, 0, 1)]));
    guard.note_sent(&packet(&[data(502, 0, 1)]));
    for (acknowledged, gaps, passes) in [
        (499, &[][..], true),
        (509, &[], true),
        (510, &[], false),
        (499, &[[2, 3], [5, 10]], true),
        (499, &[[5, 10], [2, 3]], true),
        (499, &[[2, 11]], false),
        (499, &[[3, 2]], false),
        (499, &[[1, 10]], true),
        (499, &[[1, 10], [10, 10]], false),
        (509, &[[1, 1]], false),
    ] {
        assert_eq!(check(&mut guard, acknowledged, gaps), passes, "{acknowledged} {gaps:?}");
    }
    let twice = packet(&[sack_with(499, WINDOW, &[]), sack_with(499, WINDOW, &[])]);
    assert_eq!(guard.check(&twice, now), Ok(false));
}
