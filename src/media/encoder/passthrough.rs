//! H.264 from the camera, passed on without re-encoding, in a form that a viewer can join at any key frame.
//!
//! Only headers are parsed. Requesting a key frame from the camera belongs to the pipeline.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Encoder, Error, PictureTap};
use crate::media::h264::bits::Bits;
use crate::media::h264::{IDR, PPS, Profile, SLICE, SPS, color, nal_type, nals};
use crate::media::{Colorimetry, EncodedFrame, RawFrame};

/// The name in the status and in errors.
const NAME: &str = "camera";

/// `nal_unit_type` of the first of the three parts of a partitioned slice (ITU-T H.264 table 7-1), which the extended profile
/// alone has.
const PARTITION: u8 = 2;

/// The largest ids of parameter sets (sections 7.4.2.1.1 and 7.4.2.2).
const MAX_SPS_ID: u32 = 31;
const MAX_PPS_ID: u32 = 255;
/// No id was written like this: it would have more than 20 leading zeros.
const DAMAGED_ID: u32 = (1 << 21) - 1;

/// The start code before each NAL unit (annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The state of a camera's stream.
///
/// Parameter sets are stored by their ids, even if they come in a buffer of their own, and are inserted before each IDR of
/// the output: any slice up to the next one may refer to any of them. Only slices and parameter sets are passed on:
/// delimiters, filler, SEI and the layers of scalable streams are of no use to a browser.
#[derive(Debug, Default)]
pub struct Passthrough {
    sps: BTreeMap<u32, Sps>,
    pps: BTreeMap<u32, Vec<u8>>,
    /// The profile of the newest sequence parameter set.
    profile: Option<Profile>,
    /// Whether the frames so far can be decoded.
    in_sync: bool,
    /// Whether the stream has B-frames, or had them until its last SPS.
    has_b_frames: bool,
}

/// A sequence parameter set.
#[derive(Debug)]
struct Sps {
    /// As the camera sends it.
    received: Vec<u8>,
    /// As it is passed on: with the colours that the camera's driver declares, where the stream has none.
    sent: Vec<u8>,
}

impl Passthrough {
    /// Stores the parameter sets of an access unit of a stream in `colors`; returns whether it has slices too.
    fn store_parameter_sets(&mut self, data: &[u8], colors: Colorimetry) -> bool {
        let mut pictures = false;
        for nal in nals(data) {
            match nal_type(nal) {
                SPS => self.store_sps(nal, colors),
                PPS => {
                    let id = set_id(nal, 1);
                    if id <= MAX_PPS_ID && self.pps.get(&id).is_none_or(|pps| pps != nal) {
                        self.pps.insert(id, nal.to_vec());
                    }
                }
                SLICE | IDR => pictures = true,
                _ => {}
            }
        }
        pictures
    }

    fn store_sps(&mut self, nal: &[u8], colors: Colorimetry) {
        // Three bytes of profile and level precede the id.
        let id = set_id(nal, 4);
        if id > MAX_SPS_ID || self.sps.get(&id).is_some_and(|sps| sps.received == nal) {
            return;
        }
        let sent = color::complete(nal, colors).into_owned();
        self.sps.insert(id, Sps { received: nal.to_vec(), sent });
        self.profile = Profile::of_sps(nal);
        self.has_b_frames = false;
        // The next frame is an IDR of the new sequence (section 7.4.1.2.1), or useless.
        self.in_sync = false;
    }

    fn stream_error(reason: &str) -> Error {
        Error::Stream { encoder: NAME, reason: reason.into() }
    }
}

impl Encoder for Passthrough {
    fn encode_tapped(
        &mut self,
        frame: &RawFrame,
        _: bool,
        _: &mut PictureTap<'_>,
    ) -> Result<Option<EncodedFrame>, Error> {
        if frame.gap {
            self.in_sync = false;
        }
        let data = &frame.data;
        if nals(data).any(|nal| nal_type(nal) == PARTITION) {
            return Err(Self::stream_error(
                "its slices are partitioned, which no browser decodes; choose format = \"MJPEG\"",
            ));
        }
        if !self.store_parameter_sets(data, frame.format.color) {
            return Ok(None);
        }
        // The baseline profile, and WebRTC's players, show frames in the order in which they arrive. The slice type
        // reveals otherwise, whatever the SPS says.
        if self.has_b_frames || nals(data).any(is_b_slice) {
            self.has_b_frames = true;
            return Err(Self::stream_error(
                "it sends B-frames, which browsers do not play live; switch them off in the camera, or choose format = \
                 \"MJPEG\"",
            ));
        }
        let key = nals(data).any(|nal| nal_type(nal) == IDR);
        let mut out = Vec::with_capacity(data.len() + 64);
        let mut add = |nal: &[u8]| {
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(nal);
        };
        if key {
            if self.sps.is_empty() || self.pps.is_empty() {
                return Err(Error::AwaitingKey);
            }
            self.sps.values().for_each(|sps| add(&sps.sent));
            self.pps.values().for_each(|pps| add(pps));
            self.in_sync = true;
        } else if !self.in_sync {
            return Err(Error::AwaitingKey);
        }
        nals(data).filter(|nal| matches!(nal_type(nal), SLICE | IDR)).for_each(add);
        Ok(Some(EncodedFrame::new(frame.captured, key, Bytes::from(out))))
    }

    fn set_bitrate(&mut self, _bitrate: u32) -> Result<(), Error> {
        Ok(())
    }

    fn profile(&self) -> Option<Profile> {
        self.profile
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// The id of a parameter set, which is its first number after `at` bytes; that of a damaged one is taken for 0.
fn set_id(nal: &[u8], at: usize) -> u32 {
    let mut bits = Bits { data: nal.get(at..).unwrap_or_default(), at: 0 };
    bits.golomb().filter(|id| *id < DAMAGED_ID).unwrap_or(0)
}

/// Whether a NAL unit is a slice of a B-picture (section 7.4.3, table 7-6). Emulation prevention cannot occur in the
/// numbers read: it needs two zero bytes, more than the number of a macroblock begins with.
fn is_b_slice(nal: &[u8]) -> bool {
    if nal_type(nal) != SLICE {
        return false;
    }
    let mut bits = Bits { data: &nal[1..], at: 0 };
    let _first_macroblock = bits.golomb();
    matches!(bits.golomb(), Some(1 | 6))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::media::encoder::{Config, open};
    use crate::media::{PixelFormat, Timestamp, VideoFormat};

    const FORMAT: VideoFormat = VideoFormat {
        pixel: PixelFormat::H264,
        width: 320,
        height: 180,
        stride: 0,
        fps: 30.0,
        color: Colorimetry::SRGB,
    };

    fn frame(number: u64, units: &[&[u8]]) -> RawFrame {
        let data: Vec<u8> = units.iter().flat_map(|nal| [&[0, 0, 1][..], nal].concat()).collect();
        RawFrame::new(Timestamp::from_start(Duration::from_millis(number * 33)), FORMAT, data.into())
    }

    fn types(encoded: &EncodedFrame) -> Vec<u8> {
        nals(&encoded.data).map(nal_type).collect()
    }

    /// A stream of the software encoder: an IDR at every tenth frame.
    fn stream(pictures: u64) -> Vec<RawFrame> {
        let raw = VideoFormat { pixel: PixelFormat::I420, stride: 320, ..FORMAT };
        let mut encoder = open(&Config { bitrate: 2_000_000, ..Config::default() }, &raw).expect("open");
        let picture = |number: u64| {
            let data: Vec<u8> = (0..320 * 270).map(|at: u64| (at * 7 + number * 5) as u8).collect();
            RawFrame::new(Timestamp::from_start(Duration::from_millis(number * 33)), raw, data.into())
        };
        let encoded = (0..pictures).map(|number| encoder.encode(&picture(number), number % 10 == 0).expect("encode"));
        encoded.flatten().map(|encoded| RawFrame::new(encoded.captured, FORMAT, encoded.data)).collect()
    }

    #[test]
    fn parameter_sets_precede_every_idr() {
        let stream = stream(25);
        let first: Vec<&[u8]> = nals(&stream[0].data).collect();
        let mut camera = Passthrough::default();
        assert_eq!(camera.profile(), None);
        // Both in one buffer of their own, and then never again; a delimiter, an SEI and filler beside the frames.
        assert!(camera.encode(&frame(0, &first[..2]), false).expect("should remember").is_none());
        assert_eq!(camera.profile().map(|profile| profile.idc), Some(66));
        for (number, raw) in stream.iter().enumerate() {
            let mut units: Vec<&[u8]> = vec![&[9, 0x10], &[6, 5, 1, 0x80]];
            units.extend(nals(&raw.data).filter(|nal| !matches!(nal_type(nal), SPS | PPS)));
            units.push(&[12, 0xff, 0x80]);
            let encoded = camera.encode(&frame(number as u64, &units), false).expect("pass").expect("picture");
            assert_eq!(encoded.key, number % 10 == 0, "{number}");
            // Byte for byte the encoder's own, which has them there.
            let (ours, theirs): (Vec<_>, Vec<_>) = (nals(&encoded.data).collect(), nals(&raw.data).collect());
            assert_eq!(ours, theirs, "{number}");
        }
    }

    #[test]
    fn no_frame_is_passed_between_a_gap_and_the_next_idr() {
        let mut camera = Passthrough::default();
        let mut passed = Vec::new();
        for (number, mut raw) in stream(30).into_iter().enumerate() {
            raw.gap = number == 4 || number == 20;
            match camera.encode(&raw, false) {
                Ok(Some(_)) => passed.push(number),
                Err(Error::AwaitingKey) => {}
                other => panic!("{number}: {other:?}"),
            }
        }
        assert_eq!(passed, [0, 1, 2, 3].into_iter().chain(10..30).collect::<Vec<_>>());
    }

    #[test]
    fn frames_that_no_other_needs_are_told_from_the_others() {
        let mut camera = Passthrough::default();
        let start: &[&[u8]] = &[&[0x67, 66, 0xc0, 30, 1], &[0x68, 1], &[0x65, 0x88]];
        let frames: [&[&[u8]]; 4] = [start, &[&[0x01, 0xe0]], &[&[0x41, 0xe0]], &[&[0x01, 0xe0], &[0x41, 0xe0]]];
        let passed = (0..).zip(frames).map(|(number, units)| camera.encode(&frame(number, units), false));
        let disposable = passed.map(|passed| passed.expect("pass").expect("picture").disposable);
        assert_eq!(disposable.collect::<Vec<_>>(), [false, true, false, false]);
    }

    #[test]
    fn new_sequence_starts_with_an_idr() {
        let mut camera = Passthrough::default();
        let old: &[&[u8]] = &[&[0x67, 66, 0xc0, 30, 1], &[0x68, 1], &[0x65, 0x88]];
        let new: &[u8] = &[0x67, 100, 0, 40, 1];
        let slice: &[u8] = &[0x41, 0xe0];
        assert_eq!(types(&camera.encode(&frame(0, old), false).expect("pass").expect("picture")), [SPS, PPS, IDR]);
        assert!(camera.encode(&frame(1, &[slice]), false).expect("pass").is_some());
        assert!(camera.encode(&frame(2, &[new]), false).expect("remember").is_none());
        assert_eq!(camera.profile().map(|profile| profile.to_string()), Some("640028".into()));
        assert!(matches!(camera.encode(&frame(3, &[slice]), false), Err(Error::AwaitingKey)));
        let key = camera.encode(&frame(4, &old[2..]), false).expect("pass").expect("picture");
        assert_eq!(nals(&key.data).next(), Some(new));
        assert!(camera.encode(&frame(5, &[slice]), false).expect("pass").is_some());
    }

    #[test]
    fn parameter_sets_are_kept_by_their_ids() {
        // Ids 0, 1 and 0: "1", "010", "1".
        let sps: &[u8] = &[0x67, 66, 0xc0, 30, 0b1000_0000, 1];
        let (one, other, newer) =
            (&[0x68, 0b1110_0000, 1][..], &[0x68, 0b0101_0000, 2][..], &[0x68, 0b1111_0000, 3][..]);
        let idr: &[u8] = &[0x65, 0x88];
        let mut camera = Passthrough::default();
        let mut passed = |number, units: &[&[u8]]| {
            let passed = camera.encode(&frame(number, units), false).expect("pass").expect("picture");
            nals(&passed.data).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(passed(0, &[sps, one, other, idr]), [sps, one, other, idr]);
        assert_eq!(passed(1, &[newer, &[0x41, 0xe0]]), [[0x41, 0xe0]]);
        assert_eq!(passed(2, &[idr]), [sps, newer, other, idr]);
        // An id beyond any stream's is damage.
        assert_eq!(passed(3, &[&[0x68, 0, 0b1100_0000, 7], idr]), [sps, newer, other, idr]);
    }

    #[test]
    fn a_stream_without_colours_gets_those_that_the_driver_declares() {
        // Baseline 3.1 of 1280x720 without VUI.
        let bare: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80];
        let units: &[&[u8]] = &[bare, &[0x68, 1], &[0x65, 0x88]];
        let mut camera = Passthrough::default();
        let mut raw = frame(0, units);
        raw.format.color = Colorimetry::BT709;
        let passed = camera.encode(&raw, false).expect("pass").expect("picture");
        let sps = nals(&passed.data).next().expect("sps");
        assert_eq!(color::read(sps), Some(Colorimetry::BT709));
        assert_eq!(camera.profile().map(|profile| profile.to_string()), Some("42c01f".into()));
        // The same set again is no new sequence.
        assert!(camera.encode(&frame(1, &[bare, &[0x68, 1], &[0x41, 0xe0]]), false).expect("pass").is_some());
    }

    #[test]
    fn stream_cannot_start_at_an_idr_without_parameter_sets() {
        let mut camera = Passthrough::default();
        assert!(matches!(camera.encode(&frame(0, &[&[0x65, 0x88]]), false), Err(Error::AwaitingKey)));
        assert!(camera.encode(&frame(0, &[]), false).expect("nothing").is_none());
    }

    #[test]
    fn b_frames_are_rejected_with_a_remedy_until_the_stream_changes() {
        let mut camera = Passthrough::default();
        let start: &[&[u8]] = &[&[0x67, 77, 0, 30, 1], &[0x68, 1], &[0x65, 0x88]];
        // first_mb_in_slice 0 ("1"), then slice_type 1 ("010"), 6 ("00111"), 5 ("00110").
        let (b, all_b, p) = (&[0x01, 0b1010_0000][..], &[0x01, 0b1001_1100][..], &[0x41, 0b1001_1000][..]);
        for wrong in [b, all_b] {
            camera.encode(&frame(0, start), false).expect("pass").expect("picture");
            assert!(camera.encode(&frame(1, &[p]), false).expect("pass").is_some());
            let refusal = camera.encode(&frame(2, &[wrong]), false).expect_err("should refuse").to_string();
            assert!(refusal.contains("camera: it sends B-frames") && refusal.contains("MJPEG"), "{refusal}");
            assert!(camera.encode(&frame(3, &start[2..]), false).is_err(), "the next IDR changes nothing");
            camera = Passthrough::default();
        }
        // A cut slice is no B-slice.
        assert!(!is_b_slice(&[0x01]) && !is_b_slice(&[0x01, 0, 0, 0, 0, 0]));
    }

    /// What is done to a frame on its way.
    fn damage() -> impl Strategy<Value = (u64, Vec<(usize, u8)>, usize, bool)> {
        (0..12u64, vec((any::<usize>(), any::<u8>()), 0..4), any::<usize>(), any::<bool>())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever becomes of a stream, what is passed on begins with a key frame, and key frames with their parameter
        /// sets.
        #[test]
        fn damaged_input_does_not_panic(damages in vec(damage(), 0..20), noise in vec(any::<u8>(), 0..200)) {
            static STREAM: LazyLock<Vec<RawFrame>> = LazyLock::new(|| stream(12));
            let mut frames = vec![RawFrame::new(Timestamp::default(), FORMAT, noise.into())];
            for (number, flips, cut, gap) in damages {
                let mut data = STREAM[number as usize].data.to_vec();
                for (at, value) in flips {
                    let at = at % data.len();
                    data[at] ^= value;
                }
                data.truncate(data.len() - cut % data.len());
                frames.push(RawFrame { gap, data: data.into(), ..STREAM[number as usize].clone() });
            }
            let mut camera = Passthrough::default();
            let mut begun = false;
            for frame in frames {
                if let Ok(Some(passed)) = camera.encode(&frame, false) {
                    let types = types(&passed);
                    prop_assert!(begun || passed.key);
                    prop_assert!(!passed.key || types.starts_with(&[SPS, PPS]) && types.contains(&IDR), "{types:?}");
                    begun = true;
                }
            }
        }
    }
}
