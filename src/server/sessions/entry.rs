//! A session's entry in the registry: the guard that its own task holds, and the handle for everything else that serves
//! the viewer.

use std::any::Any;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Preferences, SessionRecord, SessionRegistry, ViewerNetwork};
use crate::model::metrics::{DropPoint, SkipCause, ViewerLabel};
use crate::model::status::{Layers, Rendition};

/// What a viewer's page has reported: how long after its capture it shows a frame; `None` if it cannot tell.
pub type DelayReport = Option<Duration>;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The viewer or an operator closed it.
    Closed,
    /// An operator ended the session.
    Kicked,
    /// The viewer's access was revoked.
    Revoked,
    /// The video no longer fits the format that the viewer offered.
    Format,
    /// The program is stopping.
    Stopping,
}

impl EndReason {
    /// As text for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed by the server",
            Self::Kicked => "an operator ended this session",
            Self::Revoked => "access was revoked; sign in again",
            Self::Format => "the video no longer fits the format that this player offered; connect anew",
            Self::Stopping => "the server is stopping",
        }
    }

    /// As a code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Kicked => "kicked",
            Self::Revoked => "revoked",
            Self::Format => "format",
            Self::Stopping => "stopping",
        }
    }
}

/// A session's ID and cancellation, for tasks that serve its viewer beside the session's own task; a cheap handle.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    pub(super) id: String,
    pub(super) end: CancellationToken,
    pub(super) reason: Arc<OnceLock<EndReason>>,
}

impl SessionHandle {
    /// The session's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Cancelling this ends the session.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Why the session ended.
    pub fn reason(&self) -> EndReason {
        // Nobody ended this session in particular.
        self.reason.get().copied().unwrap_or(EndReason::Stopping)
    }
}

/// A session's entry in the registry; removed when this drops, also when the session's task panics.
#[derive(Debug)]
pub struct SessionGuard {
    pub(super) registry: SessionRegistry,
    pub(super) arrival: u64,
    pub(super) handle: SessionHandle,
}

impl SessionGuard {
    /// The handle for the session's other tasks.
    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// Ends the session from within.
    pub fn end(&self, reason: EndReason) {
        // The first reason wins.
        let _ = self.handle.reason.set(reason);
        self.handle.end.cancel();
    }

    /// Marks the session as connected.
    pub fn set_connected(&self) {
        self.update(|record| record.connected = true);
    }

    /// Publishes whether the viewer's player decodes nothing.
    pub fn set_undecoded(&self, undecoded: bool) {
        self.update(|record| record.info.undecoded = undecoded);
        self.registry.publish();
    }

    /// Publishes which rendition of its camera the viewer is sent.
    pub fn set_rendition(&self, rendition: Rendition) {
        self.update(|record| record.info.rendition = rendition);
    }

    /// Publishes which frames of it the viewer is sent.
    pub fn set_layers(&self, layers: Layers) {
        self.update(|record| record.info.layers = layers);
    }

    /// Counts frames that were left out for the viewer's network without the picture standing still.
    pub fn count_left_out(&self, count: u64) {
        if count > 0 {
            self.update(|record| record.info.left_out += count);
            self.registry.0.metrics.count_drop(DropPoint::Layer, count);
        }
    }

    /// Publishes what is known of the viewer's network.
    pub fn set_network(&self, network: ViewerNetwork) {
        self.update(|record| record.info.network = network);
        let (metrics, label) = (&self.registry.0.metrics, self.label());
        if let Some(estimate) = network.estimate {
            metrics.viewer_estimate.get_or_create(&label).set(estimate.into());
        } else {
            metrics.viewer_estimate.remove(&label);
        }
        if let Some(rtt) = network.rtt {
            metrics.viewer_rtt.get_or_create(&label).set(rtt.as_secs_f64());
        }
        if let Some(lost) = network.lost_per_mille {
            metrics.viewer_loss.get_or_create(&label).set(f64::from(lost) / 1e3);
        }
    }

    /// What the viewer's page has reported of its delay since the last time.
    pub fn take_delay_report(&self) -> Option<DelayReport> {
        self.registry.lock().records.get_mut(&self.arrival)?.fresh_report.take()
    }

    /// Counts that the viewer was skipped to the live edge.
    pub fn count_skips(&self, cause: SkipCause, count: u64) {
        if count > 0 {
            self.update(|record| record.info.skips += count);
            self.registry.0.metrics.count_skips(cause, count);
        }
    }

    /// Who watches, as a number that is the same for all sessions of one owner.
    pub fn owner(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.registry.lock().records.get(&self.arrival).map(|record| &record.info.owner).hash(&mut hasher);
        hasher.finish()
    }

    /// The label of the session's metrics.
    fn label(&self) -> ViewerLabel {
        ViewerLabel { viewer: self.arrival }
    }

    /// Publishes the RTP timestamp of [`Timestamp::default`](crate::media::Timestamp) in the session's video.
    pub fn set_video_epoch(&self, epoch: u32) {
        self.update(|record| record.video_epoch = Some(epoch));
    }

    /// Keeps a value in the session's record, for [`SessionRegistry::attachment`]. It is dropped with the record.
    pub fn attach(&self, attachment: Arc<impl Any + Send + Sync>) {
        self.update(|record| record.attachment = Some(attachment));
    }

    /// Acknowledges the selection in `preferences`: the session switches at the camera's next key frame.
    pub fn accept_selection(&self, preferences: &Preferences) {
        self.acknowledge(preferences, None);
    }

    /// Rejects the selection in `preferences` and rolls it back.
    pub fn reject_selection(&self, preferences: &Preferences, reason: String) {
        self.update(|record| {
            record.preferences.send_modify(|latest| {
                if latest.selection_seq == preferences.selection_seq {
                    latest.camera = record.info.camera;
                }
            });
        });
        self.acknowledge(preferences, Some(reason));
    }

    fn acknowledge(&self, preferences: &Preferences, rejected: Option<String>) {
        self.update(|record| {
            record.selection.send_modify(|selection| {
                selection.acked_seq = preferences.selection_seq;
                selection.rejected = rejected;
            });
        });
    }

    /// Publishes that the viewer is sent the video of `camera` from now on.
    pub fn set_camera(&self, camera: usize) {
        self.update(|record| {
            record.info.camera = camera;
            record.selection.send_modify(|selection| selection.camera = camera);
        });
        self.registry.publish();
    }

    fn update(&self, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(record) = self.registry.lock().records.get_mut(&self.arrival) {
            change(record);
        }
    }
}

impl SessionRegistry {
    /// Whether a session follows its preferences. An MJPEG stream does not.
    pub fn follows_preferences(&self, id: &str) -> bool {
        self.lock().find(id).is_some_and(|record| record.preferences.receiver_count() > 0)
    }

    /// Publishes how long after its capture a viewer's page shows a frame, in milliseconds; `None` if it cannot tell. `false`
    /// when there is no such session.
    pub fn report_delay(&self, id: &str, delay: Option<u32>) -> bool {
        let mut table = self.lock();
        let Some((arrival, record)) = table.records.iter_mut().find(|(_, record)| record.info.id == id) else {
            return false;
        };
        record.info.delay = delay;
        record.fresh_report = Some(delay.map(|delay| Duration::from_millis(delay.into())));
        let (shown, label) = (&self.0.metrics.viewer_delay, ViewerLabel { viewer: *arrival });
        // Under the lock, so that nothing is left of a session that ends meanwhile.
        if let Some(delay) = delay {
            shown.get_or_create(&label).set(f64::from(delay) / 1e3);
        } else {
            shown.remove(&label);
        }
        true
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        // In a statement of its own: dropping a record's channels wakes its subscribers, which has to happen outside
        // the lock.
        let record = self.registry.lock().records.remove(&self.arrival);
        self.registry.0.metrics.forget_viewer(&self.label());
        if record.is_some() {
            self.registry.publish();
        }
    }
}
