//! The scenarios by topic. A boot takes seconds, so one scenario checks several things on one board.
//!
//! Those whose names begin with `quick_` are part of `make test`.

mod audio;
mod board;
mod controls;
mod faults;
mod formats;
mod gpio;
mod recordings;
mod start;
mod talk;

use std::time::Duration;

/// The camera at /dev/video0 and the microphone. The frame size is vivid's smallest, at a rate that an emulated
/// processor can encode; the microphone is the end of the loopback that receives the tone.
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

/// Limit for recovery after a device is plugged in.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// The median of `times`. The host may have been busy at times, so single values mean little.
fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}
