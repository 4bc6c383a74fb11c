//! Publishes cameras to servers that pass them on to many viewers, by WHIP (RFC 9725): when, how often it is tried again, and
//! what is told about it. One task serves each `[[publish]]` section.
//!
//! What is sent is a session like a viewer's, in `rtc`. Whether a camera shall be published now is in `publish_switches`.

mod config;
mod destination;
mod failure;
mod pauses;
mod publisher;
mod whip;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

pub use config::{BearerToken, Config, PublishMode};
use publisher::Publisher;

use crate::model::metrics::Metrics;
use crate::model::status::{PublishStatus, StatusPublisher};
use crate::server::client::HttpClient;
use crate::server::publish_switches::PublishSwitches;
use crate::server::rtc::{CameraStream, SessionManager};

/// How long servers may take to acknowledge the end of their sessions when the program stops, and before that to answer an
/// offer that they have been sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What publications are made with.
pub struct PublishDeps {
    /// Starts sessions.
    pub sessions: SessionManager,
    /// The cameras.
    pub cameras: Vec<CameraStream>,
    /// What shall be published now.
    pub switches: PublishSwitches,
    /// The status, with a record for each publication.
    pub status: StatusPublisher,
    /// Counters.
    pub metrics: Metrics,
}

/// The running publications.
pub struct Publishers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Publishers {
    /// Starts a task for each publication of the configuration.
    pub fn start(configs: &[Config], deps: &PublishDeps) -> Self {
        let (tasks, stop, client) = (TaskTracker::new(), CancellationToken::new(), Arc::new(HttpClient::default()));
        for (index, config) in configs.iter().cloned().enumerate() {
            let span = tracing::info_span!("publish", server = config.url.server(), camera = config.camera);
            let Some(publisher) = Publisher::new(index, config, deps, client.clone(), stop.clone()) else { continue };
            tasks.spawn(publisher.run().instrument(span));
        }
        Self { tasks, stop }
    }

    /// Ends all publications and tells the servers, for at most 3 s.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("{} publications did not end within {STOP_TIMEOUT:?}", self.tasks.len());
        }
    }
}

/// The switches of the configuration's publications, as they are at the start.
pub fn switches(configs: &[Config]) -> PublishSwitches {
    PublishSwitches::new(configs.iter().map(|config| (config.camera.clone(), config.mode == PublishMode::Always)))
}

/// The status of the configuration's publications at the start.
pub fn initial_status(configs: &[Config]) -> Vec<PublishStatus> {
    let status = |config: &Config| PublishStatus {
        server: Some(config.url.server()),
        camera: config.camera.clone(),
        ..PublishStatus::default()
    };
    configs.iter().map(status).collect()
}
