//! The fuzzed part of the program's library, under the same paths, and the bodies of the targets, which the test suite
//! also runs. Being so small, the fuzzers build in two minutes.

extern crate self as porthole;

/// Of the cameras, only the parsers of program output.
pub mod capture {
    pub mod camera {
        pub use crate::exec;
    }
}
pub mod exec;
pub mod media;
#[path = "../convert/reference.rs"]
pub mod reference;
pub mod seeds;
pub mod targets;
