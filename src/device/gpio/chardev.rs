//! Pins through the kernel's GPIO character devices (`Documentation/userspace-api/gpio/chardev.rst`). The kernel
//! releases a pin when the program ends, however it ends.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use gpiocdev::Error;
use gpiocdev::chip::{Chip, chips};
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, Value};
use gpiocdev::request::{Builder, Request};

use super::{DigitalOutput, GpioPin};

/// The consumer name of the pin, in lists such as `gpioinfo`'s.
const CONSUMER: &str = "porthole";

/// Labels of the chips behind the header of a Raspberry Pi: models 0 to 3, 4, and 5.
const HEADER_CHIPS: [&str; 3] = ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"];

/// The size of the kernel's event buffer for a button: more presses than a person makes while the host is busy.
const EVENT_BUFFER: u32 = 16;

/// An output pin.
pub(super) struct GpioOutput {
    request: Request,
    label: String,
}

impl GpioOutput {
    pub(super) fn open(pin: &GpioPin) -> anyhow::Result<Self> {
        let chip = find_chip(pin.chip.as_deref())?;
        let mut builder = Request::builder();
        builder.on_chip(&chip.path).with_line(pin.line).as_output(Value::Inactive);
        let request = request_line(&mut builder, pin, &chip)?;
        let label = format!("{} ({})", chip.path.display(), chip.label);
        Ok(Self { request, label })
    }
}

impl DigitalOutput for GpioOutput {
    fn set(&mut self, on: bool) -> anyhow::Result<()> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.request.set_lone_value(value).map(drop).map_err(|error| describe_error(&error, "switch"))
    }

    fn label(&self) -> &str {
        &self.label
    }
}

/// An input pin for a button. While it is not pressed, the pin's bias resistor pulls it to the inactive level.
#[derive(Debug)]
pub struct Input {
    request: Request,
    label: String,
}

impl Input {
    /// Opens the pin. Presses and releases shorter than `debounce` are ignored.
    ///
    /// # Errors
    ///
    /// As for [`output`](super::output).
    pub fn open(pin: &GpioPin, debounce: Duration) -> anyhow::Result<Self> {
        let open = || {
            let chip = find_chip(pin.chip.as_deref())?;
            let mut builder = Request::builder();
            builder
                .on_chip(&chip.path)
                .with_line(pin.line)
                .as_input()
                .with_bias(if pin.active_low { Bias::PullUp } else { Bias::PullDown })
                .with_edge_detection(EdgeDetection::BothEdges)
                .with_debounce_period(debounce)
                .with_kernel_event_buffer_size(EVENT_BUFFER);
            let request = request_line(&mut builder, pin, &chip)?;
            Ok(Self { request, label: format!("{} ({})", chip.path.display(), chip.label) })
        };
        open().map_err(|error: anyhow::Error| error.context(pin.to_string()))
    }

    /// The human-readable name of the chip.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether the button is pressed at this moment.
    ///
    /// # Errors
    ///
    /// If the kernel returns an error.
    pub fn is_pressed(&self) -> anyhow::Result<bool> {
        let value = self.request.lone_value().map_err(|error| describe_error(&error, "read"))?;
        Ok(value == Value::Active)
    }

    /// Waits for the next press (`true`) or release; returns at once if the descriptor is readable.
    ///
    /// # Errors
    ///
    /// If the kernel returns an error: the chip may be gone.
    pub fn next(&self) -> anyhow::Result<bool> {
        let edge = self.request.read_edge_event().map_err(|error| describe_error(&error, "read"))?;
        Ok(edge.kind == EdgeKind::Rising)
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.request.as_fd()
    }
}

/// A chip of this host.
struct ChipInfo {
    path: PathBuf,
    label: String,
    lines: u32,
}

/// Finds the configured chip.
fn find_chip(name: Option<&str>) -> anyhow::Result<ChipInfo> {
    let paths = chips().map_err(|error| describe_error(&error, "list the chips"))?;
    if paths.is_empty() {
        bail!("this machine has no GPIO chip (/dev/gpiochip0); take the section out, or load the chip's driver");
    }
    let mut chips = Vec::new();
    let mut open_error = None;
    for path in paths {
        let info = Chip::from_path(&path).and_then(|chip| chip.info());
        match info {
            Ok(info) => chips.push(ChipInfo { path, label: info.label, lines: info.num_lines }),
            Err(error) => open_error = Some(describe_error(&error, &format!("open {}", path.display()))),
        }
    }
    let is_named = |chip: &ChipInfo, name: &str| {
        chip.label == name || chip.path == Path::new(name) || chip.path == Path::new("/dev").join(name)
    };
    let index = match name {
        Some(name) => chips.iter().position(|chip| is_named(chip, name)),
        None => chips.iter().position(|chip| HEADER_CHIPS.contains(&chip.label.as_str())).or(Some(0)),
    };
    if let Some(index) = index.filter(|index| *index < chips.len()) {
        return Ok(chips.swap_remove(index));
    }
    let available: Vec<_> = chips.iter().map(|chip| format!("{} ({})", chip.path.display(), chip.label)).collect();
    match (open_error, name) {
        (Some(open_error), _) => Err(open_error),
        (None, name) => bail!("no such GPIO chip: {}; there are {}", name.unwrap_or_default(), available.join(", ")),
    }
}

fn request_line(builder: &mut Builder, pin: &GpioPin, chip: &ChipInfo) -> anyhow::Result<Request> {
    if pin.line >= chip.lines {
        bail!(
            "{} ({}) has no such pin; its pins are 0 to {}",
            chip.path.display(),
            chip.label,
            chip.lines.saturating_sub(1)
        );
    }
    builder.with_consumer(CONSUMER);
    if pin.active_low {
        builder.as_active_low();
    }
    builder.request().map_err(|error| describe_error(&error, &format!("take the pin of {}", chip.path.display())))
}

/// The kernel's error, with a hint what to do about it.
fn describe_error(error: &Error, what: &str) -> anyhow::Error {
    let answer = match error {
        Error::Os(errno) | Error::Uapi(_, gpiocdev_uapi::Error::Os(errno)) => {
            Some(io::Error::from_raw_os_error(errno.0))
        }
        _ => None,
    };
    let hint = match answer.as_ref().map(io::Error::kind) {
        Some(ErrorKind::PermissionDenied) => "; the user that runs porthole has to be in the group gpio",
        Some(ErrorKind::ResourceBusy) => "; a driver or another program has it (gpioinfo shows which)",
        _ => "",
    };
    match answer {
        Some(answer) => anyhow!("{what}: {answer}{hint}"),
        None => anyhow!("{what}: {error}{hint}"),
    }
}
