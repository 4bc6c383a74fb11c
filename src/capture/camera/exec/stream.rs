//! Splits a program's output into frames: detects which of three formats it is, and finds where each frame ends. Pure;
//! time is an argument. Running the program does not belong here.

use std::collections::VecDeque;
use std::time::Duration;

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
    /// Whether something of the frame before it is missing.
    pub gap: bool,
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
    /// Whether a part of the last frame is missing.
    gap: bool,
    /// How long nothing has to arrive before an H.264 frame counts as complete.
    quiet: Duration,
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
                annexb::AnnexBParse::Unit(length) => unit(shape, &bytes[..length], encoded),
                annexb::AnnexBParse::Garbage(length) => ReadStep::Skip(length),
                annexb::AnnexBParse::Late(length) => ReadStep::Late(length),
                annexb::AnnexBParse::Nothing => ReadStep::Wait,
            },
        }
    }
}

/// An access unit, whose parameter sets update the shape of the stream.
fn unit(shape: &mut Option<StreamShape>, data: &[u8], encoded: VideoFormat) -> ReadStep {
    *shape = h264::nals(data).find_map(StreamShape::of_sps).or(*shape);
    // Without its parameter sets no decoder can use it.
    let Some(StreamShape { width, height, fps }) = *shape else { return ReadStep::Skip(data.len()) };
    ReadStep::Take(data.len(), VideoFormat { width, height, fps: fps.unwrap_or(encoded.fps), ..encoded })
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
        let (bytes, quiet) = (BytesMut::new(), QUIET);
        Self { format, requested, bytes, consumed: 0, arrivals, garbage: 0, damaged: 0, gap: false, quiet }
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

    /// How long from `now` nothing has to arrive for [`finish`](Self::finish) to be called; `None` if more has to.
    pub fn quiet_in(&self, now: Timestamp) -> Option<Duration> {
        let Some(StreamFormat::AnnexB(units, Some(_))) = &self.format else { return None };
        let (_, arrived) = self.arrivals.back().filter(|_| units.looks_complete())?;
        Some(self.quiet.saturating_sub(now.saturating_since(*arrived)))
    }

    /// What has arrived as a frame, because nothing more comes; `None` if it is not even a part of one.
    pub fn finish(&mut self) -> Option<Frame> {
        let length = self.bytes.len();
        let (pixel, requested) = (self.format.as_ref()?.pixel(), self.requested);
        let encoded = VideoFormat { pixel, stride: 0, ..requested };
        let step = match self.format.as_mut()? {
            StreamFormat::AnnexB(units, shape) if units.has_slices() => {
                units.release();
                unit(shape, &self.bytes, encoded)
            }
            StreamFormat::Jpeg(splitter) => {
                let (width, height) = splitter.finish()?;
                ReadStep::Take(length, VideoFormat { width, height, ..encoded })
            }
            _ => return None,
        };
        let ReadStep::Take(length, format) = step else { return None };
        Some(self.take(length, format))
    }

    fn take(&mut self, length: usize, format: VideoFormat) -> Frame {
        self.garbage = 0;
        let captured = arrival_time(&mut self.arrivals, self.consumed);
        let data = self.bytes.split_to(length).freeze();
        self.consumed += length as u64;
        Frame { captured, gap: std::mem::take(&mut self.gap), format, data }
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
                ReadStep::Take(length, format) => return Ok(Some(self.take(length, format))),
                step @ (ReadStep::Skip(length) | ReadStep::Late(length)) => {
                    if matches!(step, ReadStep::Late(_)) {
                        self.gap = true;
                        self.quiet = (self.quiet * 2).min(MAX_QUIET);
                    }
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

/// How long nothing has to arrive before the bytes so far count as a whole H.264 frame: longer than a program pauses between
/// two writes of one frame, far shorter than a frame interval.
const QUIET: Duration = Duration::from_millis(5);

/// The limit to which [`QUIET`] grows with each frame that was not complete: as long as the next frame takes at 12 frames a
/// second.
const MAX_QUIET: Duration = Duration::from_millis(80);

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
    /// This many bytes belong to the last frame, which was taken without them.
    Late(usize),
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
    fn h264_frame_is_complete_when_nothing_more_arrives_and_at_the_end() {
        // Baseline 3.1 of 1280x720.
        let sps = [0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80];
        let (idr, p) = ([0, 0, 1, 0x65, 0x88, 7], [0, 0, 1, 0x41, 0x9a, 9]);
        let mut stream = Stream::new(Some(PixelFormat::H264), requested(4, 2));
        let feed = |stream: &mut Stream, data: &[u8], now| {
            stream.buffer().extend_from_slice(data);
            stream.mark_arrival(at(now));
            std::iter::from_fn(|| stream.next_frame().expect("should read")).collect::<Vec<_>>()
        };
        assert_eq!(feed(&mut stream, &[&sps[..], &idr].concat(), 0).len(), 0);
        assert_eq!(stream.quiet_in(at(900)), None, "how many slices a frame has is not known");
        assert_eq!(feed(&mut stream, &p, 33).len(), 1);
        assert_eq!(feed(&mut stream, &p, 66).len(), 1);
        assert_eq!(stream.quiet_in(at(67)), Some(QUIET - Duration::from_millis(1)));
        assert_eq!(stream.quiet_in(at(80)), Some(Duration::ZERO));
        let frame = stream.finish().expect("a frame");
        assert_eq!((frame.captured, frame.gap, &frame.data[..]), (at(66), false, &p[..]));
        assert_eq!((stream.quiet_in(at(90)), stream.finish()), (None, None));

        // It was not: the next frame follows a gap, and the pause has to be longer from now on.
        assert_eq!(feed(&mut stream, &[1, 2], 99).len(), 0);
        assert!(feed(&mut stream, &[&p[..], &p].concat(), 132)[0].gap);
        assert_eq!(stream.quiet_in(at(132)), Some(QUIET * 2));
        assert!(stream.finish().is_some_and(|frame| !frame.gap));
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
