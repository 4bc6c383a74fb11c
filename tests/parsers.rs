//! Parsers of untrusted input: offers, trickle fragments, cookies, commands, configuration files, RTSP requests, a viewer's
//! datagrams, and sound files.
//! The fuzz targets run here on arbitrary input and on their seeds, from a fixed random seed.

#[path = "fuzz/parsers/datagrams.rs"]
mod datagrams;
#[path = "fuzz/parsers/seeds.rs"]
mod seeds;
#[path = "fuzz/parsers/sounds.rs"]
mod sounds;
#[path = "fuzz/parsers/targets.rs"]
mod targets;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Inputs of each kind per target.
const CASES: u32 = 1000;

#[test]
fn every_seed_passes() {
    for (target, run) in targets::TARGETS.into_iter().chain(datagrams::TARGETS).chain(sounds::TARGETS) {
        let seeds = seeds::of(target);
        assert!(seeds.len() > 2, "{target} should have seeds");
        for seed in seeds {
            run(&seed);
        }
    }
}

#[test]
fn arbitrary_text_passes() {
    for (target, run) in targets::TARGETS {
        check(target, "\\PC{0,300}", |text: String| run(text.as_bytes()));
    }
}

#[test]
fn damaged_seeds_pass() {
    for (target, run) in targets::TARGETS {
        check(target, mutated(target), |text: Vec<u8>| run(&text));
    }
}

#[test]
fn arbitrary_and_damaged_datagrams_and_sounds_pass() {
    for (target, run) in datagrams::TARGETS.into_iter().chain(sounds::TARGETS) {
        check(target, prop::collection::vec(any::<u8>(), 0..300), |input: Vec<u8>| run(&input));
        check(target, mutated(target), |input: Vec<u8>| run(&input));
    }
}

#[test]
fn sounds_with_other_bytes_at_their_beginning_pass() {
    for (target, run) in sounds::TARGETS {
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 1..6);
        let changed = (prop::sample::select(seeds::of(target)), changes).prop_map(|(mut bytes, changes)| {
            // Where the lengths and formats are.
            let beginning = bytes.len().min(160);
            changes.into_iter().for_each(|(at, byte)| bytes[at.index(beginning)] = byte);
            bytes
        });
        check(target, changed, |input: Vec<u8>| run(&input));
    }
}

/// Runs `body` on the values of `strategy`, deterministically.
fn check<S: Strategy>(target: &str, strategy: S, body: impl Fn(S::Value))
where
    S::Value: std::fmt::Debug,
{
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let done = runner.run(&strategy, |input| {
        body(input);
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{target}: {failure}"));
}

/// A seed with pieces removed, repeated, or replaced by a few characters.
fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[ -~\r\n]{0,6}", any::<bool>());
    let changes = prop::collection::vec(change, 0..8);
    (prop::sample::select(seeds::of(target)), changes).prop_map(|(mut bytes, changes)| {
        for (from, length, text, repeat) in changes {
            let from = from.index(bytes.len() + 1);
            let to = (from + length.index(30)).min(bytes.len());
            let piece = if repeat { bytes[from..to].repeat(2) } else { text.into_bytes() };
            bytes.splice(from..to, piece);
        }
        bytes
    })
}
