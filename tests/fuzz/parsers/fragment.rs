//! The fuzzer of `targets::fragment`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("fragment"), |data: &[u8]| targets::fragment(data));
