//! What a decoder has to know of an H.264 stream before its first frame: the parameter sets, as `avcC` has them.

use shiguredo_mp4::Uint;
use shiguredo_mp4::boxes::AvccBox;

use crate::media::h264;
use crate::media::h264::{PPS, Profile, SPS, SampleFormat, StreamShape};

/// The most parameter sets of each kind that are read; `avcC` has room for 31.
const MAX_SETS: usize = 16;

/// The parameter sets of a stream. A file has those of its beginning; with others another file begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSetup {
    sps: Vec<Vec<u8>>,
    pps: Vec<Vec<u8>>,
    /// Width in pixels.
    pub(super) width: u16,
    /// Height in pixels.
    pub(super) height: u16,
    format: SampleFormat,
    profile: Profile,
}

impl VideoSetup {
    /// The parameter sets in a key frame; `None` if they are missing or damaged.
    pub fn of(access_unit: &[u8]) -> Option<Self> {
        let sets = |kind: u8| -> Vec<Vec<u8>> {
            let of_kind = h264::nals(access_unit).filter(|nal| h264::nal_type(nal) == kind);
            of_kind.filter(|nal| nal.len() <= usize::from(u16::MAX)).take(MAX_SETS).map(<[u8]>::to_vec).collect()
        };
        let (sps, pps) = (sets(SPS), sets(PPS));
        let (first, _) = (sps.first()?, pps.first()?);
        let shape = StreamShape::of_sps(first)?;
        let side = |pixels: u32| u16::try_from(pixels).ok().filter(|pixels| i16::try_from(*pixels).is_ok());
        let (width, height) = (side(shape.width)?, side(shape.height)?);
        let (format, profile) = (SampleFormat::of_sps(first)?, Profile::of_sps(first)?);
        Some(Self { sps, pps, width, height, format, profile })
    }

    /// The box that describes the stream.
    pub(super) fn avcc(&self) -> AvccBox {
        let Self { sps, pps, format, profile, .. } = self;
        AvccBox {
            avc_profile_indication: profile.idc,
            profile_compatibility: profile.constraints,
            avc_level_indication: profile.level,
            length_size_minus_one: Uint::new(3),
            sps_list: sps.clone(),
            pps_list: pps.clone(),
            chroma_format: Some(Uint::new(format.chroma)),
            bit_depth_luma_minus8: Some(Uint::new(format.luma_bits - 8)),
            bit_depth_chroma_minus8: Some(Uint::new(format.chroma_bits - 8)),
            sps_ext_list: Vec::new(),
        }
    }
}
