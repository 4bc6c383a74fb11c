//! Scenarios on an emulated board: a Debian kernel under QEMU with the drivers `vivid` as camera and `snd-aloop` as sound
//! card, and the real program inside, watched over a network cable from outside. `make board` runs them all, `make
//! test` those whose names begin with `quick_`; a plain `cargo test` lists them as ignored, because they need the
//! packages that `make setup-test` brings.
//!
//! How the board is made does not belong here: `packages` -> `guest` -> `machine`, inside `namespace`; what is done to it
//! stands in `devices`; what a viewer makes of it in `observer` and `frame_content`; what is asked of it all in `scenarios`.

#[path = "../viewer/client/mod.rs"]
mod client;
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
