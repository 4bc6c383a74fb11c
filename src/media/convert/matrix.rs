//! Brings luma and chroma of another matrix to that of BT.601, which JPEG files have (ITU-T T.871 section 7), and all video
//! that is encoded here.

use super::{PlaneBuffers, Planes};
use crate::media::Colorimetry;

/// Fractional bits of the factors.
const BITS: u32 = 16;

/// Converts I420 of full range in `color`, its planes one after another without padding. Luma and chroma of BT.601 stay
/// as they are.
pub(super) fn to_bt601(planes: &mut [u8], width: usize, height: usize, color: Colorimetry) {
    let (from, to) = (color.luma_weights(), Colorimetry::SRGB.luma_weights());
    if from == to {
        return;
    }
    let weights = Weights::new(from, to);
    let (luma, chroma) = planes.split_at_mut(width * height);
    let (blue, red) = chroma.split_at_mut(width / 2 * (height / 2));
    let rows = blue.chunks_exact_mut(width / 2).zip(red.chunks_exact_mut(width / 2));
    for ((blue, red), luma) in rows.zip(luma.chunks_exact_mut(width * 2)) {
        let (upper, lower) = luma.split_at_mut(width);
        let pairs = upper.chunks_exact_mut(2).zip(lower.chunks_exact_mut(2));
        for ((blue, red), (upper, lower)) in blue.iter_mut().zip(red).zip(pairs) {
            let (cb, cr) = (f32::from(*blue) - 128.0, f32::from(*red) - 128.0);
            let shift = weights.luma[0] * cb + weights.luma[1] * cr;
            for sample in upper.iter_mut().chain(lower) {
                *sample = (f32::from(*sample) + shift).round() as u8;
            }
            *blue = (weights.blue[0] * cb + weights.blue[1] * cr + 128.0).round() as u8;
            *red = (weights.red[0] * cb + weights.red[1] * cr + 128.0).round() as u8;
        }
    }
}

/// Brings planes to the matrix of BT.601 in limited range, and reuses its buffers.
#[derive(Debug, Default)]
pub(super) struct MatrixConverter {
    planes: PlaneBuffers,
    /// What is added to each luma sample of two lines.
    shifts: Vec<i32>,
}

impl MatrixConverter {
    /// The same picture in BT.601 and limited range; what is so already is returned as it is.
    pub(super) fn bring<'a>(&'a mut self, from: Planes<'a>, color: Colorimetry) -> Planes<'a> {
        if color.luma_weights() == Colorimetry::SRGB.luma_weights() && !color.full_range {
            return from;
        }
        let factors = Factors::new(color);
        let Planes { width, height, .. } = from;
        self.shifts.resize(width, 0);
        let (y, u, v) = self.planes.resize(width, height);
        let to_chroma = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
        let to = y.chunks_exact_mut(width * 2).zip(to_chroma);
        let chroma = from.u.chunks(from.uv_stride).zip(from.v.chunks(from.uv_stride));
        let lines = from.y.chunks(from.y_stride * 2).zip(chroma);
        for ((luma, chroma), (to_luma, to_chroma)) in lines.zip(to) {
            factors.convert_chroma(chroma, to_chroma, &mut self.shifts);
            for (line, to) in luma.chunks(from.y_stride).zip(to_luma.chunks_exact_mut(width)) {
                factors.convert_luma(line, to, &self.shifts);
            }
        }
        self.planes.planes(width, height)
    }
}

/// Factors with [`BITS`] fractional bits. Those of the differences are for blue first.
struct Factors {
    luma: i32,
    luma_offset: i32,
    luma_of: [i32; 2],
    blue_of: [i32; 2],
    red_of: [i32; 2],
}

impl Factors {
    fn new(color: Colorimetry) -> Self {
        let Weights { luma, blue, red } = Weights::new(color.luma_weights(), Colorimetry::SRGB.luma_weights());
        // Limited range has 219 steps of luma and 224 of chroma for the 255 of full range.
        let (luma_scale, luma_zero, to_luma, to_chroma) = if color.full_range {
            (219.0 / 255.0, 16.0, 219.0 / 255.0, 224.0 / 255.0)
        } else {
            (1.0, 0.0, 219.0 / 224.0, 1.0)
        };
        let fixed = |factor: f32| (factor * (1 << BITS) as f32).round() as i32;
        Self {
            luma: fixed(luma_scale),
            luma_offset: fixed(luma_zero + 0.5),
            luma_of: luma.map(|part| fixed(part * to_luma)),
            blue_of: blue.map(|part| fixed(part * to_chroma)),
            red_of: red.map(|part| fixed(part * to_chroma)),
        }
    }

    /// Converts a line of both differences, and notes what it adds to the luma of each column.
    fn convert_chroma(
        &self,
        (blue, red): (&[u8], &[u8]),
        (to_blue, to_red): (&mut [u8], &mut [u8]),
        shifts: &mut [i32],
    ) {
        let to = to_blue.iter_mut().zip(to_red).zip(shifts.chunks_exact_mut(2));
        for ((blue, red), ((to_blue, to_red), shift)) in blue.iter().zip(red).zip(to) {
            let (blue, red) = (i32::from(*blue) - 128, i32::from(*red) - 128);
            let sum = |[of_blue, of_red]: [i32; 2]| of_blue * blue + of_red * red;
            let sample = |sum: i32| byte(sum + (128 << BITS) + (1 << (BITS - 1)));
            (*to_blue, *to_red) = (sample(sum(self.blue_of)), sample(sum(self.red_of)));
            shift.fill(sum(self.luma_of) + self.luma_offset);
        }
    }

    /// Converts a line of luma. Written without indexing so that the compiler vectorises it.
    fn convert_luma(&self, line: &[u8], to: &mut [u8], shifts: &[i32]) {
        for ((from, shift), to) in line.iter().zip(shifts).zip(to) {
            *to = byte(i32::from(*from) * self.luma + shift);
        }
    }
}

/// The whole part, within a byte.
fn byte(fixed: i32) -> u8 {
    (fixed >> BITS).clamp(0, 255) as u8
}

/// The parts of the old blue and red difference in the new values. Both matrices keep grey, so luma counts only in luma.
struct Weights {
    luma: [f32; 2],
    blue: [f32; 2],
    red: [f32; 2],
}

impl Weights {
    /// From one pair of luma weights of red and blue to another (ITU-T H.273 equations 38 to 40).
    fn new((from_red, from_blue): (f64, f64), (to_red, to_blue): (f64, f64)) -> Self {
        // Red, green and blue less luma, for one step of the old differences: blue first.
        let blue_step =
            [0.0, -2.0 * from_blue * (1.0 - from_blue) / (1.0 - from_red - from_blue), 2.0 * (1.0 - from_blue)];
        let red_step = [2.0 * (1.0 - from_red), -2.0 * from_red * (1.0 - from_red) / (1.0 - from_red - from_blue), 0.0];
        let both = |of: fn(&[f64; 3], (f64, f64)) -> f64| {
            [of(&blue_step, (to_red, to_blue)) as f32, of(&red_step, (to_red, to_blue)) as f32]
        };
        fn luma([red, green, blue]: &[f64; 3], (of_red, of_blue): (f64, f64)) -> f64 {
            of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue
        }
        Self {
            luma: both(luma),
            blue: both(|step, weights| (step[2] - luma(step, weights)) / (2.0 * (1.0 - weights.1))),
            red: both(|step, weights| (step[0] - luma(step, weights)) / (2.0 * (1.0 - weights.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_colours_of_bt709_are_those_of_bt601() {
        // Full range: red, green, blue and grey by both matrices, rounded.
        for (bt709, bt601) in [
            ([54, 99, 255], [76, 85, 255]),
            ([182, 30, 12], [150, 44, 21]),
            ([18, 255, 116], [29, 255, 107]),
            ([120, 128, 128], [120, 128, 128]),
        ] {
            let mut planes: Vec<u8> = [[bt709[0]; 4].to_vec(), vec![bt709[1], bt709[2]]].concat();
            to_bt601(&mut planes, 2, 2, Colorimetry { full_range: true, ..Colorimetry::BT709 });
            let got = [planes[0], planes[4], planes[5]];
            assert!(got.iter().zip(bt601).all(|(got, due)| got.abs_diff(due) <= 2), "{bt709:?} became {got:?}");
            assert!(planes[..4].iter().all(|luma| *luma == planes[0]));
        }
    }

    #[test]
    fn video_of_any_matrix_and_range_becomes_bt601_in_limited_range() {
        let bt601 = Colorimetry { full_range: true, ..Colorimetry::SRGB };
        let bt709 = Colorimetry { full_range: true, ..Colorimetry::BT709 };
        // Red, green, blue and grey (ITU-T H.273 equations 38 to 43, rounded).
        let video = [[81, 90, 240], [145, 54, 34], [41, 240, 110], [126, 128, 128]];
        for (color, from) in [
            (Colorimetry::BT709, [[63, 102, 240], [173, 42, 26], [32, 240, 118], [126, 128, 128]]),
            (bt601, [[76, 85, 255], [150, 44, 21], [29, 255, 107], [128, 128, 128]]),
            (bt709, [[54, 99, 255], [182, 30, 12], [18, 255, 116], [128, 128, 128]]),
        ] {
            for (from, due) in from.into_iter().zip(video) {
                // Lines with padding.
                let (y, u, v) = ([[from[0]; 6], [from[0]; 6]].concat(), [from[1]; 3], [from[2]; 3]);
                let planes = Planes { width: 4, height: 2, y: &y, u: &u, v: &v, y_stride: 6, uv_stride: 3 };
                let mut converter = MatrixConverter::default();
                let got = converter.bring(planes, color);
                assert_eq!([got.y.len(), got.u.len(), got.v.len(), got.y_stride, got.uv_stride], [8, 2, 2, 4, 2]);
                let samples = [(got.y, due[0]), (got.u, due[1]), (got.v, due[2])];
                let near = |(got, due): (&[u8], u8)| got.iter().all(|sample| sample.abs_diff(due) <= 1);
                assert!(samples.into_iter().all(near), "{color:?}: {from:?} became {got:?}, not {due:?}");
            }
        }
    }

    #[test]
    fn video_of_bt601_in_limited_range_is_not_copied() {
        let samples = [1, 2, 3, 4];
        let planes = Planes { width: 2, height: 2, y: &samples, u: &[5], v: &[6], y_stride: 2, uv_stride: 1 };
        let mut converter = MatrixConverter::default();
        let same = converter.bring(planes, Colorimetry::SRGB);
        assert!(std::ptr::eq(same.y, &samples[..]));
    }

    #[test]
    fn what_is_bt601_stays() {
        let mut planes = vec![1, 2, 3, 4, 5, 6];
        to_bt601(&mut planes, 2, 2, Colorimetry::SRGB);
        assert_eq!(planes, [1, 2, 3, 4, 5, 6]);
    }
}
