//! The program's `media` without the encoders.

#[path = "../../src/media/color.rs"]
mod color;
#[path = "../../src/media/convert/mod.rs"]
pub mod convert;
#[path = "../../src/media/frame.rs"]
mod frame;
#[path = "../../src/media/h264/mod.rs"]
pub mod h264;

pub use color::Colorimetry;
pub use frame::*;
