//! Makes frames smaller: I420 planes one after another, without padding. Pure functions on bytes.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};

use crate::media::convert::JpegPlanes;

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

impl Scaler {
    /// Scales a frame to the size of `to`, whose data is replaced. Each pixel is the weighted mean of those that it covers,
    /// so that thin lines neither vanish nor flicker.
    ///
    /// # Errors
    ///
    /// When a size does not fit its data.
    pub fn scale(&mut self, from: &JpegPlanes, to: &mut JpegPlanes) -> Result<(), ResizeError> {
        to.data.resize(to.width * to.height * 3 / 2, 0);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        let (mut source, mut target) = (from.data.as_slice(), to.data.as_mut_slice());
        for half in [1, 2, 2] {
            let (width, height) = (from.width / half, from.height / half);
            let (to_width, to_height) = (to.width / half, to.height / half);
            let (plane, rest) = source.split_at(width * height);
            let (to_plane, to_rest) = target.split_at_mut(to_width * to_height);
            let plane = ImageRef::new(width as u32, height as u32, plane, PixelType::U8)
                .map_err(|_| ResizeError::PixelTypesAreDifferent)?;
            let mut to_plane = Image::from_slice_u8(to_width as u32, to_height as u32, to_plane, PixelType::U8)
                .map_err(|_| ResizeError::PixelTypesAreDifferent)?;
            self.0.resize(&plane, &mut to_plane, &options)?;
            (source, target) = (rest, to_rest);
        }
        Ok(())
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
