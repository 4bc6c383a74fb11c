//! What porthole and systemd have to tell each other: readiness, a line of status, a sign of life, a reload, and a socket
//! that systemd listens on already. Where there is no systemd, nothing of it happens.
//!
//! What the line says is in `words`, when there is no sign of life in `pulse`. The unit itself is `systemd/porthole.service`.

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
        tell(&[NotifyState::Ready]);
    }

    /// The configuration is being read again; [`ready`](Self::ready) ends it.
    pub fn reloading(self) {
        // Newer versions of systemd ask for the time, to tell one reload from the next.
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        tell(&[NotifyState::Reloading, now]);
    }

    /// The program stops.
    pub fn stopping(self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The socket that systemd listens on for us (systemd.socket(5)), where there is one. It can be taken once.
    ///
    /// # Errors
    ///
    /// When systemd hands over something else than one TCP socket.
    pub fn listener(self) -> anyhow::Result<Option<TcpListener>> {
        let mut handed = ListenFd::from_env();
        let count = handed.len();
        anyhow::ensure!(count <= 1, "systemd hands over {count} sockets; leave one ListenStream= in porthole.socket");
        handed
            .take_tcp_listener(0)
            .context("take the socket of systemd; ListenStream= in porthole.socket has to be a TCP port")
    }

    /// Follows the status and, where systemd wants a sign of life (`WatchdogSec=`), gives one as long as pictures flow from
    /// each of the sources that is watched; until `end`.
    pub async fn keep(self, mut status: watch::Receiver<Status>, sources: Vec<WatchedStream>, end: CancellationToken) {
        let patience = sd_notify::watchdog_enabled();
        let mut pulse = patience.map(|patience| Watchdog::new(sources, patience / 2, Instant::now()));
        // Four in the time that systemd waits: one that comes late does no harm.
        let mut beat = every(patience.map_or(STATUS_INTERVAL, |patience| patience / 4));
        let mut look = every(STATUS_INTERVAL);
        let mut told = String::new();
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => return,
                _ = beat.tick() => match pulse.as_mut().map(|pulse| pulse.feel(Instant::now())) {
                    Some(Ok(())) => tell(&[NotifyState::Watchdog]),
                    Some(Err(stalled)) => tracing::error!("{stalled}"),
                    None => {}
                },
                _ = look.tick() => {
                    let line = status_text::line(&status.borrow_and_update());
                    if line != told {
                        tell(&[NotifyState::Status(&line)]);
                        told = line;
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
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("tell systemd {states:?}: {error}");
    }
}
