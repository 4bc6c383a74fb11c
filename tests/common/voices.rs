//! Made-up speech, which is the same in each run: voices whose pitch and formants glide from syllable to syllable, with
//! consonants of noise and pauses between sentences. And the measures that echo cancellation is judged by.

use std::f64::consts::TAU;

/// Samples a second.
const RATE: f64 = 48_000.0;

/// The first three formants of vowels, in hertz.
const VOWELS: [[f64; 3]; 6] = [
    [730.0, 1_090.0, 2_440.0],
    [270.0, 2_290.0, 3_010.0],
    [300.0, 870.0, 2_240.0],
    [530.0, 1_840.0, 2_480.0],
    [570.0, 840.0, 2_410.0],
    [490.0, 1_350.0, 1_690.0],
];

/// The bandwidths of the formants, and of a fourth one that is always at the same place.
const BANDWIDTHS: [f64; 4] = [80.0, 100.0, 140.0, 250.0];

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// The mean pitch in hertz.
    pub pitch: f64,
    /// What makes them say something else than others.
    pub seed: u64,
}

/// A low voice.
pub const LOW: Voice = Voice { pitch: 110.0, seed: 1 };

/// A high voice.
pub const HIGH: Voice = Voice { pitch: 205.0, seed: 2 };

/// Numbers from 0 to 1 without a pattern.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1u32 << 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

/// A resonance of the vocal tract: two poles.
#[derive(Default)]
struct Resonator {
    before: [f64; 2],
}

impl Resonator {
    fn next(&mut self, input: f64, hertz: f64, bandwidth: f64) -> f64 {
        let radius = (-TAU / 2.0 * bandwidth / RATE).exp();
        let (b, c) = (2.0 * radius * (TAU * hertz / RATE).cos(), -radius * radius);
        let output = (1.0 - b - c) * input + b * self.before[0] + c * self.before[1];
        self.before = [output, self.before[0]];
        output
    }
}

/// What someone says in so many seconds, at -20 dB of full scale on average.
pub fn speech(voice: Voice, seconds: usize) -> Vec<f32> {
    let mut random = Random(voice.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut tract = [(); 4].map(|()| Resonator::default());
    let mut lips = Resonator::default();
    let (mut samples, mut phase, mut pitch, mut formants) = (Vec::new(), 0.0, voice.pitch, VOWELS[0]);
    let mut left = 0;
    while samples.len() < seconds * RATE as usize {
        if left == 0 {
            left = 5 + (4.0 * random.next()) as usize;
            samples.extend(std::iter::repeat_n(0.0, (RATE * random.between(0.2, 0.4)) as usize));
        }
        left -= 1;
        if random.next() < 0.5 {
            // A consonant.
            let (count, hertz) = ((RATE * random.between(0.04, 0.08)) as usize, random.between(2_500.0, 6_500.0));
            for at in 0..count {
                let envelope = (TAU / 2.0 * at as f64 / count as f64).sin();
                let noise = random.between(-1.0, 1.0);
                samples.push(0.25 * envelope * lips.next(noise, hertz, 1_500.0));
            }
        }
        let count = (RATE * random.between(0.11, 0.24)) as usize;
        let (from, to) = (pitch, voice.pitch * random.between(0.8, 1.3));
        let (vowel, loud) = (VOWELS[(6.0 * random.next()) as usize % 6], random.between(0.5, 1.0));
        for at in 0..count {
            let part = at as f64 / count as f64;
            pitch = from + (to - from) * part;
            phase = (phase + pitch / RATE).fract();
            // The flow through the glottis, which is open for six tenths of a period.
            let open = phase / 0.6;
            let pulse = if open < 1.0 { 2.0 * open - 3.0 * open * open } else { 0.0 };
            let source = pulse + 0.03 * random.between(-1.0, 1.0);
            for (formant, goal) in formants.iter_mut().zip(vowel) {
                *formant += (goal - *formant) * 0.001;
            }
            let places = [formants[0], formants[1], formants[2], 3_500.0];
            let places = places.into_iter().zip(BANDWIDTHS);
            let voiced = tract
                .iter_mut()
                .zip(places)
                .fold(source, |sound, (tract, (hertz, bandwidth))| tract.next(sound, hertz, bandwidth));
            samples.push(loud * (TAU / 2.0 * part).sin().sqrt() * voiced);
        }
    }
    samples.truncate(seconds * RATE as usize);
    let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len().max(1) as f64;
    let gain = 0.1 / power.max(1e-12).sqrt();
    samples.iter().map(|sample| (gain * sample).clamp(-1.0, 1.0) as f32).collect()
}

/// As a sound card has them.
pub fn to_i16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// The power of samples in decibels of full scale.
pub fn level(samples: &[i16]) -> f64 {
    let power = samples.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum::<f64>();
    10.0 * (power / samples.len().max(1) as f64).max(1e-12).log10()
}
