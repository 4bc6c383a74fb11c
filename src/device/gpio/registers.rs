//! Drives the GPIO pins of a Raspberry Pi's header through its registers, which requires `/dev/gpiomem`.

use anyhow::{Context as _, anyhow};
use rppal::gpio::{Error, Gpio, OutputPin};

use super::DigitalOutput;

/// An output pin of the header. It becomes an input again, which drives nothing, when dropped.
pub(super) struct Header {
    pin: OutputPin,
    active_low: bool,
}

impl Header {
    /// Opens a pin by its GPIO number; `None` if this is not a Raspberry Pi.
    pub(super) fn open(line: u8, active_low: bool) -> anyhow::Result<Option<Self>> {
        let gpio = match Gpio::new() {
            Ok(gpio) => gpio,
            Err(Error::UnknownModel) => return Ok(None),
            Err(error) => return Err(anyhow!("open the registers: {error}")),
        };
        let pin = gpio.get(line).context("take the pin")?;
        let pin = if active_low { pin.into_output_high() } else { pin.into_output_low() };
        Ok(Some(Self { pin, active_low }))
    }
}

impl DigitalOutput for Header {
    fn set(&mut self, on: bool) -> anyhow::Result<()> {
        self.pin.write((on != self.active_low).into());
        Ok(())
    }

    fn label(&self) -> &str {
        "the Raspberry Pi's registers"
    }
}
