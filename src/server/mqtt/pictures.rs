//! Publishes a picture of each camera in the configured interval, if somebody may want it: not while the privacy switch is
//! on, and not while Home Assistant has told that it is away.
//!
//! Taking them belongs to `dispatch`, which limits how many are taken at once.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::inbox::HomeAssistant;
use super::link::Outbox;
use super::link_error::LinkError;
use super::topics::Topics;
use crate::model::metrics::Metrics;
use crate::model::status::Status;
use crate::server::dispatch::{Caller, Dispatcher};
use crate::util::drop_log::DropLog;
use crate::util::lock::Mutex;

/// Minimum interval between two rounds of pictures, if the configured one is longer, whatever asks for them: each opens
/// cameras.
const SOON: Duration = Duration::from_secs(30);

/// Publishes the pictures over one connection.
pub(super) struct PictureFeed<'a> {
    pub(super) topics: &'a Topics,
    pub(super) cameras: &'a [String],
    pub(super) interval: Duration,
    pub(super) outbox: &'a Outbox,
    pub(super) dispatcher: &'a Dispatcher,
    pub(super) status: watch::Receiver<Status>,
    pub(super) home_assistant: watch::Receiver<HomeAssistant>,
    /// When pictures were taken for the last time, over whichever connection.
    pub(super) last_round: &'a Mutex<Option<Instant>>,
    pub(super) metrics: &'a Metrics,
    /// Limits log lines about pictures that are too large.
    pub(super) oversized: &'a DropLog,
}

impl PictureFeed<'_> {
    /// Publishes until the connection fails.
    pub(super) async fn run(mut self) -> Result<(), LinkError> {
        let last = *self.last_round.lock();
        let mut due = last.map_or_else(Instant::now, |last| last + self.interval);
        let mut starts = self.home_assistant.borrow().starts;
        loop {
            self.wait_until(due, starts).await;
            starts = self.home_assistant.borrow().starts;
            let began = Instant::now();
            if self.is_wanted() {
                *self.last_round.lock() = Some(began);
            }
            for camera in self.cameras {
                if !self.publish(camera).await? {
                    self.metrics.mqtt_pictures_withheld.inc();
                }
            }
            due = began + self.interval;
        }
    }

    /// Waits until pictures are due, or until somebody who has none is there: Home Assistant has started, or the privacy
    /// switch is turned off. Whoever causes that again and again gets no more pictures than one in `SOON`.
    /// `starts` is how often Home Assistant had started at the last pictures.
    async fn wait_until(&mut self, due: Instant, starts: u64) {
        tokio::select! {
            () = sleep_until(due) => return,
            () = starts_again(&mut self.home_assistant, starts) => {}
            () = privacy_ends(&mut self.status) => {}
        }
        let last = *self.last_round.lock();
        let soon = last.map_or_else(Instant::now, |last| last + self.interval.min(SOON));
        sleep_until(soon.min(due)).await;
    }

    /// Publishes a picture of a camera; whether there was one to publish.
    async fn publish(&self, camera: &str) -> Result<bool, LinkError> {
        if !self.is_wanted() {
            return Ok(false);
        }
        // Why there is none is in the status.
        let Ok(picture) = self.dispatcher.snapshot(&Caller::mqtt(), Some(camera)).await else { return Ok(false) };
        let topic = self.topics.picture(camera);
        if !self.outbox.fits(&topic, picture.data.len()) {
            if let Some(count) = self.oversized.note(1, std::time::Instant::now()) {
                let (width, height, size) = (picture.width, picture.height, picture.data.len());
                tracing::warn!(
                    "MQTT: {count} pictures were too large for the broker; the last one, of {camera}, has {width}x{height} \
                     pixels and {size} bytes; choose a smaller size for the camera"
                );
            }
            return Ok(false);
        }
        // The switch may have been turned on since it was taken.
        if !self.is_wanted() {
            return Ok(false);
        }
        self.outbox.publish(&topic, picture.data).await?;
        Ok(true)
    }

    fn is_wanted(&self) -> bool {
        !self.status.borrow().privacy && !self.home_assistant.borrow().away
    }
}

/// Waits until Home Assistant has started more often than that.
async fn starts_again(home_assistant: &mut watch::Receiver<HomeAssistant>, starts: u64) {
    if home_assistant.wait_for(|home_assistant| home_assistant.starts != starts).await.is_err() {
        // The program is stopping.
        std::future::pending::<()>().await;
    }
}

/// Waits until the privacy switch is turned off.
async fn privacy_ends(status: &mut watch::Receiver<Status>) {
    for on in [true, false] {
        if status.wait_for(|status| status.privacy == on).await.is_err() {
            // The program is stopping.
            std::future::pending::<()>().await;
        }
    }
}
