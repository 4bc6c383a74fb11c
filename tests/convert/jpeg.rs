//! Motion JPEG: every subsampling, what cameras leave out, and damaged frames.

use std::time::Duration;

use porthole::media::convert::{Converter, Error, Planes};
use porthole::media::{PixelFormat, RawFrame, Timestamp};
use proptest::prelude::*;
use turbojpeg::{Subsamp, YuvImage};

use crate::raw::{SIZES, frame};
use crate::reference;
use crate::seeds::{SUBSAMPLINGS, jpeg, without_huffman_tables};

/// Compares with a function that returns (y, u, v): luma at a pixel, chroma of a 2x2 block.
fn check(
    planes: Planes<'_>,
    size: (usize, usize),
    y: impl Fn(usize, usize) -> u8,
    uv: impl Fn(usize, usize) -> (u8, u8),
) {
    reference::fits(&planes, size);
    for line in 0..planes.height {
        for column in 0..planes.width {
            assert_eq!(planes.y[line * planes.y_stride + column], y(column, line), "luma at {column},{line}");
        }
    }
    for line in 0..planes.height / 2 {
        for column in 0..planes.width / 2 {
            let at = line * planes.uv_stride + column;
            assert_eq!((planes.u[at], planes.v[at]), uv(column, line), "chroma at {column},{line}");
        }
    }
}

fn limited(value: u8, factor: u32, offset: u32) -> u8 {
    ((u32::from(value) * factor + offset) / 256) as u8
}

#[test]
fn every_jpeg_subsampling_converts_to_limited_range_420() {
    let mut converter = Converter::new();
    for subsamp in SUBSAMPLINGS {
        for (width, height) in SIZES {
            let data = jpeg(width, height, subsamp);
            let whole: YuvImage<Vec<u8>> = turbojpeg::decompress_to_yuv(&data).expect("should decode");
            let frame = frame(PixelFormat::Mjpeg, width, height, 0, data);
            let planes = converter.i420(&frame).expect("should convert");
            let luma = whole.y_width() * whole.y_height();
            let chroma = whole.uv_width() * whole.uv_height();
            // The mean of the chroma samples of a 2x2 block: first vertically, then horizontally.
            let sample = |plane: usize, column: usize, line: usize| {
                if subsamp == Subsamp::Gray {
                    return 128;
                }
                let at = |column: usize, line: usize| {
                    let line = (line / subsamp.height()).min(whole.uv_height() - 1);
                    u16::from(whole.pixels[luma + plane * chroma + line * whole.uv_width() + column / subsamp.width()])
                };
                let down = |column: usize| (at(column, line * 2) + at(column, line * 2 + 1)).div_ceil(2);
                let mean = (down(column * 2) + down(column * 2 + 1)).div_ceil(2) as u8;
                limited(mean, 225, 128 * 31 + 128)
            };
            check(
                planes,
                (width, height),
                |column, line| limited(whole.pixels[line * whole.y_width() + column], 220, 4096 + 128),
                |column, line| (sample(0, column, line), sample(1, column, line)),
            );
        }
    }
}

#[test]
fn a_jpeg_with_a_padded_scan_is_decoded() {
    let mut data = jpeg(64, 48, Subsamp::Sub2x1);
    let end = data.len() - 2;
    data.splice(end..end, [0, 0, 0]);
    let mut converter = Converter::new();
    assert!(converter.i420(&frame(PixelFormat::Mjpeg, 64, 48, 0, data)).is_ok());
}

#[test]
fn a_damaged_jpeg_does_not_affect_the_next() {
    let good = jpeg(160, 120, Subsamp::Sub2x1);
    let mut converter = Converter::new();
    for length in (0..good.len() - 2).step_by(7) {
        let cut = frame(PixelFormat::Mjpeg, 160, 120, 0, good[..length].to_vec());
        assert!(converter.i420(&cut).is_err(), "cut to {length}");
        // Cut in the middle with the end intact: what a camera sends when the bus dropped data.
        let mut ended = good[..length].to_vec();
        ended.extend([0xff, 0xd9]);
        assert!(converter.i420(&frame(PixelFormat::Mjpeg, 160, 120, 0, ended)).is_err(), "ended at {length}");
    }
    // Flipped bytes anywhere give an error or a frame, never a panic.
    for at in 2..good.len() - 2 {
        let mut flipped = good.clone();
        flipped[at] ^= 0x5a;
        let _ = converter.i420(&frame(PixelFormat::Mjpeg, 160, 120, 0, flipped));
        let next = frame(PixelFormat::Mjpeg, 160, 120, 0, good.clone());
        converter.i420(&next).unwrap_or_else(|error| panic!("after a flip at {at}: {error}"));
    }
}

#[test]
fn a_jpeg_smaller_than_the_frame_is_an_error() {
    let mut converter = Converter::new();
    let other = frame(PixelFormat::Mjpeg, 320, 240, 0, jpeg(160, 120, Subsamp::Sub2x1));
    let error = converter.i420(&other).expect_err("should refuse");
    assert_eq!(error.to_string(), "the JPEG is 160x120, smaller than the frame of 320x240");
}

#[test]
fn a_jpeg_larger_than_the_frame_is_cropped() {
    for subsamp in SUBSAMPLINGS {
        let data = jpeg(96, 72, subsamp);
        let whole = frame(PixelFormat::Mjpeg, 96, 72, 0, data.clone());
        let mut converter = Converter::new();
        let planes = converter.i420(&whole).expect("should convert");
        let expected = [&planes.y[..96 * 64], &planes.u[..48 * 32], &planes.v[..48 * 32]].concat();
        assert_eq!(decode(&mut Converter::new(), data), expected, "{subsamp:?}");
    }
}

#[test]
fn jpegs_in_rgb_and_cmyk_have_their_colours() {
    use turbojpeg::{Colorspace, Compressor, Image, PixelFormat::CMYK, PixelFormat::RGB};
    // A green; four inks are stored inverted, as by Adobe.
    let (rgb, cmyk) = (&[40, 200, 90][..], &[40, 200, 90, 255][..]);
    for (pixel, format, colorspace) in
        [(rgb, RGB, Colorspace::RGB), (cmyk, CMYK, Colorspace::CMYK), (cmyk, CMYK, Colorspace::YCCK)]
    {
        let mut compressor = Compressor::new().expect("should start");
        compressor.set_colorspace(colorspace).expect("should set");
        compressor.set_subsamp(Subsamp::None).expect("should set");
        let pixels = pixel.repeat(96 * 64);
        let image = Image { pixels: pixels.as_slice(), width: 96, pitch: 96 * pixel.len(), height: 64, format };
        let planes = decode(&mut Converter::new(), compressor.compress_to_vec(image).expect("should compress"));
        // ITU-R BT.601 in limited range.
        for (at, expected) in [(0, 136u8), (96 * 64, 103), (96 * 64 * 5 / 4, 66)] {
            assert!(planes[at].abs_diff(expected) <= 3, "{colorspace:?}: {} is not {expected}", planes[at]);
        }
    }
}

#[test]
fn damaged_jpegs_are_converted_when_there_are_no_others() {
    let whole = jpeg(96, 64, Subsamp::Sub2x1);
    let scan = whole.windows(2).rposition(|pair| pair == [0xff, 0xda]).expect("should have a scan");
    let mut stray = whole.clone();
    // What a camera's encoder writes by mistake before a marker.
    let middle = scan + (whole.len() - scan) / 2;
    stray.splice(middle..middle, [0xff, 0xd3]);
    let endless = whole[..whole.len() - 2].to_vec();
    let half = whole[..middle].to_vec();
    for damaged in [stray, endless, half] {
        let mut converter = Converter::new();
        let at = |milliseconds, data: &[u8]| RawFrame {
            captured: Timestamp::from_start(Duration::from_millis(milliseconds)),
            ..frame(PixelFormat::Mjpeg, 96, 64, 0, data.to_vec())
        };
        for (time, data, converted) in [
            (0, &damaged, false),
            (400, &damaged, false),
            (500, &damaged, true),
            (533, &whole, true),
            (566, &damaged, false),
            (1033, &damaged, true),
        ] {
            let frame = at(time, data);
            assert_eq!(converter.i420(&frame).is_ok(), converted, "at {time} ms");
        }
        assert_eq!(converter.damaged_shown(), 2);
    }
}

#[test]
fn a_jpeg_without_huffman_tables_decodes_identically() {
    for subsamp in SUBSAMPLINGS {
        let whole = jpeg(96, 64, subsamp);
        let bare = without_huffman_tables(&whole);
        assert!(bare.len() + 200 < whole.len(), "{subsamp:?}: should have left out the tables");
        assert_eq!(decode(&mut Converter::new(), bare), decode(&mut Converter::new(), whole), "{subsamp:?}");
    }
}

#[test]
fn a_progressive_jpeg_is_decoded_up_to_a_scan_limit() {
    let mut compressor = turbojpeg::Compressor::new().expect("should start");
    compressor.set_progressive(true).expect("should set");
    let pixels = vec![77; 96 * 64 * 3];
    let rgb = turbojpeg::PixelFormat::RGB;
    let image = turbojpeg::Image { pixels: pixels.as_slice(), width: 96, pitch: 96 * 3, height: 64, format: rgb };
    let good = compressor.compress_to_vec(image).expect("should compress");
    let mut converter = Converter::new();
    let flat = decode(&mut converter, good.clone());
    assert!(flat[..96 * 64].iter().all(|luma| luma.abs_diff(16 + 66) <= 1), "{}", flat[0]);

    let last = good.windows(2).rposition(|pair| pair == [0xff, 0xda]).expect("should have a scan");
    let scan = &good[last..good.len() - 2];
    let bomb = [&good[..last], &scan.repeat(1000), &[0xff, 0xd9]].concat();
    let error = converter.i420(&frame(PixelFormat::Mjpeg, 96, 64, 0, bomb)).map(drop).expect_err("should refuse");
    assert!(error.to_string().contains("scans"), "{error}");
    assert_eq!(decode(&mut converter, good), flat);
}

/// The planes of a 96x64 JPEG, concatenated.
fn decode(converter: &mut Converter, data: Vec<u8>) -> Vec<u8> {
    let frame = frame(PixelFormat::Mjpeg, 96, 64, 0, data);
    let planes = converter.i420(&frame).unwrap_or_else(|error| panic!("should convert: {error}"));
    [planes.y, planes.u, planes.v].concat()
}

fn subsampling() -> impl Strategy<Value = Subsamp> {
    prop::sample::select(SUBSAMPLINGS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_truncated_jpeg_is_an_error(
        subsamp in subsampling(),
        bare in any::<bool>(),
        ended in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let good = jpeg(96, 64, subsamp);
        let mut cut = if bare { without_huffman_tables(&good) } else { good.clone() };
        cut.truncate(at.index(cut.len() - 2));
        if ended {
            // What a camera sends when the bus dropped data. A scan that lacks only a byte or two may still decode.
            cut.truncate(cut.len().saturating_sub(3));
            cut.extend([0xff, 0xd9]);
        }
        let mut converter = Converter::new();
        let error = converter.i420(&frame(PixelFormat::Mjpeg, 96, 64, 0, cut)).map(drop);
        prop_assert!(matches!(error, Err(Error::Jpeg(_) | Error::Truncated { .. })), "{:?}", error);
        prop_assert_eq!(decode(&mut converter, good.clone()), decode(&mut Converter::new(), good));
    }

    #[test]
    fn a_jpeg_with_flipped_bits_never_panics(
        subsamp in subsampling(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..6),
    ) {
        let good = jpeg(96, 64, subsamp);
        let mut flipped = good.clone();
        for (at, bit) in flips {
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
        }
        let mut converter = Converter::new();
        if let Ok(planes) = converter.i420(&frame(PixelFormat::Mjpeg, 96, 64, 0, flipped)) {
            reference::fits(&planes, (96, 64));
        }
        prop_assert_eq!(decode(&mut converter, good.clone()), decode(&mut Converter::new(), good));
    }
}
