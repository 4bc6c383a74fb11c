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
    let ramp: Vec<u8> = (0..width).map(|x| 40 + (x * 160 / width.max(1)) as u8).collect();
    let mut y = halves(&ramp, &vec![FIELD; width], height);
    timecode::draw(&mut y, width, height, width, code);
    let chroma = |left: u8, right: u8| -> Vec<u8> {
        let fields = [vec![left; half_width / 2], vec![right; half_width - half_width / 2]].concat();
        halves(&vec![128; half_width], &fields, half_height)
    };
    I420Image { width, height, y, u: chroma(LEFT.0, RIGHT.0), v: chroma(LEFT.1, RIGHT.1) }
}

/// A plane of `height` lines: `upper` in its upper half, `lower` in the other.
fn halves(upper: &[u8], lower: &[u8], height: usize) -> Vec<u8> {
    [upper.repeat(height / 2), lower.repeat(height - height / 2)].concat()
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
        let half = image.width.div_ceil(2);
        // At odd widths a line of chroma pairs is one byte longer than a line of luma.
        let stride = stride.max(half * 2);
        each_line(
            image.height.div_ceil(2),
            |at| [line(first, half, at), line(second, half, at)],
            |[first, second]| padded(first.iter().zip(second).flat_map(|(a, b)| [*a, *b]).collect(), stride),
        )
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

/// The lines of a plane, an image or a pair of planes, one after the other. Equal ones are made once: most lines of the
/// image are, and without optimisation making them takes longer than all else that the fake camera does.
fn each_line<'a, const PLANES: usize>(
    height: usize,
    source: impl Fn(usize) -> [&'a [u8]; PLANES],
    make: impl Fn([&'a [u8]; PLANES]) -> Vec<u8>,
) -> Vec<u8> {
    let mut lines = Vec::new();
    let (mut last, mut made) = (None, Vec::new());
    for at in 0..height {
        let planes = source(at);
        if last != Some(planes) {
            (last, made) = (Some(planes), make(planes));
        }
        lines.extend_from_slice(&made);
    }
    lines
}

fn line(plane: &[u8], width: usize, at: usize) -> &[u8] {
    &plane[at * width..][..width]
}

/// The lines of the three planes that make up a line of the image.
fn image_line(image: &I420Image, at: usize) -> [&[u8]; 3] {
    let half = image.width.div_ceil(2);
    [line(&image.y, image.width, at), line(&image.u, half, at / 2), line(&image.v, half, at / 2)]
}

fn pad(plane: &[u8], width: usize, stride: usize) -> Vec<u8> {
    let width = width.max(1);
    each_line(plane.len() / width, |at| [line(plane, width, at)], |[line]| padded(line.to_vec(), stride))
}

fn padded(mut line: Vec<u8>, stride: usize) -> Vec<u8> {
    line.resize(stride.max(line.len()), PADDING);
    line
}

fn packed(image: &I420Image, stride: usize, order: fn(u8, u8, u8, u8) -> [u8; 4]) -> Vec<u8> {
    let pixels = |[y, u, v]: [&[u8]; 3]| {
        let pair = |x: usize| order(y[2 * x], y[(2 * x + 1).min(y.len() - 1)], u[x], v[x]);
        padded((0..u.len()).flat_map(pair).collect(), stride)
    };
    each_line(image.height, |at| image_line(image, at), pixels)
}

/// RGB by ITU-R BT.601 limited range, inverse to the program's conversion.
fn rgb(image: &I420Image, stride: usize, order: fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let pixels = |[y, u, v]: [&[u8]; 3]| {
        let pixel = |x: usize| {
            let luma = 1.164 * (f32::from(y[x]) - 16.0);
            let (blue, red) = (f32::from(u[x / 2]) - 128.0, f32::from(v[x / 2]) - 128.0);
            let colours = [luma + 1.596 * red, luma - 0.813 * red - 0.391 * blue, luma + 2.018 * blue];
            order(colours.map(|colour| colour.round() as u8))
        };
        padded((0..y.len()).flat_map(pixel).collect(), stride)
    };
    each_line(image.height, |at| image_line(image, at), pixels)
}

/// A 4:2:2 JPEG, as most cameras send.
fn jpeg(image: &I420Image) -> Vec<u8> {
    // The library needs an even width.
    let width = image.width.div_ceil(2) * 2;
    let plane = |index: usize, width: usize| {
        each_line(image.height, |at| [image_line(image, at)[index]], |[line]| padded_with_last(line, width))
    };
    let pixels = [plane(0, width), plane(1, width / 2), plane(2, width / 2)].concat();
    let image =
        YuvImage { pixels: &pixels[..], width: image.width, align: 1, height: image.height, subsamp: Subsamp::Sub2x1 };
    turbojpeg::compress_yuv(image, QUALITY).expect("the image should be compressed").to_vec()
}

fn padded_with_last(line: &[u8], length: usize) -> Vec<u8> {
    let mut line = line.to_vec();
    line.resize(length, line.last().copied().unwrap_or(0));
    line
}
