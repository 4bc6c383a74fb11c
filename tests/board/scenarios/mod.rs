//! The scenarios, by what they are about. A boot costs seconds, so one scenario asks several things of one board.
//!
//! Those whose names begin with `quick_` are part of `make test`.

mod audio;
mod board;
mod controls;
mod faults;
mod formats;
mod gpio;
mod start;

use std::time::Duration;

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

/// How soon after its plug is in a device has to be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// The time that half of `times` do not exceed. The machine that emulates the board may have been busy now and then, so
/// single ones say little.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}
