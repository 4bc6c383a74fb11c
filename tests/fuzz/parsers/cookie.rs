//! The fuzzer of `targets::cookie`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("cookie"), |data: &[u8]| targets::cookie(data));
