//! The fuzzer of `datagrams::talk`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("talk"), |data: &[u8]| datagrams::talk(data));
