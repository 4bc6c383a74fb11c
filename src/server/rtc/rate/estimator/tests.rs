//! Tests of the estimator.

use proptest::prelude::*;

use super::*;
use crate::server::rtc::rate::history::SentPacket;

/// Of a stream of 2 Mbit/s, as if it had begun with less.
const CONFIG: EstimatorConfig = EstimatorConfig { start: 600_000, needed: 2_360_000, min: 40_000, max: 5_000_000 };

/// Feedback every 50 ms on packets of 1,000 bytes sent at `rate` over an empty path of 10 Mbit/s.
fn feed(estimator: &mut Estimator, start: Instant, from_ms: u64, to_ms: u64, rate: u64) {
    for step in from_ms / 50..to_ms / 50 {
        let sent = start + Duration::from_millis(step * 50);
        let count = rate * 50 / 8_000_000;
        let acked = (0..count).map(|packet| AckedPacket {
            packet: SentPacket {
                sent: sent + Duration::from_micros(packet * 50_000 / count),
                bytes: 1_000,
                kind: PacketKind::Video,
                probe: None,
            },
            arrival: (step * 50_000 + packet * 50_000 / count + 25_000) as i64,
        });
        let feedback = FeedbackResult { acked: acked.collect(), ..FeedbackResult::default() };
        estimator.on_feedback(&feedback, sent + Duration::from_millis(100));
    }
}

#[test]
fn silence_halves_the_target_and_its_end_probes_for_what_it_was() {
    let start = Instant::now();
    let mut estimator = Estimator::new(CONFIG, start);
    feed(&mut estimator, start, 0, 5_000, 1_000_000);
    let before = estimator.target();
    assert!(before > 1_000_000, "{before}");
    for tenth in 50..60 {
        estimator.on_tick(20_000, start + Duration::from_millis(tenth * 100));
    }
    assert_eq!(estimator.target(), before, "feedback may be late");
    for tenth in 60..120 {
        estimator.on_tick(20_000, start + Duration::from_millis(tenth * 100));
    }
    let silent = estimator.target();
    assert!(estimator.is_silent() && silent < before / 4, "{silent}");
    assert_eq!(estimator.poll_probe(start + Duration::from_secs(12)), None, "nothing is known to get through");
    feed(&mut estimator, start, 12_000, 12_200, 1_000_000);
    let probe = estimator.poll_probe(start + Duration::from_millis(12_300)).expect("should probe");
    assert!(probe.bitrate > before / 2 && !estimator.is_silent(), "{probe:?}");
}

#[test]
fn a_silence_is_asked_about_until_it_ends() {
    let start = Instant::now();
    let mut estimator = Estimator::new(CONFIG, start);
    feed(&mut estimator, start, 0, 2_000, 1_000_000);
    assert!(!estimator.poll_keepalive(start + Duration::from_secs(2)) && estimator.keepalive_due().is_none());
    for tenth in 20..60 {
        estimator.on_tick(20_000, start + Duration::from_millis(tenth * 100));
    }
    // Nothing is in flight any more.
    let asked = (60..120).filter(|tenth| estimator.poll_keepalive(start + Duration::from_millis(tenth * 100))).count();
    assert!((20..=30).contains(&asked), "{asked}");
    assert!(estimator.keepalive_due().is_some_and(|due| due <= start + Duration::from_millis(12_200)));
    feed(&mut estimator, start, 12_000, 12_200, 1_000_000);
    assert!(!estimator.poll_keepalive(start + Duration::from_secs(13)));
}

#[test]
fn on_another_path_the_delay_of_the_old_one_is_no_measure() {
    let start = Instant::now();
    let mut estimator = Estimator::new(CONFIG, start);
    feed(&mut estimator, start, 0, 3_000, 1_000_000);
    let before = estimator.target();
    estimator.on_path_change(start + Duration::from_secs(3));
    // What the old path still delivers, and what the new one does, which is longer by a tenth of a second.
    feed(&mut estimator, start, 2_900, 3_000, 1_000_000);
    let packet = |millisecond: u64| AckedPacket {
        packet: SentPacket {
            sent: start + Duration::from_millis(millisecond),
            bytes: 1_000,
            kind: PacketKind::Video,
            probe: None,
        },
        arrival: (millisecond * 1_000 + 125_000) as i64,
    };
    for step in 60..100 {
        let acked = (0..10).map(|part| packet(step * 50 + part * 5)).collect();
        let feedback = FeedbackResult { acked, ..FeedbackResult::default() };
        estimator.on_feedback(&feedback, start + Duration::from_millis(step * 50 + 200));
        assert_eq!(estimator.queue_delay(), Duration::ZERO);
    }
    assert!(estimator.target() >= before, "{before} {}", estimator.target());
}

#[test]
fn an_idle_viewer_keeps_its_estimate() {
    let start = Instant::now();
    let mut estimator = Estimator::new(CONFIG, start);
    feed(&mut estimator, start, 0, 3_000, 1_000_000);
    let before = estimator.target();
    for second in 4..60 {
        estimator.on_tick(0, start + Duration::from_secs(second));
    }
    assert_eq!(estimator.target(), before);
}

proptest! {
    #[test]
    fn whatever_a_viewer_reports_the_estimate_stays_within_its_bounds(
        reports in proptest::collection::vec((any::<i64>(), 0u64..100, 0usize..50, 0u32..3), 1..100),
    ) {
        let start = Instant::now();
        let config = CONFIG;
        let mut estimator = Estimator::new(config, start);
        let mut now = start;
        for (arrival, wait, lost, probe) in reports {
            let packet = SentPacket { sent: now, bytes: 1_200, kind: PacketKind::Video, probe: Some(probe) };
            now += Duration::from_millis(wait);
            // The widest clock that a format has, unwrapped for a while.
            let acked = (0..20).map(|step| AckedPacket { packet, arrival: (arrival >> 8) + step * 250 });
            estimator.on_feedback(&FeedbackResult { acked: acked.collect(), lost, ..FeedbackResult::default() }, now);
            estimator.on_tick(1, now);
            estimator.poll_probe(now);
            prop_assert!((config.min..=config.max).contains(&estimator.target()));
            prop_assert!(estimator.window() < 10_000_000 && estimator.queue_delay() >= Duration::ZERO);
        }
    }
}
