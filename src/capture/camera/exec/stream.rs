//! Splits a program's output into frames: detects which of three formats it is, and finds where each frame ends. Pure;
//! time is an argument. Running the program does not belong here.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

use super::annexb::{self, AccessUnits};
use super::jpeg::{self, JpegSplitter};
use crate::media::h264;
use crate::media::h264::StreamShape;
use crate::media::{PixelFormat, Timestamp, VideoFormat};

/// The maximum size of a frame in bytes: an 8K frame in I420 has 50 MB, and a stream without frame boundaries must not
/// use up all memory.
const FRAME_LIMIT: usize = 64 << 20;

/// The maximum number of consecutive bytes that belong to no frame. A program may print a few lines first; one that
/// writes something else altogether is an error.
const GARBAGE_LIMIT: u64 = 1 << 20;

/// The maximum number of zero bytes before the first start code of an H.264 stream. Encoders that align their output write
/// a few; a program that writes nothing but zeros delivers raw frames, and they are black.
const ZEROS_LIMIT: usize = 4096;

/// A frame extracted from the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// When its first byte arrived.
    pub captured: Timestamp,
    /// Its format.
    pub format: VideoFormat,
    /// Its bytes.
    pub data: Bytes,
}

/// Why a stream cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It starts neither like MJPEG nor like H.264.
    Unknown,
    /// It is not in the configured format.
    NotAs(PixelFormat),
}

/// A stream that is being parsed.
pub struct Stream {
    format: Option<StreamFormat>,
    /// The format of raw frames, and the frame rate of all.
    requested: VideoFormat,
    bytes: BytesMut,
    /// Bytes removed from `bytes` since the start.
    consumed: u64,
    /// How many bytes had arrived at which time; the oldest relevant entry first.
    arrivals: VecDeque<(u64, Timestamp)>,
    /// Consecutive bytes that belong to no frame.
    garbage: u64,
    /// Sections that were not a complete frame.
    damaged: u64,
}

/// The three supported formats.
enum StreamFormat {
    Jpeg(JpegSplitter),
    AnnexB(AccessUnits, Option<StreamShape>),
    I420,
}

impl StreamFormat {
    fn pixel(&self) -> PixelFormat {
        match self {
            Self::Jpeg(_) => PixelFormat::Mjpeg,
            Self::AnnexB(..) => PixelFormat::H264,
            Self::I420 => PixelFormat::I420,
        }
    }

    /// What the first bytes of `bytes` are. `requested` is the shape of raw frames, and the rate unless the stream has
    /// one.
    fn next(&mut self, bytes: &[u8], requested: &VideoFormat) -> ReadStep {
        let encoded = VideoFormat { pixel: self.pixel(), stride: 0, ..*requested };
        match self {
            Self::I420 => {
                let length = i420_bytes(requested);
                if bytes.len() < length { ReadStep::Wait } else { ReadStep::Take(length, *requested) }
            }
            Self::Jpeg(splitter) => match splitter.next(bytes) {
                jpeg::JpegParse::Frame { length, size: (width, height) } => {
                    ReadStep::Take(length, VideoFormat { width, height, ..encoded })
                }
                jpeg::JpegParse::Garbage(length) => ReadStep::Skip(length),
                jpeg::JpegParse::Nothing => ReadStep::Wait,
            },
            Self::AnnexB(units, shape) => match units.next(bytes) {
                annexb::AnnexBParse::Unit(length) => {
                    *shape = h264::nals(&bytes[..length]).find_map(StreamShape::of_sps).or(*shape);
                    // Without its parameter sets no decoder can use it.
                    let Some(StreamShape { width, height, fps }) = *shape else { return ReadStep::Skip(length) };
                    let fps = fps.unwrap_or(requested.fps);
                    ReadStep::Take(length, VideoFormat { width, height, fps, ..encoded })
                }
                annexb::AnnexBParse::Garbage(length) => ReadStep::Skip(length),
                annexb::AnnexBParse::Nothing => ReadStep::Wait,
            },
        }
    }
}

impl Stream {
    /// A new stream. `format` is its format, if known: MJPEG, H.264 or I420 (which cannot be detected); `requested` is
    /// the format of raw frames, and the frame rate if the stream has none.
    pub fn new(format: Option<PixelFormat>, requested: VideoFormat) -> Self {
        let format = match format {
            Some(PixelFormat::Mjpeg) => Some(StreamFormat::Jpeg(JpegSplitter::default())),
            Some(PixelFormat::H264) => Some(StreamFormat::AnnexB(AccessUnits::default(), None)),
            Some(PixelFormat::I420) => Some(StreamFormat::I420),
            _ => None,
        };
        let arrivals = VecDeque::new();
        Self { format, requested, bytes: BytesMut::new(), consumed: 0, arrivals, garbage: 0, damaged: 0 }
    }

    /// The buffer to which output is appended; call [`mark_arrival`](Self::mark_arrival) afterwards.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Records that the appended bytes arrived at `now`.
    pub fn mark_arrival(&mut self, now: Timestamp) {
        self.arrivals.push_back((self.consumed + self.bytes.len() as u64, now));
    }

    /// Sections that were not a complete frame.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next complete frame; `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// If the stream cannot be parsed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Unreadable> {
        if self.format.is_none() {
            match detect_format(&self.bytes)? {
                Some(format) => self.format = Some(format),
                None => return Ok(None),
            }
        }
        let Some(format) = &mut self.format else { return Ok(None) };
        let pixel = format.pixel();
        loop {
            match format.next(&self.bytes, &self.requested) {
                ReadStep::Take(length, format) => {
                    self.garbage = 0;
                    let captured = arrival_time(&mut self.arrivals, self.consumed);
                    let data = self.bytes.split_to(length).freeze();
                    self.consumed += length as u64;
                    return Ok(Some(Frame { captured, format, data }));
                }
                ReadStep::Skip(length) => {
                    self.bytes.advance(length);
                    self.consumed += length as u64;
                    self.garbage += length as u64;
                    self.damaged += 1;
                    if self.garbage > GARBAGE_LIMIT {
                        return Err(Unreadable::NotAs(pixel));
                    }
                }
                ReadStep::Wait if self.bytes.len() > FRAME_LIMIT => return Err(Unreadable::NotAs(pixel)),
                ReadStep::Wait => return Ok(None),
            }
        }
    }
}

/// The arrival time of the first byte after `consumed` bytes.
fn arrival_time(arrivals: &mut VecDeque<(u64, Timestamp)>, consumed: u64) -> Timestamp {
    while arrivals.len() > 1 && arrivals.front().is_some_and(|(end, _)| *end <= consumed) {
        arrivals.pop_front();
    }
    arrivals.front().map_or_else(Timestamp::default, |(_, at)| *at)
}

enum ReadStep {
    /// This many bytes are a frame of this format.
    Take(usize, VideoFormat),
    /// This many bytes are garbage.
    Skip(usize),
    /// More bytes are needed.
    Wait,
}

/// The format of a stream that starts like this; `None` while it is ambiguous.
fn detect_format(data: &[u8]) -> Result<Option<StreamFormat>, Unreadable> {
    let zeros = data.iter().take_while(|byte| **byte == 0).count();
    Ok(match data {
        [0xff, 0xd8, 0xff, ..] => Some(StreamFormat::Jpeg(JpegSplitter::default())),
        [] | [0xff] | [0xff, 0xd8] => None,
        // Any number of zeros may precede the first start code (ITU-T H.264 section B.1.1).
        _ if zeros == data.len() && zeros <= ZEROS_LIMIT => None,
        _ if zeros >= 2 && data.get(zeros) == Some(&1) => Some(StreamFormat::AnnexB(AccessUnits::default(), None)),
        _ => return Err(Unreadable::Unknown),
    })
}

fn i420_bytes(format: &VideoFormat) -> usize {
    let (width, height) = (format.width as usize, format.height as usize);
    width * height + 2 * (width.div_ceil(2) * height.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::Colorimetry;

    fn requested(width: u32, height: u32) -> VideoFormat {
        VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 30.0, color: Colorimetry::SRGB }
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn raw_frames_are_split_by_size_and_timed_by_their_first_byte() {
        let mut stream = Stream::new(Some(PixelFormat::I420), requested(4, 2));
        let raw: Vec<u8> = (0..36).collect();
        let mut frames = Vec::new();
        for (number, piece) in raw.chunks(5).enumerate() {
            stream.buffer().extend_from_slice(piece);
            stream.mark_arrival(at(number as u64 * 10));
            while let Some(frame) = stream.next_frame().expect("should read") {
                frames.push((frame.captured, frame.data.to_vec()));
            }
        }
        // Bytes 0, 12 and 24 came in pieces 0, 2 and 4.
        let expected: Vec<_> = [0, 20, 40].map(at).into_iter().zip(raw.chunks(12).map(<[u8]>::to_vec)).collect();
        assert_eq!(frames, expected);
    }

    #[test]
    fn format_is_detected_from_the_first_bytes() {
        let format = |data: &[u8]| detect_format(data).map(|format| format.map(|format| format.pixel()));
        assert_eq!(format(&[0xff, 0xd8, 0xff]), Ok(Some(PixelFormat::Mjpeg)));
        assert_eq!(format(&[0, 0, 0, 1, 9]), Ok(Some(PixelFormat::H264)));
        assert_eq!(format(&[0, 0, 1, 9]), Ok(Some(PixelFormat::H264)));
        assert_eq!(format(&[0, 0, 0, 0, 0, 0, 1, 9]), Ok(Some(PixelFormat::H264)));
        for early in [&[][..], &[0], &[0, 0], &[0; 3], &[0; 9], &[0xff], &[0xff, 0xd8]] {
            assert_eq!(format(early), Ok(None), "{early:?}");
        }
        for wrong in [&b"hello"[..], &[0, 1], &[0, 0, 0, 7], &[0; ZEROS_LIMIT + 1], &[0xff, 0xff]] {
            assert_eq!(format(wrong), Err(Unreadable::Unknown), "{wrong:?}");
        }
    }

    #[test]
    fn stream_of_garbage_is_given_up() {
        for format in [PixelFormat::Mjpeg, PixelFormat::H264] {
            let mut stream = Stream::new(Some(format), requested(4, 2));
            let garbage: Vec<u8> = (0..1 << 20).map(|byte| (byte % 251) as u8 | 2).collect();
            let error = (0..=FRAME_LIMIT >> 20).find_map(|_| {
                stream.buffer().extend_from_slice(&garbage);
                stream.mark_arrival(at(0));
                stream.next_frame().err()
            });
            assert_eq!(error, Some(Unreadable::NotAs(format)));
        }
    }
}
