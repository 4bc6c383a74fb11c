//! The benchmark's frames, in every format: the test pattern under a moving texture and sensor noise.
//!
//! With the plain pattern a JPEG would have two thirds of the size, and the encoder less than half of the work: less
//! than with a real camera.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use porthole::capture::camera;
use porthole::capture::camera::VideoSource as _;
use porthole::capture::camera::pattern::TestPattern;
use porthole::media::convert::{Converter, Planes};
use porthole::media::{PixelFormat, RawFrame, Timestamp, VideoFormat};
use turbojpeg::{Compressor, Image, Subsamp};

/// Frames per format: more than fit the caches, as with a camera.
const FRAMES: u32 = 12;

/// Movement of the texture in pixels per frame: a slow pan.
const PAN: u32 = 3;

/// JPEG quality at which these frames in 4:2:2 are about as large as a webcam's at 720p.
const QUALITY: i32 = 80;

/// The pattern's frames in I420 without padding.
pub fn originals() -> Result<Vec<RawFrame>> {
    let pattern = TestPattern::open(&camera::Config { device: camera::DeviceSelector::Pattern, ..Default::default() });
    let mut converter = Converter::new();
    let mut seed = 1u64;
    (0..FRAMES)
        .map(|number| {
            let drawn = pattern.render(number, Timestamp::default());
            let planes = converter.i420(&drawn)?;
            anyhow::ensure!((planes.width, planes.height) == (1280, 720), "the pattern should be 1280x720");
            let mut data = Vec::new();
            for (line, luma) in planes.y.chunks(planes.y_stride).enumerate() {
                for (column, luma) in luma[..planes.width].iter().enumerate() {
                    let scene = texture((column as u32 + number * PAN).into(), line as f64);
                    data.push(luma.saturating_add_signed(scene + grain(&mut seed)));
                }
            }
            for chroma in [planes.u, planes.v] {
                for line in chroma.chunks(planes.uv_stride) {
                    data.extend_from_slice(&line[..planes.width / 2]);
                }
            }
            let format = VideoFormat { pixel: PixelFormat::I420, stride: 1280, ..pattern.format() };
            Ok(RawFrame::new(Timestamp::default(), format, data.into()))
        })
        .collect()
}

/// Waves of three lengths, thirty steps of luma in either direction.
fn texture(column: f64, line: f64) -> i8 {
    ((column / 37.0).sin() * 12.0 + (line / 23.0).cos() * 10.0 + ((column + line) / 7.0).sin() * 8.0) as i8
}

/// Sensor noise in good light: four steps in either direction (a linear congruential generator, Knuth's MMIX
/// constants).
fn grain(seed: &mut u64) -> i8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 61) as i8 - 4
}

/// The frames in every format, by name.
pub fn inputs(originals: &[RawFrame]) -> Result<Vec<(String, Vec<RawFrame>)>> {
    let mut inputs = Vec::new();
    for pixel in PixelFormat::ALL.into_iter().filter(|pixel| !pixel.is_compressed()) {
        let frames = originals.iter().map(|original| raw(original, pixel)).collect::<Result<_>>()?;
        inputs.push((pixel.name().to_owned(), frames));
    }
    let subsamplings =
        [("4:2:0", Subsamp::Sub2x2), ("4:2:2", Subsamp::Sub2x1), ("4:4:4", Subsamp::None), ("grey", Subsamp::Gray)];
    for (name, subsamp) in subsamplings {
        let frames = originals.iter().map(|original| jpeg(original, subsamp)).collect::<Result<_>>()?;
        inputs.push((format!("{} {name}", PixelFormat::Mjpeg.name()), frames));
    }
    Ok(inputs)
}

fn raw(original: &RawFrame, pixel: PixelFormat) -> Result<RawFrame> {
    let mut converter = Converter::new();
    let planes = converter.i420(original)?;
    let Planes { width, y, u, v, .. } = planes;
    let pairs = |first: &[u8], second: &[u8]| first.iter().zip(second).flat_map(|(a, b)| [*a, *b]).collect::<Vec<u8>>();
    // The four bytes of two pixels of 4:2:2.
    let packed = |order: fn([u8; 2], u8, u8) -> [u8; 4]| {
        let blocks = y.chunks_exact(2).enumerate();
        blocks
            .flat_map(|(at, luma)| {
                let (line, column) = (at / (width / 2), at % (width / 2));
                let chroma = line / 2 * (width / 2) + column;
                order([luma[0], luma[1]], u[chroma], v[chroma])
            })
            .collect::<Vec<u8>>()
    };
    let (data, stride) = match pixel {
        PixelFormat::I420 => ([y, u, v].concat(), width),
        PixelFormat::Yv12 => ([y, v, u].concat(), width),
        PixelFormat::Nv12 => ([y, &pairs(u, v)].concat(), width),
        PixelFormat::Nv21 => ([y, &pairs(v, u)].concat(), width),
        PixelFormat::Grey => (y.to_vec(), width),
        PixelFormat::Yuyv => (packed(|[a, b], u, v| [a, u, b, v]), width * 2),
        PixelFormat::Uyvy => (packed(|[a, b], u, v| [u, a, v, b]), width * 2),
        PixelFormat::Rgb24 => (rgb(&planes), width * 3),
        PixelFormat::Bgr24 => {
            let mut data = rgb(&planes);
            data.chunks_exact_mut(3).for_each(<[u8]>::reverse);
            (data, width * 3)
        }
        PixelFormat::Mjpeg | PixelFormat::H264 => anyhow::bail!("{} is compressed", pixel.name()),
    };
    Ok(frame(original, pixel, stride as u32, data))
}

fn jpeg(original: &RawFrame, subsamp: Subsamp) -> Result<RawFrame> {
    let mut converter = Converter::new();
    let planes = converter.i420(original)?;
    let pixels = rgb(&planes);
    let mut compressor = Compressor::new()?;
    compressor.set_quality(QUALITY)?;
    compressor.set_subsamp(subsamp)?;
    let image = Image {
        pixels: pixels.as_slice(),
        width: planes.width,
        pitch: planes.width * 3,
        height: planes.height,
        format: turbojpeg::PixelFormat::RGB,
    };
    let data = compressor.compress_to_vec(image).context("compress a frame")?;
    Ok(frame(original, PixelFormat::Mjpeg, 0, data))
}

fn frame(original: &RawFrame, pixel: PixelFormat, stride: u32, data: Vec<u8>) -> RawFrame {
    let format = VideoFormat { pixel, stride, ..original.format };
    RawFrame::new(original.captured, format, Bytes::from(data))
}

/// Red, green and blue of limited range by ITU-R BT.601.
fn rgb(planes: &Planes<'_>) -> Vec<u8> {
    let Planes { width, y, u, v, .. } = *planes;
    let mut data = Vec::with_capacity(y.len() * 3);
    for (at, luma) in y.iter().enumerate() {
        let chroma = at / width / 2 * (width / 2) + at % width / 2;
        let luma = (f64::from(*luma) - 16.0) * 255.0 / 219.0;
        let [blue, red] = [u, v].map(|plane| (f64::from(plane[chroma]) - 128.0) * 255.0 / 224.0);
        let green = luma - 0.344_136 * blue - 0.714_136 * red;
        // Float-to-integer casts saturate.
        data.extend([luma + 1.402 * red, green, luma + 1.772 * blue].map(|colour| colour.round() as u8));
    }
    data
}
