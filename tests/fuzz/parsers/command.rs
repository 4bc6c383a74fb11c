//! The fuzzer of `targets::command`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("command"), |data: &[u8]| targets::command(data));
