//! Publishes discovery messages and states: all of them at the start of a connection, then what changes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::PrivacyCommands;
use super::inbox::HomeAssistant;
use super::link::{Outbox, Retained};
use super::link_error::LinkError;
use super::states::{OFFLINE, ONLINE, states};
use super::topics::Topics;
use crate::model::status::Status;

/// Minimum interval between two samples of the status: five a second look immediate to a person, and bound what a broker has
/// to take.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Minimum interval between two announcements, whoever claims to be Home Assistant.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

/// Minimum interval between two leftover discovery messages that are removed.
const REMOVE_INTERVAL: Duration = Duration::from_millis(100);

/// Publishes the state over one connection.
pub(super) struct StateFeed<'a> {
    pub(super) topics: &'a Topics,
    /// The topics and payloads of the discovery.
    pub(super) discovery: &'a [(String, String)],
    /// Which commands for the privacy switch are taken.
    pub(super) commands: PrivacyCommands,
    /// Whether there are pictures.
    pub(super) pictures: bool,
    pub(super) outbox: &'a Outbox,
    pub(super) status: watch::Receiver<Status>,
    pub(super) home_assistant: watch::Receiver<HomeAssistant>,
    /// Counts commands that were carried out, whether or not they changed anything.
    pub(super) answered: watch::Receiver<u64>,
    /// Topics of discovery messages to remove.
    pub(super) leftovers: mpsc::Receiver<String>,
}

impl StateFeed<'_> {
    /// Publishes until the connection fails. Once `stop` is cancelled, it tells the broker that this device is offline,
    /// disconnects and waits.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Infallible, LinkError> {
        let mut sent = HashMap::new();
        let starts = self.home_assistant.borrow_and_update().starts;
        self.subscribe().await?;
        self.announce().await?;
        self.publish_changes(&mut sent).await?;
        self.outbox.retain(&self.topics.availability(), ONLINE).await?;
        let (mut starts, mut next_announcement) = (starts, Instant::now());
        let (mut next_sample, mut next_removal) = (Instant::now() + POLL_INTERVAL, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.sign_off(sent).await,
                Ok(()) = self.answered.changed() => {
                    // The switch in Home Assistant waits for an answer, also if nothing has changed.
                    sent.remove(&self.topics.privacy());
                    self.publish_changes(&mut sent).await?;
                }
                Ok(()) = changed_after(&mut self.home_assistant, next_announcement) => {
                    let known = self.home_assistant.borrow_and_update().starts;
                    if std::mem::replace(&mut starts, known) != known {
                        next_announcement = Instant::now() + ANNOUNCE_INTERVAL;
                        self.announce().await?;
                        sent.clear();
                        self.publish_changes(&mut sent).await?;
                    }
                }
                Ok(()) = changed_after(&mut self.status, next_sample) => {
                    next_sample = Instant::now() + POLL_INTERVAL;
                    self.publish_changes(&mut sent).await?;
                }
                // Last, as others decide how many there are.
                Some(topic) = received_after(&mut self.leftovers, next_removal) => {
                    next_removal = Instant::now() + REMOVE_INTERVAL;
                    self.outbox.retain(&topic, "").await?;
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<(), LinkError> {
        if self.commands != PrivacyCommands::Off {
            // A command is for now, and not for each connection.
            self.outbox.subscribe(self.topics.privacy_command(), Retained::Unwanted).await?;
        }
        let filters = [self.topics.home_assistant().map(str::to_owned), self.topics.discovery_filter()];
        for filter in filters.into_iter().flatten() {
            self.outbox.subscribe(filter, Retained::Wanted).await?;
        }
        Ok(())
    }

    async fn announce(&self) -> Result<(), LinkError> {
        for (topic, payload) in self.discovery {
            self.outbox.retain(topic, payload).await?;
        }
        Ok(())
    }

    /// Publishes the states that differ from those that were sent.
    async fn publish_changes(&mut self, sent: &mut HashMap<String, String>) -> Result<(), LinkError> {
        let states = states(self.topics, &self.status.borrow_and_update(), self.pictures);
        for (topic, payload) in states {
            if sent.get(&topic) != Some(&payload) {
                self.outbox.retain(&topic, &payload).await?;
                sent.insert(topic, payload);
            }
        }
        Ok(())
    }

    /// Tells the last state and that this device is offline, as its will would, and disconnects.
    async fn sign_off(&mut self, mut sent: HashMap<String, String>) -> Result<Infallible, LinkError> {
        self.publish_changes(&mut sent).await?;
        self.outbox.retain(&self.topics.availability(), OFFLINE).await?;
        self.outbox.disconnect().await?;
        // The connection ends when both have been sent.
        std::future::pending().await
    }
}

async fn changed_after<T>(receiver: &mut watch::Receiver<T>, at: Instant) -> Result<(), watch::error::RecvError> {
    sleep_until(at).await;
    receiver.changed().await
}

async fn received_after<T>(receiver: &mut mpsc::Receiver<T>, at: Instant) -> Option<T> {
    sleep_until(at).await;
    receiver.recv().await
}
