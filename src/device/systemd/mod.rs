//! The interface to systemd: readiness, the status line, the watchdog, reload, and socket activation. Without systemd,
//! nothing happens.
//!
//! The text of the status line is in `status_text`, the decision whether to feed the watchdog in `watchdog`. The unit
//! itself is `systemd/porthole.service`.

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
pub use watchdog::{ThreadHealth, WatchedThread};

use crate::model::status::Status;

/// The minimum interval between two status lines: the status may change with every frame, and each line is a message to
/// PID 1.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The connection to systemd; a cheap handle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notifier(());

impl Notifier {
    /// Reports that the page is reachable, or that the configuration has been reloaded.
    pub fn ready(self) {
        notify(&[NotifyState::Ready]);
    }

    /// Reports that the configuration is being reloaded; [`ready`](Self::ready) ends it.
    pub fn reloading(self) {
        // Newer versions of systemd require the time, to tell one reload from the next.
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        notify(&[NotifyState::Reloading, now]);
    }

    /// Reports that the program is stopping.
    pub fn stopping(self) {
        notify(&[NotifyState::Stopping]);
    }

    /// The socket passed by systemd (systemd.socket(5)), if any. It can be taken once.
    ///
    /// # Errors
    ///
    /// If systemd passes anything but one TCP socket.
    pub fn listener(self) -> anyhow::Result<Option<TcpListener>> {
        let mut inherited = ListenFd::from_env();
        let count = inherited.len();
        anyhow::ensure!(count <= 1, "systemd hands over {count} sockets; leave one ListenStream= in porthole.socket");
        inherited
            .take_tcp_listener(0)
            .context("take the socket of systemd; ListenStream= in porthole.socket has to be a TCP port")
    }

    /// Publishes the status and, if systemd requires it (`WatchdogSec=`), feeds the watchdog as long as every thread is
    /// healthy; until `end`.
    pub async fn run(self, mut status: watch::Receiver<Status>, threads: Vec<WatchedThread>, end: CancellationToken) {
        let timeout = sd_notify::watchdog_enabled();
        let mut watchdog = timeout.map(|timeout| Watchdog::new(threads, timeout / 2, Instant::now()));
        // Four in the timeout: one that is late does no harm.
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

/// A timer with that interval; ticks missed while the process was suspended are skipped.
fn every(interval: Duration) -> Interval {
    let mut clock = tokio::time::interval(interval.max(Duration::from_millis(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// Sends a message, if systemd expects any (sd_notify(3)).
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("notify systemd {states:?}: {error}");
    }
}
