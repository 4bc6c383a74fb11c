//! LEDs: the trait that each kind implements, and how their brightness is set.
//!
//! What an LED shows belongs to `indicator` and `pattern`.

use std::time::Duration;

use crate::device::gpio;

/// The PWM period of a dimmed LED: at a hundred per second the eye sees no flicker.
const PWM_PERIOD: Duration = Duration::from_millis(10);

/// The minimum duty cycle: with a shorter pulse, the kernel's timers make it uneven.
const MIN_DUTY: f32 = 0.02;

/// An LED. Dropping it restores its original state: off, or as its driver had it.
pub(super) trait Led: Send {
    /// How it can be dimmed.
    fn dimming(&self) -> Dimming;

    /// Sets it to a step from 0 (dark) to the last one.
    ///
    /// # Errors
    ///
    /// When it is gone, or refuses.
    fn set(&mut self, step: u32) -> anyhow::Result<()>;

    /// What it is, for people.
    fn label(&self) -> &str;
}

/// How an LED can be dimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimming {
    /// By steps up to this one.
    Steps(u32),
    /// By switching between two steps faster than the eye.
    Switching,
    /// Not at all: it has two steps, and is too slow to be switched a hundred times per second.
    None,
}

/// The step to set an LED to, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DriveStep {
    pub(super) step: u32,
    pub(super) hold: Option<Duration>,
}

impl Dimming {
    /// The step that makes an LED look as bright as `level` of its configured `brightness` (both 0 to 1), at `since`
    /// after some start.
    pub(super) fn drive(self, level: f32, brightness: f32, since: Duration) -> DriveStep {
        // The eye perceives roughly a quarter of the light as half as bright.
        let light = (level * brightness).clamp(0.0, 1.0).powi(2);
        match self {
            Self::Steps(max) => {
                // Anything above zero stays visible.
                let step = (light * max as f32).round() as u32;
                DriveStep { step: if light > 0.0 { step.max(1) } else { 0 }, hold: None }
            }
            Self::None => DriveStep { step: (level >= 0.5).into(), hold: None },
            Self::Switching if light < MIN_DUTY / 2.0 => DriveStep { step: 0, hold: None },
            Self::Switching if light > 1.0 - MIN_DUTY => DriveStep { step: 1, hold: None },
            Self::Switching => {
                let lit = PWM_PERIOD.mul_f32(light.max(MIN_DUTY));
                let within = Duration::from_nanos((since.as_nanos() % PWM_PERIOD.as_nanos()) as u64);
                if within < lit {
                    DriveStep { step: 1, hold: Some(lit - within) }
                } else {
                    DriveStep { step: 0, hold: Some(PWM_PERIOD - within) }
                }
            }
        }
    }
}

/// An LED on a GPIO pin.
pub(super) struct GpioLed(Box<dyn gpio::DigitalOutput>);

impl GpioLed {
    pub(super) fn open(pin: &gpio::GpioPin) -> anyhow::Result<Self> {
        Ok(Self(gpio::output(pin)?))
    }
}

impl Led for GpioLed {
    fn dimming(&self) -> Dimming {
        Dimming::Switching
    }

    fn set(&mut self, step: u32) -> anyhow::Result<()> {
        self.0.set(step > 0)
    }

    fn label(&self) -> &str {
        self.0.label()
    }
}

impl Drop for GpioLed {
    fn drop(&mut self) {
        // A chip that is gone has released its pins already.
        let _ = self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The share of the time that a switched LED is lit, over some periods.
    fn lit(level: f32, brightness: f32) -> f32 {
        let (mut since, mut lit) = (Duration::ZERO, Duration::ZERO);
        let end = PWM_PERIOD * 10;
        while since < end {
            let drive = Dimming::Switching.drive(level, brightness, since);
            let hold = drive.hold.unwrap_or(end);
            if drive.step > 0 {
                lit += hold.min(end - since);
            }
            since += hold;
        }
        lit.as_secs_f32() / end.as_secs_f32()
    }

    proptest! {
        #[test]
        fn switched_led_has_the_duty_cycle_of_the_perceived_brightness(level in 0.0..=1.0f32, brightness in 0.01..=1.0f32) {
            let wanted = (level * brightness).powi(2);
            prop_assert!((lit(level, brightness) - wanted).abs() <= MIN_DUTY + 0.001);
        }

        #[test]
        fn brightness_is_monotonic(max in 1..=255u32, one in 0.0..=1.0f32, other in 0.0..=1.0f32) {
            let (dim, bright) = if one < other { (one, other) } else { (other, one) };
            for dimming in [Dimming::Steps(max), Dimming::None] {
                let [dim, bright] = [dim, bright].map(|level| dimming.drive(level, 1.0, Duration::ZERO));
                prop_assert!(dim.step <= bright.step && dim.hold.is_none());
            }
            prop_assert!(lit(dim, 1.0) <= lit(bright, 1.0) + 0.001);
        }
    }

    #[test]
    fn fully_off_and_on_need_no_switching() {
        for dimming in [Dimming::Steps(255), Dimming::Switching, Dimming::None] {
            let max = if let Dimming::Steps(max) = dimming { max } else { 1 };
            assert_eq!(dimming.drive(0.0, 1.0, Duration::ZERO), DriveStep { step: 0, hold: None });
            assert_eq!(dimming.drive(1.0, 1.0, Duration::ZERO), DriveStep { step: max, hold: None });
        }
        // One that cannot be dimmed is not dark because it should be dimmer.
        assert_eq!(Dimming::None.drive(1.0, 0.2, Duration::ZERO).step, 1);
        assert_eq!(Dimming::Steps(1).drive(1.0, 0.2, Duration::ZERO).step, 1);
    }
}
