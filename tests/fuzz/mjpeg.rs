//! The fuzzer of `targets::mjpeg`.
#![no_main]

use porthole::{seeds, targets};

libfuzzer_sys::fuzz_target!(init: seeds::write("mjpeg"), |data: &[u8]| targets::mjpeg(data));
