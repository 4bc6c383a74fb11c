//! The reference conversion to I420, written as plainly as possible: one sample at a time, by the definition of each
//! format. Speed does not matter, and none of the program's code is used.

use porthole::media::convert::Planes;
use porthole::media::{PixelFormat, RawFrame};

/// The uncompressed formats.
pub const RAW: [PixelFormat; 9] = [
    PixelFormat::I420,
    PixelFormat::Yv12,
    PixelFormat::Nv12,
    PixelFormat::Nv21,
    PixelFormat::Grey,
    PixelFormat::Yuyv,
    PixelFormat::Uyvy,
    PixelFormat::Rgb24,
    PixelFormat::Bgr24,
];

/// The tolerance of a sample. The crate that converts RGB calculates in 13 bits or fewer, averages chroma over four
/// pixels rounded to an integer, and its rounding differs between processors.
fn tolerance(pixel: PixelFormat) -> f64 {
    match pixel {
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => 1.5,
        // The factor has 8 bits.
        PixelFormat::Grey => 1.0,
        _ => 0.0,
    }
}

/// Bytes per line without padding, and lines, of each plane.
pub fn shape(pixel: PixelFormat, width: usize, height: usize) -> Vec<(usize, usize)> {
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    match pixel {
        PixelFormat::I420 | PixelFormat::Yv12 => {
            vec![(width, height), (half_width, half_height), (half_width, half_height)]
        }
        PixelFormat::Nv12 | PixelFormat::Nv21 => vec![(half_width * 2, height), (half_width * 2, half_height)],
        PixelFormat::Grey => vec![(width, height)],
        PixelFormat::Yuyv | PixelFormat::Uyvy => vec![(half_width * 4, height)],
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => vec![(width * 3, height)],
        PixelFormat::Mjpeg | PixelFormat::H264 => vec![],
    }
}

/// The stride of each plane of a contiguous frame whose first plane has `stride`.
pub fn strides(pixel: PixelFormat, stride: usize) -> [usize; 3] {
    match pixel {
        PixelFormat::I420 | PixelFormat::Yv12 => [stride, stride.div_ceil(2), stride.div_ceil(2)],
        _ => [stride; 3],
    }
}

/// A plane and its stride.
type Source<'a> = (&'a [u8], usize);

/// The planes of a frame, in memory order.
fn sources(frame: &RawFrame) -> Vec<Source<'_>> {
    let (width, height) = (frame.format.width as usize, frame.format.height as usize);
    let shapes = shape(frame.format.pixel, width, height);
    let given = |stride: u32, plane: usize| if stride == 0 { shapes[plane].0 } else { stride as usize };
    let stride = given(frame.format.stride, 0);
    match &frame.chroma {
        Some(chroma) if shapes.len() > 1 => {
            let own = given(chroma.stride, 1);
            vec![(&frame.data[..], stride), (&chroma.second[..], own), (&chroma.third[..], own)]
        }
        _ => {
            let mut at = 0;
            let mut found = Vec::new();
            for ((_, lines), stride) in shapes.into_iter().zip(strides(frame.format.pixel, stride)) {
                found.push((&frame.data[at..], stride));
                at += stride * lines;
            }
            found
        }
    }
}

/// Checks every sample of a frame.
///
/// # Panics
///
/// At the first wrong sample.
pub fn check(frame: &RawFrame, planes: &Planes<'_>) {
    let (width, height) = (frame.format.width as usize & !1, frame.format.height as usize & !1);
    fits(planes, (width, height));
    let sources = sources(frame);
    let tolerance = tolerance(frame.format.pixel);
    let near = |got: u8, want: f64| (f64::from(got) - want).abs() <= tolerance;
    for line in 0..height {
        for column in 0..width {
            let (got, want) = (planes.y[line * planes.y_stride + column], luma(frame, &sources, column, line));
            assert!(near(got, want), "luma at {column},{line}: {got}, should be {want}");
        }
    }
    for line in 0..height / 2 {
        for column in 0..width / 2 {
            let at = line * planes.uv_stride + column;
            let (u, v) = chroma(frame, &sources, column, line);
            let got = (planes.u[at], planes.v[at]);
            assert!(near(got.0, u) && near(got.1, v), "chroma at {column},{line}: {got:?}, should be {u}, {v}");
        }
    }
}

/// Checks that the planes have the size and length that the encoder expects.
pub fn fits(planes: &Planes<'_>, (width, height): (usize, usize)) {
    assert_eq!((planes.width, planes.height), (width & !1, height & !1));
    assert!(planes.y_stride >= planes.width && planes.uv_stride >= planes.width / 2);
    assert_eq!(planes.y.len(), planes.y_stride * planes.height);
    assert_eq!(planes.u.len(), planes.uv_stride * planes.height / 2);
    assert_eq!(planes.v.len(), planes.u.len());
}

fn luma(frame: &RawFrame, sources: &[Source<'_>], column: usize, line: usize) -> f64 {
    let (data, stride) = sources[0];
    let line = &data[line * stride..];
    f64::from(match frame.format.pixel {
        PixelFormat::Yuyv => line[column * 2],
        PixelFormat::Uyvy => line[column * 2 + 1],
        // Section 2.5.3 of BT.601, from the full range of a sensor.
        PixelFormat::Grey => return 16.0 + 219.0 / 255.0 * f64::from(line[column]),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => {
            let [red, green, blue] = rgb(frame.format.pixel, line, column);
            // ITU-R BT.601 sections 2.5.1 and 2.5.3.
            return 16.0 + 219.0 / 255.0 * (0.299 * red + 0.587 * green + 0.114 * blue);
        }
        _ => line[column],
    })
}

/// U and V of a 2x2 block.
fn chroma(frame: &RawFrame, sources: &[Source<'_>], column: usize, line: usize) -> (f64, f64) {
    let sample = |plane: usize, at: usize| {
        let (data, stride) = sources[plane];
        f64::from(data[line * stride + at])
    };
    // The mean of two lines, halves rounded up.
    let mean = |at: usize| {
        let (data, stride) = sources[0];
        let (upper, lower) = (data[line * 2 * stride + at], data[(line * 2 + 1) * stride + at]);
        ((f64::from(upper) + f64::from(lower)) / 2.0).ceil()
    };
    match frame.format.pixel {
        PixelFormat::I420 => (sample(1, column), sample(2, column)),
        PixelFormat::Yv12 => (sample(2, column), sample(1, column)),
        PixelFormat::Nv12 => (sample(1, column * 2), sample(1, column * 2 + 1)),
        PixelFormat::Nv21 => (sample(1, column * 2 + 1), sample(1, column * 2)),
        PixelFormat::Yuyv => (mean(column * 4 + 1), mean(column * 4 + 3)),
        PixelFormat::Uyvy => (mean(column * 4), mean(column * 4 + 2)),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => {
            let mut mean = [0.0; 3];
            for pixel in 0..4 {
                let (data, stride) = sources[0];
                let line = &data[(line * 2 + pixel / 2) * stride..];
                let colour = rgb(frame.format.pixel, line, column * 2 + pixel % 2);
                mean = std::array::from_fn(|at| mean[at] + colour[at] / 4.0);
            }
            let [red, green, blue] = mean;
            let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
            let scale = 224.0 / 255.0;
            (128.0 + scale * (blue - luma) / 1.772, 128.0 + scale * (red - luma) / 1.402)
        }
        _ => (128.0, 128.0),
    }
}

fn rgb(pixel: PixelFormat, line: &[u8], column: usize) -> [f64; 3] {
    let [a, b, c] = [0, 1, 2].map(|at| f64::from(line[column * 3 + at]));
    if pixel == PixelFormat::Rgb24 { [a, b, c] } else { [c, b, a] }
}
