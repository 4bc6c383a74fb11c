//! The software encoder: Cisco's OpenH264, linked statically.

mod decode_keyframe;

use std::time::Duration;

use bytes::Bytes;
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, Encoder as Codec, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    MatrixCoefficients, Profile, RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo, SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};

use super::{Config, Error};
use crate::media::convert::{Converter, converted_color};
use crate::media::h264;
use crate::media::{Colorimetry, EncodedFrame, RawFrame, VideoFormat};

pub use decode_keyframe::decode;

/// The name in the status and in errors.
const NAME: &str = "openh264";

/// The maximum slice size in bytes if several threads encode: each slice then fits into a packet, and the codec splits
/// its work by slices, so that a single one would leave all threads but one idle.
const SLICE_BYTES: u32 = 1_100;

/// An OpenH264 encoder for frames of one size.
pub struct OpenH264 {
    codec: Codec,
    converter: Converter,
    /// The length of the last access unit, to size the next allocation.
    last_len: usize,
}

impl OpenH264 {
    /// An encoder for frames of `format`.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] when the library refuses.
    pub fn open(config: &Config, format: &VideoFormat) -> Result<Self, Error> {
        let mut settings = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(config.bitrate))
            .max_frame_rate(FrameRate::from_hz(format.fps as f32))
            .complexity(Complexity::Low)
            // A skipped frame freezes the video; an IDR at each scene change costs more than it gains.
            .skip_frames(false)
            .scene_change_detect(false)
            // Key frames are requested one by one; the codec itself never inserts one.
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .vui(vui(converted_color(format)));
        let threads = threads(config.threads);
        if threads > 1 {
            settings = settings.num_threads(threads).max_slice_len(SLICE_BYTES);
        } else {
            settings = settings.num_threads(1);
        }
        let mut codec = Codec::with_api_config(OpenH264API::from_source(), settings).map_err(codec_error)?;
        suppress_codec_log(&mut codec);
        Ok(Self { codec, converter: Converter::new(), last_len: 4096 })
    }
}

/// Half of the cores leaves the other half to capture, network and everything else; more than four threads no longer
/// speed up a 720p frame.
fn threads(configured: u16) -> u16 {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 4) as u16),
        threads => threads,
    }
}

/// The colours of the stream in the codec's names. What it has no name for is left unspecified, and players choose.
fn vui(color: Colorimetry) -> VuiConfig {
    let primaries = match color.primaries {
        1 => ColorPrimaries::Bt709,
        4 => ColorPrimaries::Bt470M,
        5 => ColorPrimaries::Bt470BG,
        6 => ColorPrimaries::Smpte170M,
        7 => ColorPrimaries::Smpte240M,
        9 => ColorPrimaries::Bt2020,
        _ => ColorPrimaries::Unspecified,
    };
    let transfer = match color.transfer {
        1 => TransferCharacteristics::Bt709,
        4 => TransferCharacteristics::Bt470M,
        6 => TransferCharacteristics::Smpte170M,
        7 => TransferCharacteristics::Smpte240M,
        8 => TransferCharacteristics::Linear,
        13 => TransferCharacteristics::Srgb,
        16 => TransferCharacteristics::Smpte2084,
        _ => TransferCharacteristics::Unspecified,
    };
    let matrix = match color.matrix {
        1 => MatrixCoefficients::Bt709,
        Colorimetry::MATRIX_BT601 => MatrixCoefficients::Smpte170M,
        7 => MatrixCoefficients::Smpte240M,
        9 => MatrixCoefficients::Bt2020Ncl,
        10 => MatrixCoefficients::Bt2020Cl,
        _ => MatrixCoefficients::Unspecified,
    };
    VuiConfig::new()
        .color_primaries(primaries)
        .transfer_characteristics(transfer)
        .matrix_coefficients(matrix)
        .full_range(color.full_range)
}

/// The codec prints to standard error by itself, for example a warning that the rate is hard to meet without skipping
/// frames, which it meets all the same. The wrapper's option takes effect too late for what the first frame makes it
/// print.
fn suppress_codec_log(codec: &mut Codec) {
    let mut level: std::ffi::c_int = WELS_LOG_QUIET;
    // SAFETY: the option takes a pointer to an int that is read during the call, and may be set before the first
    // frame. On an error, the codec only continues to log.
    unsafe {
        codec.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
}

fn codec_error(error: openh264::Error) -> Error {
    Error::Codec { encoder: NAME, reason: error.to_string() }
}

impl super::Encoder for OpenH264 {
    fn encode(&mut self, frame: &RawFrame, key: bool) -> Result<Option<EncodedFrame>, Error> {
        let planes = self.converter.i420(frame)?;
        if key {
            self.codec.force_intra_frame();
        }
        let source = YUVSlices::new(
            (planes.y, planes.u, planes.v),
            (planes.width, planes.height),
            (planes.y_stride, planes.uv_stride, planes.uv_stride),
        );
        let at = openh264::Timestamp::from_millis(milliseconds(frame.captured.since_start()));
        let stream = self.codec.encode_at(&source, at).map_err(codec_error)?;
        let mut data = Vec::with_capacity(self.last_len * 2);
        stream.write_vec(&mut data);
        if data.is_empty() {
            return Err(Error::Codec {
                encoder: NAME,
                reason: "returned no frame; reduce the size or the frame rate".into(),
            });
        }
        self.last_len = data.len();
        let key = stream.frame_type() == FrameType::IDR;
        Ok(Some(EncodedFrame { captured: frame.captured, key, data: Bytes::from(data) }))
    }

    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error> {
        let bitrate = std::ffi::c_int::try_from(bitrate).unwrap_or(std::ffi::c_int::MAX);
        let mut info = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: bitrate };
        // SAFETY: the option takes a pointer to this structure, which is read and written during the call only.
        let answer = unsafe { self.codec.raw_api().set_option(ENCODER_OPTION_BITRATE, (&raw mut info).cast()) };
        if answer == 0 {
            return Ok(());
        }
        Err(Error::Codec { encoder: NAME, reason: format!("refuses {bitrate} bit/s ({answer})") })
    }

    fn profile(&self) -> Option<h264::Profile> {
        Some(h264::Profile::CONSTRAINED_BASELINE)
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::encoder::Encoder as _;
    use crate::media::{PixelFormat, Timestamp};

    fn frame(number: u64) -> RawFrame {
        let (width, height) = (320u32, 180u32);
        let mut data = vec![128u8; (width * height * 3 / 2) as usize];
        for (at, luma) in data[..(width * height) as usize].iter_mut().enumerate() {
            *luma = (at as u64 * 7 + number * 5) as u8;
        }
        let format =
            VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 30.0, color: Colorimetry::SRGB };
        RawFrame::new(Timestamp::from_start(Duration::from_millis(number * 33)), format, data.into())
    }

    /// The types of the NAL units of an access unit (ITU-T H.264 table 7-1).
    fn nal_types(data: &[u8]) -> Vec<u8> {
        data.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1f).collect()
    }

    #[test]
    fn every_key_frame_has_sps_and_pps_and_only_requested_frames_are_key_frames() {
        for threads in [1, 2] {
            let config = Config { bitrate: 300_000, threads, ..Config::default() };
            let mut encoder = OpenH264::open(&config, &frame(0).format).expect("open");
            for number in 0..40 {
                let asked = number == 0 || number == 25;
                let encoded = encoder.encode(&frame(number), asked).expect("encode").expect("picture");
                assert_eq!(encoded.key, asked, "frame {number}");
                let types = nal_types(&encoded.data);
                if asked {
                    assert_eq!(types[..3], [7, 8, 5], "frame {number}");
                    // profile_idc 66 with constraint_set0 and constraint_set1: constrained baseline.
                    let sps = encoded.data.windows(4).position(|w| w == [0, 0, 1, 0x67]).expect("sps");
                    assert_eq!(encoded.data[sps + 4], 66);
                    assert_eq!(encoded.data[sps + 5] & 0xc0, 0xc0);
                } else {
                    assert!(types.iter().all(|nal| *nal == 1), "frame {number}: {types:?}");
                }
            }
        }
    }

    #[test]
    fn the_stream_says_what_its_colours_are() {
        let full = Colorimetry { full_range: true, ..Colorimetry::SRGB };
        let colors = [Colorimetry::SRGB, Colorimetry::BT709, full];
        for (color, threads) in colors.into_iter().flat_map(|color| [(color, 1), (color, 2)]) {
            let format = VideoFormat { color, ..frame(0).format };
            let mut encoder = OpenH264::open(&Config { threads, ..Config::default() }, &format).expect("open");
            let encoded = encoder.encode(&RawFrame { format, ..frame(0) }, true).expect("encode").expect("picture");
            let sps = h264::nals(&encoded.data).next().expect("sps");
            assert_eq!(h264::color::read(sps), Some(color));
        }
    }

    #[test]
    fn bitrate_changes_within_the_stream() {
        let config = Config { bitrate: 2_000_000, threads: 1, ..Config::default() };
        let mut encoder = OpenH264::open(&config, &frame(0).format).expect("open");
        encoder.encode(&frame(0), true).expect("encode");
        let second = |encoder: &mut OpenH264, from: u64| {
            let bytes = (from..from + 30).map(|number| {
                let encoded = encoder.encode(&frame(number), false).expect("encode").expect("picture");
                assert!(!encoded.key, "no key frame is needed for it");
                encoded.data.len()
            });
            bytes.sum::<usize>()
        };
        // The first second of each rate is that in which the codec gets there.
        second(&mut encoder, 1);
        let rich = second(&mut encoder, 31);
        encoder.set_bitrate(200_000).expect("fewer");
        second(&mut encoder, 61);
        let poor = second(&mut encoder, 91);
        encoder.set_bitrate(2_000_000).expect("more");
        second(&mut encoder, 121);
        let again = second(&mut encoder, 151);
        assert!(poor * 3 < rich && poor * 3 < again, "{rich}, {poor}, {again} bytes a second");
    }
}
