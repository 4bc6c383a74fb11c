//! The fuzzer of `targets::config`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("config"), |data: &[u8]| targets::config(data));
