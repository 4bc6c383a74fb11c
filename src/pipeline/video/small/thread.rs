//! The thread that encodes the smaller rendition of a camera. It sleeps while it is handed nothing.

use std::time::{Duration, Instant};

use super::{SmallInput, SmallOutput};
use crate::media::encoder;
use crate::media::{EncodedFrame, MonotonicTimestamps, RawFrame};
use crate::model::metrics::DropPoint;
use crate::pipeline::video::PipelineContext;
use crate::pipeline::video::active_encoder::ActiveEncoder;
use crate::util::drop_log::DropLog;
use crate::util::heartbeat::Heartbeat;
use crate::util::mailbox::Pop;

/// The minimum interval between two lines about frames that could not be encoded.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The thread's state.
pub struct SmallThread {
    ctx: PipelineContext,
    output: SmallOutput,
    config: encoder::Config,
    heartbeat: Heartbeat,
    active: Option<ActiveEncoder>,
    /// Whether the last frame was a placeholder.
    placeholder: bool,
    timestamps: MonotonicTimestamps,
    log: DropLog,
}

impl SmallThread {
    /// With the configuration of the camera's own encoder.
    pub fn new(ctx: PipelineContext, config: &encoder::Config, heartbeat: Heartbeat) -> Self {
        Self {
            output: ctx.small.clone(),
            ctx,
            // More threads would only take time from the camera's own encoder.
            config: encoder::Config { threads: 1, ..config.clone() },
            heartbeat,
            active: None,
            placeholder: false,
            timestamps: MonotonicTimestamps::default(),
            log: DropLog::every(LOG_INTERVAL),
        }
    }

    pub fn run(&mut self) {
        let input = self.output.input.clone();
        loop {
            self.heartbeat.beat();
            match self.heartbeat.wait(|| input.pop(None)) {
                Pop::Closed => return,
                Pop::Value(SmallInput::Frame { frame, placeholder }) => self.handle_frame(&frame, placeholder),
                Pop::Value(SmallInput::Rest) => self.active = None,
                Pop::TimedOut => {}
            }
        }
    }

    fn handle_frame(&mut self, frame: &RawFrame, placeholder: bool) {
        let demand = self.output.frames.demand();
        if !placeholder && demand.blocked_since().is_some() {
            // Captured before the privacy switch was turned on, but not to be shown after it.
            return;
        }
        match self.encode(frame, placeholder) {
            Ok(Some(encoded)) => self.publish(EncodedFrame { placeholder, ..encoded }),
            Ok(None) => {}
            Err(encoder::Error::Backlog) => self.ctx.metrics.count_drop(DropPoint::Backlog, 1),
            Err(error) => {
                self.ctx.metrics.encode_errors.get_or_create(&self.ctx.label).inc();
                if let Some(count) = self.log.note(1, Instant::now()) {
                    let camera = &self.ctx.label.camera;
                    tracing::warn!(camera, count, "frame of the smaller rendition not encoded: {error}");
                }
            }
        }
    }

    fn encode(&mut self, frame: &RawFrame, placeholder: bool) -> Result<Option<EncodedFrame>, encoder::Error> {
        let bitrate = self.output.bitrate.current();
        let is_other = std::mem::replace(&mut self.placeholder, placeholder) != placeholder;
        // Kept only if it has not failed: the codec may be in any state then.
        let mut active = match self.active.take().filter(|active| !is_other && active.accepts(&frame.format)) {
            Some(active) => active,
            None => {
                self.config.bitrate = bitrate;
                ActiveEncoder::open(&self.ctx, &self.output.frames, &self.config, &frame.format)?
            }
        };
        active.set_bitrate(bitrate)?;
        let encoded = active.encode(&self.ctx, frame, &mut |_| {});
        if !matches!(encoded, Err(encoder::Error::Codec { .. })) {
            self.active = Some(active);
        }
        encoded
    }

    fn publish(&mut self, mut encoded: EncodedFrame) {
        self.ctx.metrics.small_encoded.get_or_create(&self.ctx.label).inc();
        encoded.captured = self.timestamps.next(encoded.captured);
        self.output.frames.publish(encoded);
    }
}
