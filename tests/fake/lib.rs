//! A fake V4L2 camera, preloaded into the real program: it stands between the program and libc, so that tests and
//! benchmarks run against any behaviour of a driver on any machine. What is expected of the program does not belong here.
//!
//! `LD_PRELOAD=libfake_camera.so PORTHOLE_FAKE=FOLDER porthole ...` shows the program `FOLDER/dev` in place of the nodes
//! in `/dev`, and `FOLDER/sys/class/video4linux` in place of the kernel's list of them. Each file `FOLDER/dev/videoN` is a
//! camera, and its text is the script by which it behaves: see `script.rs`. Opening reads it, removing it unplugs the
//! camera. Where there is a file `FOLDER/calls`, each call on a camera is noted there, a line each.
//!
//! The data flow: `interpose.rs` catches libc's calls and hands those on a camera to `camera.rs`, which does what
//! the script says by `formats.rs`, `controls.rs` and `queue.rs`; `frame.rs` paints what it shows. What is not about a
//! camera goes on to libc, by `real.rs`.

mod call_log;
mod camera;
mod controls;
mod formats;
mod frame;
mod interpose;
mod queue;
mod real;
mod script;
