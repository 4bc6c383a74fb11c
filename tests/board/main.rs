//! Scenarios on an emulated board: a Debian kernel under QEMU with the drivers `vivid` as camera and `snd-aloop` as
//! sound card, and the real program inside, viewed over a network link from outside. `make board` runs all of them,
//! `make test` those whose names begin with `quick_`; a plain `cargo test` lists them as ignored, because they need the
//! packages that `make setup-test` installs.
//!
//! The board itself is built elsewhere: `packages` -> `guest` -> `machine`, inside `namespace`. `devices` acts on it,
//! `observer` and `frame_content` are the viewer, `scenarios` has the tests.

#[path = "../common/correlation.rs"]
mod correlation;
mod devices;
mod drivers;
mod footage;
mod frame_content;
mod guest;
mod machine;
mod namespace;
mod observer;
mod packages;
mod scenarios;
#[path = "../common/speech.rs"]
mod speech;
