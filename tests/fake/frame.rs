//! The fake camera's image, in every pixel format: a grey ramp with the timecode above two coloured fields.
//!
//! Timing and faults do not belong here.

use porthole::capture::camera::timecode;
use porthole::capture::camera::timecode::Timecode;
use turbojpeg::{Subsamp, YuvImage};

/// Luma of the coloured fields in the lower half.
pub const FIELD: u8 = 120;

/// Blue and red difference of the left field: an orange, within the range of RGB.
pub const LEFT: (u8, u8) = (90, 170);

/// Blue and red difference of the right field: a blue, within the range of RGB.
pub const RIGHT: (u8, u8) = (170, 90);

/// JPEG quality typical of cameras.
const QUALITY: i32 = 85;

/// Padding value: a converter that reads the padding shows it.
const PADDING: u8 = 0xee;

/// An I420 image without padding; chroma planes of odd sizes are rounded up.
pub struct I420Image {
    pub width: usize,
    pub height: usize,
    pub y: Vec<u8>,
    pub u: Vec<u8>,
    pub v: Vec<u8>,
}

/// Paints an image with this timecode.
pub fn paint(width: usize, height: usize, code: &Timecode) -> I420Image {
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut y = Vec::with_capacity(width * height);
    for line in 0..height {
        let upper = line < height / 2;
        y.extend((0..width).map(|x| if upper { 40 + (x * 160 / width.max(1)) as u8 } else { FIELD }));
    }
    timecode::draw(&mut y, width, height, width, code);
    let chroma = |side: fn((u8, u8)) -> u8| -> Vec<u8> {
        let value = |x: usize, line: usize| match (line < half_height / 2, x < half_width / 2) {
            (true, _) => 128,
            (false, true) => side(LEFT),
            (false, false) => side(RIGHT),
        };
        (0..half_height).flat_map(|line| (0..half_width).map(move |x| value(x, line))).collect()
    };
    I420Image { width, height, y, u: chroma(|pair| pair.0), v: chroma(|pair| pair.1) }
}

/// Bytes per line of the first plane without padding; zero for compressed formats, `None` for unknown ones.
pub fn row_bytes(fourcc: &[u8; 4], width: usize) -> Option<usize> {
    Some(match fourcc {
        b"YU12" | b"YV12" | b"NV12" | b"NV21" | b"GREY" | b"NM12" | b"NM21" | b"YM12" | b"YM21" => width,
        b"YUYV" | b"UYVY" => width.div_ceil(2) * 4,
        b"RGB3" | b"BGR3" => width * 3,
        b"MJPG" | b"JPEG" | b"H264" => 0,
        _ => return None,
    })
}

/// Stride of each memory plane of a frame: several only for multi-planar formats.
pub fn strides(fourcc: &[u8; 4], stride: usize) -> Vec<usize> {
    match fourcc {
        b"NM12" | b"NM21" => vec![stride, stride],
        b"YM12" | b"YM21" => vec![stride, stride / 2, stride / 2],
        _ => vec![stride],
    }
}

/// The memory planes of an image in a format, with `stride` bytes per line of the first plane.
pub fn pack(fourcc: &[u8; 4], image: &I420Image, stride: usize) -> Option<Vec<Vec<u8>>> {
    let luma = || pad(&image.y, image.width, stride);
    let chroma = |plane: &[u8]| pad(plane, image.width.div_ceil(2), stride / 2);
    let mixed = |first: &[u8], second: &[u8]| {
        let pairs: Vec<u8> = first.iter().zip(second).flat_map(|(a, b)| [*a, *b]).collect();
        // At odd widths a line of chroma pairs is one byte longer than a line of luma.
        pad(&pairs, image.width.div_ceil(2) * 2, stride.max(image.width.div_ceil(2) * 2))
    };
    let I420Image { u, v, .. } = image;
    Some(match fourcc {
        b"YU12" => vec![[luma(), chroma(u), chroma(v)].concat()],
        b"YV12" => vec![[luma(), chroma(v), chroma(u)].concat()],
        b"YM12" => vec![luma(), chroma(u), chroma(v)],
        b"YM21" => vec![luma(), chroma(v), chroma(u)],
        b"NV12" => vec![[luma(), mixed(u, v)].concat()],
        b"NV21" => vec![[luma(), mixed(v, u)].concat()],
        b"NM12" => vec![luma(), mixed(u, v)],
        b"NM21" => vec![luma(), mixed(v, u)],
        b"GREY" => vec![luma()],
        b"YUYV" => vec![packed(image, stride, |y0, y1, u, v| [y0, u, y1, v])],
        b"UYVY" => vec![packed(image, stride, |y0, y1, u, v| [u, y0, v, y1])],
        b"RGB3" => vec![rgb(image, stride, |[r, g, b]| [r, g, b])],
        b"BGR3" => vec![rgb(image, stride, |[r, g, b]| [b, g, r])],
        b"MJPG" | b"JPEG" => vec![jpeg(image)],
        _ => return None,
    })
}

fn pad(plane: &[u8], width: usize, stride: usize) -> Vec<u8> {
    plane.chunks(width.max(1)).flat_map(|line| padded(line.to_vec(), stride)).collect()
}

fn padded(mut line: Vec<u8>, stride: usize) -> Vec<u8> {
    line.resize(stride.max(line.len()), PADDING);
    line
}

fn packed(image: &I420Image, stride: usize, order: fn(u8, u8, u8, u8) -> [u8; 4]) -> Vec<u8> {
    let I420Image { width, height, y, u, v } = image;
    let half = width.div_ceil(2);
    let line = |at: usize| {
        let pixels = (0..half).flat_map(move |x| {
            let (left, right) = (at * width + 2 * x, at * width + (2 * x + 1).min(width - 1));
            let chroma = at / 2 * half + x;
            order(y[left], y[right], u[chroma], v[chroma])
        });
        padded(pixels.collect(), stride)
    };
    (0..*height).flat_map(line).collect()
}

/// RGB by ITU-R BT.601 limited range, inverse to the program's conversion.
fn rgb(image: &I420Image, stride: usize, order: fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let I420Image { width, height, y, u, v } = image;
    let line = |at: usize| {
        let pixels = (0..*width).flat_map(move |x| {
            let chroma = at / 2 * width.div_ceil(2) + x / 2;
            let luma = 1.164 * (f32::from(y[at * width + x]) - 16.0);
            let (blue, red) = (f32::from(u[chroma]) - 128.0, f32::from(v[chroma]) - 128.0);
            let colours = [luma + 1.596 * red, luma - 0.813 * red - 0.391 * blue, luma + 2.018 * blue];
            order(colours.map(|colour| colour.round() as u8))
        });
        padded(pixels.collect(), stride)
    };
    (0..*height).flat_map(line).collect()
}

/// A 4:2:2 JPEG, as most cameras send.
fn jpeg(image: &I420Image) -> Vec<u8> {
    let I420Image { width, height, y, u, v } = image;
    let half = width.div_ceil(2);
    let lines = |plane: &[u8]| -> Vec<u8> {
        (0..*height).flat_map(|line| plane[line / 2 * half..][..half].iter().copied()).collect()
    };
    // The library needs an even width.
    let luma: Vec<u8> = y.chunks(*width).flat_map(|line| padded_with_last(line, half * 2)).collect();
    let pixels = [luma, lines(u), lines(v)].concat();
    let image = YuvImage { pixels: &pixels[..], width: *width, align: 1, height: *height, subsamp: Subsamp::Sub2x1 };
    turbojpeg::compress_yuv(image, QUALITY).expect("the image should be compressed").to_vec()
}

fn padded_with_last(line: &[u8], length: usize) -> Vec<u8> {
    let mut line = line.to_vec();
    line.resize(length, line.last().copied().unwrap_or(0));
    line
}
