//! What an LED does over time: the patterns, each a pure function of the time since it began.
//!
//! Which pattern stands for what belongs to `indicator`, driving an LED to `led`.

use std::time::Duration;

/// The duration of a flash of a blink code. At fewer than four per second, flashes can be counted.
const FLASH: Duration = Duration::from_millis(200);

/// The interval from the start of one flash to the next.
const BEAT: Duration = Duration::from_millis(500);

/// The pause before a code is repeated: long enough not to be taken for the gap between two flashes.
const CODE_PAUSE: Duration = Duration::from_millis(1500);

/// The period of breathing: as slow as a person's breath at rest.
const BREATH: Duration = Duration::from_secs(4);

/// The step interval of breathing: as many steps per second as a film has frames.
const STEP: Duration = Duration::from_millis(40);

/// The minimum brightness of breathing: an LED that goes out entirely looks as if it were off.
const MIN_BREATH_LEVEL: f32 = 0.05;

/// What an LED does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedPattern {
    /// Dark.
    Off,
    /// Lit.
    On,
    /// Brighter and darker, slowly.
    Breathe,
    /// So many flashes, a rest, and again.
    Code(u8),
}

/// The output of a pattern at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LedOutput {
    /// The perceived brightness, from 0 (dark) to 1.
    pub level: f32,
    /// How long this level lasts; `None` for as long as the pattern does.
    pub hold: Option<Duration>,
}

impl LedPattern {
    /// The output at the time `since` the pattern began.
    pub fn at(self, since: Duration) -> LedOutput {
        match self {
            Self::Off | Self::Code(0) => LedOutput { level: 0.0, hold: None },
            Self::On => LedOutput { level: 1.0, hold: None },
            Self::Breathe => breathe(since),
            Self::Code(flashes) => code(flashes, since),
        }
    }
}

/// A cosine of the perceived brightness. It starts dark, because most LEDs were off before.
fn breathe(since: Duration) -> LedOutput {
    let steps = BREATH.as_millis() / STEP.as_millis();
    let step = (since.as_millis() / STEP.as_millis()) % steps;
    let turn = step as f32 / steps as f32 * std::f32::consts::TAU;
    let level = MIN_BREATH_LEVEL + (1.0 - MIN_BREATH_LEVEL) * (1.0 - turn.cos()) / 2.0;
    LedOutput { level, hold: Some(STEP - remainder(since, STEP)) }
}

fn code(flashes: u8, since: Duration) -> LedOutput {
    let flashing = BEAT * u32::from(flashes);
    let within = remainder(since, flashing + CODE_PAUSE);
    if within >= flashing {
        return LedOutput { level: 0.0, hold: Some(flashing + CODE_PAUSE - within) };
    }
    let beat = remainder(within, BEAT);
    if beat < FLASH {
        LedOutput { level: 1.0, hold: Some(FLASH - beat) }
    } else {
        // The pause follows the last beat without an edge in between.
        let last = within >= flashing - BEAT;
        LedOutput { level: 0.0, hold: Some(BEAT - beat + if last { CODE_PAUSE } else { Duration::ZERO }) }
    }
}

fn remainder(time: Duration, period: Duration) -> Duration {
    // A period is seconds long at most, so what remains of it fits.
    Duration::from_nanos((time.as_nanos() % period.as_nanos()) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns() -> impl Strategy<Value = LedPattern> {
        prop_oneof![
            Just(LedPattern::Off),
            Just(LedPattern::On),
            Just(LedPattern::Breathe),
            (0..=9u8).prop_map(LedPattern::Code)
        ]
    }

    /// Times up to a year.
    fn times() -> impl Strategy<Value = Duration> {
        (0..365 * 86_400_000_000u64).prop_map(Duration::from_micros)
    }

    proptest! {
        #[test]
        fn level_is_between_0_and_1_and_constant_for_the_hold_time(
            pattern in patterns(), since in times(), part in 0.0..1.0f64,
        ) {
            let light = pattern.at(since);
            prop_assert!((0.0..=1.0).contains(&light.level));
            let Some(hold) = light.hold else {
                prop_assert_eq!(pattern.at(since + Duration::from_secs(1)), light);
                return Ok(());
            };
            prop_assert!(!hold.is_zero() && hold <= BEAT + CODE_PAUSE, "{:?}", hold);
            let later = pattern.at(since + hold.mul_f64(part).min(hold - Duration::from_nanos(1)));
            prop_assert_eq!(later.level, light.level);
        }

        #[test]
        fn fault_code_has_the_given_number_of_flashes(flashes in 1..=9u8, rounds in 0..1000u32) {
            let pattern = LedPattern::Code(flashes);
            let period = BEAT * u32::from(flashes) + CODE_PAUSE;
            let (mut since, end) = (period * rounds, period * (rounds + 1));
            let mut counted = 0;
            while since < end {
                let light = pattern.at(since);
                let hold = light.hold.expect("a code goes on and on");
                if light.level > 0.0 {
                    prop_assert_eq!((light.level, hold), (1.0, FLASH));
                    counted += 1;
                }
                since += hold;
            }
            prop_assert_eq!((counted, since), (flashes, end), "one code ends where the next begins");
        }

        #[test]
        fn breathing_is_smooth_and_periodic(since in times()) {
            let [now, next, round] = [0, 1, 100].map(|n| LedPattern::Breathe.at(since + STEP * n).level);
            prop_assert!((now - next).abs() < 0.04);
            prop_assert_eq!(now, round);
        }
    }

    #[test]
    fn breathing_goes_from_dim_to_bright() {
        assert_eq!(LedPattern::Breathe.at(Duration::ZERO).level, MIN_BREATH_LEVEL);
        assert_eq!(LedPattern::Breathe.at(BREATH / 2).level, 1.0);
    }
}
