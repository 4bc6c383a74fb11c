//! The fuzzer of `targets::stream`.
#![no_main]

use porthole::{seeds, targets};

libfuzzer_sys::fuzz_target!(init: seeds::write("stream"), |data: &[u8]| targets::stream(data));
