//! A fake V4L2 camera, preloaded into the real program between the program and libc, so that tests and benchmarks run
//! against any driver behaviour on any machine. Expectations on the program do not belong here.
//!
//! `LD_PRELOAD=libfake_camera.so PORTHOLE_FAKE=FOLDER porthole ...` replaces the nodes in `/dev` by those in
//! `FOLDER/dev`, and `/sys/class/video4linux` by `FOLDER/sys/class/video4linux`. Each file `FOLDER/dev/videoN` is a
//! camera; its text is the script of its behaviour: see `script.rs`. Opening reads it, removing it unplugs the camera.
//! If the file `FOLDER/calls` exists, each call on a camera is logged there, one per line. The file `FOLDER/card` makes the memory
//! card slow: see `card.rs`.
//!
//! The data flow: `interpose.rs` intercepts libc calls and passes those on cameras to `camera.rs`, which executes them
//! with `formats.rs`, `controls.rs` and `queue.rs`; `frame.rs` paints the image. All other calls go to libc through
//! `real.rs`.

mod call_log;
mod camera;
mod card;
mod controls;
mod formats;
mod frame;
mod interpose;
mod queue;
mod real;
mod script;
