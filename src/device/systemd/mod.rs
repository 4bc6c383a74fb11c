//! What porthole and systemd have to tell each other: readiness, a line of status, a sign of life, a reload, and a socket
//! that systemd listens on already. Where there is no systemd, nothing of it happens.
//!
//! What the line says is in `camera_text`, when there is no sign of life in `watchdog`. The unit itself is `systemd/porthole.service`.

mod status_text;
mod watchdog;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use watchdog::Watchdog;
pub use watchdog::{StreamHealth, WatchedStream};

use crate::model::status::Status;

/// The least time from one status line to the next: a status may change with every frame, and each line is a message to
/// the first process of the system.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The connection to systemd; a cheap handle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notifier(());

impl Notifier {
    /// The page can be reached, or the configuration has been read again.
    pub fn ready(self) {
        notify(&[NotifyState::Ready]);
    }

    /// The configuration is being read again; [`ready`](Self::ready) ends it.
    pub fn reloading(self) {
        // Newer versions of systemd ask for the time, to tell one reload from the next.
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        notify(&[NotifyState::Reloading, now]);
    }

    /// The program stops.
    pub fn stopping(self) {
        notify(&[NotifyState::Stopping]);
    }

    /// The socket that systemd listens on for us (systemd.socket(5)), where there is one. It can be taken once.
    ///
    /// # Errors
    ///
    /// When systemd hands over something else than one TCP socket.
    pub fn listener(self) -> anyhow::Result<Option<TcpListener>> {
        let mut inherited = ListenFd::from_env();
        let count = inherited.len();
        anyhow::ensure!(count <= 1, "systemd hands over {count} sockets; leave one ListenStream= in porthole.socket");
        inherited
            .take_tcp_listener(0)
            .context("take the socket of systemd; ListenStream= in porthole.socket has to be a TCP port")
    }

    /// Follows the status and, where systemd wants a sign of life (`WatchdogSec=`), gives one as long as pictures flow from
    /// each of the sources that is watched; until `end`.
    pub async fn run(self, mut status: watch::Receiver<Status>, sources: Vec<WatchedStream>, end: CancellationToken) {
        let timeout = sd_notify::watchdog_enabled();
        let mut watchdog = timeout.map(|timeout| Watchdog::new(sources, timeout / 2, Instant::now()));
        // Four in the time that systemd waits: one that comes late does no harm.
        let mut watchdog_timer = every(timeout.map_or(STATUS_INTERVAL, |timeout| timeout / 4));
        let mut status_timer = every(STATUS_INTERVAL);
        let mut sent = String::new();
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                _ = watchdog_timer.tick() => match watchdog.as_mut().map(|watchdog| watchdog.check(Instant::now())) {
                    Some(Ok(())) => notify(&[NotifyState::Watchdog]),
                    Some(Err(stalled)) => tracing::error!("{stalled}"),
                    None => {}
                },
                _ = status_timer.tick() => {
                    let line = status_text::line(&status.borrow_and_update());
                    if line != sent {
                        notify(&[NotifyState::Status(&line)]);
                        sent = line;
                    }
                }
            }
        }
    }
}

/// A clock for that interval; what it missed while the process was stopped it leaves out.
fn every(interval: Duration) -> Interval {
    let mut clock = tokio::time::interval(interval.max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// Sends a message, where systemd listens for one (sd_notify(3)).
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("tell systemd {states:?}: {error}");
    }
}
