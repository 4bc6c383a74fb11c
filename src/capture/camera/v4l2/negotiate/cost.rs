//! The CPU cost of a pixel format, from the captured to the encoded frame. It decides between formats that meet the
//! constraints equally well.

use crate::media::PixelFormat;

/// CPU time to convert a pixel to I420, in nanoseconds: as `make bench` measures it on one core of an AMD EPYC, for
/// MJPEG in 4:2:2. A small board is slower in all of them. What matters is the order, and that MJPEG costs almost half
/// as much as encoding, while none of the others costs more than a tenth.
const fn conversion(pixel: PixelFormat) -> f64 {
    match pixel {
        // Passed to the encoder without a copy; for YV12 with the planes swapped.
        PixelFormat::I420 | PixelFormat::Yv12 | PixelFormat::H264 => 0.0,
        PixelFormat::Grey => 0.05,
        PixelFormat::Nv12 | PixelFormat::Nv21 => 0.07,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 0.12,
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => 0.38,
        PixelFormat::Mjpeg => 1.7,
    }
}

/// CPU time to encode a pixel of I420, in nanoseconds: measured in the same way with the software encoder on one
/// thread. Without it, a frame that needs no conversion would cost nothing whatever its size.
const ENCODING: f64 = 3.8;

/// The CPU load of frames of this format, size and rate until they are encoded; 1 is one core.
pub fn share(pixel: PixelFormat, (width, height): (u32, u32), fps: f64) -> f64 {
    let encoding = if matches!(pixel, PixelFormat::H264) { 0.0 } else { ENCODING };
    f64::from(width) * f64::from(height) * fps * (conversion(pixel) + encoding) * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_per_second_of_all_pixels() {
        let jpeg = share(PixelFormat::Mjpeg, (1280, 720), 30.0);
        assert!((jpeg - 0.152).abs() < 0.001, "{jpeg}");
        assert!((share(PixelFormat::Mjpeg, (640, 360), 60.0) - jpeg / 2.0).abs() < 1e-9);
        assert_eq!(share(PixelFormat::H264, (3840, 2160), 60.0), 0.0);
    }
}
