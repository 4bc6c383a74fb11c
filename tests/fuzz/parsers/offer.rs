//! The fuzzer of `targets::offer`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("offer"), |data: &[u8]| targets::offer(data));
