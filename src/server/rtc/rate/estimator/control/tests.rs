//! Tests of the rate controller.

use super::*;

fn input(now: f64, queue: f64, arriving: f64) -> Observation {
    Observation {
        now,
        elapsed: 0.05,
        rtt: 0.05,
        queue,
        usual: 0.0,
        usage: Usage::Normal,
        arriving_short: Some(arriving),
        arriving: Some(arriving),
        sending: None,
        lost: 0.0,
    }
}

/// Feedback each 50 ms for some seconds, on a stream that follows the target; each is changed by `change`.
fn feed(control: &mut RateController, from: f64, seconds: f64, change: impl Fn(f64, &mut Observation)) {
    for step in 0..(seconds / 0.05) as u32 {
        let now = from + f64::from(step) * 0.05;
        let mut input = input(now, 0.0, control.target());
        change(now, &mut input);
        control.on_feedback(&input);
    }
}

#[test]
fn a_delay_that_stays_whatever_is_sent_is_a_longer_path() {
    for delay in [0.05, 0.1] {
        let mut control = RateController::new(2_000_000.0, 50_000.0, 3_000_000.0);
        let mut now = 0.0;
        while !control.take_longer_path() {
            assert!(now < 3.0, "{delay}: should be known by now");
            let usage = if now < 0.3 { Usage::Over } else { Usage::Normal };
            control.on_feedback(&Observation { usage, ..input(now, delay, control.target()) });
            now += 0.05;
        }
        assert!(control.target() >= 2_000_000.0 && !control.is_draining(), "{delay}: {}", control.target());
    }
}

#[test]
fn a_queue_that_moves_is_no_longer_path() {
    let mut control = RateController::new(2_000_000.0, 50_000.0, 3_000_000.0);
    feed(&mut control, 0.0, 10.0, |now, input| input.queue = 0.15 + 0.05 * (now * 4.0).sin());
    assert!(!control.take_longer_path() && control.is_competing());
    let mut control = RateController::new(2_000_000.0, 50_000.0, 3_000_000.0);
    feed(&mut control, 0.0, 2.5, |_, input| (input.queue, input.lost) = (0.2, 0.1));
    assert!(!control.take_longer_path(), "a full queue loses packets");
}

#[test]
fn draining_ends_also_on_a_path_whose_delay_varies() {
    for (queues, usual) in [([0.022, 0.04], 0.02), ([0.025, 0.025], 0.0)] {
        let mut control = RateController::new(1_000_000.0, 50_000.0, 3_000_000.0);
        control.on_feedback(&input(0.0, 0.1, 1_000_000.0));
        assert!(control.is_draining());
        let before = control.target();
        feed(&mut control, 0.1, 6.0, |now, input| {
            (input.queue, input.usual) = (queues[(now * 10.0) as usize % 2], usual);
        });
        assert!(!control.is_draining() && control.target() > before, "{before} {}", control.target());
    }
}

#[test]
fn a_moments_queue_on_a_quiet_stream_says_little_about_the_path() {
    let mut control = RateController::new(3_000_000.0, 50_000.0, 3_000_000.0);
    let quiet = Observation { sending: Some(150_000.0), ..input(1.0, 0.1, 150_000.0) };
    control.on_feedback(&quiet);
    assert!((2_000_000.0..3_000_000.0).contains(&control.target()), "{}", control.target());
    // But a queue that goes on lowers the target in the end.
    feed(&mut control, 1.05, 2.5, |now, input| {
        *input = Observation { queue: 0.1 + (now - 1.0) * 0.1, now, ..quiet };
    });
    assert!(control.target() < 300_000.0, "{}", control.target());
}

#[test]
fn another_path_has_no_queue_yet() {
    let mut control = RateController::new(1_000_000.0, 50_000.0, 3_000_000.0);
    control.on_feedback(&input(0.0, 0.5, 1_000_000.0));
    assert!(control.is_draining());
    control.forget_queue();
    assert!(!control.is_draining());
}

#[test]
fn a_queue_is_drained_and_then_the_paths_rate_is_used() {
    let mut control = RateController::new(3_000_000.0, 50_000.0, 5_000_000.0);
    control.on_feedback(&input(1.0, 0.5, 500_000.0));
    assert!((250_000.0..350_000.0).contains(&control.target()), "{}", control.target());
    control.on_feedback(&input(1.05, 0.5, 300_000.0));
    assert!(control.target() >= 250_000.0, "one decrease in a round trip");
    control.on_feedback(&input(1.5, 0.01, 310_000.0));
    assert!((control.target() - 460_000.0).abs() < 1.0, "{}", control.target());
}

#[test]
fn without_bad_news_the_target_is_the_most_that_is_of_use() {
    let mut control = RateController::new(2_000_000.0, 50_000.0, 2_000_000.0);
    control.set_max(3_000_000.0);
    assert!((control.target() - 3_000_000.0).abs() < 1.0);
    control.on_feedback(&input(1.0, 0.5, 500_000.0));
    let lowered = control.target();
    control.set_max(4_000_000.0);
    assert!((control.target() - lowered).abs() < 1.0);
}

#[test]
fn nothing_grows_beyond_what_arrives() {
    let mut control = RateController::new(1_000_000.0, 50_000.0, 5_000_000.0);
    for step in 0..400 {
        control.on_feedback(&input(f64::from(step) * 0.05, 0.0, 200_000.0));
    }
    assert!((control.target() - 1_000_000.0).abs() < 1.0, "nor does it shrink: {}", control.target());
    for step in 400..600 {
        control.on_feedback(&input(f64::from(step) * 0.05, 0.0, control.target()));
    }
    assert!((control.target() - 5_000_000.0).abs() < 1.0, "{}", control.target());
}

#[test]
fn a_queue_that_stays_is_somebody_elses_until_it_is_gone() {
    let mut control = RateController::new(1_000_000.0, 50_000.0, 5_000_000.0);
    let mut now = 0.0;
    // It varies as the other flow does; a delay that does not is a longer path.
    let mut queues = [0.18, 0.22].into_iter().cycle();
    let mut stay = |control: &mut RateController| {
        control.on_feedback(&input(now, queues.next().expect("a cycle should not end"), control.target()));
        now += 0.05;
        now
    };
    while !control.is_competing() {
        assert!(stay(&mut control) < 5.0, "should compete by now");
    }
    let before = control.target();
    for _ in 0..100 {
        stay(&mut control);
    }
    assert!(control.target() > before * 1.2, "{before} {}", control.target());
    let now = stay(&mut control);
    control.on_feedback(&input(now, 0.0, control.target()));
    assert!(!control.is_competing());
}
