//! GPIO pins: outputs for LEDs and inputs for buttons. Outputs of a Raspberry Pi's header use its registers; all other
//! pins, and these if the registers are unavailable, use the kernel's GPIO character devices.
//!
//! What an LED shows and what a button does are defined elsewhere.

mod chardev;
mod registers;

use std::fmt;

use anyhow::Context as _;

pub use chardev::Input;

/// Which GPIO pin is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpioPin {
    /// The chip's device (`gpiochip1`, `/dev/gpiochip1`) or label; `None` for the header of a Raspberry Pi, or for the
    /// first chip of another board.
    pub chip: Option<String>,
    /// The line offset on the chip; on a Raspberry Pi the GPIO number.
    pub line: u32,
    /// Whether the pin is low while the LED is lit or the button is pressed.
    pub active_low: bool,
}

impl fmt::Display for GpioPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPIO {}", self.line)?;
        self.chip.as_ref().map_or(Ok(()), |chip| write!(f, " of {chip}"))
    }
}

/// A pin configured as an output.
pub trait DigitalOutput: Send {
    /// Switches it on or off.
    ///
    /// # Errors
    ///
    /// If the kernel reports an error.
    fn set(&mut self, on: bool) -> anyhow::Result<()>;

    /// The interface used to drive the pin, for log messages.
    fn label(&self) -> &str;
}

/// Opens a pin as an output that is off at first.
///
/// # Errors
///
/// If this host has no such pin, another program uses it, or this user lacks the permission.
pub fn output(pin: &GpioPin) -> anyhow::Result<Box<dyn DigitalOutput>> {
    if let (None, Ok(line)) = (&pin.chip, u8::try_from(pin.line)) {
        match registers::Header::open(line, pin.active_low) {
            Ok(Some(header)) => return Ok(Box::new(header)),
            Ok(None) => {}
            Err(error) => tracing::debug!("{pin}: {error:#}; using the kernel's character device instead"),
        }
    }
    let line = chardev::GpioOutput::open(pin).with_context(|| pin.to_string())?;
    Ok(Box::new(line))
}
