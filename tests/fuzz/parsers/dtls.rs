//! The fuzzer of `datagrams::dtls`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("dtls"), |data: &[u8]| datagrams::dtls(data));
