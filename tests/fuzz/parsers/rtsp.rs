//! The fuzzer of `targets::rtsp`.
#![no_main]

mod seeds;
mod targets;

libfuzzer_sys::fuzz_target!(init: seeds::write("rtsp"), |data: &[u8]| targets::rtsp(data));
