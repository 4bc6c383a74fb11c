//! Translates what a driver declares about its colours into the code points that H.264 signals, with the kernel's rules
//! for what is left to the default (`V4L2_MAP_XFER_FUNC_DEFAULT` and its neighbours in `videodev2.h`).

use crate::device::v4l2::ColorFields;
use crate::media::Colorimetry;

/// `enum v4l2_colorspace`: the standard, and the code points of its primaries, transfer and matrix (ITU-T H.273).
const COLORSPACES: [(u32, [u8; 3]); 9] = [
    // SMPTE 170M, SMPTE 240M, Rec. 709.
    (1, [6, 1, 6]),
    (2, [7, 7, 7]),
    (3, [1, 1, 1]),
    // System M and B/G of ITU-R BT.470.
    (5, [4, 1, 6]),
    (6, [5, 1, 6]),
    // JPEG and sRGB, which differ in their range.
    (JPEG, [1, 13, 6]),
    (8, [1, 13, 6]),
    // BT.2020, DCI-P3.
    (10, [9, 1, 9]),
    (12, [11, 17, 1]),
];

/// `V4L2_COLORSPACE_JPEG`, the only one whose YUV is of full range by default.
const JPEG: u32 = 7;

/// `enum v4l2_xfer_func`.
const TRANSFERS: [(u32, u8); 6] = [(1, 1), (2, 13), (4, 7), (5, 8), (6, 17), (7, 16)];

/// `enum v4l2_ycbcr_encoding`.
const ENCODINGS: [(u32, u8); 8] = [(1, 6), (2, 1), (3, 6), (4, 1), (5, 6), (6, 9), (7, 10), (8, 7)];

/// `V4L2_QUANTIZATION_FULL_RANGE` and `V4L2_QUANTIZATION_LIM_RANGE`.
const FULL_RANGE: u32 = 1;
const LIMITED_RANGE: u32 = 2;

/// The colours of a YUV format. A driver that declares none, or something unknown, is taken for a webcam: sRGB.
pub fn of_driver(declared: ColorFields) -> Colorimetry {
    let [primaries, transfer, matrix] = find(&COLORSPACES, declared.colorspace).unwrap_or([
        Colorimetry::SRGB.primaries,
        Colorimetry::SRGB.transfer,
        Colorimetry::SRGB.matrix,
    ]);
    Colorimetry {
        primaries,
        transfer: find(&TRANSFERS, declared.transfer).unwrap_or(transfer),
        matrix: find(&ENCODINGS, declared.ycbcr_encoding).unwrap_or(matrix),
        full_range: match declared.quantization {
            FULL_RANGE => true,
            LIMITED_RANGE => false,
            _ => declared.colorspace == JPEG,
        },
    }
}

fn find<T: Copy>(table: &[(u32, T)], value: u32) -> Option<T> {
    table.iter().find(|(declared, _)| *declared == value).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(colorspace: u32, ycbcr_encoding: u32, quantization: u32, transfer: u32) -> Colorimetry {
        of_driver(ColorFields { colorspace, ycbcr_encoding, quantization, transfer })
    }

    #[test]
    fn a_webcam_that_says_srgb_or_nothing_is_bt601_of_limited_range() {
        assert_eq!(declared(8, 0, 0, 0), Colorimetry::SRGB);
        assert_eq!(declared(0, 0, 0, 0), Colorimetry::SRGB);
        assert_eq!(declared(999, 999, 999, 999), Colorimetry::SRGB);
    }

    #[test]
    fn what_is_declared_is_signalled() {
        assert_eq!(declared(3, 0, 0, 0), Colorimetry::BT709);
        assert_eq!(declared(3, 0, 1, 0), Colorimetry { full_range: true, ..Colorimetry::BT709 });
        assert_eq!(declared(8, 2, 0, 1), Colorimetry::BT709, "each field alone");
        assert_eq!(declared(7, 0, 0, 0), Colorimetry { full_range: true, ..Colorimetry::SRGB });
        assert_eq!(declared(7, 0, 2, 0), Colorimetry::SRGB);
        let smpte170m = Colorimetry { primaries: 6, transfer: 1, matrix: 6, full_range: false };
        assert_eq!(declared(1, 0, 0, 0), smpte170m);
        let bt2020 = Colorimetry { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        assert_eq!(declared(10, 0, 0, 7), bt2020);
    }
}
