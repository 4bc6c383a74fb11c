//! Several flows on one bottleneck: test cases of RFC 8867, by their section.

use crate::link::LinkConfig;
use crate::simulation::{Client, Outcome, Setup, run};

/// The reference path of RFC 8867: 50 ms one way, 30 ms of jitter, a queue of 300 ms.
fn path(rate: f64) -> LinkConfig {
    LinkConfig { rate, delay: 0.05, jitter: 0.03, queue: 0.3, ..LinkConfig::default() }
}

/// Checks each phase of a schedule after 10 s of settling.
fn check_phases(name: &str, outcome: &Outcome, phases: &[(f64, f64)], end: f64) {
    for (index, (begin, rate)) in phases.iter().enumerate() {
        let until = phases.get(index + 1).map_or(end, |(next, _)| *next);
        let from = begin + 10.0;
        if until - from < 2.0 {
            continue;
        }
        let (used, queue) = (outcome.total_rate(from, until) / rate, outcome.standing_queue(from, until));
        let shares: Vec<u32> =
            (0..outcome.viewers.len()).map(|viewer| (outcome.rate(viewer, from, until) / 1e3) as u32).collect();
        println!("{name}, from {from} s: used {:.0} %, queue {:.0} ms, kbit/s {shares:?}", used * 100.0, queue * 1e3);
        assert!(used > 0.8, "{used}");
        assert!(queue < 0.2, "{queue}");
    }
}

fn schedule(phases: &[(f64, f64)]) -> Vec<(f64, LinkConfig)> {
    phases.iter().map(|(at, rate)| (*at, path(*rate))).collect()
}

#[test]
fn section_5_1_variable_capacity_with_one_flow() {
    for seed in 1..=3 {
        let phases = [(0.0, 1e6), (40.0, 2.5e6), (60.0, 0.6e6), (80.0, 1e6)];
        let clients = vec![Client { limit: 3e6, ..Client::default() }];
        let setup = Setup { seed, schedule: schedule(&phases), clients, ..Setup::new(100.0, path(1e6)) };
        check_phases("5.1", &run(&setup), &phases, 100.0);
    }
}

#[test]
fn section_5_2_variable_capacity_with_two_flows() {
    for seed in 1..=3 {
        let phases = [(0.0, 4e6), (25.0, 2e6), (50.0, 3.5e6), (85.0, 1e6), (95.0, 2e6)];
        let clients = vec![Client { limit: 3e6, ..Client::default() }; 2];
        let setup = Setup { seed, schedule: schedule(&phases), clients, ..Setup::new(125.0, path(4e6)) };
        check_phases("5.2", &run(&setup), &phases, 125.0);
    }
}

#[test]
fn section_5_4_three_flows_share_a_link() {
    for seed in 1..=3 {
        let client = |from| Client { limit: 3e6, from, ..Client::default() };
        let clients = vec![client(0.0), client(20.0), client(40.0)];
        let outcome = run(&Setup { seed, clients, ..Setup::new(120.0, path(3.5e6)) });
        let shares: Vec<f64> = (0..3).map(|viewer| outcome.rate(viewer, 80.0, 120.0)).collect();
        println!("5.4: bit/s {shares:.0?}, queue {:.0} ms", outcome.standing_queue(50.0, 120.0) * 1e3);
        assert!(shares.iter().sum::<f64>() > 0.8 * 3.5e6);
        assert!(shares.iter().all(|share| *share > 3.5e6 / 3.0 * 0.3), "{shares:?}");
    }
}

#[test]
fn section_5_5_round_trips_of_all_lengths_share_a_link() {
    let client = |delay| Client { limit: 3e6, delay, ..Client::default() };
    let clients = [0.0, 0.015, 0.04, 0.09, 0.14].map(client).to_vec();
    let config = LinkConfig { delay: 0.01, ..path(4e6) };
    let outcome = run(&Setup { clients, ..Setup::new(120.0, config) });
    let shares: Vec<f64> = (0..5).map(|viewer| outcome.rate(viewer, 40.0, 120.0)).collect();
    println!("5.5: bit/s {shares:.0?}, queue {:.0} ms", outcome.standing_queue(40.0, 120.0) * 1e3);
    assert!(shares.iter().sum::<f64>() > 0.8 * 4e6);
    assert!(shares.iter().all(|share| *share > 4e6 / 5.0 * 0.3), "{shares:?}");
}

#[test]
fn section_5_6_a_long_tcp_flow_leaves_a_quarter() {
    for seed in 1..=3 {
        let clients = vec![Client { limit: 2e6, ..Client::default() }];
        let outcome = run(&Setup { seed, clients, tcp: Some(10.0), ..Setup::new(120.0, path(2e6)) });
        let (own, tcp) = (outcome.rate(0, 30.0, 120.0), outcome.tcp_rate(30.0, 120.0));
        println!(
            "5.6: {own:.0} bit/s beside {tcp:.0}, frozen {:.1} %, keys {}, {:?}, {:?}",
            outcome.frozen(0, 30.0, 120.0) * 100.0,
            outcome.flows[0].keys,
            outcome.flows[0].repair.counts(),
            outcome.flows[0].pacer.drops(),
        );
        assert!(own > 2e6 / 4.0, "{own}");
        assert!(tcp > 2e6 / 8.0, "{tcp}");
    }
}

#[test]
fn section_5_8_a_paused_flow_comes_back() {
    let mut clients = vec![Client { limit: 3e6, ..Client::default() }; 3];
    clients[1].pause = (40.0, 60.0);
    let outcome = run(&Setup { clients, ..Setup::new(120.0, path(3.5e6)) });
    let shares: Vec<f64> = (0..3).map(|viewer| outcome.rate(viewer, 80.0, 120.0)).collect();
    println!("5.8: bit/s {shares:.0?}, meanwhile {:.0}", outcome.total_rate(50.0, 60.0));
    assert!(outcome.total_rate(50.0, 60.0) > 0.8 * 3.5e6);
    assert!(shares.iter().sum::<f64>() > 0.8 * 3.5e6);
    assert!(shares.iter().all(|share| *share > 3.5e6 / 3.0 * 0.3), "{shares:?}");
}
