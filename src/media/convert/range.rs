//! Converts sample values between full range (JPEG, grey cameras) and limited range (video).

/// Full to limited range (ITU-R BT.601 section 2.5.3) in 16-bit arithmetic: a factor in 256ths and an offset, which
/// includes one half for rounding. Luma is mapped from 0..=255 to 16..=235, chroma to 16..=240 around 128.
pub(super) type Range = (u16, u16);
pub(super) const LUMA: Range = (220, 16 * 256 + 128);
pub(super) const CHROMA: Range = (225, (128 * 256 - 128 * 225) + 128);

/// Converts a row to limited range.
pub(super) fn to_limited_range(from: &[u8], to: &mut [u8], (factor, offset): Range) {
    for (from, to) in from.iter().zip(to) {
        *to = ((u16::from(*from) * factor + offset) >> 8) as u8;
    }
}

/// Converts chroma samples to limited range in place.
pub(super) fn to_limited_range_in_place(samples: &mut [u8]) {
    let (factor, offset) = CHROMA;
    for sample in samples {
        *sample = ((u16::from(*sample) * factor + offset) >> 8) as u8;
    }
}

/// Limited to full range (ITU-T T.871 section 7): the value to subtract, the number of steps that are scaled to 255,
/// and the value to add.
pub(super) type FullRange = (i32, i32, i32);
pub(super) const AS_IS: FullRange = (0, 255, 0);
pub(super) const FULL_LUMA: FullRange = (16, 219, 0);
pub(super) const FULL_CHROMA: FullRange = (128, 224, 128);

/// Converts a row to full range and appends it to `to`.
pub(super) fn to_full_range(from: &[u8], to: &mut Vec<u8>, (zero, steps, centre): FullRange) {
    to.extend(from.iter().map(|sample| {
        let distance = i32::from(*sample) - zero;
        // Rounds halves away from zero.
        let half = if distance < 0 { -steps } else { steps } / 2;
        ((distance * 255 + half) / steps + centre).clamp(0, 255) as u8
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_range_becomes_limited_range() {
        let all: Vec<u8> = (0..=255).collect();
        let mut luma = [0; 256];
        to_limited_range(&all, &mut luma, LUMA);
        let mut chroma = [0; 256];
        to_limited_range(&all, &mut chroma, CHROMA);
        for value in 0..=255_usize {
            let exact_luma = 16.0 + value as f64 * 219.0 / 255.0;
            let exact_chroma = 128.0 + (value as f64 - 128.0) * 224.0 / 255.0;
            assert!((f64::from(luma[value]) - exact_luma).abs() <= 1.0, "luma {value}");
            assert!((f64::from(chroma[value]) - exact_chroma).abs() <= 1.0, "chroma {value}");
        }
        assert_eq!((luma[0], luma[255]), (16, 235));
        assert_eq!((chroma[0], chroma[128], chroma[255]), (16, 128, 240));
    }

    #[test]
    fn limited_range_becomes_full_range() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut luma, mut chroma) = (Vec::new(), Vec::new());
        to_full_range(&all, &mut luma, FULL_LUMA);
        to_full_range(&all, &mut chroma, FULL_CHROMA);
        for value in 0..=255_usize {
            let exact_luma = ((value as f64 - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            let exact_chroma = (128.0 + (value as f64 - 128.0) * 255.0 / 224.0).clamp(0.0, 255.0);
            assert!((f64::from(luma[value]) - exact_luma).abs() <= 0.5, "luma {value}");
            assert!((f64::from(chroma[value]) - exact_chroma).abs() <= 0.6, "chroma {value}");
        }
        assert_eq!((luma[16], luma[235], chroma[128], chroma[16], chroma[240]), (0, 255, 128, 0, 255));
    }
}
