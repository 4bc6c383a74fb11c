//! The library with a quantiser for each frame, a slice for each thread and temporal layers, which the wrapper does not offer.
//!
//! Which quantiser and how many threads is decided elsewhere.

use std::ffi::{c_int, c_void};

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    MatrixCoefficients, Profile, RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, ENCODER_OPTION_TRACE_LEVEL, SEncParamExt,
    SM_FIXEDSLCNUM_SLICE, SM_SINGLE_SLICE, SM_SIZELIMITED_SLICE, WELS_LOG_QUIET,
};

use super::NAME;
use crate::media::convert::{Planes, video_color};
use crate::media::encoder::rate::Layer;
use crate::media::encoder::{Error, SMALL_NAL};
use crate::media::{Colorimetry, VideoFormat};

/// The size of a slice that the library is asked for where they have to be small: [`SMALL_NAL`] without what it may add.
/// It ends a slice 150 bytes earlier, but the last macroblock of a picture may exceed that.
const SLICE_BYTES: u32 = SMALL_NAL as u32 - 100;

/// The library codes the base layer with a quantiser finer by this than the one that it is told (`RcCalculateCascadingQp`).
/// Both layers get the same one: with the upper one coarser by 1, 2 and 3 steps the base layer has 70, 85 and 90 % of a pan
/// instead of half, so that leaving the other out saves little, and the picture is no better. With the same one, six scenes of
/// 640x360 at 1 Mbit/s were between 0.03 dB worse and 0.14 dB better than in one layer at 30 frames a second (0.16 and 0.22
/// at 15), took 5 % less time in all, and the base layer had 48 to 64 % of the bytes.
const CASCADE: u8 = 3;

/// How a picture is cut into slices, each of which is a NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slices {
    /// One for each thread.
    PerThread,
    /// As many as it takes for each to have [`SMALL_NAL`] bytes at most.
    Small,
}

/// How the pictures are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodecLayout {
    /// The threads that encode a picture.
    pub threads: u16,
    /// The slices of each.
    pub slices: Slices,
    /// Whether every other picture is one that no other needs.
    pub layered: bool,
}

/// An encoder for pictures of one size.
pub(super) struct Codec {
    encoder: Encoder,
    parameters: Box<SEncParamExt>,
    layered: bool,
    /// The place of the next frame behind the last key frame.
    next: u32,
}

/// An encoded picture.
pub(super) struct Picture {
    /// The access unit.
    pub data: Vec<u8>,
    /// What it is to the others.
    pub layer: Layer,
}

impl Codec {
    /// Opens the library for pictures of `size`, divided like this. The first frame will be a key frame. The SPS gets its level
    /// from the bitrate and the frame rate of `format`, and its colours.
    pub(super) fn open(
        size: (usize, usize),
        bitrate: u32,
        format: &VideoFormat,
        layout: CodecLayout,
    ) -> Result<Self, Error> {
        let settings = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            // The caller gives the quantiser of each frame. The library's own control adjusts it within a frame only if
            // that has a single slice; with several its frames vary by a factor of fifty.
            .rate_control_mode(RateControlMode::Off)
            .bitrate(BitRate::from_bps(bitrate))
            .max_frame_rate(FrameRate::from_hz(format.fps as f32))
            .complexity(Complexity::Low)
            // A skipped frame freezes the video; an IDR at each scene change costs more than it gains.
            .skip_frames(false)
            .scene_change_detect(false)
            // Without it the sensor's noise is encoded: a static scene with noise of 2.5 steps of luma took 1.92 instead of
            // 0.11 Mbit/s and 2.6 times the CPU time for 0.9 dB, most of it noise. A pan is the same with and without it.
            .background_detection(true)
            .num_threads(layout.threads)
            // Key frames are requested one by one; the codec itself never inserts one.
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .vui(vui(video_color(format)));
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), settings).map_err(codec_error)?;
        let mut codec = Self { encoder, parameters: Box::default(), layered: layout.layered, next: 0 };
        codec.suppress_log();
        codec.initialise(size, layout)?;
        Ok(codec)
    }

    /// The codec prints to standard error by itself. The wrapper's option takes effect too late for what the first frame
    /// makes it print.
    fn suppress_log(&mut self) {
        let mut level: c_int = WELS_LOG_QUIET;
        // SAFETY: the option takes a pointer to an int that is read during the call, and may be set before the first
        // picture. An error would mean only that the codec keeps talking.
        unsafe {
            self.encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
        }
    }

    /// The wrapper initialises the library when it gets the first picture, with a single slice and a single layer: so it gets a
    /// grey one before they can be set.
    fn initialise(&mut self, (width, height): (usize, usize), layout: CodecLayout) -> Result<(), Error> {
        let grey = vec![128u8; width * height];
        let half = &grey[..(width / 2) * (height / 2)];
        let planes = Planes { width, height, y: &grey, u: half, v: half, y_stride: width, uv_stride: width / 2 };
        self.run(&planes, 0)?;
        self.option(true)?;
        let argument = &mut self.parameters.sSpatialLayers[0].sSliceArgument;
        match layout.slices {
            Slices::Small => {
                argument.uiSliceMode = SM_SIZELIMITED_SLICE;
                argument.uiSliceSizeConstraint = SLICE_BYTES;
            }
            Slices::PerThread if layout.threads > 1 => {
                argument.uiSliceMode = SM_FIXEDSLCNUM_SLICE;
                argument.uiSliceNum = layout.threads.into();
            }
            Slices::PerThread => {}
        }
        let is_sliced = argument.uiSliceMode != SM_SINGLE_SLICE;
        // With slices of varying height two runs would give different streams.
        self.parameters.bUseLoadBalancing &= !is_sliced;
        self.parameters.iTemporalLayerNum = if layout.layered { 2 } else { 1 };
        if is_sliced || layout.layered {
            self.option(false)?;
        }
        self.encoder.force_intra_frame();
        Ok(())
    }

    /// What the next frame will be to the others, if it is no key frame.
    pub(super) fn next_layer(&self) -> Layer {
        if self.layered && !self.next.is_multiple_of(2) { Layer::Upper } else { Layer::Base }
    }

    /// Encodes a picture with the given quantiser, as a key frame if `key`.
    pub(super) fn encode(
        &mut self,
        planes: &Planes<'_>,
        milliseconds: u64,
        (key, qp): (bool, u8),
    ) -> Result<Picture, Error> {
        let layer = if key { Layer::Key } else { self.next_layer() };
        let told = match layer {
            Layer::Key | Layer::Base if self.layered => qp + CASCADE,
            _ => qp,
        };
        let told = c_int::from(told);
        let spatial = &mut self.parameters.sSpatialLayers[0];
        if spatial.iDLayerQp != told {
            spatial.iDLayerQp = told;
            self.option(false)?;
        }
        if key {
            self.encoder.force_intra_frame();
        }
        let (data, key) = self.run(planes, milliseconds)?;
        self.next = if key { 1 } else { self.next.wrapping_add(1) };
        Ok(Picture { data, layer: if key { Layer::Key } else { layer } })
    }

    fn run(&mut self, planes: &Planes<'_>, milliseconds: u64) -> Result<(Vec<u8>, bool), Error> {
        let source = YUVSlices::new(
            (planes.y, planes.u, planes.v),
            (planes.width, planes.height),
            (planes.y_stride, planes.uv_stride, planes.uv_stride),
        );
        let at = openh264::Timestamp::from_millis(milliseconds);
        let stream = self.encoder.encode_at(&source, at).map_err(codec_error)?;
        let mut data = Vec::new();
        stream.write_vec(&mut data);
        Ok((data, stream.frame_type() == FrameType::IDR))
    }

    /// Reads the library's parameters, or hands them to it.
    fn option(&mut self, read: bool) -> Result<(), Error> {
        const OPTION: ENCODER_OPTION = ENCODER_OPTION_SVC_ENCODE_PARAM_EXT;
        let parameters: *mut c_void = (&raw mut *self.parameters).cast();
        // SAFETY: the option takes a pointer to a structure of this type, which is read or written during the call only.
        // The library is initialised, and what is set are its own parameters but for slices, layers and quantiser, none of
        // which the wrapper relies on.
        let answer = unsafe {
            let api = self.encoder.raw_api();
            if read { api.get_option(OPTION, parameters) } else { api.set_option(OPTION, parameters) }
        };
        if answer == 0 {
            return Ok(());
        }
        Err(Error::Codec { encoder: NAME, reason: format!("refuses its parameters ({answer})") })
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
    VuiConfig::new()
        .color_primaries(primaries)
        .transfer_characteristics(transfer)
        // See `video_color`.
        .matrix_coefficients(MatrixCoefficients::Smpte170M)
        .full_range(false)
}

fn codec_error(error: openh264::Error) -> Error {
    Error::Codec { encoder: NAME, reason: error.to_string() }
}
