//! The fuzzer of `datagrams::sctp`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("sctp"), |data: &[u8]| datagrams::sctp(data));
