//! The small luma plane of a frame, for motion detection: read from a raw frame in place, and from a JPEG decoded at an eighth of
//! its size.

use turbojpeg::{Decompressor, Image, ScalingFactor};

use super::Error;
use super::jpeg;
use super::layout::Layout;
use crate::media::motion::{LumaPlane, LumaSource};
use crate::media::{PixelFormat, RawFrame};

/// The denominators that the decoder scales by. What is decoded should not be smaller than the plane.
const SCALES: [usize; 3] = [8, 4, 2];

/// Reads the luma of frames, and reuses its buffers.
#[derive(Debug, Default)]
pub struct LumaReader {
    jpeg: Option<Decompressor>,
    decoded: Vec<u8>,
}

impl LumaReader {
    /// Fills `plane` with the luma of a frame.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Encoded`] for H.264. The reader remains usable.
    pub fn read(&mut self, frame: &RawFrame, plane: &mut LumaPlane) -> Result<(), Error> {
        let format = &frame.format;
        let layout = Layout::of(format)?;
        // Of red, green and blue, green is most of luma.
        let (first, step, full_range) = match format.pixel {
            PixelFormat::I420 | PixelFormat::Yv12 | PixelFormat::Nv12 | PixelFormat::Nv21 => {
                (0, 1, format.color.full_range)
            }
            PixelFormat::Yuyv => (0, 2, format.color.full_range),
            PixelFormat::Uyvy => (1, 2, format.color.full_range),
            PixelFormat::Grey => (0, 1, true),
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => (1, 3, true),
            PixelFormat::Mjpeg => return self.read_jpeg(frame, &layout, plane),
            PixelFormat::H264 => return Err(Error::Encoded),
        };
        let [luma, ..] = layout.planes(frame)?;
        let (width, height) = (layout.width, layout.height);
        plane.fill(&LumaSource { data: &luma.data[first..], stride: luma.stride, step, width, height, full_range });
        Ok(())
    }

    fn read_jpeg(&mut self, frame: &RawFrame, layout: &Layout, plane: &mut LumaPlane) -> Result<(), Error> {
        // Put back only after a success, as in `jpeg`.
        let mut decoder = match self.jpeg.take() {
            Some(decoder) => decoder,
            None => jpeg::new_decoder().map_err(jpeg::library)?,
        };
        let header = decoder.read_header(&frame.data).map_err(jpeg::library)?;
        jpeg::check(&header, layout)?;
        let least = LumaPlane::MAX_SIDE;
        let scale = SCALES.into_iter().find(|scale| header.width.max(header.height) / scale >= least).unwrap_or(1);
        let factor = ScalingFactor::new(1, scale);
        decoder.set_scaling_factor(factor).map_err(jpeg::library)?;
        let scaled = header.scaled(factor);
        self.decoded.resize(scaled.width * scaled.height, 0);
        let image = Image {
            pixels: self.decoded.as_mut_slice(),
            width: scaled.width,
            pitch: scaled.width,
            height: scaled.height,
            format: turbojpeg::PixelFormat::GRAY,
        };
        jpeg::unless_harmless(decoder.decompress(&frame.data, image)).map_err(jpeg::library)?;
        self.jpeg = Some(decoder);
        plane.fill(&LumaSource {
            data: &self.decoded,
            stride: scaled.width,
            step: 1,
            width: scaled.width,
            height: scaled.height,
            full_range: true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::convert::{JpegEncoder, JpegPlanes};
    use crate::media::{Colorimetry, Timestamp, VideoFormat};

    /// A frame of 640x360 whose left half is dark and whose right half is light, and the plane of it.
    fn plane(pixel: PixelFormat, bytes: usize, at: impl Fn(usize, usize) -> u8) -> LumaPlane {
        let (width, height) = (640, 360);
        let stride = width * bytes;
        let format = VideoFormat {
            pixel,
            width: width as u32,
            height: height as u32,
            stride: stride as u32,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let first = (0..stride * height).map(|place| at(place % stride / bytes, place % bytes));
        let chroma = if bytes == 1 { stride * height / 2 } else { 0 };
        let data: Vec<u8> = first.chain(std::iter::repeat_n(128, chroma)).collect();
        read(RawFrame::new(Timestamp::default(), format, data.into()))
    }

    fn read(frame: RawFrame) -> LumaPlane {
        let mut plane = LumaPlane::default();
        LumaReader::default().read(&frame, &mut plane).expect("luma");
        plane
    }

    fn halves(plane: &LumaPlane) -> (f32, f32) {
        assert_eq!((plane.width(), plane.height()), (80, 45));
        let levels: Vec<f32> = plane.levels().collect();
        (levels[20 * 80 + 10], levels[20 * 80 + 70])
    }

    #[test]
    fn luma_is_found_in_every_layout_and_has_limited_range() {
        let luma = |x: usize| if x < 320 { 40 } else { 200 };
        for (pixel, bytes, place) in
            [(PixelFormat::I420, 1, 0), (PixelFormat::Nv21, 1, 0), (PixelFormat::Yuyv, 2, 0), (PixelFormat::Uyvy, 2, 1)]
        {
            let plane = plane(pixel, bytes, |x, byte| if byte == place { luma(x) } else { 128 });
            assert_eq!(halves(&plane), (40.0, 200.0), "{pixel:?}");
        }
        for (pixel, bytes) in [(PixelFormat::Grey, 1), (PixelFormat::Rgb24, 3), (PixelFormat::Bgr24, 3)] {
            let (dark, light) = halves(&plane(pixel, bytes, |x, _| if x < 320 { 0 } else { 255 }));
            assert!((dark - 16.0).abs() < 0.1 && (light - 235.0).abs() < 0.1, "{pixel:?}: {dark} {light}");
        }
    }

    #[test]
    fn jpegs_are_decoded_small() {
        let luma = (0..640 * 360).map(|at| if at % 640 < 320 { 40 } else { 200 });
        let data = luma.chain(std::iter::repeat_n(128, 640 * 360 / 2)).collect();
        let jpeg = JpegEncoder::default().encode(&JpegPlanes { width: 640, height: 360, data }, 90).expect("jpeg");
        let format = VideoFormat {
            pixel: PixelFormat::Mjpeg,
            width: 640,
            height: 360,
            stride: 0,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let frame = |data: Vec<u8>| RawFrame::new(Timestamp::default(), format, data.into());
        let (dark, light) = halves(&read(frame(jpeg.clone())));
        // 40 and 200 of 255 are these of 16 to 235.
        assert!((dark - 50.4).abs() < 1.5 && (light - 187.8).abs() < 1.5, "{dark} {light}");
        // A damaged one spoils nothing for the next.
        let (mut reader, mut plane) = (LumaReader::default(), LumaPlane::default());
        for broken in [&jpeg[..jpeg.len() / 2], &[0xff, 0xd8, 0xff], &[]] {
            assert!(reader.read(&frame(broken.to_vec()), &mut plane).is_err());
            reader.read(&frame(jpeg.clone()), &mut plane).expect("luma");
            assert!((halves(&plane).1 - 187.8).abs() < 1.5);
        }
    }
}
