//! The scenarios, by what they are about. A boot costs seconds, so one scenario asks several things of one board.
//!
//! Those whose names begin with `quick_` are part of `make test`.

mod board;
mod controls;
mod faults;
mod formats;
mod sound;
mod start;

/// The camera at /dev/video0 and the microphone. The picture is the smallest that vivid has, at a rate that an emulated
/// processor encodes; the microphone is the end of the loopback that hears the tone.
const CONFIGURATION: &str = r#"
[[camera]]
device = "/dev/video0"
format = "YUYV"
width = 320
height = 180
fps = 10

[audio]
device = "plughw:CARD=Loopback,DEV=1"
"#;
