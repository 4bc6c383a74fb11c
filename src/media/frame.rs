//! The media types of the program: capture timestamps, pixel formats, raw and encoded frames, audio packets.
//!
//! Plain values. Devices, threads and the network do not belong here.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::Colorimetry;
use super::h264;
use super::h264::payload::SharedPayloads;

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970), RFC 5905 appendix A.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// The start of the process on both clocks, read once. The wall clock is deliberately not read again: on a device
/// without a battery-backed clock it jumps by years at the first NTP response, and stream timestamps must not jump.
static START: LazyLock<Start> = LazyLock::new(|| Start {
    monotonic: monotonic_now(),
    unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
});

struct Start {
    monotonic: Duration,
    unix: Duration,
}

/// Ticks a second of the RTP timestamps of H.264 (RFC 6184 section 8.2.1).
pub const VIDEO_RTP_RATE: u32 = 90_000;

/// A time on the monotonic clock, relative to the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        Self::from_monotonic(monotonic_now())
    }

    /// The time of an instant that is past.
    pub fn of_instant(instant: Instant) -> Self {
        Self::now().saturating_sub(instant.elapsed())
    }

    /// From a reading of `CLOCK_MONOTONIC`, as V4L2 and ALSA report it. A reading from before the start of the process
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

    /// The time since `earlier`, or zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `span`, saturating on overflow.
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// This time minus `span`, but not before the start of the process.
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// The time since the Unix epoch, by the wall clock as it was read when the process started.
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

/// The smallest step between the timestamps of two frames of a stream.
const MIN_TIMESTAMP_STEP: Duration = Duration::from_millis(1);

/// Keeps the timestamps of a stream in order: a frame may have been captured before the last one of another source that was
/// in the stream, and players drop frames that go back in time.
#[derive(Debug, Default)]
pub struct MonotonicTimestamps(Timestamp);

impl MonotonicTimestamps {
    /// The timestamp of the next frame, captured at `captured`: that, or just after the last one.
    pub fn next(&mut self, captured: Timestamp) -> Timestamp {
        self.0 = captured.max(self.0.saturating_add(MIN_TIMESTAMP_STEP));
        self.0
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
    /// Semi-planar 4:2:0: Y, then interleaved U and V (V4L2 `NV12`).
    Nv12,
    /// Semi-planar 4:2:0: Y, then interleaved V and U (V4L2 `NV21`).
    Nv21,
    /// Luma only, 8 bits (V4L2 `GREY`).
    Grey,
    /// Packed 4:2:2: Y0 U Y1 V (V4L2 `YUYV`).
    Yuyv,
    /// Packed 4:2:2: U Y0 V Y1 (V4L2 `UYVY`).
    Uyvy,
    /// Packed red, green, blue (V4L2 `RGB3`).
    Rgb24,
    /// Packed blue, green, red (V4L2 `BGR3`).
    Bgr24,
    /// One JPEG per frame (V4L2 `MJPG`).
    Mjpeg,
    /// One H.264 access unit in Annex B format per frame (V4L2 `H264`), encoded by the camera. Frames depend on earlier
    /// ones.
    H264,
}

impl PixelFormat {
    /// All formats.
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

    /// Whether frames are compressed: of variable size, and without rows.
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::Mjpeg | Self::H264)
    }
}

/// Pixel format, size and rate of a source's raw frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Layout of the bytes.
    pub pixel: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes per row of the first plane. The chroma planes of I420 and YV12 have half of it, unless they are in
    /// separate buffers. Zero for compressed frames.
    pub stride: u32,
    /// Frames per second.
    pub fps: f64,
    /// What its sample values mean: of YUV formats, and of an H.264 stream that does not say so itself. JPEG and RGB have
    /// the colours of sRGB.
    pub color: Colorimetry,
}

/// One captured frame. The bytes are shared, never copied; dropping the last clone returns the buffer to its source.
#[derive(Debug, Clone)]
pub struct RawFrame {
    /// When the frame was captured.
    pub captured: Timestamp,
    /// Its format.
    pub format: VideoFormat,
    /// Whether frames were lost between the previous one and this one. Matters only where frames depend on earlier ones
    /// (H.264).
    pub gap: bool,
    /// Its bytes, laid out as in `format`.
    pub data: Bytes,
    /// The chroma planes, if the driver keeps each plane in a separate buffer (V4L2 `NM12`, `NM21`, `YM12`, `YM21`);
    /// `data` is then the first plane only.
    pub chroma: Option<ChromaPlanes>,
}

/// Chroma planes in separate buffers, in the order of the pixel format.
#[derive(Debug, Clone)]
pub struct ChromaPlanes {
    /// The second plane (interleaved U and V, U, or V).
    pub second: Bytes,
    /// The third plane; empty if the format has two.
    pub third: Bytes,
    /// Bytes per row of these planes.
    pub stride: u32,
}

impl RawFrame {
    /// A frame in one buffer, without a gap before it.
    pub const fn new(captured: Timestamp, format: VideoFormat, data: Bytes) -> Self {
        Self { captured, format, gap: false, data, chroma: None }
    }
}

/// One encoded frame: an H.264 access unit in Annex B format, with SPS and PPS in every key frame.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// When the frame was captured.
    pub captured: Timestamp,
    /// Whether it is a key frame (IDR), at which decoding can start.
    pub key: bool,
    /// Whether it belongs to the placeholder, and not to the video of the camera.
    pub placeholder: bool,
    /// Whether no other frame is predicted from it, so that a viewer may be sent the stream without it.
    pub disposable: bool,
    /// The access unit.
    pub data: Bytes,
    /// Its RTP payloads.
    pub payloads: SharedPayloads,
}

impl EncodedFrame {
    /// A frame of the camera with this access unit, which is an IDR if `key`.
    pub fn new(captured: Timestamp, key: bool, data: Bytes) -> Self {
        let disposable = !key && h264::is_disposable(&data);
        Self { captured, key, placeholder: false, disposable, data, payloads: SharedPayloads::default() }
    }
}

/// 20 ms of audio from a source, before encoding.
#[derive(Debug, Clone)]
pub struct PcmFrame {
    /// When the first sample was captured.
    pub captured: Timestamp,
    /// Whether audio was lost between the previous frame and this one.
    pub gap: bool,
    /// Interleaved samples at 48 kHz: 960 per channel.
    pub samples: Vec<i16>,
}

/// One Opus packet of 20 ms.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// When its first sample was captured.
    pub captured: Timestamp,
    /// Whether audio was lost between the previous packet and this one.
    pub gap: bool,
    /// The Opus packet.
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
