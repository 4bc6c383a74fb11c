//! The fuzzer of `sounds::sound`.
#![no_main]

mod seeds;
mod sounds;

libfuzzer_sys::fuzz_target!(init: seeds::write("sound"), |data: &[u8]| sounds::sound(data));
