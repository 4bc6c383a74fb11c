//! Makes frames smaller: I420 planes, which come out one after another and without padding. Pure functions on bytes.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};

use crate::media::convert::{JpegPlanes, Planes};

/// The least width and height of a frame at half of its size: with fewer pixels hardly anything can be recognised, and the
/// frame itself takes few bits.
const LEAST_HALF: (usize, usize) = (240, 134);

/// Scales frames, and reuses its buffers.
#[derive(Debug, Default)]
pub struct Scaler(Resizer);

/// The size of a frame of `width` x `height` pixels that is scaled to `target` pixels of width: of the same aspect ratio,
/// even, and never larger than the frame.
pub fn scaled_size(width: usize, height: usize, target: usize) -> (usize, usize) {
    if target >= width {
        return (width, height);
    }
    let even = |pixels: usize| (pixels & !1).max(2);
    let target = even(target);
    // Rounded to the nearest even number.
    let scaled = (height * target + width) / (2 * width) * 2;
    (target, even(scaled).min(height))
}

/// The size of a frame of `width` x `height` pixels at half of its width and height: even, so that up to two columns and
/// lines of the frame are missing at its edges; `None` if that would be smaller than a picture is of use.
pub fn half_size(width: usize, height: usize) -> Option<(usize, usize)> {
    let (width, height) = ((width / 2) & !1, (height / 2) & !1);
    (width >= LEAST_HALF.0 && height >= LEAST_HALF.1).then_some((width, height))
}

/// One plane: the stride of its lines, and how much of it is used.
struct ScaledPlane<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl Scaler {
    /// Scales a frame to the size of `to`, whose data is replaced. Each pixel is the weighted mean of those that it covers,
    /// so that thin lines neither vanish nor flicker.
    ///
    /// # Errors
    ///
    /// When a size does not fit its data.
    pub fn scale(&mut self, from: &JpegPlanes, to: &mut JpegPlanes) -> Result<(), ResizeError> {
        to.data.resize(to.width * to.height * 3 / 2, 0);
        let (mut source, mut target) = (from.data.as_slice(), to.data.as_mut_slice());
        for half in [1, 2, 2] {
            let (width, height) = (from.width / half, from.height / half);
            let (to_width, to_height) = (to.width / half, to.height / half);
            let (data, rest) = source.split_at(width * height);
            let (to_plane, to_rest) = target.split_at_mut(to_width * to_height);
            self.scale_plane(ScaledPlane { data, stride: width, width, height }, to_plane, (to_width, to_height))?;
            (source, target) = (rest, to_rest);
        }
        Ok(())
    }

    /// A frame at half of its width and height, of the size that [`half_size`] gives.
    ///
    /// # Errors
    ///
    /// When a size does not fit its data.
    pub fn halve(&mut self, from: &Planes<'_>, (width, height): (usize, usize)) -> Result<Vec<u8>, ResizeError> {
        let mut data = vec![0; width * height * 3 / 2];
        let (y, chroma) = data.split_at_mut(width * height);
        let (u, v) = chroma.split_at_mut(width * height / 4);
        for (data, stride, to, width, height) in [
            (from.y, from.y_stride, y, width, height),
            (from.u, from.uv_stride, u, width / 2, height / 2),
            (from.v, from.uv_stride, v, width / 2, height / 2),
        ] {
            let plane = ScaledPlane { data, stride, width: width * 2, height: height * 2 };
            self.scale_plane(plane, to, (width, height))?;
        }
        Ok(data)
    }

    fn scale_plane(
        &mut self,
        ScaledPlane { data, stride, width, height }: ScaledPlane<'_>,
        to: &mut [u8],
        (to_width, to_height): (usize, usize),
    ) -> Result<(), ResizeError> {
        let lines = data.len().checked_div(stride).unwrap_or(0);
        let source = ImageRef::new(stride as u32, lines as u32, data, PixelType::U8)
            .map_err(|_| ResizeError::PixelTypesAreDifferent)?;
        let mut target = Image::from_slice_u8(to_width as u32, to_height as u32, to, PixelType::U8)
            .map_err(|_| ResizeError::PixelTypesAreDifferent)?;
        // What is beyond the edge has no share in the pixels there.
        let source = CroppedImage::new(&source, 0, 0, width as u32, height as u32)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.0.resize(&source, &mut target, &options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_aspect_ratio_and_are_even() {
        for ((width, height, target), expected) in [
            ((1280, 720, 640), (640, 360)),
            ((1280, 720, 641), (640, 360)),
            ((1920, 1080, 500), (500, 282)),
            ((640, 480, 640), (640, 480)),
            ((640, 480, 4000), (640, 480)),
            ((640, 480, 1), (2, 2)),
            ((2, 1000, 1), (2, 1000)),
        ] {
            assert_eq!(scaled_size(width, height, target), expected, "{width}x{height} to {target}");
        }
    }

    #[test]
    fn half_sizes_are_even_and_of_use() {
        for (size, expected) in [
            ((1280, 720), Some((640, 360))),
            ((1366, 768), Some((682, 384))),
            ((480, 270), Some((240, 134))),
            ((479, 360), None),
            ((480, 267), None),
            ((0, 0), None),
        ] {
            assert_eq!(half_size(size.0, size.1), expected, "{size:?}");
        }
    }

    #[test]
    fn half_a_frame_is_made_of_planes_with_padding() {
        // Luma is a ramp; what is beyond the right edge is white.
        let (width, height, stride) = (328, 184, 400);
        let line = |_| (0..stride).map(|at| if at < width { at / 2 } else { 255 } as u8);
        let y: Vec<u8> = (0..height).flat_map(line).collect();
        let (u, v) = (vec![60; stride / 2 * height / 2], vec![200; stride / 2 * height / 2]);
        let planes = Planes { width, height, y: &y, u: &u, v: &v, y_stride: stride, uv_stride: stride / 2 };
        let half = Scaler::default().halve(&planes, (164, 92)).expect("halve");
        assert_eq!(half.len(), 164 * 92 * 3 / 2);
        for line in half[..164 * 92].chunks_exact(164) {
            assert!((0..163).all(|at| line[at].abs_diff(at as u8) <= 1), "{line:?}");
            assert!(line[163] < 170, "{}", line[163]);
        }
        let (u, v) = half[164 * 92..].split_at(82 * 46);
        assert!(u.iter().all(|sample| *sample == 60) && v.iter().all(|sample| *sample == 200));
        assert!(Scaler::default().halve(&planes, (400, 92)).is_err(), "larger than the frame");
    }

    #[test]
    fn every_plane_is_scaled() {
        let (width, height) = (64, 32);
        // A ramp in luma, one value in each chroma plane.
        let luma = (0..width * height).map(|at| (at % width * 4) as u8);
        let chroma = width * height / 4;
        let data = luma.chain(std::iter::repeat_n(60, chroma)).chain(std::iter::repeat_n(200, chroma)).collect();
        let from = JpegPlanes { width, height, data };
        let mut to = JpegPlanes { width: 32, height: 16, data: Vec::new() };
        let mut scaler = Scaler::default();
        scaler.scale(&from, &mut to).expect("scale");
        assert_eq!(to.data.len(), 32 * 16 * 3 / 2);
        let row = &to.data[5 * 32..6 * 32];
        // The middle of two neighbours.
        assert!((1..31).all(|at| row[at].abs_diff((at * 8 + 2) as u8) <= 1), "{row:?}");
        let (u, v) = to.data[32 * 16..].split_at(16 * 8);
        assert!(u.iter().all(|sample| *sample == 60) && v.iter().all(|sample| *sample == 200));
        // Fine lines become grey.
        let lines = (0..width * height * 3 / 2).map(|at| if at % 2 == 0 { 0 } else { 255 }).collect();
        scaler.scale(&JpegPlanes { width, height, data: lines }, &mut to).expect("scale");
        assert!(to.data[..32 * 16].iter().all(|sample| (64..=191).contains(sample)));
    }
}
