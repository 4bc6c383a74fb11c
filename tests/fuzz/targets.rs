//! The bodies of the fuzz targets: invariants on arbitrary bytes. The test suite runs them, too.

use std::sync::LazyLock;

use bytes::Bytes;
use porthole::capture::camera::exec::stream::Stream;
use porthole::media::convert::{Converter, Error};
use porthole::media::h264;
use porthole::media::{ChromaPlanes, Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};

use crate::{reference, seeds};

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 4] = [("raw", raw), ("mjpeg", mjpeg), ("annexb", annexb), ("stream", stream)];

/// Size limit of decoded JPEGs, in pixels: larger ones only take longer.
const MAX_PIXELS: usize = 1 << 20;

/// Converters of uncompressed frames: six bytes select format, size, padding and memory layout, the rest is the frame.
/// The result equals the reference, or the frame is too short.
pub fn raw(input: &[u8]) {
    let &[format, width, height, padding, apart, chroma_padding, ref data @ ..] = input else { return };
    let pixel = reference::RAW[usize::from(format) % reference::RAW.len()];
    let shapes = reference::shape(pixel, width.into(), height.into());
    let stride = shapes[0].0 + usize::from(padding);
    let video = VideoFormat {
        pixel,
        width: width.into(),
        height: height.into(),
        stride: stride as u32,
        fps: 30.0,
        color: Colorimetry::SRGB,
    };
    let mut frame = RawFrame::new(Timestamp::default(), video, Bytes::copy_from_slice(data));
    let mut strides = reference::strides(pixel, stride);
    let apart = apart & 1 == 1 && shapes.len() > 1;
    if apart {
        let own = shapes[1].0 + usize::from(chroma_padding);
        strides = [stride, own, own];
        let after = frame.data.split_off(frame.data.len().min(stride * shapes[0].1));
        let (second, third) = after.split_at(after.len().min(own * shapes[1].1));
        let (second, third) = (Bytes::copy_from_slice(second), Bytes::copy_from_slice(third));
        frame.chroma = Some(ChromaPlanes { second, third, stride: own as u32 });
    }
    let mut converter = Converter::new();
    let converted = converter.i420(&frame);
    if width < 2 || height < 2 {
        assert!(matches!(converted, Err(Error::Format { .. })), "{video:?}");
        return;
    }
    let last = shapes.len() - 1;
    let need = |plane: usize, cut: bool| {
        let ((row, lines), stride) = (shapes[plane], strides[plane]);
        if cut { stride * (lines - 1) + row } else { stride * lines }
    };
    // With separate planes, the padding after each plane's last line may be missing; in contiguous memory, only that of
    // the last plane.
    let whole = match &frame.chroma {
        Some(chroma) => [&frame.data, &chroma.second, &chroma.third]
            .iter()
            .zip(0..=last)
            .all(|(data, plane)| data.len() >= need(plane, true)),
        None => data.len() >= (0..=last).map(|plane| need(plane, plane == last)).sum(),
    };
    match converted {
        Ok(planes) => {
            assert!(whole, "{video:?} should be too short with {} bytes", data.len());
            reference::check(&frame, &planes);
        }
        Err(error) => assert!(!whole && matches!(error, Error::Truncated { .. }), "{video:?}: {error}"),
    }
}

/// A valid JPEG and its converted luma.
static GOOD: LazyLock<(RawFrame, Vec<u8>)> = LazyLock::new(|| {
    let good = motion_jpeg(&seeds::jpeg(16, 16, turbojpeg::Subsamp::Sub2x1), (16, 16));
    let luma = Converter::new().i420(&good).expect("should convert").y.to_vec();
    (good, luma)
});

/// A Motion JPEG frame: an error or an image, and the converter stays usable.
pub fn mjpeg(input: &[u8]) {
    let mut converter = Converter::new();
    let mut size = (64, 48);
    // A frame of another size is rejected; then it is tried as if that size had been set.
    for _ in 0..2 {
        match converter.i420(&motion_jpeg(input, size)) {
            Ok(planes) => reference::fits(&planes, size),
            Err(Error::JpegSize { jpeg_width, jpeg_height, .. }) if jpeg_width * jpeg_height <= MAX_PIXELS => {
                size = (jpeg_width, jpeg_height);
                continue;
            }
            Err(_) => {}
        }
        break;
    }
    let (good, luma) = &*GOOD;
    let planes = converter.i420(good).unwrap_or_else(|error| panic!("the next frame: {error}"));
    assert_eq!(planes.y, luma.as_slice(), "the next frame should be unaffected");
}

fn motion_jpeg(data: &[u8], (width, height): (usize, usize)) -> RawFrame {
    let (width, height) = (width as u32, height as u32);
    let format =
        VideoFormat { pixel: PixelFormat::Mjpeg, width, height, stride: 0, fps: 30.0, color: Colorimetry::SRGB };
    RawFrame::new(Timestamp::default(), format, Bytes::copy_from_slice(data))
}

/// An Annex B stream: its NAL units equal those of a byte-by-byte search.
pub fn annexb(input: &[u8]) {
    let found: Vec<&[u8]> = h264::nals(input).collect();
    assert_eq!(found, nals(input));
    for nal in found {
        let profile = h264::Profile::of_sps(nal);
        assert_eq!(profile.is_some(), h264::nal_type(nal) == h264::SPS && nal.len() >= 4);
        assert!(profile.is_none_or(|profile| profile.to_string().len() == 6));
        let shape = h264::StreamShape::of_sps(nal);
        assert!(shape.is_none_or(|shape| shape.width > 0 && shape.height > 0 && profile.is_some()), "{shape:?}");
    }
}

/// The NAL units by the definition of ITU-T H.264 section B.1.1.
fn nals(data: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at < data.len() {
        if data[at..].starts_with(&[0, 0, 1]) {
            units.extend(start.map(|start: usize| &data[start..at]));
            at += 3;
            start = Some(at);
        } else {
            at += 1;
        }
    }
    units.extend(start.map(|start| &data[start..]));
    for unit in &mut units {
        while let [rest @ .., 0] = *unit {
            *unit = rest;
        }
    }
    units.retain(|unit| !unit.is_empty());
    units
}

/// Output of an external program: two bytes select the format and the chunk size. Frames appear in the input in order,
/// and are the same for any chunking.
pub fn stream(input: &[u8]) {
    let &[form, step, ref data @ ..] = input else { return };
    let form =
        [None, Some(PixelFormat::Mjpeg), Some(PixelFormat::H264), Some(PixelFormat::I420)][usize::from(form % 4)];
    let frames = cut(form, data.chunks(usize::from(step) + 1));
    let mut rest = data;
    for frame in &frames {
        let at = memchr::memmem::find(rest, frame).unwrap_or_else(|| panic!("{frame:?} should be in {rest:?}"));
        rest = &rest[at + frame.len()..];
        match form.unwrap_or(if frame[0] == 0xff { PixelFormat::Mjpeg } else { PixelFormat::H264 }) {
            PixelFormat::I420 => assert_eq!(frame.len(), 12),
            PixelFormat::Mjpeg => {
                assert!(frame.starts_with(&[0xff, 0xd8, 0xff]));
                // A frame that lacks its end has a scan at least, and is cut off by the start of the next.
                let contains = |data, marker: [u8; 2]| memchr::memmem::find(data, &marker).is_some();
                let cut_off = contains(frame, [0xff, 0xda]) && contains(rest, [0xff, 0xd8]);
                assert!(frame.ends_with(&[0xff, 0xd9]) || cut_off, "{frame:?}");
            }
            _ => assert!(h264::nals(frame).count() > 0),
        }
    }
    assert_eq!(frames, cut(form, [data].into_iter()), "all at once it should be the same");
}

/// The frames of a stream read in chunks, up to the first error.
fn cut<'a>(form: Option<PixelFormat>, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let requested =
        VideoFormat { pixel: PixelFormat::I420, width: 4, height: 2, stride: 4, fps: 30.0, color: Colorimetry::SRGB };
    let mut stream = Stream::new(form, requested);
    let mut frames = Vec::new();
    for piece in pieces {
        stream.buffer().extend_from_slice(piece);
        stream.mark_arrival(Timestamp::default());
        loop {
            match stream.next_frame() {
                Ok(Some(frame)) => frames.push(frame.data),
                Ok(None) => break,
                Err(_) => return frames,
            }
        }
    }
    frames
}
