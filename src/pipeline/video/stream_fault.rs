//! Decides when a camera's frames cannot be shown, and reports it in the log, the status and the metrics: frames arrive,
//! but for a while none could be published.
//!
//! A camera without frames is the business of `capture`. Showing the placeholder belongs to `encode`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::PipelineContext;
use crate::media::encoder;
use crate::model::metrics::DropPoint;
use crate::model::status::{FaultKind, PipelineState};
use crate::util::drop_log::DropLog;

/// How long frames may arrive and none be shown before viewers see the reason: damaged frames come one at a time, and a
/// frozen frame for this long is not noticed as a fault.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same while the stream waits for a key frame, which cameras send every second or two by themselves.
const KEY_FRAME_PATIENCE: Duration = Duration::from_secs(5);

/// The minimum interval between two lines about single frames that could not be encoded.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The fault of a stream, if it has one.
pub(super) struct StreamFault {
    log: DropLog,
    /// When the first frame arrived that was not shown, since the last one that was.
    since: Option<Instant>,
    /// Whether the status shows the fault.
    reported: bool,
}

impl StreamFault {
    pub fn new() -> Self {
        Self { log: DropLog::every(LOG_INTERVAL), since: None, reported: false }
    }

    /// Notes a frame that was not shown. Returns since when none was, once that counts as a fault.
    pub fn failed(&mut self, ctx: &PipelineContext, error: &encoder::Error, now: Instant) -> Option<Instant> {
        let awaits_key = matches!(error, encoder::Error::AwaitingKey);
        match error {
            encoder::Error::AwaitingKey => ctx.metrics.count_drop(DropPoint::AwaitingKey, 1),
            _ => drop(ctx.metrics.encode_errors.get_or_create(&ctx.label).inc()),
        }
        if matches!(error, encoder::Error::Convert(_)) {
            ctx.metrics.count_drop(DropPoint::Damaged, 1);
        }
        // Every frame of a stream that cannot be shown fails in the same way; one report is enough.
        if !awaits_key
            && !self.reported
            && let Some(count) = self.log.note(1, now)
        {
            tracing::warn!(camera = ctx.label.camera, count, "frame not encoded: {error}");
        }
        let since = *self.since.get_or_insert(now);
        let patience = if awaits_key { KEY_FRAME_PATIENCE } else { PATIENCE };
        if !self.reported && now.saturating_duration_since(since) < patience {
            return None;
        }
        if !std::mem::replace(&mut self.reported, true) {
            ctx.status(|camera| {
                camera.state = PipelineState::Fault;
                (camera.fault, camera.trouble) = (Some(error.to_string()), Some(FaultKind::Encoder));
                camera.since.get_or_insert_with(unix_now);
            });
        }
        Some(since)
    }

    /// Notes a frame that was shown.
    pub fn cleared(&mut self, ctx: &PipelineContext) {
        self.since = None;
        if !std::mem::take(&mut self.reported) {
            return;
        }
        tracing::info!(camera = ctx.label.camera, "the camera's frames can be shown again");
        ctx.status(|camera| {
            // Any other fault is not the encoder's to clear.
            if camera.trouble == Some(FaultKind::Encoder) {
                camera.state = PipelineState::Live;
                (camera.fault, camera.trouble, camera.since) = (None, None, None);
            }
        });
    }

    /// The camera has another fault, which replaces this one in the status.
    pub fn superseded(&mut self) {
        (self.since, self.reported) = (None, false);
    }
}

pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
