//! Push-buttons and switches on GPIO pins, each of which sends a command.
//!
//! What a command does, and whether a button may send it, does not belong here. A pin that the host does not have is
//! logged once, and nothing else depends on it.

use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::device::gpio;
use crate::util::thread::MediaThread;

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The pin.
    pub pin: gpio::GpioPin,
    /// The debounce time of its contacts.
    pub debounce: Duration,
    /// The request that it sends when it is pressed, as JSON.
    pub press: Option<String>,
    /// The request that it sends when it is released.
    pub release: Option<String>,
}

/// Stops listening when dropped.
#[derive(Debug)]
pub struct Guard {
    /// The threads end, and are joined, when the other ends of their pipes are closed.
    _stops: Vec<PipeWriter>,
    _threads: Vec<MediaThread>,
}

/// Sends the requests of these buttons from now on. A switch, which has a request for either position, also sends the
/// one for its current position at once.
///
/// # Errors
///
/// If a thread cannot be started.
pub fn start(configs: Vec<Config>, send: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Guard> {
    let send = Arc::new(send);
    let (mut _stops, mut _threads) = (Vec::new(), Vec::new());
    for (number, config) in configs.into_iter().enumerate() {
        let button = match gpio::Input::open(&config.pin, config.debounce) {
            Ok(button) => button,
            Err(error) => {
                tracing::warn!("no button: {error:#}; continuing without it");
                continue;
            }
        };
        tracing::info!("button at {}: {}", config.pin, button.label());
        let (stop, guard) = io::pipe()?;
        let send = send.clone();
        _threads.push(MediaThread::spawn(format!("button-{number}"), move || {
            if let Err(error) = listen(&config, &button, &stop, &*send) {
                tracing::warn!("button at {}: {error:#}; it is ignored from now on", config.pin);
            }
        })?);
        _stops.push(guard);
    }
    Ok(Guard { _stops, _threads })
}

/// Sends a button's requests until the other end of `stop` is closed.
fn listen(config: &Config, button: &gpio::Input, stop: &PipeReader, send: &dyn Fn(&str)) -> anyhow::Result<()> {
    if config.press.is_some() && config.release.is_some() {
        send_request(config, button.is_pressed()?, send);
    }
    while !is_closed(stop, button)? {
        send_request(config, button.next()?, send);
    }
    Ok(())
}

fn send_request(config: &Config, pressed: bool, send: &dyn Fn(&str)) {
    let request = if pressed { &config.press } else { &config.release };
    if let Some(request) = request {
        send(request);
    }
}

/// Waits for the stop signal (`true`) or for the button.
fn is_closed(stop: &PipeReader, button: &gpio::Input) -> anyhow::Result<bool> {
    loop {
        let mut waits = [PollFd::new(stop, PollFlags::IN), PollFd::new(button, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [stopped, pressed] = waits.map(|wait| !wait.revents().is_empty());
        if stopped || pressed {
            return Ok(stopped);
        }
    }
}
