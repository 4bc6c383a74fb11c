//! Tests of the estimate of one viewer.

use bytes::Bytes;

use super::*;
use crate::server::rtc::rate::history::{PacketKind, SentPacket};

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

#[test]
fn a_limit_holds_whatever_the_network_carries() {
    let start = Instant::now();
    for is_numbered in [false, true] {
        let mut estimate = ViewerEstimate::new(is_numbered, 2_000_000, start);
        let before = (estimate.bitrate(start), estimate.pace(start));
        estimate.set_limit(Some(300_000));
        assert_eq!((estimate.bitrate(start), estimate.pace(start)), (Some(300_000), Some(300_000)));
        assert!(estimate.is_limited());
        assert_eq!(estimate.network(start).estimate, None, "that is no measurement");
        estimate.set_limit(Some(40_000_000));
        assert!(estimate.pace(start).is_none() && !estimate.is_limited(), "it bounds nothing");
        estimate.set_limit(None);
        assert_eq!((estimate.bitrate(start), estimate.pace(start)), before);
    }
}

#[test]
fn a_limit_that_bounds_nothing_paces_nobody() {
    let start = Instant::now();
    let mut estimate = ViewerEstimate::new(false, 2_000_000, start);
    estimate.set_limit(Some(2_000_000));
    estimate.on_feedback(&Feedback { viewers_estimate: Some(700_000.0), ..Feedback::default() }, start);
    assert_eq!((estimate.bitrate(start), estimate.pace(start)), (Some(700_000), None));
}

#[test]
fn an_old_report_tells_no_loss() {
    let start = Instant::now();
    let mut estimate = ViewerEstimate::new(false, 2_000_000, start);
    estimate.on_feedback(&Feedback { fraction_lost: Some(64), ..Feedback::default() }, start);
    assert_eq!(estimate.loss(after(start, 4_900)), Some(0.25));
    assert_eq!(estimate.loss(after(start, 5_000)), None);
}

#[test]
fn a_viewer_that_reports_nothing_has_no_estimate() {
    let start = Instant::now();
    let mut estimate = ViewerEstimate::new(false, 2_000_000, start);
    assert_eq!((estimate.bitrate(start), estimate.is_settled(start)), (None, true));
    estimate.on_feedback(&Feedback { fraction_lost: Some(0), ..Feedback::default() }, after(start, 1_000));
    assert_eq!(estimate.bitrate(after(start, 1_000)), Some(3_150_000), "there is no bad news");
    estimate.on_feedback(&Feedback { viewers_estimate: Some(700_000.0), ..Feedback::default() }, after(start, 2_000));
    assert_eq!(estimate.bitrate(after(start, 2_000)), Some(700_000));
}

/// Feedback on one packet that arrived, which `twcc` reads.
fn acked(number: u16) -> Feedback {
    let [high, low] = number.to_be_bytes();
    let packet = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, high, low, 0, 1, 0, 0, 1, 0, 0x20, 1, 0, 0];
    Feedback { congestion: vec![Bytes::copy_from_slice(&packet)], ..Feedback::default() }
}

/// Sends a packet.
fn send(estimate: &mut ViewerEstimate, now: Instant) -> u16 {
    let packet = SentPacket { sent: now, bytes: 1_000, kind: PacketKind::Video, probe: None };
    estimate.sent().expect("numbered").note_sent(packet)
}

/// A viewer of whose network nothing has been heard for 4 s since its first feedback.
fn silent(start: Instant) -> ViewerEstimate {
    let mut estimate = ViewerEstimate::new(true, 2_000_000, start);
    assert_eq!(estimate.network(start).estimate, None, "nothing is measured yet");
    let number = send(&mut estimate, start);
    estimate.on_feedback(&acked(number), after(start, 100));
    assert!(estimate.network(start).estimate.is_some() && estimate.is_settled(after(start, 1_400)));
    for tenth in 1..40 {
        send(&mut estimate, after(start, tenth * 100));
        estimate.on_tick(after(start, tenth * 100));
    }
    assert!(estimate.is_silent());
    estimate
}

#[test]
fn a_viewer_that_is_not_heard_of_has_no_say_and_is_asked_for_feedback() {
    let start = Instant::now();
    let mut estimate = silent(start);
    assert!(!estimate.is_settled(after(start, 4_000)));
    assert!(estimate.keepalive_due().is_some() && estimate.poll_keepalive(after(start, 4_000)));
    let number = send(&mut estimate, after(start, 4_000));
    estimate.on_feedback(&acked(number), after(start, 4_100));
    assert!(estimate.is_settled(after(start, 4_100)) && !estimate.poll_keepalive(after(start, 4_200)));
}

#[test]
fn a_viewer_that_stops_its_feedback_is_judged_by_its_reports() {
    let start = Instant::now();
    let mut estimate = silent(start);
    let report = Feedback { fraction_lost: Some(0), hears_us: true, ..Feedback::default() };
    for second in 4..8 {
        assert!(estimate.is_silent(), "{second}");
        estimate.on_feedback(&report, after(start, second * 1_000));
    }
    let now = after(start, 7_000);
    assert!(!estimate.is_silent() && estimate.has_room(now) && estimate.is_settled(now));
    assert_eq!(estimate.bitrate(now), Some(3_150_000));
    // Feedback counts again once it comes.
    let number = send(&mut estimate, now);
    estimate.on_feedback(&acked(number), after(start, 7_100));
    assert!(estimate.bitrate(now).is_some_and(|bitrate| bitrate < 3_150_000));
}

#[test]
fn reports_alone_do_not_show_that_packets_arrive() {
    let start = Instant::now();
    let mut estimate = silent(start);
    for second in 4..20 {
        let report = Feedback { fraction_lost: Some(0), ..Feedback::default() };
        estimate.on_feedback(&report, after(start, second * 1_000));
        assert!(estimate.is_silent());
    }
}

#[test]
fn nobody_is_held_back_before_there_is_feedback() {
    let start = Instant::now();
    let estimate = ViewerEstimate::new(true, 2_000_000, start);
    assert!(estimate.bitrate(start).is_some_and(|guess| guess > 2_000_000));
    assert_eq!(estimate.pace(start), None, "the first key frame leaves at once");
    assert!(!estimate.is_settled(after(start, 1_999)));
    assert_eq!((estimate.bitrate(after(start, 2_000)), estimate.is_settled(after(start, 2_000))), (None, true));
}
