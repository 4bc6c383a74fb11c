//! The fuzzer of `datagrams::screen`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("screen"), |data: &[u8]| datagrams::screen(data));
