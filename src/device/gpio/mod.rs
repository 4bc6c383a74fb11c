//! Single GPIO pins: outputs that drive an LED, inputs for a button. On a Raspberry Pi they use the registers; on other
//! hosts, or if the registers are unavailable, the kernel's character devices.
//!
//! What an LED shows and what a button does does not belong here.

mod chardev;
mod registers;

use std::fmt;

use anyhow::Context as _;

pub use chardev::Input;

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpioPin {
    /// The chip: its device (`gpiochip1`, `/dev/gpiochip1`) or its label; `None` for that of a Raspberry Pi's header,
    /// and on other boards for the first.
    pub chip: Option<String>,
    /// The pin's number on the chip; on a Raspberry Pi the GPIO number.
    pub line: u32,
    /// Whether the pin is low when the LED is lit or the button pressed.
    pub active_low: bool,
}

impl fmt::Display for GpioPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPIO {}", self.line)?;
        self.chip.as_ref().map_or(Ok(()), |chip| write!(f, " of {chip}"))
    }
}

/// A pin that drives something.
pub trait Output: Send {
    /// Switches it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    fn set(&mut self, on: bool) -> anyhow::Result<()>;

    /// What the pin is driven through, for people.
    fn label(&self) -> &str;
}

/// Takes a pin to drive something, which is off at first.
///
/// # Errors
///
/// When there is no such pin on this host, somebody else has it, or this user may not have it.
pub fn output(pin: &GpioPin) -> anyhow::Result<Box<dyn Output>> {
    if let (None, Ok(line)) = (&pin.chip, u8::try_from(pin.line)) {
        match registers::Header::open(line, pin.active_low) {
            Ok(Some(header)) => return Ok(Box::new(header)),
            Ok(None) => {}
            Err(error) => tracing::debug!("{pin}: {error:#}; asking the kernel for it instead"),
        }
    }
    let line = chardev::GpioOutput::open(pin).with_context(|| pin.to_string())?;
    Ok(Box::new(line))
}
