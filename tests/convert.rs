//! Every conversion to I420, compared pixel by pixel with a simple reference, and malformed input: too short, damaged,
//! inconsistent. The fuzz targets also run here, on arbitrary bytes and on their seeds.

#[path = "convert/jpeg.rs"]
mod jpeg;
#[path = "convert/raw.rs"]
mod raw;
#[path = "convert/reference.rs"]
mod reference;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/targets.rs"]
mod targets;

use proptest::prelude::*;

#[test]
fn every_seed_of_the_fuzzers_passes() {
    for (target, run) in targets::TARGETS {
        let seeds = seeds::of(target);
        assert!(seeds.len() > 2, "{target} should have seeds");
        for seed in seeds {
            run(&seed);
        }
    }
}

/// A seed with some bytes changed, removed or inserted, as a fuzzer does first.
fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..4));
    (prop::sample::select(seeds::of(target)), prop::collection::vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for (from, to, by) in changes {
            let from = from.index(bytes.len() + 1);
            // Short spans only: a long one leaves nothing to parse.
            let to = (from + to.index(5)).min(bytes.len());
            bytes.splice(from..to, by);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_pass_the_raw_target(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        targets::raw(&bytes);
    }

    #[test]
    fn arbitrary_bytes_pass_the_mjpeg_target(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        targets::mjpeg(&bytes);
    }

    #[test]
    fn arbitrary_bytes_pass_the_annexb_target(bytes in prop::collection::vec(0u8..4, 0..200)) {
        targets::annexb(&bytes);
    }

    #[test]
    fn arbitrary_bytes_pass_the_stream_target(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        targets::stream(&bytes);
    }

    #[test]
    fn mutated_seeds_pass_the_stream_target(bytes in mutated("stream")) {
        targets::stream(&bytes);
    }

    #[test]
    fn mutated_seeds_pass_the_raw_target(bytes in mutated("raw")) {
        targets::raw(&bytes);
    }

    #[test]
    fn mutated_seeds_pass_the_mjpeg_target(bytes in mutated("mjpeg")) {
        targets::mjpeg(&bytes);
    }

    #[test]
    fn mutated_seeds_pass_the_annexb_target(bytes in mutated("annexb")) {
        targets::annexb(&bytes);
    }
}
