//! The data that flows through the program: timestamps, raw and encoded frames, and audio packets.
//!
//! Plain values. No device, no thread and no network belongs here.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970), RFC 5905 appendix A.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// The process's zero on both clocks, read once. The wall clock is deliberately not read again: a board without a
/// battery-backed clock jumps by years when NTP first answers, and the stream's clock must not jump with it.
static START: LazyLock<Start> = LazyLock::new(|| Start {
    monotonic: monotonic_now(),
    unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
});

struct Start {
    monotonic: Duration,
    unix: Duration,
}

/// A moment on the monotonic clock, counted from the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// This moment.
    pub fn now() -> Self {
        Self::from_monotonic(monotonic_now())
    }

    /// From a reading of `CLOCK_MONOTONIC`, as V4L2 and ALSA give it. A reading from before the process started
    /// becomes zero.
    pub fn from_monotonic(reading: Duration) -> Self {
        Self(reading.saturating_sub(START.monotonic))
    }

    /// From the time since the process started.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time since the process started.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this; zero when `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment plus `span`; the far end of time on overflow.
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// This moment minus `span`; the start of the process when that lies before it.
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// The time since the Unix epoch, by the wall clock as it stood when the process started.
    pub fn unix(self) -> Duration {
        START.unix.saturating_add(self.0)
    }

    /// The 64-bit NTP timestamp (32 bits of seconds since 1900, 32 bits of fraction) of sender reports (RFC 3550
    /// section 4) and of the `abs-capture-time` header extension.
    pub fn ntp(self) -> u64 {
        let unix = self.unix();
        let seconds = unix.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }

    /// The time since the process started in ticks of an RTP clock of `rate` hertz, modulo 2^32 (RFC 3550 section 5.1).
    /// A session adds its own random offset.
    pub fn rtp(self, rate: u32) -> u32 {
        (self.0.as_nanos() * u128::from(rate) / 1_000_000_000) as u32
    }
}

fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// How the bytes of a frame from a camera are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Planar 4:2:0: Y, then U, then V (V4L2 `YU12`).
    I420,
    /// Planar 4:2:0: Y, then V, then U (V4L2 `YV12`).
    Yv12,
    /// Semi-planar 4:2:0: Y, then U and V in turn (V4L2 `NV12`).
    Nv12,
    /// Semi-planar 4:2:0: Y, then V and U in turn (V4L2 `NV21`).
    Nv21,
    /// Luma alone, 8 bit (V4L2 `GREY`).
    Grey,
    /// Packed 4:2:2: Y0 U Y1 V (V4L2 `YUYV`).
    Yuyv,
    /// Packed 4:2:2: U Y0 V Y1 (V4L2 `UYVY`).
    Uyvy,
    /// Packed red, green, blue (V4L2 `RGB3`).
    Rgb24,
    /// Packed blue, green, red (V4L2 `BGR3`).
    Bgr24,
    /// One JPEG picture a frame (V4L2 `MJPG`).
    Mjpeg,
    /// One H.264 access unit in Annex B form a frame (V4L2 `H264`): encoded by the camera, and each frame needs those
    /// before it.
    H264,
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [Self; 11] = [
        Self::I420,
        Self::Yv12,
        Self::Nv12,
        Self::Nv21,
        Self::Grey,
        Self::Yuyv,
        Self::Uyvy,
        Self::Rgb24,
        Self::Bgr24,
        Self::Mjpeg,
        Self::H264,
    ];

    /// The name of the format in the configuration, the log and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I420 => "YU12",
            Self::Yv12 => "YV12",
            Self::Nv12 => "NV12",
            Self::Nv21 => "NV21",
            Self::Grey => "GREY",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Rgb24 => "RGB24",
            Self::Bgr24 => "BGR24",
            Self::Mjpeg => "MJPEG",
            Self::H264 => "H264",
        }
    }

    /// Whether a frame has as many bytes as its encoder made of it, and no lines.
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::Mjpeg | Self::H264)
    }
}

/// The shape of a source's raw frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Layout of the bytes.
    pub pixel: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one line of the first plane to the next; the chroma planes of I420 and YV12 have half of it, unless
    /// they lie in memory of their own. Zero for compressed frames.
    pub stride: u32,
    /// Frames per second.
    pub fps: f64,
}

/// One captured frame. The bytes are shared, never copied; dropping the last clone gives the buffer back to its source.
#[derive(Debug, Clone)]
pub struct RawFrame {
    /// When the frame was captured.
    pub captured: Timestamp,
    /// Its shape.
    pub format: VideoFormat,
    /// Whether frames were lost between the one before and this one. Matters only where a frame needs those before it
    /// (H.264).
    pub gap: bool,
    /// Its bytes, laid out as `format` says.
    pub data: Bytes,
    /// The planes after the first, where the driver keeps each plane in memory of its own (V4L2 `NM12`, `NM21`, `YM12`,
    /// `YM21`); `data` then holds the first plane alone.
    pub chroma: Option<ChromaPlanes>,
}

/// Chroma planes in memory of their own, in the order that the pixel format names them.
#[derive(Debug, Clone)]
pub struct ChromaPlanes {
    /// The second plane (U and V in turn, U, or V).
    pub second: Bytes,
    /// The third plane; empty if the format has two.
    pub third: Bytes,
    /// Bytes from one line of these planes to the next.
    pub stride: u32,
}

impl RawFrame {
    /// A frame in one piece that follows the one before it.
    pub const fn new(captured: Timestamp, format: VideoFormat, data: Bytes) -> Self {
        Self { captured, format, gap: false, data, chroma: None }
    }
}

/// One encoded frame: an H.264 access unit in Annex B form, with SPS and PPS inside every key frame.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// When the frame was captured.
    pub captured: Timestamp,
    /// Whether decoding can begin here (IDR).
    pub key: bool,
    /// The access unit.
    pub data: Bytes,
}

/// 20 ms of audio from a source, before encoding.
#[derive(Debug, Clone)]
pub struct PcmFrame {
    /// When the first sample was captured.
    pub captured: Timestamp,
    /// Whether audio was lost between the frame before and this one.
    pub gap: bool,
    /// Interleaved samples at 48 kHz: 960 for each channel.
    pub samples: Vec<i16>,
}

/// One Opus packet of 20 ms.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// When its first sample was captured.
    pub captured: Timestamp,
    /// Whether audio was lost between the packet before and this one.
    pub gap: bool,
    /// The packet.
    pub data: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_ticks_wrap_at_32_bits() {
        // 2^32 ticks of 90 kHz are 47,721.858... s.
        let wrap = Duration::from_nanos((1u64 << 32) * 1_000_000_000 / 90_000 + 1_000_000);
        assert_eq!(Timestamp::from_start(Duration::from_secs(2)).rtp(90_000), 180_000);
        assert!(Timestamp::from_start(wrap).rtp(90_000) < 180);
    }

    #[test]
    fn ntp_and_unix_times_agree() {
        let moment = Timestamp::from_start(Duration::from_millis(1500));
        let unix = moment.unix();
        assert_eq!(moment.ntp() >> 32, unix.as_secs() + NTP_TO_UNIX_SECONDS);
        let fraction = (moment.ntp() & 0xffff_ffff) as f64 / 4_294_967_296.0;
        assert!((fraction - f64::from(unix.subsec_nanos()) / 1e9).abs() < 1e-6);
    }

    #[test]
    fn monotonic_reading_before_the_start_is_zero() {
        assert_eq!(Timestamp::from_monotonic(Duration::ZERO), Timestamp::default());
        assert!(Timestamp::now() <= Timestamp::now());
    }
}
