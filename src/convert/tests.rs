//! Every conversion, pixel by pixel, against the plainest reference; and pictures that are too short or damaged.

use bytes::Bytes;
use turbojpeg::{Compressor, Image, Subsamp, YuvImage};

use super::*;
use crate::media::Timestamp;

/// Sizes that reach every path: smaller than a vector, between two, odd in each direction, a real one.
const SIZES: [(usize, usize); 8] = [(2, 2), (3, 3), (16, 8), (65, 6), (130, 5), (161, 91), (320, 180), (642, 3)];

/// Bytes without a pattern that a wrong stride could hide in (a linear congruential generator, Knuth's MMIX constants).
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

fn frame(pixel: PixelFormat, width: usize, height: usize, stride: usize, data: Vec<u8>) -> RawFrame {
    let format = VideoFormat { pixel, width: width as u32, height: height as u32, stride: stride as u32, fps: 30.0 };
    RawFrame::new(Timestamp::default(), format, Bytes::from(data))
}

/// Compares with a function that gives (y, u, v): luma at a pixel, chroma at a two by two block.
fn check(
    planes: Planes<'_>,
    (width, height): (usize, usize),
    y: impl Fn(usize, usize) -> u8,
    uv: impl Fn(usize, usize) -> (u8, u8),
) {
    assert_eq!((planes.width, planes.height), (width & !1, height & !1));
    assert_eq!(planes.y.len(), planes.y_stride * planes.height);
    assert_eq!(planes.u.len(), planes.uv_stride * planes.height / 2);
    assert_eq!(planes.v.len(), planes.u.len());
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

#[test]
fn yuyv_is_unpacked_and_its_chroma_averaged() {
    let mut converter = Converter::new();
    for (width, height) in SIZES {
        let row = width.div_ceil(2) * 4;
        for stride in [row, row + 12] {
            // The padding after the last line may be missing.
            let data = noise(stride * (height - 1) + row, 1);
            let frame = frame(PixelFormat::Yuyv, width, height, stride, data.clone());
            let planes = converter.i420(&frame).expect("should convert");
            let mean = |column: usize, line: usize, part: usize| {
                let at = |line: usize| u16::from(data[line * stride + column * 4 + part]);
                (at(line * 2) + at(line * 2 + 1)).div_ceil(2) as u8
            };
            check(
                planes,
                (width, height),
                |column, line| data[line * stride + column * 2],
                |column, line| (mean(column, line, 1), mean(column, line, 3)),
            );
        }
    }
}

#[test]
fn nv12_is_taken_apart() {
    let mut converter = Converter::new();
    for (width, height) in SIZES {
        let row = width.div_ceil(2) * 2;
        for stride in [row, row + 6] {
            let data = noise(stride * (height + height.div_ceil(2) - 1) + row, 2);
            let frame = frame(PixelFormat::Nv12, width, height, stride, data.clone());
            let planes = converter.i420(&frame).expect("should convert");
            let chroma = stride * height;
            check(
                planes,
                (width, height),
                |column, line| data[line * stride + column],
                |column, line| {
                    let at = chroma + line * stride + column * 2;
                    (data[at], data[at + 1])
                },
            );
        }
    }
}

#[test]
fn i420_is_lent_where_it_lies_and_copied_only_without_its_last_padding() {
    let mut converter = Converter::new();
    for (width, height) in SIZES {
        for stride in [width, width + 1, width + 32] {
            let half = stride.div_ceil(2);
            let (u, v) = (stride * height, stride * height + half * height.div_ceil(2));
            let full = v + half * height.div_ceil(2);
            let short = v + half * (height.div_ceil(2) - 1) + width.div_ceil(2);
            for length in [full, short] {
                let data = noise(length, 3);
                let frame = frame(PixelFormat::I420, width, height, stride, data.clone());
                let planes = converter.i420(&frame).expect("should convert");
                if length == full {
                    assert_eq!(planes.y.as_ptr(), frame.data.as_ptr(), "should not copy");
                    assert_eq!(planes.v.as_ptr(), frame.data[v..].as_ptr(), "should not copy");
                }
                check(
                    planes,
                    (width, height),
                    |column, line| data[line * stride + column],
                    |column, line| (data[u + line * half + column], data[v + line * half + column]),
                );
            }
        }
    }
}

/// A smooth coloured picture as JPEG.
fn jpeg(width: usize, height: usize, subsamp: Subsamp) -> Vec<u8> {
    let pixels: Vec<u8> = (0..height)
        .flat_map(|line| {
            (0..width).flat_map(move |column| {
                [(column * 255 / width) as u8, (line * 255 / height) as u8, 255 - (column * 200 / width) as u8]
            })
        })
        .collect();
    let image =
        Image { pixels: pixels.as_slice(), width, pitch: width * 3, height, format: turbojpeg::PixelFormat::RGB };
    let mut compressor = Compressor::new().expect("should start");
    compressor.set_quality(90).expect("should set");
    compressor.set_subsamp(subsamp).expect("should set");
    compressor.compress_to_vec(image).expect("should compress")
}

fn limited(value: u8, factor: u32, offset: u32) -> u8 {
    ((u32::from(value) * factor + offset) / 256) as u8
}

#[test]
fn jpeg_of_every_subsampling_becomes_420_of_limited_range() {
    let mut converter = Converter::new();
    let subsamplings = [
        Subsamp::Sub2x2,
        Subsamp::Sub2x1,
        Subsamp::None,
        Subsamp::Gray,
        Subsamp::Sub1x2,
        Subsamp::Sub4x1,
        Subsamp::Sub1x4,
    ];
    for subsamp in subsamplings {
        for (width, height) in SIZES {
            let data = jpeg(width, height, subsamp);
            let whole: YuvImage<Vec<u8>> = turbojpeg::decompress_to_yuv(&data).expect("should decode");
            let frame = frame(PixelFormat::Mjpeg, width, height, 0, data);
            let planes = converter.i420(&frame).expect("should convert");
            let luma = whole.y_width() * whole.y_height();
            let chroma = whole.uv_width() * whole.uv_height();
            // The mean of the chroma samples that belong to a block of two by two pixels: first down, then across.
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
fn a_jpeg_whose_scan_is_padded_is_a_picture() {
    let mut data = jpeg(64, 48, Subsamp::Sub2x1);
    let end = data.len() - 2;
    data.splice(end..end, [0, 0, 0]);
    let mut converter = Converter::new();
    assert!(converter.i420(&frame(PixelFormat::Mjpeg, 64, 48, 0, data)).is_ok());
}

#[test]
fn a_damaged_jpeg_is_an_error_and_the_next_one_is_not() {
    let good = jpeg(160, 120, Subsamp::Sub2x1);
    let mut converter = Converter::new();
    for length in (0..good.len() - 2).step_by(7) {
        let cut = frame(PixelFormat::Mjpeg, 160, 120, 0, good[..length].to_vec());
        assert!(converter.i420(&cut).is_err(), "cut to {length}");
        // Cut, but with an end: what a camera gives when the bus lost the middle.
        let mut ended = good[..length].to_vec();
        ended.extend([0xff, 0xd9]);
        assert!(converter.i420(&frame(PixelFormat::Mjpeg, 160, 120, 0, ended)).is_err(), "ended at {length}");
    }
    // Bytes turned over anywhere: an error or a picture, never a panic.
    for at in 2..good.len() - 2 {
        let mut flipped = good.clone();
        flipped[at] ^= 0x5a;
        let _ = converter.i420(&frame(PixelFormat::Mjpeg, 160, 120, 0, flipped));
        let next = frame(PixelFormat::Mjpeg, 160, 120, 0, good.clone());
        converter.i420(&next).unwrap_or_else(|error| panic!("after a flip at {at}: {error}"));
    }
}

#[test]
fn a_jpeg_of_another_size_is_an_error() {
    let mut converter = Converter::new();
    let other = frame(PixelFormat::Mjpeg, 320, 240, 0, jpeg(160, 120, Subsamp::Sub2x1));
    let error = converter.i420(&other).expect_err("should refuse");
    assert_eq!(error.to_string(), "the JPEG is 160x120, the camera was set to 320x240");
}

#[test]
fn a_short_picture_is_an_error() {
    let mut converter = Converter::new();
    for pixel in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv] {
        for (width, height) in SIZES {
            let stride = row_bytes(pixel, width as u32) as usize + 4;
            let mut picture = frame(pixel, width, height, stride, Vec::new());
            let need = min_len(&picture.format).expect("should make sense");
            for have in [0, 1, need / 2, need - 1] {
                picture.data = Bytes::from(vec![0; have]);
                let error = converter.i420(&picture).expect_err("should refuse");
                assert!(
                    matches!(error, Error::Truncated { have: h, need: n, .. } if (h, n) == (have, need)),
                    "{error}"
                );
            }
            picture.data = Bytes::from(vec![0; need]);
            assert!(converter.i420(&picture).is_ok(), "{pixel:?} {width}x{height}");
        }
    }
}

#[test]
fn a_format_without_sense_is_an_error() {
    let mut converter = Converter::new();
    for pixel in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Mjpeg] {
        for (width, height, stride) in [(0, 0, 0), (0, 4, 0), (1, 4, 0), (4, 1, 0), (usize::MAX, 4, 0)] {
            let picture = frame(pixel, width, height, stride, vec![0; 64]);
            assert!(matches!(converter.i420(&picture), Err(Error::Format { .. })), "{pixel:?} {width}x{height}");
        }
    }
    let narrow = frame(PixelFormat::Yuyv, 64, 4, 64, vec![0; 4096]);
    assert!(matches!(converter.i420(&narrow), Err(Error::Format { .. })));
    let wide = frame(PixelFormat::I420, 64, 4, u32::MAX as usize, vec![0; 4096]);
    assert!(matches!(converter.i420(&wide), Err(Error::Format { .. })));
}
