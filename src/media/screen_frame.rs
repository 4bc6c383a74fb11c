//! A frame of a talker's picture as their browser has compressed it. It is passed on to a program, and never decoded here.

use bytes::Bytes;

/// How a talker's picture is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenCodec {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
}

impl ScreenCodec {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Vp8 => "vp8",
        }
    }
}

/// A frame of a talker's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenFrame {
    /// How it is compressed.
    pub codec: ScreenCodec,
    /// Whether it can be decoded without those before it.
    pub key: bool,
    /// When it was captured, in ticks of [`VIDEO_RTP_RATE`](super::VIDEO_RTP_RATE) since some time.
    pub ticks: u64,
    /// H.264: an access unit in Annex B form. VP8: the frame.
    pub data: Bytes,
}
