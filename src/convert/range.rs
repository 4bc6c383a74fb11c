//! From the full range of values, which JPEG and grey cameras have, to the limited one of video.

/// From full to limited range (ITU-R BT.601 section 2.5.3) in 16 bits: the factor in 256ths and what is added, the half
/// for rounding included. Luma goes from 0..=255 to 16..=235, chroma to 16..=240 with 128 staying where it is.
pub(super) type Range = (u16, u16);
pub(super) const LUMA: Range = (220, 16 * 256 + 128);
pub(super) const CHROMA: Range = (225, (128 * 256 - 128 * 225) + 128);

/// Brings a line to limited range.
pub(super) fn limit(from: &[u8], to: &mut [u8], (factor, offset): Range) {
    for (from, to) in from.iter().zip(to) {
        *to = ((u16::from(*from) * factor + offset) >> 8) as u8;
    }
}

/// Brings chroma to limited range where it lies.
pub(super) fn limit_in_place(samples: &mut [u8]) {
    let (factor, offset) = CHROMA;
    for sample in samples {
        *sample = ((u16::from(*sample) * factor + offset) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_range_becomes_that_of_video() {
        let all: Vec<u8> = (0..=255).collect();
        let mut luma = [0; 256];
        limit(&all, &mut luma, LUMA);
        let mut chroma = [0; 256];
        limit(&all, &mut chroma, CHROMA);
        for value in 0..=255_usize {
            let exact_luma = 16.0 + value as f64 * 219.0 / 255.0;
            let exact_chroma = 128.0 + (value as f64 - 128.0) * 224.0 / 255.0;
            assert!((f64::from(luma[value]) - exact_luma).abs() <= 1.0, "luma {value}");
            assert!((f64::from(chroma[value]) - exact_chroma).abs() <= 1.0, "chroma {value}");
        }
        assert_eq!((luma[0], luma[255]), (16, 235));
        assert_eq!((chroma[0], chroma[128], chroma[255]), (16, 128, 240));
    }
}
