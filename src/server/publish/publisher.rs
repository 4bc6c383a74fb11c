//! The task of one publication: it waits until the camera shall be published, publishes it, and tries again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::PublishDeps;
use super::config::Config;
use super::destination::Destination;
use super::failure::PublishFailure;
use super::pauses::Pauses;
use super::whip::{self, WhipSession};
use crate::model::metrics::{Metrics, PublishLabel};
use crate::model::status::{PipelineState, StatusPublisher};
use crate::server::client::{HttpClient, local_address};
use crate::server::publish_switches::{PublishSwitches, SwitchState};
use crate::server::rtc::{CameraStream, PublishOffer, SessionManager};

/// How long a response is waited for to an offer that is no longer wanted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// One publication.
pub struct Publisher {
    index: usize,
    config: Config,
    camera: CameraStream,
    /// Whether it shall be published.
    wanted: watch::Receiver<SwitchState>,
    /// How often it had been turned off when it was wanted last.
    stops: u64,
    stop: CancellationToken,
    client: Arc<HttpClient>,
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
        client: Arc<HttpClient>,
        stop: CancellationToken,
    ) -> Option<Self> {
        let PublishDeps { sessions, cameras, switches, status, metrics } = deps;
        let camera = cameras.iter().find(|camera| camera.name == config.camera)?.clone();
        let (wanted, sessions, switches) = (switches.watch(index)?, sessions.clone(), switches.clone());
        let (status, metrics) = (status.clone(), metrics.clone());
        Some(Self { index, config, camera, wanted, stops: 0, stop, client, sessions, switches, status, metrics })
    }

    /// Publishes whenever it is wanted, until the program stops.
    pub async fn run(mut self) {
        let mut pauses = Pauses::default();
        loop {
            self.report(PipelineState::Idle, None);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = reached(self.wanted.clone(), |now| now.on) => {}
            }
            self.stops = self.wanted.borrow().stops;
            self.report(PipelineState::Starting, None);
            self.keep_published(&mut pauses).await;
            pauses.reset();
        }
    }

    /// Publishes, and tries again after failures, while it is wanted. A fault is shown until it is published.
    async fn keep_published(&self, pauses: &mut Pauses) {
        loop {
            let Err(failure) = self.publish().await else { return };
            let (pause, log) = pauses.after(&failure, Instant::now(), rand::random());
            if log {
                tracing::warn!("not published: {failure}; trying again in {:.1} s", pause.as_secs_f32());
            } else {
                tracing::debug!("not published: {failure}; trying again in {:.1} s", pause.as_secs_f32());
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
        let offer = tokio::select! {
            biased;
            () = self.unwanted() => return Ok(()),
            offer = self.offer() => offer?,
        };
        let Some(session) = self.post(&offer.sdp).await? else { return Ok(()) };
        let ended = tokio::select! {
            biased;
            () = self.unwanted() => Ok(()),
            ended = self.send(offer, &session) => ended,
        };
        // Before the server is told, as that may take a while.
        match &ended {
            Ok(()) => self.report(PipelineState::Idle, None),
            Err(failure) => self.report(PipelineState::Fault, Some(failure.to_string())),
        }
        session.delete(&self.client).await;
        ended
    }

    /// An offer of the camera to the server.
    async fn offer(&self) -> Result<PublishOffer, PublishFailure> {
        let local_addr = local_address(&self.config.url).await?;
        Ok(self.sessions.publish_offer(&self.camera, local_addr).await)
    }

    /// Has the server accept an offer; `None` if it is no longer wanted. The server may have accepted it all the same, so the
    /// response is waited for, and the session deleted.
    async fn post(&self, offer: &str) -> Result<Option<WhipSession>, PublishFailure> {
        let Config { url, token, .. } = &self.config;
        let mut posted = pin!(whip::post(&self.client, url, token.as_ref(), offer));
        tokio::select! {
            biased;
            () = self.unwanted() => {}
            session = posted.as_mut() => return session.map(Some),
        }
        if let Ok(Ok(session)) = timeout(FINISH_TIMEOUT, posted).await {
            session.delete(&self.client).await;
        }
        Ok(None)
    }

    /// Sends until an operator ends the session (`Ok`), or it fails.
    async fn send(&self, offer: PublishOffer, session: &WhipSession) -> Result<(), PublishFailure> {
        let Config { url, token, .. } = &self.config;
        let (name, WhipSession { answer, server, .. }) = (format!("publish to {}", url.host()), session);
        let publication = self.sessions.publish(&self.camera, offer, answer, *server, &name).await;
        let mut publication = publication.map_err(|error| {
            let words = Destination::new(url, token.as_ref()).without_secrets(&error.to_string());
            PublishFailure::Response(words)
        })?;
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

    /// Waits until it is no longer wanted, even if it is wanted again by now, or the program stops.
    async fn unwanted(&self) {
        let stops = self.stops;
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = reached(self.wanted.clone(), move |now| !now.on || now.stops != stops) => {}
        }
    }

    fn report(&self, state: PipelineState, fault: Option<String>) {
        let live = i64::from(state == PipelineState::Live);
        self.metrics.publish_live.get_or_create(&self.label()).set(live);
        self.status.publish(self.index, state, fault);
    }

    fn label(&self) -> PublishLabel {
        PublishLabel { section: self.index as u64, camera: self.config.camera.clone() }
    }
}

/// Waits until a switch fulfils this condition; forever if it no longer exists.
async fn reached(mut switch: watch::Receiver<SwitchState>, condition: impl Fn(&SwitchState) -> bool) {
    if switch.wait_for(condition).await.is_err() {
        std::future::pending().await
    }
}
