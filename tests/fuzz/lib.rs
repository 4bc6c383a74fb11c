//! The part of the program's library that the fuzzers test, under its name, and the bodies of the targets, as the suite runs
//! them. With so little the fuzzers are built in two minutes.

extern crate self as porthole;

/// Of the cameras only what reads the output of a program.
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
