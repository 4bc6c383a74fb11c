//! MQTT: tells a broker who is watching, what is wrong and whether the privacy switch is on, publishes pictures if that is
//! configured, and carries out those commands for the privacy switch that are allowed. Home Assistant finds the entities by its discovery messages.
//!
//! The state itself is in `model::status`; commands are carried out by `dispatch`, as an operator's.
//!
//! # Data flow
//!
//! ```text
//! Status --> states --> publish --> link (rumqttc) --> broker
//! Dispatcher::snapshot --> pictures --^      |
//! Dispatcher <-- commands <---- inbox <------+
//! ```
//!
//! Each connection begins with everything that is current: what changed while the broker was away is published in its newest
//! state, and nothing is queued for it meanwhile.

mod broker;
mod commands;
mod device;
mod discovery;
mod inbox;
mod link;
mod link_error;
mod options;
mod pictures;
mod publish;
mod reconnect;
mod states;
mod topics;

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use broker::BrokerUrl;
pub use topics::is_prefix;

use crate::model::metrics::Metrics;
use crate::model::status::{Mqtt, StatusPublisher};
use crate::server::dispatch::Dispatcher;
use crate::util::state_dir::StateDir;
use device::DeviceIdentity;
use reconnect::Connector;

/// How long a stop waits until the broker has been told: porthole itself must stop, whatever the network does.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What the task may take beyond that.
const STOP_MARGIN: Duration = Duration::from_millis(500);

/// The pause after a panic, which is likely to happen again.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// The fault after a panic.
const PANICKED: &str = "panicked, which is a bug; trying again (the log says where)";

/// Which commands for the privacy switch are taken from the broker, whose other users may publish them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivacyCommands {
    /// Those that turn it on and off.
    Set,
    /// Those that turn it on.
    #[default]
    On,
    /// None.
    Off,
}

/// The connection to a broker, and what is published there.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The broker; `None` turns MQTT off.
    pub broker: Option<BrokerUrl>,
    /// The user's name; empty for none.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// A file with the password, which is read at each connection; it takes precedence.
    pub password_file: Option<PathBuf>,
    /// A PEM file with the authorities that the broker's certificate may be from; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// The first part of every topic.
    pub topic: String,
    /// The first part of the topics of Home Assistant's discovery; `None` for no discovery.
    pub discovery: Option<String>,
    /// Seconds between two pictures of a camera; 0 for none.
    pub snapshot_interval: u32,
    /// Which commands are taken.
    pub privacy: PrivacyCommands,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker: None,
            username: String::new(),
            password: String::new(),
            password_file: None,
            ca: None,
            topic: "porthole".into(),
            discovery: Some("homeassistant".into()),
            snapshot_interval: 0,
            privacy: PrivacyCommands::default(),
        }
    }
}

impl fmt::Debug for Config {
    /// Without the password, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("broker", &self.broker)
            .field("username", &self.username)
            .field("topic", &self.topic)
            .field("discovery", &self.discovery)
            .field("snapshot_interval", &self.snapshot_interval)
            .field("privacy", &self.privacy)
            .finish_non_exhaustive()
    }
}

/// What MQTT works with.
pub struct MqttDeps {
    /// Carries out commands and takes pictures.
    pub dispatcher: Dispatcher,
    /// The status to publish, where the state of the connection is told too.
    pub status: StatusPublisher,
    /// Counters.
    pub metrics: Metrics,
}

/// Ends MQTT when dropped; [`stop`](Self::stop) also tells the broker.
#[derive(Debug)]
pub struct Guard {
    config: watch::Sender<Config>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts MQTT as configured. It tries to connect until it is stopped; how that goes is in the status.
pub fn start(config: &Config, store: &StateDir, deps: MqttDeps) -> Guard {
    let (sender, receiver) = watch::channel(config.clone());
    let end = CancellationToken::new();
    let device = DeviceIdentity::of_this_machine(store);
    let task = tokio::spawn(follow(receiver, device, deps, end.clone()));
    Guard { config: sender, end, task }
}

impl Guard {
    /// Applies another configuration, which may turn MQTT on or off. The old connection ends before a new one begins.
    pub fn reconfigure(&self, config: &Config) {
        self.config.send_if_modified(|current| {
            let changed = current != config;
            current.clone_from(config);
            changed
        });
    }

    /// Tells the broker that this device is offline, and disconnects.
    pub async fn stop(mut self) {
        self.end.cancel();
        if timeout(STOP_LIMIT + STOP_MARGIN, &mut self.task).await.is_err() {
            tracing::debug!("MQTT takes too long to stop");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Checks whether the password can be read, if the configuration names a file with one.
///
/// # Errors
///
/// Why not.
pub fn check_password(config: &Config) -> anyhow::Result<()> {
    options::password(config).map(drop)
}

/// Checks whether the broker's certificate could be verified, if the connection is encrypted.
///
/// # Errors
///
/// Why not.
pub fn check_ca(config: &Config) -> anyhow::Result<()> {
    match &config.broker {
        Some(broker) if broker.tls => options::encryption(config.ca.as_deref()).map(drop),
        _ => Ok(()),
    }
}

/// Runs it to its end; whether that was a panic.
async fn panics(run: impl Future<Output = ()>) -> bool {
    let mut run = pin!(run);
    // What a panic leaves behind in it is not used again, except for handles and locks that bear it.
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context)));
        polled.map_or(Poll::Ready(true), |polled| polled.map(|()| false))
    })
    .await
}

/// Keeps up a connection as the configuration says, until `end` is cancelled.
async fn follow(mut config: watch::Receiver<Config>, device: DeviceIdentity, deps: MqttDeps, end: CancellationToken) {
    while !end.is_cancelled() {
        let current = config.borrow_and_update().clone();
        let stop = end.child_token();
        let run = async {
            match &current.broker {
                Some(broker) => {
                    let connector = Connector::new(broker, &current, &device, &deps);
                    while panics(connector.run(&stop)).await {
                        tracing::error!("MQTT: {PANICKED}");
                        deps.status.mqtt(Some(Mqtt { connected: false, fault: Some(PANICKED.into()) }));
                        stop.run_until_cancelled(sleep(PANIC_PAUSE)).await;
                    }
                }
                None => {
                    deps.status.mqtt(None);
                    stop.cancelled().await;
                }
            }
        };
        let reconfigured = async {
            // Without a sender the guard is being dropped.
            let _ = config.changed().await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = run => {}
            () = reconfigured => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_survived() {
        assert!(panics(async { std::hint::black_box(None::<()>).expect("a bug") }).await);
        assert!(!panics(async {}).await);
    }
}
