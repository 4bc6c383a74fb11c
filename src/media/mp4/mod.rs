//! Fragmented MP4 (ISO/IEC 14496-12) with H.264 and, if there is audio, Opus: a header, then one fragment after another, each
//! of which can be played without those that follow. So a file that ends anywhere can be played up to its last whole fragment.
//!
//! Both tracks have one clock, that of capture, which starts at the file's first key frame. Files, and what of them is kept, do
//! not belong here.
//!
//! ```text
//! ftyp moov free moof mdat moof mdat ...      while it is being written
//! ftyp moov sidx moof mdat moof mdat ...      once it has ended: players find each key frame, and the length
//! ```

mod fragment;
mod header;
mod index;
mod scan;
mod setup;

pub use fragment::{Fragment, FragmentWriter};
pub use header::{FileHeader, header};
pub use index::FileIndex;
pub use scan::{read_header, scan};
pub use setup::VideoSetup;

/// Ticks a second of the file's own times.
const MOVIE_RATE: u32 = 1_000;

/// Ticks a second of the video's times.
const VIDEO_RATE: u32 = crate::media::VIDEO_RTP_RATE;

/// Ticks a second of the audio's times: one for each sample.
const AUDIO_RATE: u32 = 48_000;

/// Samples of an Opus packet of 20 ms.
const PACKET_SAMPLES: u32 = 960;

/// By how many samples the Opus encoder delays the audio (RFC 7845 section 4.2): its look-ahead at 48 kHz, 6.5 ms.
const PRE_SKIP: u16 = 312;

/// The number of the video track.
const VIDEO_TRACK: u32 = 1;

/// The number of the audio track.
const AUDIO_TRACK: u32 = 2;

/// A time in ticks of a clock of `rate` hertz.
fn ticks(time: std::time::Duration, rate: u32) -> u64 {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u64
}

/// The time of so many ticks of the video's clock, rounded up, so that [`ticks`] of it are the same.
fn of_ticks(ticks: u64) -> std::time::Duration {
    let rate = u64::from(VIDEO_RATE);
    let nanos = ((ticks % rate) * 1_000_000_000).div_ceil(rate);
    std::time::Duration::from_secs(ticks / rate) + std::time::Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests;
