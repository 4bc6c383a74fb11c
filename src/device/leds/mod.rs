//! Status lights: lamps at pins and the kernel's own LEDs that show how the board is. One thread drives each.
//!
//! What is true stands in `status`. A lamp that the machine does not have, or no longer, is told in the log, once, and
//! nothing else depends on it.
//!
//! # What the lights show
//!
//! | `show`      | dark           | lit                      | breathes                 | blinks |
//! |-------------|----------------|--------------------------|--------------------------|--------|
//! | `ready`     | not running    | the page can be reached  | the privacy switch is on | a fault |
//! | `watched`   | nobody watches | somebody watches         |                          | somebody watches, and there is a fault |
//! | `camera`    | closed         | a camera is open         | one is being opened      |        |
//! | `privacy`   |                | the privacy switch is on |                          |        |
//! | `fault`     | all is well    |                          |                          | a fault |
//!
//! | flashes | fault |
//! |---------|-------|
//! | 2       | a camera is away: not plugged in, or nothing goes by its name |
//! | 3       | a camera is in use by another program, or by another section of the configuration |
//! | 4       | a camera is there and gives no picture: it failed, is silent, or its program has ended |
//! | 5       | a camera can't be what the configuration asks for |
//! | 6       | a camera's pictures can't be encoded |
//! | 7       | the microphone is away or has failed |
//!
//! A code is repeated after a rest of 1.5 s; of several faults the one with the fewest flashes is shown.

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
use pattern::Pattern;

/// A status LED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The LED.
    pub target: LedTarget,
    /// What it shows.
    pub show: Indicator,
    /// How bright it is when lit, in percent of what the eye sees.
    pub brightness: u8,
}

/// Which LED is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedTarget {
    /// One at a pin.
    Gpio(gpio::GpioPin),
    /// An LED of the kernel, by its name in `/sys/class/leds`.
    Sysfs(String),
}

/// Stops the LEDs when dropped: they go out, or back to what they did before.
#[derive(Debug)]
pub struct Guard {
    _watching: DropGuard,
    inputs: Vec<Arc<Mailbox<Pattern>>>,
    _threads: Vec<MediaThread>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inputs.iter().for_each(|input| input.close());
    }
}

/// Starts to show the status on the LEDs.
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
            tracing::warn!("no LED for {show}: {error:#}; going on without it");
            None
        }
    }
}

/// Sends the LEDs their patterns, now and whenever the status changes.
async fn watch(publisher: StatusPublisher, outputs: Vec<(Indicator, Arc<Mailbox<Pattern>>)>) {
    let mut status = publisher.watch();
    let mut sent: Vec<Option<Pattern>> = vec![None; outputs.len()];
    loop {
        let patterns: Vec<Pattern> = {
            let status = status.borrow_and_update();
            outputs.iter().map(|(show, _)| show.pattern(&status)).collect()
        };
        for ((pattern, sent), (_, input)) in patterns.into_iter().zip(&mut sent).zip(&outputs) {
            if sent.replace(pattern) != Some(pattern) {
                // One that no thread has taken yet is out of date.
                drop(input.replace(pattern));
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Drives one LED until the mailbox of its patterns is closed.
fn drive(mut led: Box<dyn Led>, brightness: f32, input: &Mailbox<Pattern>) {
    let (mut pattern, mut began) = (Pattern::Off, Instant::now());
    let dimming = led.dimming();
    let mut step = None;
    loop {
        let since = began.elapsed();
        let light = pattern.at(since);
        let drive = dimming.drive(light.level, brightness, since);
        let changes = step.replace(drive.step) != Some(drive.step);
        if let Some(error) = changes.then(|| led.set(drive.step)).and_then(Result::err) {
            tracing::warn!("LED {}: {error:#}; it is left alone from now on", led.label());
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
