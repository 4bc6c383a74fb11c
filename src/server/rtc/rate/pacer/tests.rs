//! Tests of the pacer, and of what it drops.

use super::video_queue::MAX_VIDEO;
use super::*;

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

/// A pacer for 1 Mbit/s, that is, 312 bytes in a millisecond.
fn pacer(start: Instant) -> SendPacer<u32> {
    SendPacer::new(1_000_000, start)
}

fn frame(first: u32, count: u32) -> impl Iterator<Item = (u32, usize)> {
    (first..first + count).map(|packet| (packet, 1_000))
}

/// What leaves at a time.
fn taken(pacer: &mut SendPacer<u32>, now: Instant) -> Vec<u32> {
    let mut out = Vec::new();
    pacer.take(now, true, &mut out);
    let pushed = |paced| match paced {
        PacedPacket::Pushed { packet, .. } => packet,
        PacedPacket::Padding { .. } => panic!("there should be no padding without a probe"),
    };
    out.into_iter().map(pushed).collect()
}

#[test]
fn audio_comes_first_then_repair_then_new_frames() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 1), FrameKind::Key, start);
    pacer.push_repair(10, 1_000);
    pacer.push_audio(20, 100);
    let mut out = Vec::new();
    for step in 0..10 {
        out.extend(taken(&mut pacer, after(start, step * 5)));
    }
    assert_eq!(out, [20, 10, 0]);
    assert_eq!(pacer.next_at(true), None);
}

#[test]
fn what_is_not_wanted_is_dropped_up_to_a_key_frame() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_audio(100, 100);
    pacer.push_audio(101, 100);
    pacer.push_frame(frame(0, 2), FrameKind::Key, start);
    pacer.push_frame(frame(10, 2), FrameKind::Key, start);
    assert_eq!(pacer.retain(|packet| ![100, 0, 1].contains(packet)), 1, "the first audio, and the first frame");
    assert!(!pacer.take_key_request(true, start), "one waits");
    assert_eq!(taken(&mut pacer, after(start, 5)), [101, 10, 11]);
    pacer.push_frame(frame(20, 2), FrameKind::Reference, start);
    pacer.push_frame(frame(30, 2), FrameKind::Reference, start);
    assert_eq!(pacer.retain(|packet| *packet > 21), 2, "what needs a frame that is gone goes too");
    assert!(pacer.take_key_request(true, start));
    assert_eq!(pacer.retain(|_| false), 0);
}

#[test]
fn a_key_frame_leaves_at_two_and_a_half_times_the_estimate() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 60), FrameKind::Key, start);
    let (mut now, mut left) = (start, Vec::new());
    while let Some(next) = pacer.next_at(true) {
        assert!(next > now, "time should go on");
        now = next;
        left.extend(taken(&mut pacer, now).into_iter().map(|_| now - start));
    }
    // 60,000 bytes at 2.5 Mbit/s are 192 ms.
    let last = *left.last().expect("all left");
    assert_eq!(left.len(), 60);
    assert!((180..=200).contains(&last.as_millis()), "{last:?}");
    let slice = left.iter().filter(|at| **at == left[0]).count();
    assert!(slice <= 3, "{slice} packets at once");
}

#[test]
fn a_limit_bounds_the_pace_and_audio_counts() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.set_limit(Some(400_000));
    pacer.set_estimate(400_000);
    let (mut bytes, mut out) = (0, Vec::new());
    for millisecond in 0..4_000 {
        let now = after(start, millisecond);
        if millisecond % 20 == 0 {
            pacer.push_audio(0, 200);
        }
        if millisecond % 33 == 0 {
            // A stream of 4 Mbit/s, all of key frames, of which none is too late.
            pacer.push_frame(frame(1, 16), FrameKind::Key, now);
        }
        pacer.take(now, true, &mut out);
        let size = |paced| match paced {
            PacedPacket::Pushed { packet: 0, .. } => 200,
            _ => 1_000,
        };
        bytes += out.drain(..).map(size).sum::<usize>();
    }
    // Four seconds of 400 kbit/s are 200,000 bytes.
    assert!((180_000..=206_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_pause_saves_up_no_burst() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 60), FrameKind::Key, after(start, 5_000));
    assert!(taken(&mut pacer, after(start, 5_000)).len() <= 3);
}

#[test]
fn a_viewer_that_is_behind_skips_to_the_next_key_frame() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    let mut closed = |now| {
        let mut out = Vec::new();
        pacer.take(now, false, &mut out);
        assert!(out.is_empty(), "the window is closed");
    };
    closed(start);
    pacer.push_frame(frame(0, 2), FrameKind::Reference, start);
    pacer.push_frame(frame(2, 2), FrameKind::Reference, after(start, 33));
    pacer.push_frame(frame(4, 2), FrameKind::Reference, after(start, 260));
    assert!(pacer.take_key_request(true, start) && !pacer.take_key_request(true, after(start, 60_000)));
    assert_eq!(pacer.drops(), PacerDrops { late: 2, awaiting_key: 1, left_out: 0 });
    assert!(pacer.video.is_empty());
    pacer.push_frame(frame(6, 1), FrameKind::Key, after(start, 300));
    assert_eq!(taken(&mut pacer, after(start, 300)), [6]);
}

#[test]
fn a_key_frame_that_waits_already_is_kept() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 2), FrameKind::Reference, start);
    pacer.push_frame(frame(2, 1), FrameKind::Key, after(start, 200));
    pacer.push_frame(frame(3, 1), FrameKind::Reference, after(start, 233));
    assert_eq!(taken(&mut pacer, after(start, 300)), [2, 3]);
    assert!(!pacer.take_key_request(true, after(start, 300)));
}

/// Has a pacer of half a Mbit/s send a key frame of 150 kB and the frames that follow it; returns what has left.
fn large_key_frame(pacer: &mut SendPacer<u32>, start: Instant, milliseconds: u64) -> Vec<u32> {
    let mut left = Vec::new();
    for step in 0..milliseconds {
        let now = after(start, step);
        if step % 33 == 0 {
            let is_key = step == 0;
            let count = if is_key { 150 } else { 1 };
            let kind = if is_key { FrameKind::Key } else { FrameKind::Reference };
            pacer.push_frame(frame(step as u32 * 1_000, count), kind, now);
        }
        left.extend(taken(pacer, now));
    }
    left
}

#[test]
fn a_key_frame_that_has_begun_to_leave_is_finished() {
    let start = Instant::now();
    let mut pacer = SendPacer::new(500_000, start);
    // 150,000 bytes at 1.25 Mbit/s are 960 ms.
    let left = large_key_frame(&mut pacer, start, 1_100);
    assert_eq!(left, (0..150).collect::<Vec<_>>(), "the whole picture, and nothing that was late behind it");
    assert!(pacer.take_key_request(true, after(start, 1_100)));
    assert!(pacer.drops().late > 0);
}

#[test]
fn a_key_frame_that_stops_on_its_way_is_given_up_after_two_seconds() {
    let start = Instant::now();
    let mut pacer = SendPacer::new(500_000, start);
    assert!(!large_key_frame(&mut pacer, start, 100).is_empty());
    let mut out = Vec::new();
    pacer.take(after(start, 2_000), false, &mut out);
    assert!(!pacer.video.is_empty());
    pacer.take(after(start, 2_200), false, &mut out);
    assert!(pacer.video.is_empty() && out.is_empty());
}

#[test]
fn requests_for_key_frames_that_do_not_help_become_rare() {
    let start = Instant::now();
    let requests = |is_covered| {
        let mut pacer = pacer(start);
        let mut at = Vec::new();
        for second in 0..60 {
            pacer.want_key();
            if pacer.take_key_request(is_covered, after(start, second * 1_000)) {
                at.push(second);
            }
        }
        // A minute later.
        pacer.want_key();
        assert!(pacer.take_key_request(is_covered, after(start, 120_000)));
        pacer.want_key();
        assert_eq!(pacer.take_key_request(is_covered, after(start, 122_000)), is_covered, "the time is short again");
        at
    };
    assert_eq!(requests(true), [0, 2, 6, 14, 24, 34, 44, 54]);
    assert_eq!(requests(false), [0, 10, 20, 30, 40, 50]);
}

#[test]
fn padding_leaves_even_while_the_window_is_closed() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.send_padding();
    assert_eq!(pacer.next_at(false), Some(start));
    let mut out = Vec::new();
    pacer.take(start, false, &mut out);
    assert_eq!(out, [PacedPacket::Padding { bytes: PADDING, probe: None }]);
    assert_eq!(pacer.next_at(false), None);
}

#[test]
fn on_a_fast_path_a_frame_leaves_at_once_and_needs_no_timer() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.set_free(true);
    pacer.push_frame(frame(0, 60), FrameKind::Key, start);
    assert_eq!(taken(&mut pacer, start).len(), 60);
    assert_eq!(pacer.next_at(true), None);
    pacer.set_free(false);
    pacer.push_frame(frame(60, 10), FrameKind::Reference, after(start, 33));
    assert!(taken(&mut pacer, after(start, 33)).len() <= 3, "it is paced again at once");
}

#[test]
fn late_timers_do_not_lower_the_pace() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 60), FrameKind::Key, start);
    let left: usize = (0..6).map(|step| taken(&mut pacer, after(start, step * 40)).len()).sum();
    // 60,000 bytes are 192 ms of 2.5 Mbit/s.
    assert_eq!(left, 60);
    assert!(taken(&mut pacer, after(start, 1_000)).is_empty());
    pacer.push_frame(frame(60, 60), FrameKind::Key, after(start, 1_001));
    assert!(taken(&mut pacer, after(start, 1_001)).len() <= 3, "nothing is saved up while nothing waits");
}

#[test]
fn the_queue_is_bounded() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    for step in 0..10_000 {
        pacer.push_repair(step, 1_000);
        pacer.push_audio(step, 1_000);
        let kind = if step % 100 == 0 { FrameKind::Key } else { FrameKind::Reference };
        pacer.push_frame(frame(step, 10), kind, start);
    }
    assert!(pacer.audio.len() <= MAX_OTHER && pacer.repair.len() <= MAX_OTHER && pacer.video.len() <= MAX_VIDEO + 10);
}

#[test]
fn a_probe_is_sent_at_its_rate_and_filled_with_padding() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.push_frame(frame(0, 2), FrameKind::Key, start);
    pacer.start_probe(ProbeCluster { id: 9, bitrate: 8_000_000, bytes: 7_200 });
    let (mut media, mut padding, mut end) = (0, 0, start);
    while let Some(next) = pacer.next_at(true) {
        end = next;
        let mut out = Vec::new();
        pacer.take(next, true, &mut out);
        for paced in out {
            match paced {
                PacedPacket::Pushed { probe, .. } => {
                    assert_eq!(probe, Some(9));
                    media += 1;
                }
                PacedPacket::Padding { bytes, probe } => {
                    assert_eq!(probe, Some(9));
                    padding += bytes;
                }
            }
        }
    }
    assert_eq!(media, 2);
    assert!((5_200..5_600).contains(&padding), "{padding}");
    // 7,200 bytes at 8 Mbit/s.
    assert!((end - start).abs_diff(Duration::from_micros(7_200)) < Duration::from_millis(2), "{:?}", end - start);
}

#[test]
fn what_waits_is_skipped_on_request_and_a_key_frame_is_not() {
    let start = Instant::now();
    let mut idle = pacer(start);
    idle.skip_waiting();
    assert!(idle.take_key_request(true, start), "the viewer's browser may hold what was sent");
    idle.push_frame(frame(0, 1), FrameKind::Reference, start);
    assert_eq!(taken(&mut idle, after(start, 5)).len(), 1, "it is decoded until the key frame comes");

    let mut waiting = pacer(start);
    waiting.push_frame(frame(0, 60), FrameKind::Reference, start);
    waiting.skip_waiting();
    assert!(waiting.video.is_empty() && waiting.take_key_request(true, start));
    waiting.push_frame(frame(60, 60), FrameKind::Key, start);
    waiting.push_frame(frame(120, 1), FrameKind::Reference, start);
    waiting.skip_waiting();
    assert_eq!(waiting.video.len(), 61);
    assert!(!waiting.take_key_request(true, after(start, 60_000)), "one waits");
    assert_eq!(waiting.drops(), PacerDrops { late: 1, awaiting_key: 0, left_out: 0 });
}

#[test]
fn what_no_other_frame_needs_is_left_out_first_and_needs_no_key_frame() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    let closed = |pacer: &mut SendPacer<u32>, milliseconds| {
        let mut out = Vec::new();
        pacer.take(after(start, milliseconds), false, &mut out);
        assert!(out.is_empty(), "the window is closed");
    };
    closed(&mut pacer, 0);
    let push = |pacer: &mut SendPacer<u32>, at: u64| {
        let kind = if at.is_multiple_of(2) { FrameKind::Reference } else { FrameKind::Disposable };
        pacer.push_frame(frame(at as u32 * 10, 2), kind, after(start, at * 33));
    };
    (0..5).for_each(|at| push(&mut pacer, at));
    closed(&mut pacer, 150);
    assert_eq!(pacer.drops(), PacerDrops::default(), "the first of them has waited 117 ms");
    push(&mut pacer, 5);
    closed(&mut pacer, 200);
    assert_eq!(pacer.drops(), PacerDrops { left_out: 1, ..PacerDrops::default() }, "the other has waited 101 ms");
    closed(&mut pacer, 240);
    assert_eq!(pacer.drops(), PacerDrops { left_out: 2, ..PacerDrops::default() });
    pacer.set_free(true);
    assert_eq!(taken(&mut pacer, after(start, 245)), [0, 1, 20, 21, 40, 41, 50, 51]);
    assert!(!pacer.take_key_request(true, after(start, 245)));
}

#[test]
fn a_frame_that_has_begun_to_leave_is_not_left_out() {
    let start = Instant::now();
    let mut pacer = SendPacer::new(100_000, start);
    pacer.push_frame(frame(0, 1), FrameKind::Key, start);
    pacer.push_frame(frame(10, 6), FrameKind::Disposable, start);
    pacer.push_frame(frame(20, 1), FrameKind::Disposable, start);
    let mut left = Vec::new();
    for step in 1..60 {
        left.extend(taken(&mut pacer, after(start, step * 4)));
    }
    // A packet takes 32 ms.
    assert_eq!(left, [0, 10, 11, 12, 13, 14, 15], "and the one behind it is");
    assert_eq!(pacer.drops(), PacerDrops { left_out: 1, ..PacerDrops::default() });
}
