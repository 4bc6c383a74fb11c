//! The fuzzer of `datagrams::rtcp`.
#![no_main]

mod datagrams;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write("rtcp"), |data: &[u8]| datagrams::rtcp(data));
