//! Sound for the tests of the speaker: something like speech, as Opus packets too.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use test_viewer::Viewer;

/// Samples of a packet.
pub const PACKET: usize = 960;

/// The samples in which it is looked for: it has no energy above some kilohertz.
pub const STEP: usize = 12;

/// A sound like speech: a voice that wavers, with its harmonics, in syllables whose rhythm does not repeat.
pub fn speech(seconds: usize) -> Vec<f32> {
    let mut phase = 0.0;
    let sample = |at: usize| {
        let time = at as f64 / 48_000.0;
        phase += TAU * (150.0 + 40.0 * (TAU * 0.7 * time).sin() + 15.0 * (TAU * 3.1 * time).sin()) / 48_000.0;
        let voice: f64 = (1..12).map(|harmonic| (phase * f64::from(harmonic)).sin() / f64::from(harmonic)).sum();
        let syllable = 0.55 + 0.45 * (TAU * 2.3 * time + 3.0 * (TAU * 0.31 * time).sin()).sin();
        (0.15 * voice * syllable) as f32
    };
    (0..seconds * 48_000).map(sample).collect()
}

/// The packets of a sound, as a browser makes them.
pub fn packets(samples: &[f32]) -> Result<Vec<Bytes>> {
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(10)?;
    encoder.set_bitrate(opus::Bitrate::Bits(40_000))?;
    samples.chunks_exact(PACKET).map(|packet| Ok(encoder.encode_vec_float(packet, 1_200)?.into())).collect()
}

/// A WAV file of a sound.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data";
    let mut file = [&header[..], &(2 * samples.len() as u32).to_le_bytes()].concat();
    file.extend(samples.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()));
    file
}

/// What comes out of packets.
pub fn decoded(packets: &[Bytes]) -> Result<Vec<f32>> {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono)?;
    let mut samples = vec![0.0; packets.len() * PACKET];
    for (packet, samples) in packets.iter().zip(samples.chunks_exact_mut(PACKET)) {
        decoder.decode_float(packet, samples, false)?;
    }
    Ok(samples)
}

/// Sends packets in real time, the first with the number `first`; `late` says by how many milliseconds each is late, `None` that it
/// is lost. Returns when the first sample was spoken: 20 ms before its packet was sent.
pub async fn say(
    viewer: &Viewer,
    packets: &[Bytes],
    first: u16,
    late: impl Fn(usize) -> Option<u64>,
) -> Result<Instant> {
    let begun = Instant::now();
    let at = |number: usize| Some((20 * number as u64 + late(number)?, number));
    let mut order: Vec<(u64, usize)> = (0..packets.len()).filter_map(at).collect();
    order.sort_unstable();
    for (time, number) in order {
        tokio::time::sleep_until((begun + Duration::from_millis(time)).into()).await;
        let sequence = first.wrapping_add(number as u16);
        let timestamp = u32::from(first).wrapping_mul(960).wrapping_add((number * PACKET) as u32);
        viewer.send_audio(sequence, timestamp, packets[number].clone()).await?;
    }
    Ok(begun - Duration::from_millis(20))
}
