//! Analysis of decoded audio: the onset of the built-in tone's tick, and the share of a pitch.

/// The tick's pitch in hertz.
const TICK_HZ: f64 = 1000.0;

/// The share of the peak level that marks the onset of the tick. The tone and the codec's pre-echo stay below it; the
/// tick's sine exceeds it within a twentieth of its period.
const BEGUN: f64 = 0.3;

/// Milliseconds below that level before an onset: audio that starts inside a tick has none, and neither has audio
/// without a tick.
const QUIET_MS: usize = 10;

/// Milliseconds after an onset in which the tick's pitch must dominate: any other loud audio is not a tick.
const PITCH_MS: usize = 10;

/// The start of the first tick in `samples` (one channel at `rate` hertz); `None` without a tick.
pub fn onset(samples: &[i16], rate: u32) -> Option<usize> {
    let (quiet, pitch) = (rate as usize * QUIET_MS / 1000, rate as usize * PITCH_MS / 1000);
    let level = |s: &i16| f64::from(s.unsigned_abs());
    let peak = samples.iter().map(level).fold(0.0, f64::max);
    // The first sample after the last loud one.
    let mut since = 0;
    for (index, _) in samples.iter().enumerate().filter(|(_, sample)| level(sample) >= peak * BEGUN) {
        let tick = samples.get(index..index + pitch).is_some_and(|after| goertzel(after, rate, TICK_HZ) > 0.5);
        if index - since >= quiet && tick {
            return Some(index);
        }
        since = index + 1;
    }
    None
}

/// The share of the power of `samples` (one channel at `rate` hertz) at `hz`, by Goertzel's algorithm: 1 for a pure
/// sine, near 0 for silence, noise and other pitches. Exact for a whole number of periods.
pub fn goertzel(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / f64::from(rate)).cos();
    let (mut one, mut two, mut total) = (0.0, 0.0, 0.0);
    for sample in samples.iter().map(|s| f64::from(*s)) {
        (one, two) = (sample + coefficient * one - two, one);
        total += sample * sample;
    }
    if total == 0.0 {
        return 0.0;
    }
    let power = one * one + two * two - coefficient * one * two;
    2.0 * power / (samples.len() as f64 * total)
}

/// The peak of a sine with the power of `samples`, in dBFS; minus infinity for silence.
pub fn dbfs(samples: &[i16]) -> f64 {
    let mean = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    20.0 * ((2.0 * mean).sqrt() / 32_767.0).log10()
}
