//! One viewer: slow links, drops and rises of the rate, and loss.

use crate::flow::OwnEncoder;
use crate::link::LinkConfig;
use crate::simulation::{Client, Outcome, Setup, run};

const SEEDS: [u64; 3] = [1, 2, 3];

fn link(rate: f64) -> LinkConfig {
    LinkConfig { rate, ..LinkConfig::default() }
}

/// Prints the figures of a run, which are shown when its assertions fail.
fn show(name: &str, outcome: &Outcome, from: f64, to: f64, rate: f64) {
    println!(
        "{name}: frozen {:.1} %, delay {:.0}/{:.0} ms, used {:.0} %, sent at most {:.0} %, queue {:.0} ms, keys {}, repair {:?}",
        outcome.frozen(0, from, to) * 100.0,
        outcome.delay(0, 0.5, from) * 1e3,
        outcome.delay(0, 0.95, from) * 1e3,
        outcome.rate(0, from, to) / rate * 100.0,
        outcome.peak_sent(0, 0.0) / rate * 100.0,
        outcome.standing_queue(from, to) * 1e3,
        outcome.flows[0].keys,
        outcome.flows[0].repair.counts(),
    );
}

#[test]
fn slow_links_carry_a_moving_picture() {
    for (rate, frozen, delay) in [(2e6, 0.02, 0.15), (1.5e6, 0.02, 0.15), (1e6, 0.02, 0.15), (0.5e6, 0.05, 0.2)] {
        for seed in SEEDS {
            let outcome = run(&Setup { seed, ..Setup::new(60.0, link(rate)) });
            show(&format!("{rate} bit/s, seed {seed}"), &outcome, 0.0, 60.0, rate);
            assert!(outcome.frozen(0, 0.0, 60.0) <= frozen);
            assert!(outcome.delay(0, 0.5, 0.0) <= delay);
            assert!(outcome.peak_sent(0, 0.0) <= rate * 1.2);
            assert!(outcome.rate(0, 0.0, 60.0) >= rate * 0.75);
        }
    }
}

#[test]
fn a_drop_of_the_rate_is_followed_within_seconds() {
    for seed in SEEDS {
        let schedule = vec![(0.0, link(3e6)), (20.0, link(0.5e6))];
        let clients = vec![Client { limit: 3e6, ..Client::default() }];
        let outcome = run(&Setup { seed, schedule, clients, ..Setup::new(50.0, link(3e6)) });
        show(&format!("drop, seed {seed}"), &outcome, 25.0, 50.0, 0.5e6);
        let moving = outcome.moving_after(0, 20.0);
        assert!(moving < 2.0, "moving after {moving} s");
        assert!(outcome.standing_queue(25.0, 50.0) < 0.2);
        assert!(outcome.frozen(0, 25.0, 50.0) < 0.05);
        assert!(outcome.rate(0, 25.0, 50.0) > 0.75 * 0.5e6);
    }
}

#[test]
fn a_rise_of_the_rate_is_found_within_ten_seconds() {
    for seed in SEEDS {
        let schedule = vec![(0.0, link(0.5e6)), (20.0, link(3e6))];
        let outcome = run(&Setup { seed, schedule, ..Setup::new(40.0, link(0.5e6)) });
        show(&format!("rise, seed {seed}"), &outcome, 30.0, 40.0, 2e6);
        assert!(outcome.rate(0, 30.0, 40.0) > 0.9 * 2e6);
        assert!(outcome.frozen(0, 20.0, 40.0) < 0.02);
    }
}

#[test]
fn random_loss_is_repaired_and_does_not_lower_the_estimate() {
    for (loss, frozen) in [(0.02, 0.01), (0.05, 0.02), (0.1, 0.04), (0.2, 0.1)] {
        for (burst, seed) in [(1.0, 1), (1.0, 2), (3.0, 3)] {
            let path = LinkConfig { loss, burst, ..link(20e6) };
            let outcome = run(&Setup { seed, ..Setup::new(60.0, path) });
            show(&format!("loss {loss}, bursts of {burst}, seed {seed}"), &outcome, 3.0, 60.0, 2e6);
            assert!(outcome.frozen(0, 3.0, 60.0) <= frozen);
            if loss <= 0.05 {
                assert!(outcome.least_estimate(0, 5.0) > 1e6, "{}", outcome.least_estimate(0, 5.0));
            }
        }
    }
}

#[test]
fn loss_on_a_narrow_path_does_not_halve_the_estimate() {
    for seed in SEEDS {
        let path = LinkConfig { loss: 0.05, ..link(2e6) };
        let clients = vec![Client { limit: 3e6, ..Client::default() }];
        let outcome = run(&Setup { seed, clients, ..Setup::new(60.0, path) });
        show(&format!("loss on 2 Mbit/s, seed {seed}"), &outcome, 5.0, 60.0, 2e6);
        assert!(outcome.least_estimate(0, 5.0) > 1e6, "{}", outcome.least_estimate(0, 5.0));
    }
}

#[test]
fn a_cut_path_shows_a_picture_again_within_a_second() {
    for (seconds, audio, seed) in [(1.0, true, 1), (5.0, true, 2), (30.0, true, 3), (2.0, false, 4), (10.0, false, 5)] {
        let cut = LinkConfig { loss: 1.0, ..link(3e6) };
        let schedule = vec![(0.0, link(3e6)), (20.0, cut), (20.0 + seconds, link(3e6))];
        let clients = vec![Client { audio, ..Client::default() }];
        let outcome = run(&Setup { seed, schedule, clients, ..Setup::new(40.0 + seconds, link(3e6)) });
        show(&format!("cut for {seconds} s, audio {audio}"), &outcome, 22.0 + seconds, 40.0 + seconds, 2e6);
        let moving = outcome.moving_after(0, 20.0 + seconds);
        assert!(moving < 1.0, "moving after {moving} s");
        assert!(outcome.rate(0, 30.0 + seconds, 40.0 + seconds) > 0.9 * 2e6);
    }
}

#[test]
fn a_path_that_becomes_longer_is_used_as_before() {
    for (delay, told, seed) in [(0.06, true, 1), (0.11, true, 2), (0.06, false, 3), (0.11, false, 4)] {
        let at = |delay| LinkConfig { delay, ..link(10e6) };
        let schedule = vec![(0.0, at(0.01)), (20.0, at(delay))];
        let clients = vec![Client { path_change: told.then_some(20.0), ..Client::default() }];
        let outcome = run(&Setup { seed, schedule, clients, ..Setup::new(40.0, at(0.01)) });
        show(&format!("10 to {:.0} ms, told {told}", delay * 1e3), &outcome, 20.0, 40.0, 2e6);
        println!("least estimate then {:.0}", outcome.least_estimate(0, 20.0));
        assert!(outcome.frozen(0, 20.0, 40.0) < 0.02);
        assert!(outcome.rate(0, 25.0, 40.0) > 0.9 * 2e6);
        if told {
            assert!(outcome.least_estimate(0, 20.0) > NEEDED);
        }
    }
}

#[test]
fn large_key_frames_arrive_whole_on_a_slow_path() {
    for (rate, seed) in [(0.5e6, 1), (1e6, 2)] {
        let own_encoder = Some(OwnEncoder { bitrate: 0.3e6, key_bytes: 150e3, layered: false });
        let clients = vec![Client { own_encoder, ..Client::default() }];
        let outcome = run(&Setup { seed, clients, ..Setup::new(60.0, link(rate)) });
        show(&format!("large key frames at {rate} bit/s, seed {seed}"), &outcome, 0.0, 60.0, rate);
        let shown = outcome.viewers[0].displayed.iter().filter(|frame| frame.at > 10.0).count();
        assert!(shown > 3, "{shown} pictures");
    }
}

#[test]
fn a_path_that_carries_the_base_layer_alone_shows_fewer_pictures_and_none_stands_still() {
    for seed in SEEDS {
        let frozen = [false, true].map(|layered| {
            let own_encoder = Some(OwnEncoder { bitrate: 1e6, key_bytes: 12e3, layered });
            let clients = vec![Client { own_encoder, limit: 1e6, ..Client::default() }];
            let outcome = run(&Setup { seed, clients, ..Setup::new(60.0, link(0.8e6)) });
            show(&format!("layered: {layered}, seed {seed}"), &outcome, 10.0, 60.0, 0.8e6);
            let flow = &outcome.flows[0];
            let shown = outcome.viewers[0].displayed.iter().filter(|frame| frame.at > 10.0).count();
            println!("{shown} pictures, {} left out, {:?}", flow.left_out, flow.pacer.drops());
            if layered {
                assert!((700..850).contains(&shown), "half of 1,500 at least: {shown}");
                assert!(outcome.delay(0, 0.95, 10.0) < 0.2);
                assert!(flow.keys <= 8, "all but a few until the network is known: {}", flow.keys);
            }
            outcome.frozen(0, 10.0, 60.0)
        });
        let [whole, layered] = frozen;
        assert!(layered < 0.01 && whole > 0.2, "frozen {layered} with layers, {whole} without");
    }
}

#[test]
fn a_slow_viewer_of_the_same_camera_costs_a_fast_one_little() {
    for seed in SEEDS {
        let client = |rate| Client { link: Some(link(rate)), ..Client::default() };
        let clients = vec![client(100e6), client(0.5e6)];
        let outcome = run(&Setup { seed, clients, one_camera: true, ..Setup::new(60.0, link(100e6)) });
        show(&format!("beside a slow one, seed {seed}"), &outcome, 5.0, 60.0, 2e6);
        let slow = outcome.viewers[1].displayed.iter().filter(|frame| frame.at > 10.0).count();
        println!("the slow one: {slow} pictures, {:?}", outcome.flows[1].pacer.drops());
        assert!(outcome.rate(0, 5.0, 60.0) > 0.95 * 2e6);
        assert!(outcome.frozen(0, 5.0, 60.0) < 0.01);
        assert!(outcome.flows[0].keys <= 9, "at most one more in 10 s: {}", outcome.flows[0].keys);
        assert!(slow > 3, "{slow} pictures");
    }
}

#[test]
fn a_viewer_of_the_smaller_rendition_learns_that_its_network_carries_the_cameras_own_size() {
    for seed in SEEDS {
        for from in [0.4e6, 0.8e6] {
            let schedule = vec![(0.0, link(from)), (20.0, link(4e6))];
            let clients = vec![Client { small: Some(0.5e6), ..Client::default() }];
            let outcome = run(&Setup { seed, schedule, clients, ..Setup::new(40.0, link(from)) });
            show(&format!("smaller rendition, seed {seed}"), &outcome, 0.0, 40.0, 0.5e6);
            let estimate = |at: f64| outcome.flows[0].estimates.iter().find(|(when, _)| *when >= at).expect("runs").1;
            println!("estimates {} and {}", estimate(19.0), estimate(32.0));
            // A probe may find more than there is by that much.
            assert!(f64::from(estimate(19.0)) < from * 1.5, "it does not carry more");
            assert!(f64::from(estimate(32.0)) > NEEDED, "it does");
            assert!(outcome.frozen(0, 5.0, 40.0) < 0.02, "looking for more costs little");
        }
    }
}

#[test]
fn jitter_is_no_queue() {
    for seed in SEEDS {
        let path = LinkConfig { jitter: 0.03, ..link(3e6) };
        let outcome = run(&Setup { seed, ..Setup::new(60.0, path) });
        show(&format!("jitter, seed {seed}"), &outcome, 5.0, 60.0, 2e6);
        assert!(outcome.rate(0, 5.0, 60.0) > 0.9 * 2e6);
        assert!(outcome.frozen(0, 5.0, 60.0) < 0.02);
    }
}

/// What the estimate must be for the encoder to have the configured bitrate of 2 Mbit/s.
const NEEDED: f64 = 2_360_000.0;

#[test]
fn a_fast_path_carries_the_whole_stream_from_the_first_frame_on() {
    for seed in SEEDS {
        let outcome = run(&Setup { seed, ..Setup::new(20.0, LinkConfig { delay: 0.001, ..link(100e6) }) });
        show(&format!("fast, seed {seed}"), &outcome, 0.0, 20.0, 2e6);
        let first = outcome.viewers[0].displayed.first().map_or(f64::INFINITY, |frame| frame.at - frame.captured);
        assert!(first < 0.01, "the first picture should not be paced: {first} s");
        assert!(outcome.least_estimate(0, 0.0) > NEEDED);
        assert!(outcome.rate(0, 0.0, 2.0) > 0.95 * 2e6, "the picture is good from the start on");
        assert!(outcome.delay(0, 1.0 - f64::EPSILON, 0.0) < 0.01, "nothing is paced");
    }
}

#[test]
fn a_slow_path_shows_a_moving_picture_soon_after_the_start() {
    for rate in [2e6, 1e6, 0.5e6] {
        for seed in SEEDS {
            let outcome = run(&Setup { seed, ..Setup::new(20.0, link(rate)) });
            show(&format!("start at {rate} bit/s, seed {seed}"), &outcome, 0.0, 20.0, rate);
            let frozen = outcome.frozen(0, 2.0, 20.0);
            let delay = outcome.delay(0, 0.95, 2.0);
            println!("then frozen {:.1} %, delay {:.0} ms", frozen * 100.0, delay * 1e3);
            assert!(frozen < 0.01);
            assert!(delay < 0.35);
        }
    }
}

#[test]
fn busy_machines_are_no_congestion() {
    for (name, busy) in [("sender", (true, false)), ("viewer", (false, true)), ("both", (true, true))] {
        for seed in SEEDS {
            let client = Client { busy, ..Client::default() };
            let path = LinkConfig { delay: 0.001, ..link(100e6) };
            let outcome = run(&Setup { seed, clients: vec![client], ..Setup::new(60.0, path) });
            show(&format!("busy {name}, seed {seed}"), &outcome, 0.0, 60.0, 2e6);
            println!("least estimate {:.0}, {:?}", outcome.least_estimate(0, 0.0), outcome.flows[0].pacer.drops());
            assert!(outcome.least_estimate(0, 0.0) > NEEDED);
            assert_eq!(outcome.flows[0].pacer.drops().late, 0);
            assert!(outcome.rate(0, 2.0, 60.0) > 0.95 * 2e6);
        }
    }
}

#[test]
fn a_slow_path_is_also_followed_between_busy_machines() {
    for (rate, seed) in [(1e6, 1), (1e6, 2), (0.5e6, 3)] {
        let client = Client { busy: (true, true), ..Client::default() };
        let outcome = run(&Setup { seed, clients: vec![client], ..Setup::new(60.0, link(rate)) });
        show(&format!("busy at {rate} bit/s, seed {seed}"), &outcome, 2.0, 60.0, rate);
        assert!(outcome.rate(0, 5.0, 60.0) > 0.5 * rate);
        assert!(outcome.delay(0, 0.5, 5.0) < 0.15);
        assert!(outcome.peak_sent(0, 2.0) <= rate * 1.2);
    }
}
