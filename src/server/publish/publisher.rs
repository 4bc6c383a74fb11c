//! The task of one publication: it waits until the camera shall be published, publishes it, and tries again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::PublishDeps;
use super::client::{WhipClient, local_address};
use super::config::Config;
use super::failure::PublishFailure;
use super::pauses::Pauses;
use super::whip::{self, WhipSession};
use crate::model::metrics::{Metrics, PublishLabel};
use crate::model::status::{PipelineState, StatusPublisher};
use crate::server::publish_switches::PublishSwitches;
use crate::server::rtc::{CameraStream, PublishOffer, SessionManager};

/// One publication.
pub struct Publisher {
    index: usize,
    config: Config,
    camera: CameraStream,
    /// Whether it shall be published.
    wanted: watch::Receiver<bool>,
    stop: CancellationToken,
    client: Arc<WhipClient>,
    sessions: SessionManager,
    switches: PublishSwitches,
    status: StatusPublisher,
    metrics: Metrics,
}

impl Publisher {
    /// The publication at `index` of the configuration; `None` if its camera does not exist.
    pub fn new(
        index: usize,
        config: Config,
        deps: &PublishDeps,
        client: Arc<WhipClient>,
        stop: CancellationToken,
    ) -> Option<Self> {
        let PublishDeps { sessions, cameras, switches, status, metrics } = deps;
        let camera = cameras.iter().find(|camera| camera.name == config.camera)?.clone();
        let (wanted, sessions, switches) = (switches.watch(index)?, sessions.clone(), switches.clone());
        let (status, metrics) = (status.clone(), metrics.clone());
        Some(Self { index, config, camera, wanted, stop, client, sessions, switches, status, metrics })
    }

    /// Publishes whenever it is wanted, until the program stops.
    pub async fn run(self) {
        let mut pauses = Pauses::default();
        loop {
            self.report(PipelineState::Idle, None);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = switched(self.wanted.clone(), true) => {}
            }
            self.keep_published(&mut pauses).await;
            pauses.reset();
        }
    }

    /// Publishes, and tries again after failures, while it is wanted.
    async fn keep_published(&self, pauses: &mut Pauses) {
        loop {
            self.report(PipelineState::Starting, None);
            let Err(failure) = self.publish().await else { return };
            let (pause, log) = pauses.after(&failure, Instant::now());
            if log {
                tracing::warn!("not published: {failure}; trying again in {} s", pause.as_secs_f32());
            } else {
                tracing::debug!("not published: {failure}; trying again in {} s", pause.as_secs_f32());
            }
            self.metrics.publish_failures.get_or_create(&self.label()).inc();
            self.report(PipelineState::Fault, Some(failure.to_string()));
            tokio::select! {
                biased;
                () = self.unwanted() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Publishes until it is no longer wanted (`Ok`), or fails.
    async fn publish(&self) -> Result<(), PublishFailure> {
        let (offer, session) = tokio::select! {
            biased;
            () = self.unwanted() => return Ok(()),
            accepted = self.offer() => accepted?,
        };
        let ended = tokio::select! {
            biased;
            () = self.unwanted() => Ok(()),
            ended = self.send(offer, &session.answer) => ended,
        };
        self.report(PipelineState::Idle, None);
        session.delete(&self.client, self.config.token.as_ref()).await;
        ended
    }

    /// Offers the camera to the server, which accepts.
    async fn offer(&self) -> Result<(PublishOffer, WhipSession), PublishFailure> {
        let Config { url, token, .. } = &self.config;
        let offer = self.sessions.publish_offer(&self.camera, local_address(url).await?).await;
        let session = whip::post(&self.client, url, token.as_ref(), &offer.sdp).await?;
        Ok((offer, session))
    }

    /// Sends until an operator ends the session (`Ok`), or it fails.
    async fn send(&self, offer: PublishOffer, answer: &str) -> Result<(), PublishFailure> {
        let name = format!("publish to {}", self.config.url.host());
        let publication = self.sessions.publish(&self.camera, offer, answer, &name).await;
        let mut publication = publication.map_err(|error| PublishFailure::Response(error.to_string()))?;
        if publication.connected().await {
            tracing::info!("published");
            self.report(PipelineState::Live, None);
            let since = Instant::now();
            publication.ended().await;
            if !publication.is_kicked() {
                return Err(PublishFailure::Lost(since.elapsed()));
            }
        } else if !publication.is_kicked() {
            return Err(PublishFailure::NotConnected);
        }
        tracing::info!("no longer published: an operator has ended the session");
        self.switches.turn_off(self.index);
        Ok(())
    }

    /// Waits until it is no longer wanted, or the program stops.
    async fn unwanted(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = switched(self.wanted.clone(), false) => {}
        }
    }

    fn report(&self, state: PipelineState, fault: Option<String>) {
        let live = i64::from(state == PipelineState::Live);
        self.metrics.publish_live.get_or_create(&self.label()).set(live);
        self.status.publish(self.index, state, fault);
    }

    fn label(&self) -> PublishLabel {
        PublishLabel { camera: self.config.camera.clone(), server: self.config.url.server() }
    }
}

/// Waits until a switch has this position; forever if it no longer exists.
async fn switched(mut switch: watch::Receiver<bool>, on: bool) {
    if switch.wait_for(|now| *now == on).await.is_err() {
        std::future::pending().await
    }
}
