//! The fuzzer of `targets::annexb`.
#![no_main]

use porthole::{seeds, targets};

libfuzzer_sys::fuzz_target!(init: seeds::write("annexb"), |data: &[u8]| targets::annexb(data));
