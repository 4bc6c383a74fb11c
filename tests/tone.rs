//! The built-in tone after a real Opus encoder and decoder: the tick keeps its position, the tone its pitch and level.

#[path = "common/tone.rs"]
mod tone;

use std::time::Duration;

use porthole::capture::audio::test_tone::Tone;
use porthole::capture::audio::{FRAME_SAMPLES, SAMPLE_RATE};
use porthole::media::{PcmFrame, Timestamp};

/// Two seconds of the mono tone, starting 300 ms after a full second.
fn two_seconds() -> Vec<PcmFrame> {
    let begun = u64::from(Timestamp::default().unix().subsec_nanos());
    let mut now = Timestamp::from_start(Duration::from_nanos(3_000_000_000 - begun + 300_000_000));
    let mut tone = Tone::open(1);
    let mut frames = Vec::new();
    while frames.len() < 100 {
        match tone.poll(now) {
            Ok(frame) => frames.push(frame),
            Err(wait) => now = now.saturating_add(wait),
        }
    }
    frames
}

/// The number of samples from the first frame to the first full second of its capture clock.
fn until_second(first: &PcmFrame) -> usize {
    let rest = 1_000_000_000 - u64::from(first.captured.unix().subsec_nanos());
    (rest * u64::from(SAMPLE_RATE) / 1_000_000_000) as usize
}

fn through_opus(frames: &[PcmFrame]) -> Vec<i16> {
    let mut encoder =
        opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Audio).expect("an encoder");
    encoder.set_bitrate(opus::Bitrate::Bits(64_000)).expect("a bitrate");
    let delay = encoder.get_lookahead().expect("a delay") as usize;
    let mut decoder = opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono).expect("a decoder");
    let mut decoded = Vec::new();
    for frame in frames {
        let packet = encoder.encode_vec(&frame.samples, 1500).expect("encodes");
        let mut samples = [0; FRAME_SAMPLES];
        decoder.decode(&packet, &mut samples, false).expect("decodes");
        decoded.extend_from_slice(&samples);
    }
    // The decoder delays every sample by this much (the pre-skip of RFC 7845 section 4.2).
    decoded.split_off(delay)
}

#[test]
fn the_tick_of_the_raw_tone_is_found_sample_exactly() {
    let frames = two_seconds();
    let raw: Vec<i16> = frames.iter().flat_map(|frame| frame.samples.clone()).collect();
    let onset = tone::onset(&raw, SAMPLE_RATE).expect("a tick");
    let late = onset as i64 - until_second(&frames[0]) as i64;
    assert!((0..5).contains(&late), "{late} samples late");
}

#[test]
fn opus_preserves_tick_pitch_and_level() {
    let frames = two_seconds();
    let decoded = through_opus(&frames);
    let second = until_second(&frames[0]);
    let onset = tone::onset(&decoded, SAMPLE_RATE).expect("a tick");
    assert!(onset.abs_diff(second) < 48, "the tick is {} samples from where it was", onset.abs_diff(second));

    // From 100 to 500 ms after the tick there is only the tone: whole periods of both pitches.
    let alone = &decoded[second + 4800..][..19_200];
    let share = tone::goertzel(alone, SAMPLE_RATE, 440.0);
    assert!(share > 0.98, "440 Hz is {share} of the tone");
    let level = tone::dbfs(alone);
    assert!((level + 30.0).abs() < 1.0, "the tone is at {level} dB of full scale");
    let tick = tone::goertzel(&decoded[second..][..960], SAMPLE_RATE, 1000.0);
    assert!(tick > 0.9, "1 kHz is {tick} of the tick");
}

#[test]
fn audio_without_a_tick_has_no_onset() {
    let frames = two_seconds();
    let raw: Vec<i16> = frames.iter().flat_map(|frame| frame.samples.clone()).collect();
    let second = until_second(&frames[0]);
    assert_eq!(tone::onset(&[], SAMPLE_RATE), None);
    assert_eq!(tone::onset(&[0; 48_000], SAMPLE_RATE), None);
    // Silence, then the tone alone.
    let begin = [vec![0; 4800], raw[..second - 480].to_vec()].concat();
    assert_eq!(tone::onset(&begin, SAMPLE_RATE), None);
    // A recording that starts inside a tick finds the next one.
    assert_eq!(tone::onset(&raw[second + 480..], SAMPLE_RATE).map(|at| (at + 480) / 480), Some(100));
    assert!(tone::goertzel(&[0; 480], SAMPLE_RATE, 440.0) == 0.0);
}
