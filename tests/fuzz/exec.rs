//! The part of the program's `camera::exec` that takes a stream apart, without what runs the program.

#[path = "../../src/capture/camera/exec/annexb.rs"]
mod annexb;
#[path = "../../src/capture/camera/exec/jpeg.rs"]
mod jpeg;
#[path = "../../src/capture/camera/exec/stream.rs"]
pub mod stream;
