//! Parses H.264 in Annex B format (ITU-T H.264 annex B): splits it into NAL units, and reads profile, level, size and
//! frame rate from the SPS. Pure functions on bytes; decoding and encoding do not belong here.

pub mod bits;
pub mod color;
pub mod payload;

use std::fmt;

use h264_reader::nal::sps::{ChromaFormat, SeqParameterSet};
use h264_reader::rbsp::BitReader;

/// `nal_unit_type` of a coded slice of a picture that is no IDR (table 7-1).
pub const SLICE: u8 = 1;
/// `nal_unit_type` of a coded slice of an IDR picture.
pub const IDR: u8 = 5;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const AUD: u8 = 9;
/// `nal_unit_type` of filler data.
pub const FILLER: u8 = 12;

/// Splits `data` into NAL units, without start codes and trailing zeros. Bytes before the first start code are skipped.
pub fn nals(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts = memchr::memmem::find_iter(data, &[0, 0, 1]).map(|at| at + 3).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let end = starts.peek().map_or(data.len(), |next| next - 3);
        let nal = &data[start..end.max(start)];
        // The last byte of a NAL unit is never zero: trailing zeros are padding, or part of a four-byte start code.
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

/// The `nal_unit_type` of a NAL unit.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Whether no other picture is predicted from that of an access unit: its slices have a `nal_ref_idc` of 0 (section 7.4.1).
pub fn is_disposable(access_unit: &[u8]) -> bool {
    let mut slices = nals(access_unit).filter(|nal| matches!(nal_type(nal), SLICE | IDR)).peekable();
    slices.peek().is_some() && slices.all(|nal| nal.first().is_some_and(|header| header & 0x60 == 0))
}

/// Profile and level of a stream: the three bytes of `profile-level-id` (RFC 6184 section 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// `profile_idc`: 66 is baseline, 77 main, 100 high.
    pub idc: u8,
    /// `constraint_set0_flag` in the highest bit, and so on.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
}

impl Profile {
    /// Constrained baseline, level 3.1: every browser decodes it, and our own encoder produces it.
    pub const CONSTRAINED_BASELINE: Self = Self { idc: 66, constraints: 0xe0, level: 31 };

    /// Parses the six hexadecimal digits of `profile-level-id`.
    pub fn parse(text: &str) -> Option<Self> {
        let value = Some(text).filter(|text| text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let [_, idc, constraints, level] = u32::from_str_radix(value, 16).ok()?.to_be_bytes();
        Some(Self { idc, constraints, level })
    }

    /// From a sequence parameter set; `None` for any other NAL unit or a truncated one.
    pub fn of_sps(nal: &[u8]) -> Option<Self> {
        match *nal {
            [header, idc, constraints, level, ..] if header & 0x1f == SPS => Some(Self { idc, constraints, level }),
            _ => None,
        }
    }
}

/// Frame size and rate from a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamShape {
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping.
    pub height: u32,
    /// Frames per second, if the stream specifies it.
    pub fps: Option<f64>,
}

impl StreamShape {
    /// From a sequence parameter set; `None` for any other NAL unit or a damaged one.
    pub fn of_sps(nal: &[u8]) -> Option<Self> {
        let sps = parse_sps(nal)?;
        let (width, height) = sps.pixel_dimensions().ok()?;
        let fps = sps.fps().filter(|fps| fps.is_finite() && *fps > 0.0);
        (width > 0 && height > 0).then_some(Self { width, height, fps })
    }
}

/// How samples are stored, from a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFormat {
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma: u8,
    /// Bits of a luma sample, 8 to 14.
    pub luma_bits: u8,
    /// Bits of a chroma sample, 8 to 14.
    pub chroma_bits: u8,
}

impl SampleFormat {
    /// From a sequence parameter set; `None` for any other NAL unit or a damaged one.
    pub fn of_sps(nal: &[u8]) -> Option<Self> {
        let info = parse_sps(nal)?.chroma_info;
        let chroma = match info.chroma_format {
            ChromaFormat::Monochrome => 0,
            ChromaFormat::YUV420 => 1,
            ChromaFormat::YUV422 => 2,
            ChromaFormat::YUV444 => 3,
            ChromaFormat::Invalid(_) => return None,
        };
        let bits = |above: u8| (above <= 6).then_some(8 + above);
        Some(Self {
            chroma,
            luma_bits: bits(info.bit_depth_luma_minus8)?,
            chroma_bits: bits(info.bit_depth_chroma_minus8)?,
        })
    }
}

fn parse_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    if nal_type(nal) != SPS {
        return None;
    }
    let payload = h264_reader::rbsp::decode_nal(nal).ok()?;
    SeqParameterSet::from_bits(BitReader::new(&payload[..])).ok()
}

/// The six hexadecimal digits of `profile-level-id`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.idc, self.constraints, self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_split_for_any_start_codes() {
        let stream = [9, 0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 1, 0x68, 1, 0, 0, 0, 0, 1, 0x65, 0, 0, 3, 7, 0];
        let units: Vec<&[u8]> = nals(&stream).collect();
        assert_eq!(units, [&[0x67, 0x42, 0xc0, 0x1f][..], &[0x68, 1], &[0x65, 0, 0, 3, 7]]);
        assert_eq!(units.iter().map(|nal| nal_type(nal)).collect::<Vec<_>>(), [SPS, PPS, IDR]);
        assert_eq!(Profile::of_sps(units[0]).expect("should be an SPS").to_string(), "42c01f");
        assert_eq!(Profile::of_sps(units[1]), None);
        assert_eq!(Profile::parse("42E01f"), Some(Profile::CONSTRAINED_BASELINE));
        assert_eq!(["", "42e01", "42e01f0", "+2e01f", "42e0é"].map(Profile::parse), [None; 5]);
        for nothing in [&[][..], &[0, 0, 1], &[0, 0, 1, 0, 0, 1], &[1, 2, 3]] {
            assert_eq!(nals(nothing).count(), 0, "{nothing:?}");
        }
    }

    #[test]
    fn a_picture_is_disposable_if_none_of_its_slices_is_a_reference() {
        let unit = |headers: &[u8]| headers.iter().flat_map(|header| [0, 0, 1, *header, 0x9a]).collect::<Vec<u8>>();
        for disposable in [&[0x01][..], &[0x01, 0x01], &[9, 0x01], &[0x67, 0x68, 0x01], &[6, 0x01, 12]] {
            assert!(is_disposable(&unit(disposable)), "{disposable:x?}");
        }
        for needed in [&[][..], &[0x41], &[0x21], &[0x65], &[0x01, 0x41], &[0x61, 0x01], &[9, 12], &[0x67, 0x68]] {
            assert!(!is_disposable(&unit(needed)), "{needed:x?}");
        }
    }
}
