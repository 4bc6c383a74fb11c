//! Colorimetry: how the sample values of a frame become colours on a display.

/// The code points of a frame's colours (ITU-T H.273 tables 2, 3 and 4), which H.264 signals in the VUI of its sequence
/// parameter set (ITU-T H.264 annex E). A player that finds none assumes BT.709.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colorimetry {
    /// `colour_primaries`: which red, green and blue are meant.
    pub primaries: u8,
    /// `transfer_characteristics`: from signal to light.
    pub transfer: u8,
    /// `matrix_coefficients`: from red, green and blue to luma and chroma.
    pub matrix: u8,
    /// Whether luma and chroma use all values from 0 to 255; otherwise luma is 16 to 235 and chroma 16 to 240.
    pub full_range: bool,
}

impl Colorimetry {
    /// `matrix_coefficients` of BT.601, which H.273 also names SMPTE 170M.
    pub const MATRIX_BT601: u8 = 6;
    /// A code point that tells nothing.
    pub const UNSPECIFIED: u8 = 2;

    /// The colours of sRGB, luma and chroma by BT.601 in limited range: what the kernel means by
    /// `V4L2_COLORSPACE_SRGB` in a YUV format, which is what webcams deliver, and what JPEG (ITU-T T.871) and RGB are
    /// converted to here.
    pub const SRGB: Self = Self { primaries: 1, transfer: 13, matrix: Self::MATRIX_BT601, full_range: false };

    /// BT.709 in limited range.
    pub const BT709: Self = Self { primaries: 1, transfer: 1, matrix: 1, full_range: false };

    /// The weights of red and blue in luma (ITU-T H.273 table 4); those of BT.601 where the matrix names none.
    pub const fn luma_weights(self) -> (f64, f64) {
        match self.matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        }
    }
}
