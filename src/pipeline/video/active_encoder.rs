//! An encoder while it is used, with its key frame schedule.
//!
//! Which frames it gets, and what becomes of its own, is decided in `encode`.

use std::time::{Duration, Instant};

use super::{Config, PipelineContext};
use crate::media::encoder;
use crate::media::encoder::Encoder;
use crate::media::encoder::keyframe::KeyframeScheduler;
use crate::media::{EncodedFrame, PixelFormat, RawFrame, VideoFormat};
use crate::model::metrics::GaugeGuard;

/// An encoder for frames of one format.
pub(super) struct ActiveEncoder {
    pub encoder: Box<dyn Encoder>,
    /// `None` when the camera encodes and decides on key frames itself.
    pub keys: Option<KeyframeScheduler>,
    format: VideoFormat,
    /// In bit/s.
    bitrate: u32,
    _alive: Option<GaugeGuard>,
}

impl ActiveEncoder {
    pub fn open(ctx: &PipelineContext, config: &Config, frame: &RawFrame) -> Result<Self, encoder::Error> {
        let encoder = encoder::open(&config.encoder, &frame.format)?;
        let name = encoder.name();
        ctx.status(|camera| camera.encoder = Some(name));
        let we_encode = frame.format.pixel != PixelFormat::H264;
        let longest = Duration::from_secs(config.encoder.keyframe_interval.into());
        Ok(Self {
            encoder,
            keys: we_encode.then(|| KeyframeScheduler::new(longest)),
            format: frame.format,
            bitrate: config.encoder.bitrate,
            _alive: we_encode.then(|| GaugeGuard::new(&ctx.metrics.encoders)),
        })
    }

    pub fn accepts(&self, format: &VideoFormat) -> bool {
        // An H.264 stream signals changes of format in band.
        self.format == *format || (self.keys.is_none() && format.pixel == PixelFormat::H264)
    }

    /// Sets the bitrate of the frames from now on.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<(), encoder::Error> {
        if std::mem::replace(&mut self.bitrate, bitrate) == bitrate {
            Ok(())
        } else {
            self.encoder.set_bitrate(bitrate)
        }
    }

    /// Encodes one frame.
    pub fn encode(&mut self, ctx: &PipelineContext, frame: &RawFrame) -> Result<Option<EncodedFrame>, encoder::Error> {
        let Some(keys) = &mut self.keys else { return self.passthrough(ctx, frame) };
        self.encoder.set_small_nals(ctx.frames.small_parts().guards() > 0);
        let started = Instant::now();
        let key = keys.should_force(frame.captured, ctx.frames.refresh_requested());
        if key {
            // Cleared before encoding: a request that arrives meanwhile is for the next key frame.
            ctx.frames.take_refresh_request();
        }
        let damaged_before = self.encoder.damaged_shown();
        let encoded = self.encoder.encode(frame, key).inspect_err(|_| {
            if key {
                ctx.frames.request_refresh();
            }
        })?;
        ctx.metrics.encode_seconds.observe(started.elapsed().as_secs_f64());
        if !key && encoded.as_ref().is_some_and(|encoded| encoded.key) {
            // The encoder inserts key frames of its own, when its threads or slices change or a frame grows too large.
            ctx.frames.take_refresh_request();
        }
        if self.encoder.damaged_shown() > damaged_before {
            ctx.metrics.damaged_shown.get_or_create(&ctx.label).inc();
        }
        Ok(encoded)
    }

    /// Passes a frame through that the camera encoded.
    pub fn passthrough(
        &mut self,
        ctx: &PipelineContext,
        frame: &RawFrame,
    ) -> Result<Option<EncodedFrame>, encoder::Error> {
        let encoded = self.encoder.encode(frame, false)?;
        if encoded.as_ref().is_some_and(|encoded| encoded.key) {
            ctx.frames.take_refresh_request();
        }
        Ok(encoded)
    }
}
