//! The fuzzer of `datagrams::stun`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("stun"), |data: &[u8]| datagrams::stun(data));
