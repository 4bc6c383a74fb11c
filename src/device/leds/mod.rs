//! Status LEDs: shows the state of cameras, viewers and faults on LEDs at GPIO pins and on the kernel's own LEDs. One
//! thread drives each LED.
//!
//! The state itself is in `status`. An LED that is missing or fails is logged once; nothing else is affected.
//!
//! # LED states
//!
//! | `show`      | off            | on                       | breathing                | blinking |
//! |-------------|----------------|--------------------------|--------------------------|--------|
//! | `ready`     | not running    | the page is reachable    | the privacy switch is on | a fault |
//! | `watched`   | no viewers     | viewers                  |                          | viewers, and a fault |
//! | `camera`    | closed         | a camera is open         | a camera is being opened |        |
//! | `privacy`   | switch is off  | the privacy switch is on |                          | it is on, but not stored |
//! | `recording` | not recording  | a camera is recorded     |                          | it cannot be stored |
//! | `talk`      | nobody talks   | somebody talks           |                          |        |
//! | `fault`     | no fault       |                          |                          | a fault |
//!
//! | flashes | fault |
//! |---------|-------|
//! | 2       | a camera is missing: not plugged in, or none has the configured name |
//! | 3       | a camera is in use by another program, or by another section of the configuration |
//! | 4       | a camera sends no video: it failed, stopped sending frames, or its program ended |
//! | 5       | a camera does not support what the configuration asks for |
//! | 6       | a camera's video cannot be encoded |
//! | 7       | the microphone is missing or has failed |
//! | 8       | the state of the privacy switch cannot be stored |
//! | 9       | a camera cannot be published to its server |
//! | 10      | recordings cannot be stored |
//!
//! A code is repeated after 1.5 s off; of several faults, the one with the fewest flashes is shown.

mod pattern;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::device::gpio;
use crate::model::status::StatusPublisher;
use crate::util::mailbox::{Mailbox, Pop};
use crate::util::thread::MediaThread;

pub use indicator::Indicator;
use led::Led;
use pattern::LedPattern;

/// A status LED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The LED.
    pub target: LedTarget,
    /// What it shows.
    pub show: Indicator,
    /// Perceived brightness when lit, in percent.
    pub brightness: u8,
}

/// Which LED is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedTarget {
    /// An LED at a GPIO pin.
    Gpio(gpio::GpioPin),
    /// A kernel LED, by its name in `/sys/class/leds`.
    Sysfs(String),
}

/// Stops the LEDs when dropped: they are switched off or restored to their former state.
#[derive(Debug)]
pub struct Guard {
    _watching: DropGuard,
    inputs: Vec<Arc<Mailbox<LedPattern>>>,
    _threads: Vec<MediaThread>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inputs.iter().for_each(|input| input.close());
    }
}

/// Starts showing the status on the LEDs.
///
/// # Errors
///
/// If a thread cannot be started.
pub fn start(configs: &[Config], publisher: &StatusPublisher) -> std::io::Result<Guard> {
    let opened = configs.iter().filter_map(|config| Some((config, open(config, Path::new(sysfs_led::LEDS))?)));
    start_with(opened, publisher)
}

fn start_with<'c>(
    leds: impl IntoIterator<Item = (&'c Config, Box<dyn Led>)>,
    publisher: &StatusPublisher,
) -> std::io::Result<Guard> {
    let (mut inputs, mut outputs, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (config, led)) in leds.into_iter().enumerate() {
        let input = Arc::new(Mailbox::default());
        outputs.push((config.show, input.clone()));
        inputs.push(input.clone());
        let brightness = f32::from(config.brightness) / 100.0;
        threads.push(MediaThread::spawn(format!("led-{number}"), move || drive(led, brightness, &input))?);
    }
    let end = CancellationToken::new();
    tokio::spawn(end.clone().run_until_cancelled_owned(watch(publisher.clone(), outputs)));
    Ok(Guard { _watching: end.drop_guard(), inputs, _threads: threads })
}

/// Opens an LED; a failure is logged.
fn open(config: &Config, leds: &Path) -> Option<Box<dyn Led>> {
    let opened = match &config.target {
        LedTarget::Gpio(pin) => led::GpioLed::open(pin).map(|led| Box::new(led) as Box<dyn Led>),
        LedTarget::Sysfs(name) => {
            let led = sysfs_led::Sysfs::open(leds, name).map(|led| Box::new(led) as Box<dyn Led>);
            led.map_err(|error| error.context(format!("LED {name}")))
        }
    };
    let show = config.show.name();
    match opened {
        Ok(led) => {
            tracing::info!("LED for {show}: {}", led.label());
            Some(led)
        }
        Err(error) => {
            tracing::warn!("no LED for {show}: {error:#}; continuing without it");
            None
        }
    }
}

/// Sends the LEDs their patterns, now and whenever the status changes.
async fn watch(publisher: StatusPublisher, outputs: Vec<(Indicator, Arc<Mailbox<LedPattern>>)>) {
    let mut status = publisher.watch();
    let mut sent: Vec<Option<LedPattern>> = vec![None; outputs.len()];
    loop {
        let patterns: Vec<LedPattern> = {
            let status = status.borrow_and_update();
            outputs.iter().map(|(show, _)| show.pattern(&status)).collect()
        };
        for ((pattern, sent), (_, input)) in patterns.into_iter().zip(&mut sent).zip(&outputs) {
            if sent.replace(pattern) != Some(pattern) {
                // Discards a pattern that the LED's thread has not started yet.
                drop(input.replace(pattern));
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Drives one LED until the mailbox of its patterns is closed.
fn drive(mut led: Box<dyn Led>, brightness: f32, input: &Mailbox<LedPattern>) {
    let (mut pattern, mut began) = (LedPattern::Off, Instant::now());
    let dimming = led.dimming();
    let mut step = None;
    loop {
        let since = began.elapsed();
        let light = pattern.at(since);
        let drive = dimming.drive(light.level, brightness, since);
        let changes = step.replace(drive.step) != Some(drive.step);
        if let Some(error) = changes.then(|| led.set(drive.step)).and_then(Result::err) {
            tracing::warn!("LED {}: {error:#}; it is not used any more", led.label());
            return;
        }
        let hold = light.hold.into_iter().chain(drive.hold).min();
        match input.pop(hold) {
            Pop::Value(next) => (pattern, began) = (next, Instant::now()),
            Pop::TimedOut => {}
            Pop::Closed => return,
        }
    }
}

mod indicator;
mod led;
mod sysfs_led;
#[cfg(test)]
mod tests;
