//! Brings luma and chroma of another matrix to that of BT.601, which JPEG files have (ITU-T T.871 section 7).

use crate::media::Colorimetry;

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
    fn what_is_bt601_stays() {
        let mut planes = vec![1, 2, 3, 4, 5, 6];
        to_bt601(&mut planes, 2, 2, Colorimetry::SRGB);
        assert_eq!(planes, [1, 2, 3, 4, 5, 6]);
    }
}
