//! Tests of the repair budget.

use super::*;

const BYTES: usize = 1_100;
const ESTIMATE: u32 = 2_000_000;

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

fn budget(start: Instant) -> RepairBudget {
    RepairBudget::new(ESTIMATE, start)
}

#[test]
fn a_packet_is_resent_at_once_and_then_once_a_round_trip() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.note_sent(7, BYTES, false, start);
    assert_eq!(budget.request(7, start), RepairVerdict::Resend(1), "the first request should be served at once");
    assert_eq!(budget.request(7, after(start, 19)), RepairVerdict::TooSoon);
    assert_eq!(budget.request(7, after(start, 20)), RepairVerdict::Resend(1));
    budget.set_rtt(Duration::from_millis(300));
    assert_eq!(budget.request(7, after(start, 319)), RepairVerdict::TooSoon);
    assert_eq!(budget.request(7, after(start, 320)), RepairVerdict::Resend(1));
    assert_eq!(budget.counts(), RepairCounts { answered: 3, suppressed: 2, too_old: 0 });
    assert!(!budget.take_key_request(after(start, 320)));
    budget.set_rtt(Duration::from_secs(3_600));
    assert_eq!(
        budget.request(7, after(start, 2_400)),
        RepairVerdict::Resend(1),
        "an absurd round trip time should not end repair"
    );
}

#[test]
fn packets_never_sent_or_long_gone_are_not_resent_and_cost_a_key_frame() {
    let start = Instant::now();
    let mut budget = budget(start);
    assert_eq!(budget.request(7, start), RepairVerdict::TooOld);
    budget.note_sent(7, BYTES, false, start);
    budget.note_sent(7 + HISTORY as u16, BYTES, false, start);
    assert_eq!(budget.request(7, start), RepairVerdict::TooOld, "its place was taken by a newer packet");
    assert_eq!(budget.request(7 + HISTORY as u16, after(start, 501)), RepairVerdict::TooOld);
    assert_eq!(budget.counts().too_old, 3);
    assert!(budget.take_key_request(after(start, 501)));
    assert!(!budget.take_key_request(after(start, 5_000)), "one for all of them");
}

#[test]
fn a_packet_whose_repair_has_arrived_is_not_sent_again_and_costs_no_key_frame() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.note_sent(7, BYTES, false, start);
    assert_eq!(budget.request(7, start), RepairVerdict::Resend(1));
    assert_eq!(budget.on_fate(RepairFate { number: 7, arrived: true }, after(start, 30)), None);
    for milliseconds in [100, 200, 600, 5_000] {
        assert_eq!(budget.request(7, after(start, milliseconds)), RepairVerdict::Superseded);
    }
    assert!(!budget.take_key_request(after(start, 5_000)));
    // Another packet got its place.
    budget.note_sent(7 + HISTORY as u16, BYTES, false, after(start, 5_000));
    assert_eq!(budget.request(7 + HISTORY as u16, after(start, 5_010)), RepairVerdict::Resend(1));
}

#[test]
fn after_a_change_of_the_path_what_was_sent_on_the_old_one_is_repaired() {
    let start = Instant::now();
    let mut budget = budget(start);
    // A second and a half of the stream, which the old path has lost.
    let (numbers, last) = (0..340, 1_500);
    for number in numbers.clone() {
        budget.note_sent(number, BYTES, false, after(start, u64::from(number) * last / 340));
    }
    assert_eq!(budget.request(0, after(start, last)), RepairVerdict::TooOld);
    budget.on_path_change(after(start, last));
    let answers = numbers.map(|number| budget.request(number, after(start, last + 50)));
    assert!(answers.into_iter().all(|verdict| verdict == RepairVerdict::Resend(1)));
    // Not again and again, for a viewer that jumps between two paths.
    budget.on_path_change(after(start, last + 100));
    let again =
        (200..300).filter(|number| budget.request(*number, after(start, last + 100)) == RepairVerdict::Resend(1));
    let again = again.count();
    assert!(again < 10, "{again}");
    assert_eq!(budget.request(0, after(start, last + 1_000)), RepairVerdict::TooOld);
}

#[test]
fn on_a_lossy_path_repairs_have_copies_as_far_as_the_budget_goes() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.set_random_loss(0.2);
    let mut copies = Vec::new();
    for number in 0..200 {
        budget.note_sent(number, BYTES, false, start);
        if let RepairVerdict::Resend(count) = budget.request(number, start) {
            copies.push(count);
        }
    }
    assert_eq!((copies[0], copies.last()), (3, Some(&1)));
    assert!(copies.is_sorted_by(|a, b| a >= b), "{copies:?}");
    let bytes: usize = copies.iter().map(|count| usize::from(*count) * BYTES).sum();
    assert!(bytes <= 131_072, "{bytes}");
    let mut clean = RepairBudget::new(ESTIMATE, start);
    clean.note_sent(1, BYTES, false, start);
    assert_eq!(clean.request(1, start), RepairVerdict::Resend(1));
}

#[test]
fn a_repair_is_repeated_when_no_copy_has_arrived() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.set_rtt(Duration::from_millis(50));
    budget.set_random_loss(0.05);
    let fate = |number, arrived| RepairFate { number, arrived };
    for number in 1..=2 {
        budget.note_sent(number, BYTES, false, start);
        assert_eq!(budget.request(number, start), RepairVerdict::Resend(2));
    }
    assert_eq!(budget.on_fate(fate(1, false), after(start, 60)), None, "the other one may arrive");
    assert_eq!(budget.on_fate(fate(1, false), after(start, 60)), Some(RepairVerdict::Resend(2)));
    assert_eq!(budget.request(1, after(start, 100)), RepairVerdict::TooSoon, "the viewer asks as well");
    assert_eq!(budget.on_fate(fate(2, true), after(start, 60)), None);
    assert_eq!(budget.on_fate(fate(2, false), after(start, 60)), None);
    assert_eq!(budget.on_fate(fate(9, false), after(start, 60)), None, "never sent");
}

#[test]
fn a_newer_key_frame_makes_repair_useless() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.note_sent(1, BYTES, false, start);
    budget.note_sent(2, BYTES, true, after(start, 10));
    budget.note_sent(3, BYTES, false, after(start, 10));
    assert_eq!(budget.request(1, after(start, 20)), RepairVerdict::Superseded);
    assert_eq!(budget.request(2, after(start, 20)), RepairVerdict::Resend(1));
    assert_eq!(budget.request(3, after(start, 20)), RepairVerdict::Resend(1));
    assert!(!budget.take_key_request(after(start, 900)));
}

#[test]
fn resends_take_at_most_half_of_the_estimate_after_the_burst() {
    let start = Instant::now();
    let mut budget = budget(start);
    // 200 packets a second for 30 s; every packet of the last half second is reported lost every 20 ms.
    let mut resent = 0;
    for number in 0..6_000_u16 {
        let now = after(start, u64::from(number) * 5);
        budget.note_sent(number, BYTES, false, now);
        if number % 4 == 0 {
            let lost = number.saturating_sub(90)..=number;
            resent += lost.filter(|lost| budget.request(*lost, now) == RepairVerdict::Resend(1)).count() * BYTES;
        }
    }
    let share = ESTIMATE as usize / 8 * 30 / 2;
    assert!(resent <= share + 131_072, "{resent} bytes resent, {share} allowed");
    assert!(resent >= share * 9 / 10, "{resent} bytes resent, {share} allowed: the share should be used");
    assert!(budget.take_key_request(after(start, 30_000)), "what is refused needs a key frame");
}

#[test]
fn what_is_repaired_after_all_needs_no_key_frame() {
    let start = Instant::now();
    let mut budget = RepairBudget::new(100_000, start);
    for number in 0..16 {
        budget.note_sent(number, BYTES, false, start);
    }
    // The burst is 16,384 bytes, and half of the estimate 6,250 in a second.
    assert_eq!((0..16).filter(|number| budget.request(*number, start) == RepairVerdict::OverBudget).count(), 2);
    assert_eq!(budget.request(14, after(start, 400)), RepairVerdict::Resend(1));
    assert_eq!(budget.request(15, after(start, 400)), RepairVerdict::Resend(1));
    assert!(!budget.take_key_request(after(start, 400)));
}

#[test]
fn a_key_frame_on_its_way_is_waited_for() {
    let start = Instant::now();
    let mut budget = budget(start);
    budget.request(1, start);
    assert!(budget.take_key_request(start));
    budget.request(1, after(start, 100));
    assert!(!budget.take_key_request(after(start, 799)));
    assert!(budget.take_key_request(after(start, 800)), "it is not forgotten");
    budget.request(1, after(start, 1_700));
    budget.note_sent(2, BYTES, true, after(start, 1_700));
    assert!(!budget.take_key_request(after(start, 5_000)), "the key frame was what it needed");
}
