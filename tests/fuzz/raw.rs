//! The fuzzer of `targets::raw`.
#![no_main]

use porthole::{seeds, targets};

libfuzzer_sys::fuzz_target!(init: seeds::write("raw"), |data: &[u8]| targets::raw(data));
