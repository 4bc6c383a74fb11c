//! An encoder while it is used, with its key frame schedule and those who ask for key frames.
//!
//! Which frames it gets, and what becomes of its own, is decided in `encode` and `small`.

use std::time::Duration;

use super::PipelineContext;
use crate::media::encoder;
use crate::media::encoder::keyframe::KeyframeScheduler;
use crate::media::encoder::{Encoder, PictureTap};
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};
use crate::model::metrics::GaugeGuard;
use crate::util::broadcast::Broadcast;

/// An encoder for frames of one format.
pub(super) struct ActiveEncoder {
    encoder: Box<dyn Encoder>,
    /// Where its frames go.
    output: Broadcast<EncodedFrame>,
    /// `None` when the camera encodes and decides on key frames itself.
    keys: Option<KeyframeScheduler>,
    format: VideoFormat,
    /// In bit/s.
    bitrate: u32,
    /// While it holds what encoding takes.
    alive: Option<GaugeGuard>,
}

impl ActiveEncoder {
    /// An encoder for frames of `format`, whose own go to `output`.
    pub fn open(
        ctx: &PipelineContext,
        output: &Broadcast<EncodedFrame>,
        config: &encoder::Config,
        format: &VideoFormat,
    ) -> Result<Self, encoder::Error> {
        let encoder = encoder::open(config, format)?;
        let name = encoder.name();
        ctx.status(|camera| camera.encoder = Some(name));
        let longest = Duration::from_secs(config.keyframe_interval.into());
        Ok(Self {
            encoder,
            output: output.clone(),
            keys: (format.pixel != PixelFormat::H264).then(|| KeyframeScheduler::new(longest)),
            format: *format,
            bitrate: config.bitrate,
            alive: None,
        })
    }

    /// Whether it takes frames of this format.
    pub fn accepts(&self, format: &VideoFormat) -> bool {
        // An H.264 stream signals changes of format in band.
        self.format == *format || (self.keys.is_none() && format.pixel == PixelFormat::H264)
    }

    /// Whether its frames are those of a camera that encodes itself.
    pub fn is_passthrough(&self) -> bool {
        self.keys.is_none()
    }

    /// The profile of its stream; `None` until known.
    pub fn profile(&self) -> Option<Profile> {
        self.encoder.profile()
    }

    /// The share of the time between two frames that encoding takes.
    pub fn load(&self) -> f64 {
        self.encoder.load()
    }

    /// Sets the bitrate of the frames from now on.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), encoder::Error> {
        if std::mem::replace(&mut self.bitrate, bitrate) == bitrate {
            Ok(())
        } else {
            self.encoder.set_bitrate(bitrate)
        }
    }

    /// Encodes one frame; `tap` is given its picture first.
    pub fn encode(
        &mut self,
        ctx: &PipelineContext,
        frame: &RawFrame,
        tap: &mut PictureTap<'_>,
    ) -> Result<Option<EncodedFrame>, encoder::Error> {
        let Some(keys) = &mut self.keys else { return self.passthrough(frame) };
        let output = &self.output;
        self.alive.get_or_insert_with(|| GaugeGuard::new(&ctx.metrics.encoders));
        self.encoder.set_small_nals(output.small_parts().guards() > 0);
        let key = keys.should_force(frame.captured, output.refresh_requested());
        if key {
            // Cleared before encoding: a request that arrives meanwhile is for the next key frame.
            output.take_refresh_request();
            // With a key frame that is due anyway: whoever joins gets one. A lone viewer needs no layers, as the bitrate follows
            // its network.
            self.encoder.set_layers(output.subscribers() > 1);
        }
        let damaged_before = self.encoder.damaged_shown();
        let encoded = self.encoder.encode_tapped(frame, key, tap).inspect_err(|_| {
            if key {
                output.request_refresh();
            }
        })?;
        if !key && encoded.as_ref().is_some_and(|encoded| encoded.key) {
            // The encoder inserts key frames of its own, when its threads or slices change or a frame grows too large.
            output.take_refresh_request();
        }
        if self.encoder.damaged_shown() > damaged_before {
            ctx.metrics.damaged_shown.get_or_create(&ctx.label).inc();
        }
        Ok(encoded)
    }

    /// Converts a frame for `tap` alone: nobody wants it encoded.
    pub fn tap(&mut self, frame: &RawFrame, tap: &mut PictureTap<'_>) -> Result<(), encoder::Error> {
        self.alive = None;
        self.encoder.tap(frame, tap)
    }

    /// Passes a frame through that the camera encoded.
    pub fn passthrough(&mut self, frame: &RawFrame) -> Result<Option<EncodedFrame>, encoder::Error> {
        let encoded = self.encoder.encode(frame, false)?;
        if encoded.as_ref().is_some_and(|encoded| encoded.key) {
            self.output.take_refresh_request();
        }
        Ok(encoded)
    }
}
