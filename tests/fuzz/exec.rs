//! The stream parsers of the program's `camera::exec`, without process handling.

#[path = "../../src/capture/camera/exec/annexb.rs"]
mod annexb;
#[path = "../../src/capture/camera/exec/jpeg.rs"]
mod jpeg;
#[path = "../../src/capture/camera/exec/stream.rs"]
pub mod stream;
