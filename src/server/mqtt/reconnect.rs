//! Keeps up the connection to the broker: connects again with growing pauses, and tells how that goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::broker::BrokerUrl;
use super::commands::carry_out;
use super::device::DeviceIdentity;
use super::discovery::AnnouncedCamera;
use super::inbox::{HomeAssistant, IgnoredLog, Inbox};
use super::link::Link;
use super::link_error::LinkError;
use super::pictures::PictureFeed;
use super::publish::StateFeed;
use super::topics::Topics;
use super::{Config, MqttDeps, STOP_LIMIT, discovery, options};
use crate::model::metrics::Metrics;
use crate::model::status::{CameraStatus, Mqtt};
use crate::util::backoff::Backoff;
use crate::util::drop_log::DropLog;
use crate::util::lock::Mutex;

/// A connection that lasted for so long was a good one, and the pauses start over.
const STABLE: Duration = Duration::from_secs(30);

/// The shortest pause after the broker has rejected us: it may log each attempt, and block who makes too many.
const REJECTED_PAUSE: Duration = Duration::from_secs(10);

/// After so long without a connection, Home Assistant may have told unheard that it is back: most brokers are reached again
/// before it starts.
const MISSED: Duration = Duration::from_secs(30);

/// At most one log line about pictures that are too large in this interval.
const LOG_EVERY: Duration = Duration::from_secs(600);

/// That there is a connection, until it is dropped.
struct Connected<'a> {
    metrics: &'a Metrics,
    until: &'a Mutex<Instant>,
}

impl<'a> Connected<'a> {
    fn new(metrics: &'a Metrics, until: &'a Mutex<Instant>) -> Self {
        metrics.mqtt_connected.set(1);
        metrics.mqtt_connections.inc();
        Self { metrics, until }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.metrics.mqtt_connected.set(0);
        *self.until.lock() = Instant::now();
    }
}

/// Connects to one broker.
pub(super) struct Connector<'a> {
    broker: &'a BrokerUrl,
    config: &'a Config,
    deps: &'a MqttDeps,
    topics: Topics,
    cameras: Vec<String>,
    /// The topics and payloads of the discovery.
    discovery: Vec<(String, String)>,
    /// The newest command for the privacy switch. It outlives the connection that it came over.
    privacy: watch::Sender<Option<bool>>,
    answered: watch::Sender<u64>,
    /// What is known of Home Assistant. It outlives short interruptions.
    home_assistant: watch::Sender<HomeAssistant>,
    /// When the last connection ended.
    connected_until: Mutex<Instant>,
    /// When pictures were taken for the last time: a new connection is no reason to take more.
    last_pictures: Mutex<Option<tokio::time::Instant>>,
    ignored: IgnoredLog,
    /// Whether a refusal was logged.
    refusal_logged: AtomicBool,
    oversized: DropLog,
}

impl<'a> Connector<'a> {
    pub(super) fn new(broker: &'a BrokerUrl, config: &'a Config, device: &DeviceIdentity, deps: &'a MqttDeps) -> Self {
        let topics = Topics::new(&config.topic, config.discovery.as_deref(), &device.id);
        let status = deps.status.snapshot();
        let recording = status.recording.is_some_and(|recording| !recording.cameras.is_empty());
        let announced =
            |camera: CameraStatus| AnnouncedCamera { name: camera.name, motion: camera.motion.is_some(), recording };
        let cameras: Vec<AnnouncedCamera> = status.cameras.into_iter().map(announced).collect();
        let discovery = discovery::messages(&topics, device, &cameras, config.snapshot_interval > 0, config.privacy);
        let cameras = cameras.into_iter().map(|camera| camera.name).collect();
        Self {
            broker,
            config,
            deps,
            topics,
            cameras,
            discovery,
            privacy: watch::Sender::default(),
            answered: watch::Sender::default(),
            home_assistant: watch::Sender::default(),
            connected_until: Mutex::new(Instant::now()),
            last_pictures: Mutex::default(),
            ignored: IgnoredLog::new(deps.metrics.clone()),
            refusal_logged: AtomicBool::default(),
            oversized: DropLog::every(LOG_EVERY),
        }
    }

    /// Stays connected until `stop` is cancelled.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = self.stay_connected(stop) => {}
            () = carry_out(&self.deps.dispatcher, self.privacy.subscribe(), &self.answered) => {}
        }
    }

    async fn stay_connected(&self, stop: &CancellationToken) {
        let (mut backoff, mut log_success) = (Backoff::default(), true);
        self.deps.status.mqtt(Some(Mqtt::default()));
        loop {
            let began = Instant::now();
            if began.duration_since(*self.connected_until.lock()) > MISSED {
                self.home_assistant.send_modify(|home_assistant| home_assistant.away = false);
            }
            let ended = self.session(stop, &mut log_success).await;
            let Err(error) = ended else { return };
            self.deps.status.mqtt(Some(Mqtt { connected: false, fault: Some(error.to_string()) }));
            if began.elapsed() >= STABLE {
                backoff.recovered();
            }
            let (pause, log) = backoff.failed(Instant::now());
            if log {
                log_success = true;
                tracing::warn!("MQTT: {}: {error}; trying again", self.broker);
            }
            let pause = if error.rejected { pause.max(REJECTED_PAUSE) } else { pause };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// One connection; `Ok` when `stop` was cancelled.
    async fn session(&self, stop: &CancellationToken, log_success: &mut bool) -> Result<(), LinkError> {
        let link = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            link = self.open() => link?,
        };
        let _connected = Connected::new(&self.deps.metrics, &self.connected_until);
        self.deps.status.mqtt(Some(Mqtt { connected: true, fault: None }));
        if std::mem::replace(log_success, false) {
            tracing::info!("MQTT: connected to {} as {}", self.broker, self.topics.node());
        }
        let (inbox, leftovers) = Inbox::new(
            &self.topics,
            &self.discovery,
            self.config.privacy,
            &self.privacy,
            &self.home_assistant,
            &self.ignored,
        );
        let outbox = link.outbox.clone();
        let states = StateFeed {
            topics: &self.topics,
            discovery: &self.discovery,
            commands: self.config.privacy,
            pictures: self.config.snapshot_interval > 0,
            outbox: &outbox,
            status: self.deps.status.watch(),
            home_assistant: self.home_assistant.subscribe(),
            answered: self.answered.subscribe(),
            leftovers,
        };
        let pictures = PictureFeed {
            topics: &self.topics,
            cameras: &self.cameras,
            interval: Duration::from_secs(self.config.snapshot_interval.into()),
            outbox: &outbox,
            dispatcher: &self.deps.dispatcher,
            status: self.deps.status.watch(),
            home_assistant: self.home_assistant.subscribe(),
            last_round: &self.last_pictures,
            metrics: &self.deps.metrics,
            oversized: &self.oversized,
        };
        let out_of_time = async {
            stop.cancelled().await;
            sleep(STOP_LIMIT).await;
        };
        tokio::select! {
            biased;
            ended = link.run(&inbox, &self.deps.metrics, |refusal| self.refused(refusal)) => ended,
            failed = states.run(stop) => failed.map(|never| match never {}),
            failed = pictures.run(), if self.config.snapshot_interval > 0 => failed,
            () = out_of_time => Ok(()),
        }
    }

    /// The connection stays, and what was refused is missing.
    fn refused(&self, refusal: String) {
        if !self.refusal_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!("MQTT: {}: {refusal}", self.broker);
        }
        self.deps.status.mqtt(Some(Mqtt { connected: true, fault: Some(refusal) }));
    }

    async fn open(&self) -> Result<Link, LinkError> {
        let (config, broker, topics) = (self.config.clone(), self.broker.clone(), self.topics.clone());
        let options = tokio::task::spawn_blocking(move || options::options(&config, &broker, &topics)).await;
        let options = options.map_err(LinkError::new)?;
        Link::open(options.map_err(|error| LinkError::rejected(format_args!("{error:#}")))?).await
    }
}
