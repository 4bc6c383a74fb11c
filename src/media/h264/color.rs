//! Reads and completes the colours in a sequence parameter set: the `video_signal_type` part of its VUI (ITU-T H.264
//! sections 7.3.2.1.1 and E.1.1).
//!
//! A player that finds no colours assumes BT.709, whatever the encoder took; so a stream that a camera encoded gets them
//! here where it lacks them. The other values stay as they are, bit by bit.

use std::borrow::Cow;

use super::bits::Bits;
use crate::media::Colorimetry;

/// `video_format` where the stream does not say: unspecified (table E-2).
const VIDEO_FORMAT_UNSPECIFIED: u32 = 5;

/// `aspect_ratio_idc` that is followed by the ratio itself (table E-1).
const EXTENDED_SAR: u32 = 255;

/// The profiles whose sequence parameter sets have `chroma_format_idc` and what follows it (section 7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// No picture order count has a longer cycle (section 7.4.2.1.1).
const MAX_CYCLE: u32 = 255;

/// The colours that an SPS signals; `None` where it signals none, is damaged, or is another NAL unit.
pub fn read(sps: &[u8]) -> Option<Colorimetry> {
    let payload = payload(sps)?;
    let signal = VideoSignal::find(&payload)?;
    let [primaries, transfer, matrix] = signal.description?;
    let full_range = signal.full_range.unwrap_or(false);
    Some(Colorimetry { primaries, transfer, matrix, full_range })
}

/// The SPS with `colors` where it signals none: what it does say, such as its range, is kept. An SPS that cannot be read
/// is returned as it is.
pub fn complete(sps: &[u8], colors: Colorimetry) -> Cow<'_, [u8]> {
    completed(sps, colors).map_or(Cow::Borrowed(sps), Cow::Owned)
}

fn completed(sps: &[u8], colors: Colorimetry) -> Option<Vec<u8>> {
    let payload = payload(sps)?;
    let signal = VideoSignal::find(&payload)?;
    let wanted = [colors.primaries, colors.transfer, colors.matrix];
    let description = match signal.description {
        Some(found) if !found.contains(&Colorimetry::UNSPECIFIED) => return None,
        Some(found) => std::array::from_fn(|at| match found[at] {
            Colorimetry::UNSPECIFIED => wanted[at],
            known => known,
        }),
        None => wanted,
    };
    if signal.description == Some(description) {
        return None;
    }
    let mut out = BitWriter::default();
    let mut from = Bits { data: &payload, at: 0 };
    for _ in 0..signal.begin {
        out.put(from.bits(1)?, 1);
    }
    if !signal.has_vui {
        // vui_parameters_present_flag, then no aspect ratio and no overscan.
        out.put(0b100, 3);
    }
    out.put(1, 1);
    out.put(signal.video_format.unwrap_or(VIDEO_FORMAT_UNSPECIFIED), 3);
    out.put(signal.full_range.unwrap_or(colors.full_range).into(), 1);
    out.put(1, 1);
    for value in description {
        out.put(value.into(), 8);
    }
    if !signal.has_vui {
        // No chroma location, timing, HRD, picture structure and bitstream restriction.
        out.put(0, 6);
    }
    from.at = signal.end;
    // What follows ends with a one and zeros to the end of the byte (section 7.3.2.11); these are made anew.
    let last = payload.iter().rposition(|byte| *byte != 0)?;
    let stop = last * 8 + 7 - payload[last].trailing_zeros() as usize;
    while from.at < stop {
        out.put(from.bits(1)?, 1);
    }
    out.put(1, 1);
    Some(escape(sps[0], &out.bytes))
}

/// The payload of an SPS without its header and emulation prevention.
fn payload(sps: &[u8]) -> Option<Vec<u8>> {
    (super::nal_type(sps) == super::SPS).then(|| h264_reader::rbsp::decode_nal(sps).ok())?.map(Cow::into_owned)
}

/// A NAL unit of a payload, with emulation prevention (section 7.4.1.1).
fn escape(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut nal = vec![header];
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

/// Where `video_signal_type` is in a payload or belongs, and what it holds.
struct VideoSignal {
    has_vui: bool,
    /// The bit at which `video_signal_type_present_flag` is; without VUI, that of `vui_parameters_present_flag`.
    begin: usize,
    /// The bit after it.
    end: usize,
    video_format: Option<u32>,
    full_range: Option<bool>,
    /// Primaries, transfer and matrix.
    description: Option<[u8; 3]>,
}

impl VideoSignal {
    fn find(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits { data: payload, at: 0 };
        skip_to_vui(&mut bits)?;
        let before = bits.at;
        let has_vui = bits.flag()?;
        let nothing =
            Self { has_vui, begin: before, end: bits.at, video_format: None, full_range: None, description: None };
        if !has_vui {
            return Some(nothing);
        }
        if bits.flag()? && bits.bits(8)? == EXTENDED_SAR {
            bits.bits(32)?;
        }
        if bits.flag()? {
            bits.flag()?;
        }
        let begin = bits.at;
        if !bits.flag()? {
            return Some(Self { begin, end: bits.at, ..nothing });
        }
        let (video_format, full_range) = (bits.bits(3)?, bits.flag()?);
        let description = match bits.flag()? {
            true => Some([bits.byte()?, bits.byte()?, bits.byte()?]),
            false => None,
        };
        let (video_format, full_range) = (Some(video_format), Some(full_range));
        Some(Self { has_vui, begin, end: bits.at, video_format, full_range, description })
    }
}

/// Reads to `vui_parameters_present_flag` (section 7.3.2.1.1).
fn skip_to_vui(bits: &mut Bits) -> Option<()> {
    let profile = bits.bits(8)?;
    // Constraints and level.
    bits.bits(16)?;
    bits.golomb()?;
    if HIGH_PROFILES.contains(&profile) {
        let chroma_format = bits.golomb()?;
        if chroma_format == 3 {
            bits.flag()?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.flag()?;
        if bits.flag()? {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.flag()?;
            bits.golomb()?;
            bits.golomb()?;
            let cycle = Some(bits.golomb()?).filter(|cycle| *cycle <= MAX_CYCLE)?;
            for _ in 0..cycle {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    // Reference frames, gaps in frame_num, width, height.
    bits.golomb()?;
    bits.flag()?;
    bits.golomb()?;
    bits.golomb()?;
    if !bits.flag()? {
        bits.flag()?;
    }
    bits.flag()?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.golomb()?;
        }
    }
    Some(())
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()? + 256).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Writes bits.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits in use of the last byte; zero for all.
    used: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = (value >> at & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use h264_reader::nal::sps::SeqParameterSet;
    use h264_reader::rbsp::BitReader;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Baseline 3.1 of 1280x720 without VUI, as OpenH264 writes it.
    const BARE: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80];
    /// High 4.0 of 1920x1080 with aspect ratio and timing in its VUI, as x264 writes it.
    const TIMED: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];

    fn parsed(sps: &[u8]) -> SeqParameterSet {
        let payload = h264_reader::rbsp::decode_nal(sps).expect("payload");
        SeqParameterSet::from_bits(BitReader::new(&payload[..])).expect("sps")
    }

    /// Everything but the colours.
    fn without_colors(mut sps: SeqParameterSet) -> String {
        if let Some(vui) = &mut sps.vui_parameters {
            vui.video_signal_type = None;
        }
        format!("{sps:?}")
    }

    #[test]
    fn colours_are_added_where_there_are_none_and_nothing_else_changes() {
        let colors = Colorimetry { primaries: 9, transfer: 16, matrix: 0, full_range: true };
        assert_eq!((read(BARE), read(TIMED)), (None, None));
        let bare = complete(BARE, colors);
        assert_eq!(read(&bare), Some(colors));
        let mut original = parsed(BARE);
        original.vui_parameters = parsed(&bare).vui_parameters;
        assert_eq!(without_colors(original), without_colors(parsed(&bare)));
        let timed = complete(TIMED, colors);
        assert_eq!(read(&timed), Some(colors));
        assert_eq!(without_colors(parsed(TIMED)), without_colors(parsed(&timed)));
        assert!(!timed.windows(3).any(|bytes| bytes[..2] == [0, 0] && bytes[2] < 3), "{timed:x?}");
        // Complete by now: nothing is left to add.
        assert!(matches!(complete(&timed, Colorimetry::BT709), Cow::Borrowed(_)));
    }

    #[test]
    fn what_a_stream_says_itself_is_kept() {
        let partly = Colorimetry { primaries: 2, transfer: 2, matrix: 1, full_range: true };
        let said = complete(BARE, partly).into_owned();
        let completed = complete(&said, Colorimetry::SRGB);
        assert_eq!(read(&completed), Some(Colorimetry { primaries: 1, transfer: 13, ..partly }));
    }

    #[test]
    fn what_is_no_sps_stays_as_it_is() {
        for other in [&[][..], &[0x67], &[0x68, 1, 2, 3], &BARE[..6], &[0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(&complete(other, Colorimetry::BT709)[..], other);
            assert_eq!(read(other), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
            let sps = [&[0x67][..], &bytes].concat();
            let completed = complete(&sps, Colorimetry::SRGB);
            prop_assert!(completed.len() >= sps.len() || matches!(completed, Cow::Owned(_)));
        }
    }
}
