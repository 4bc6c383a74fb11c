//! The uncompressed formats: every size, stride and arrangement of planes.

use bytes::Bytes;
use porthole::media::convert::{Converter, Error, min_len, min_lens, row_bytes};
use porthole::media::{ChromaPlanes, Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use proptest::prelude::*;

use crate::reference::{self, RAW};

/// Sizes that cover every path: smaller than a vector, between two, odd in each direction, realistic.
pub const SIZES: [(usize, usize); 8] = [(2, 2), (3, 3), (16, 8), (65, 6), (130, 5), (161, 91), (320, 180), (642, 3)];

/// Pseudo-random bytes, so that a wrong stride cannot go unnoticed (a linear congruential generator, Knuth's MMIX
/// constants).
pub fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

pub fn frame(pixel: PixelFormat, width: usize, height: usize, stride: usize, data: Vec<u8>) -> RawFrame {
    let format = VideoFormat {
        pixel,
        width: width as u32,
        height: height as u32,
        stride: stride as u32,
        fps: 30.0,
        color: Colorimetry::SRGB,
    };
    RawFrame::new(Timestamp::default(), format, Bytes::from(data))
}

/// A frame in contiguous memory.
#[derive(Debug, Clone, Copy)]
struct Piece {
    pixel: PixelFormat,
    width: usize,
    height: usize,
    /// Bytes of padding per line of the first plane.
    padding: usize,
    /// Whether the padding after the very last line is missing.
    cut: bool,
}

impl Piece {
    fn stride(&self) -> usize {
        reference::shape(self.pixel, self.width, self.height)[0].0 + self.padding
    }

    fn len(&self) -> usize {
        let shapes = reference::shape(self.pixel, self.width, self.height);
        let strides = reference::strides(self.pixel, self.stride());
        let full: usize = shapes.iter().zip(strides).map(|((_, lines), stride)| stride * lines).sum();
        let last = shapes.len() - 1;
        if self.cut { full - (strides[last] - shapes[last].0) } else { full }
    }

    fn frame(&self, seed: u64) -> RawFrame {
        frame(self.pixel, self.width, self.height, self.stride(), random_bytes(self.len(), seed))
    }
}

/// The same with each plane in its own memory.
fn apart(piece: Piece, chroma_padding: usize, seed: u64) -> RawFrame {
    let shapes = reference::shape(piece.pixel, piece.width, piece.height);
    let plane = |plane: usize, padding: usize| {
        let Some((row, lines)) = shapes.get(plane) else { return Bytes::new() };
        let full = (row + padding) * lines;
        random_bytes(if piece.cut { full - padding } else { full }, seed + plane as u64).into()
    };
    let data: Bytes = plane(0, piece.padding);
    let stride = (shapes[1].0 + chroma_padding) as u32;
    let chroma = ChromaPlanes { second: plane(1, chroma_padding), third: plane(2, chroma_padding), stride };
    RawFrame { data, chroma: Some(chroma), ..frame(piece.pixel, piece.width, piece.height, piece.stride(), Vec::new()) }
}

#[test]
fn every_format_matches_the_reference() {
    let mut converter = Converter::new();
    for pixel in RAW {
        for (width, height) in SIZES {
            for (padding, cut) in [(0, false), (1, false), (1, true), (30, false), (30, true)] {
                let piece = Piece { pixel, width, height, padding, cut };
                let frame = piece.frame(1);
                let planes = converter.i420(&frame).unwrap_or_else(|error| panic!("{piece:?}: {error}"));
                reference::check(&frame, &planes);
            }
        }
    }
}

#[test]
fn rgb_cube_corners_match_bt601() {
    let mut converter = Converter::new();
    // ITU-R BT.601 in 8 bits and limited range, rounded.
    let corners = [
        ([0, 0, 0], [16, 128, 128]),
        ([255, 255, 255], [235, 128, 128]),
        ([255, 0, 0], [81, 90, 240]),
        ([0, 255, 0], [145, 54, 34]),
        ([0, 0, 255], [41, 240, 110]),
        ([128, 128, 128], [126, 128, 128]),
    ];
    for (rgb, yuv) in corners {
        for (pixel, order) in [(PixelFormat::Rgb24, [0, 1, 2]), (PixelFormat::Bgr24, [2, 1, 0])] {
            let raw_frame = frame(pixel, 66, 4, 0, order.map(|at: usize| rgb[at]).repeat(66 * 4));
            let planes = converter.i420(&raw_frame).expect("should convert");
            for (plane, want) in [planes.y, planes.u, planes.v].into_iter().zip(yuv) {
                assert!(plane.iter().all(|got| got.abs_diff(want) <= 1), "{pixel:?} {rgb:?}: {} {want}", plane[0]);
            }
        }
    }
}

#[test]
fn encoder_ready_planes_are_borrowed() {
    let mut converter = Converter::new();
    for pixel in RAW {
        for (width, height) in SIZES {
            for padding in [0, 2, 32] {
                let piece = Piece { pixel, width, height, padding, cut: false };
                let lent = |frame: &RawFrame, plane: &[u8]| {
                    let mut sources = vec![frame.data.as_ptr_range()];
                    sources.extend(frame.chroma.iter().flat_map(|c| [c.second.as_ptr_range(), c.third.as_ptr_range()]));
                    sources.iter().any(|source| source.contains(&plane.as_ptr()))
                };
                let mut frames = vec![piece.frame(3)];
                if has_chroma_planes(pixel) {
                    frames.push(apart(piece, padding, 3));
                }
                for frame in frames {
                    let planes = converter.i420(&frame).expect("should convert");
                    let luma =
                        matches!(pixel, PixelFormat::I420 | PixelFormat::Yv12 | PixelFormat::Nv12 | PixelFormat::Nv21);
                    let chroma = matches!(pixel, PixelFormat::I420 | PixelFormat::Yv12);
                    let found = [planes.y, planes.u, planes.v].map(|plane| lent(&frame, plane));
                    assert_eq!(found, [luma, chroma, chroma], "{piece:?}");
                }
            }
        }
    }
}

#[test]
fn an_invalid_format_is_an_error() {
    let mut converter = Converter::new();
    for pixel in PixelFormat::ALL.into_iter().filter(|pixel| *pixel != PixelFormat::H264) {
        for (width, height, stride) in [(0, 0, 0), (0, 4, 0), (1, 4, 0), (4, 1, 0), (usize::MAX, 4, 0)] {
            let raw_frame = frame(pixel, width, height, stride, vec![0; 64]);
            assert!(matches!(converter.i420(&raw_frame), Err(Error::Format { .. })), "{pixel:?} {width}x{height}");
            assert_eq!(min_len(&raw_frame.format), None);
        }
        let wide = frame(pixel, 64, 4, u32::MAX as usize, vec![0; 4096]);
        assert!(matches!(converter.i420(&wide), Err(Error::Format { .. })), "{pixel:?}");
        let narrow = row_bytes(pixel, 64) as usize;
        if narrow > 1 {
            let narrow = frame(pixel, 64, 4, narrow - 1, vec![0; 4096]);
            assert!(matches!(converter.i420(&narrow), Err(Error::Format { .. })), "{pixel:?}");
        }
    }
    for stride in [31, u32::MAX] {
        let mut apart = frame(PixelFormat::I420, 64, 4, 64, vec![0; 256]);
        let plane = Bytes::from(vec![0; 256]);
        apart.chroma = Some(ChromaPlanes { second: plane.clone(), third: plane, stride });
        assert!(matches!(converter.i420(&apart), Err(Error::Format { .. })), "chroma stride {stride}");
        assert_eq!(min_lens(&apart.format, stride), None);
    }
}

#[test]
fn h264_is_not_converted() {
    let error = Converter::new().i420(&frame(PixelFormat::H264, 64, 48, 0, vec![0, 0, 0, 1, 9])).map(drop);
    assert!(matches!(error, Err(Error::Encoded)), "{error:?}");
}

#[test]
fn chroma_planes_of_a_grey_format_are_ignored() {
    let mut raw_frame = Piece { pixel: PixelFormat::Yuyv, width: 8, height: 4, padding: 0, cut: false }.frame(1);
    raw_frame.chroma = Some(ChromaPlanes { second: Bytes::new(), third: Bytes::new(), stride: 7 });
    reference::check(&raw_frame, &Converter::new().i420(&raw_frame).expect("should convert"));
}

fn has_chroma_planes(pixel: PixelFormat) -> bool {
    reference::shape(pixel, 2, 2).len() > 1
}

fn pieces(formats: Vec<PixelFormat>) -> impl Strategy<Value = Piece> {
    let padding = prop_oneof![Just(0usize), 0..70usize];
    (prop::sample::select(formats), 2..200usize, 2..40usize, padding, any::<bool>())
        .prop_map(|(pixel, width, height, padding, cut)| Piece { pixel, width, height, padding, cut })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contiguous_frames_match_the_reference(
        pieces in prop::collection::vec((pieces(RAW.to_vec()), any::<u64>()), 1..4),
    ) {
        // One converter for frames of several formats and sizes: nothing may carry over from one to the next.
        let mut converter = Converter::new();
        for (piece, seed) in pieces {
            let frame = piece.frame(seed);
            let least = Piece { cut: true, ..piece }.len();
            prop_assert_eq!(min_len(&frame.format), Some(least));
            let planes = converter.i420(&frame).map_err(|error| TestCaseError::fail(error.to_string()))?;
            reference::check(&frame, &planes);
        }
    }

    #[test]
    fn separate_planes_match_the_reference(
        piece in pieces(RAW.into_iter().filter(|pixel| has_chroma_planes(*pixel)).collect()),
        padding in 0..70usize,
        seed in any::<u32>(),
    ) {
        let frame = apart(piece, padding, seed.into());
        let mut converter = Converter::new();
        let planes = converter.i420(&frame).map_err(|error| TestCaseError::fail(error.to_string()))?;
        reference::check(&frame, &planes);
        let chroma = frame.chroma.as_ref().expect("should have chroma planes");
        let least = apart(Piece { cut: true, ..piece }, padding, 0);
        let least_chroma = least.chroma.expect("should have chroma planes");
        let lens = [least.data.len(), least_chroma.second.len(), least_chroma.third.len()];
        prop_assert_eq!(min_lens(&frame.format, chroma.stride), Some(lens));
    }

    #[test]
    fn a_short_frame_is_an_error_with_both_lengths(
        piece in pieces(RAW.to_vec()),
        at in any::<prop::sample::Index>(),
    ) {
        let mut frame = Piece { cut: true, ..piece }.frame(1);
        let whole = frame.data.len();
        frame.data.truncate(at.index(whole));
        let mut converter = Converter::new();
        match converter.i420(&frame).map(drop) {
            Err(Error::Truncated { have, need, .. }) => prop_assert_eq!((have, need), (frame.data.len(), whole)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_short_plane_is_named_in_the_error(
        piece in pieces(RAW.into_iter().filter(|pixel| has_chroma_planes(*pixel)).collect()),
        plane in 0..3usize,
        at in any::<prop::sample::Index>(),
    ) {
        let mut frame = apart(Piece { cut: true, ..piece }, 3, 1);
        let mut chroma = frame.chroma.take().expect("should have chroma planes");
        let (cut, name) = match plane {
            0 => (&mut frame.data, "first"),
            1 => (&mut chroma.second, "second"),
            _ => (&mut chroma.third, "third"),
        };
        prop_assume!(!cut.is_empty());
        let whole = cut.len();
        cut.truncate(at.index(whole));
        let left = cut.len();
        frame.chroma = Some(chroma);
        let mut converter = Converter::new();
        match converter.i420(&frame).map(drop) {
            Err(Error::Truncated { what, have, need }) => {
                prop_assert_eq!((have, need), (left, whole));
                prop_assert!(what.contains(name), "{} {}", what, name);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
