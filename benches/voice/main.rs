//! What is done to the sound of the microphone: the CPU time of echo cancellation, noise suppression and gain control, as a share of
//! a core, and how much of an echo is removed. benches/README.md explains the table.
//!
//! That echo is removed at all is tested in `tests/echo.rs`.

// Printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../../tests/common/correlation.rs"]
mod correlation;
#[allow(dead_code)]
#[path = "../../tests/common/voices.rs"]
mod voices;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use correlation::find;
use porthole::media::voice::{EchoCanceller, Enhancement, Enhancer};
use voices::{HIGH, LOW, level, speech, to_i16};

/// Samples in a second.
const SECOND: usize = 48_000;

/// Samples that are processed at once, as the program does: 20 ms.
const FRAME: usize = 960;

/// How long the talker speaks alone, and then with somebody at the microphone, in seconds.
const ALONE: usize = 12;
const BOTH: usize = 8;

/// How often each is measured; the median counts.
const ROUNDS: usize = 5;

/// The ways between speaker and microphone: the delay in milliseconds, and whether the walls reflect.
const ROOMS: [(usize, bool); 4] = [(50, false), (50, true), (150, true), (300, true)];

fn main() -> Result<()> {
    let mut text = String::from("| Microphone | CPU time, % of a core |\n|---|---:|\n");
    let (far, near) = (to_i16(&speech(LOW, ALONE + BOTH)), to_i16(&speech(HIGH, ALONE + BOTH)));
    for channels in [1u16, 2] {
        let name = if channels == 1 { "mono" } else { "stereo" };
        let sound: Vec<i16> = near.iter().flat_map(|sample| vec![*sample; usize::from(channels)]).collect();
        let cancelled = share(|| {
            let mut canceller = EchoCanceller::new(channels);
            let frames = sound.chunks_exact(FRAME * usize::from(channels)).zip(far.chunks_exact(FRAME));
            timed(frames, |(samples, far)| canceller.process(&mut samples.to_vec(), far))
        });
        writeln!(text, "| {name}, echo cancellation | {cancelled:.2} |")?;
        for (what, noise_suppression, gain_control) in
            [("noise suppression", true, false), ("gain control", false, true)]
        {
            let enhanced = share(|| {
                let enhancer = Enhancer::new(Enhancement { noise_suppression, gain_control }, channels);
                let mut enhancer = enhancer.expect("something should be done");
                let frames = sound.chunks_exact(FRAME * usize::from(channels));
                timed(frames, |samples| enhancer.process(&mut samples.to_vec()))
            });
            writeln!(text, "| {name}, {what} | {enhanced:.2} |")?;
        }
    }
    text.push_str(
        "\n| Echo | Removed in second 1 | 2 | 3 and 4 | 5 to 12 | Near end while both speak: correlation | Level |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (delay, reflects) in ROOMS {
        room(&mut text, &far, &near, delay, reflects)?;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("voice.md");
    std::fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    println!("{text}");
    eprintln!("written: {}", path.display());
    Ok(())
}

/// The median share of a core, in percent, of what takes so long for the whole sound.
fn share(mut measure: impl FnMut() -> Duration) -> f64 {
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| measure()).collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2].as_secs_f64() / (ALONE + BOTH) as f64 * 100.0
}

/// How long something takes for all of these.
fn timed<T>(frames: impl Iterator<Item = T>, mut process: impl FnMut(T)) -> Duration {
    let begun = Instant::now();
    frames.for_each(&mut process);
    begun.elapsed()
}

/// A line about the echo of a speaker that is heard at -6 dB.
fn room(text: &mut String, far: &[i16], near: &[i16], delay: usize, reflects: bool) -> Result<()> {
    let echo = echo(far, delay * SECOND / 1_000, reflects);
    let said = |at: usize| if at < ALONE * SECOND { 0 } else { near[at] };
    let mut heard: Vec<i16> = echo.iter().enumerate().map(|(at, echo)| echo.saturating_add(said(at))).collect();
    let mut canceller = EchoCanceller::new(1);
    for (samples, far) in heard.chunks_exact_mut(FRAME).zip(far.chunks_exact(FRAME)) {
        canceller.process(samples, far);
    }
    let removed = |from: usize, to: usize| {
        let range = from * SECOND..to * SECOND;
        level(&echo[range.clone()]) - level(&heard[range])
    };
    let both = (ALONE + 1) * SECOND..(ALONE + BOTH - 1) * SECOND;
    // The canceller's filter takes out what is below speech, which shifts the phase of a low voice.
    let mut alone = near.to_vec();
    EchoCanceller::new(1).process(&mut alone, &[]);
    let (correlation, _) = find(&alone[both.clone()], &heard[both.start - 48..both.end + 48], 6);
    writeln!(
        text,
        "| {delay} ms{} | {:.1} dB | {:.1} dB | {:.1} dB | {:.1} dB | {correlation:.2} | {:+.1} dB |",
        if reflects { ", with reflections" } else { "" },
        removed(0, 1),
        removed(1, 2),
        removed(2, 4),
        removed(4, ALONE),
        level(&heard[both.clone()]) - level(&alone[both]),
    )?;
    Ok(())
}

/// What comes back of a sound, with or without reflections that fade in a tenth of a second.
fn echo(far: &[i16], delay: usize, reflects: bool) -> Vec<i16> {
    let mut ways = vec![(delay, 0.5)];
    let mut random = 1u32;
    for number in (1..60).filter(|_| reflects) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sign = if random >> 31 == 0 { 1.0 } else { -1.0 };
        ways.push((
            delay + 97 * number + ((random >> 24) & 63) as usize,
            sign * 0.15 * (-(number as f32) / 14.0).exp(),
        ));
    }
    let sample = |at: usize| {
        let parts = ways.iter().filter_map(|(delay, gain)| Some(gain * f32::from(far[at.checked_sub(*delay)?])));
        parts.sum::<f32>().clamp(-32_768.0, 32_767.0) as i16
    };
    (0..far.len()).map(sample).collect()
}
