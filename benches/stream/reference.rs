//! The baseline: the encoder alone on the frames that the program encoded, without camera, network and threads.

use std::time::{Duration, Instant};

use anyhow::Result;
use porthole::capture::camera;
use porthole::capture::camera::pattern::TestPattern;
use porthole::media::encoder;
use porthole::media::{RawFrame, Timestamp};

use crate::FPS;

/// Warm-up frames, in which rate control settles.
const SETTLE: u32 = 2 * FPS;

/// Timing of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Back to back with warm caches: the minimum cost of encoding.
    AtOnce,
    /// At the camera's frame rate: the processor sleeps in between and wakes up with cold caches.
    Live,
}

/// Averages per frame.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Reference {
    /// CPU time of encoding, in milliseconds.
    pub cpu: f64,
    /// CPU time of drawing the frame, in milliseconds: not part of encoding.
    pub drawing: f64,
    /// Size of its access unit in bytes.
    pub bytes: f64,
}

/// Encodes `count` frames of the pattern from number `first` on, configured as in the program.
pub fn encode(first: u64, count: u32, pace: Pace) -> Result<Reference> {
    let pattern = TestPattern::open(&camera::Config {
        device: camera::DeviceSelector::Pattern,
        fps: camera::Constraint::exact(FPS),
        ..Default::default()
    });
    let first = first.saturating_sub(SETTLE.into());
    encode_all(count, pace, |at| {
        let number = first + at as u64;
        pattern.render(number as u32, start(number))
    })
}

/// Encodes generated frames, numbered from 0; the `count` measured ones follow the warm-up frames.
pub fn encode_all(count: u32, pace: Pace, mut frame: impl FnMut(usize) -> RawFrame) -> Result<Reference> {
    let settings = encoder::Config { bitrate: 2_000_000, ..Default::default() };
    let mut encoder = encoder::open(&settings, &frame(0).format)?;
    let (mut cpu, mut drawing, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    let mut due = Instant::now();
    for at in 0..SETTLE + count {
        if pace == Pace::Live {
            due += Duration::from_secs(1) / FPS;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let before = used();
        let frame = frame(at as usize);
        let drawn = used();
        let encoded = encoder.encode(&frame, at == 0)?;
        let done = used();
        if at >= SETTLE {
            drawing += drawn - before;
            cpu += done - drawn;
            bytes += encoded.map_or(0, |encoded| encoded.data.len());
        }
    }
    let mean = |sum: Duration| sum.as_secs_f64() * 1e3 / f64::from(count);
    Ok(Reference { cpu: mean(cpu), drawing: mean(drawing), bytes: bytes as f64 / f64::from(count) })
}

/// The pattern's current frame number.
pub fn frame_now() -> u64 {
    (Timestamp::now().unix().as_nanos() * u128::from(FPS) / 1_000_000_000) as u64
}

/// The start time of frame `number`.
fn start(number: u64) -> Timestamp {
    let unix = Duration::from_nanos((u128::from(number) * 1_000_000_000).div_ceil(u128::from(FPS)) as u64);
    Timestamp::from_start(unix.saturating_sub(Timestamp::default().unix()))
}

/// CPU time of the whole process: the encoder may have its own threads, and nothing else runs meanwhile.
fn used() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
