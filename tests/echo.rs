//! Full duplex: how much of the speaker's echo is taken out of the microphone's sound, and what is left of somebody who speaks
//! there meanwhile. First the canceller alone, in exact time; then the running program with both on ALSA, in a room that is made of
//! files.
//!
//! When it runs, and what becomes of it on a slow processor, is tested beside the code in `src/pipeline/audio`.

// Snapshots are tested in `control`.
#[allow(dead_code)]
#[path = "control/client.rs"]
mod client;
mod common;
#[path = "common/correlation.rs"]
mod correlation;
#[path = "echo/room.rs"]
mod room;
#[path = "common/voices.rs"]
mod voices;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::{ControlClient, code};
use common::{Event, LIMIT, Options, Porthole, SMALL, Viewer};
use correlation::find;
use porthole::media::voice::EchoCanceller;
use room::{DELAY, Room, SECOND};
use serde_json::json;
use voices::{HIGH, LOW, level, speech, to_i16};

/// Samples of a packet.
const PACKET: usize = 960;

/// The samples in which a voice is looked for: consonants have energy up to some kilohertz.
const STEP: usize = 6;

/// How much of the echo must go, in decibels.
const ENOUGH: f64 = 25.0;

/// What is heard of a sound when the speaker is silent: the canceller's filter takes out what is below speech, which shifts the
/// phase of a low voice.
fn filtered(near: &[i16]) -> Vec<i16> {
    let (mut canceller, mut samples) = (EchoCanceller::new(1), near.to_vec());
    canceller.process(&mut samples, &[]);
    samples
}

#[test]
fn echo_is_cancelled_and_who_speaks_meanwhile_is_heard() {
    for channels in [1, 2] {
        let far = to_i16(&speech(LOW, 14));
        let near = to_i16(&speech(HIGH, 14));
        let echo: Vec<i16> = (0..far.len()).map(|at| at.checked_sub(DELAY).map_or(0, |at| far[at] / 2)).collect();
        // The near end begins to speak after nine seconds.
        let near_at = |at: usize| if at < 9 * SECOND { 0 } else { near[at] };
        let captured: Vec<i16> = echo.iter().enumerate().map(|(at, echo)| echo.saturating_add(near_at(at))).collect();
        let mut canceller = EchoCanceller::new(channels);
        let mut heard = Vec::new();
        for (captured, far) in captured.chunks_exact(PACKET).zip(far.chunks_exact(PACKET)) {
            let copies = |sample: &i16| std::iter::repeat_n(*sample, usize::from(channels));
            let mut samples: Vec<i16> = captured.iter().flat_map(copies).collect();
            canceller.process(&mut samples, far);
            heard.extend(samples.chunks(usize::from(channels)).map(|frame| frame[0]));
        }
        let alone = 2 * SECOND..9 * SECOND;
        let removed = level(&echo[alone.clone()]) - level(&heard[alone]);
        assert!(removed >= ENOUGH, "{channels} channels: {removed:.1} dB of the echo were removed");
        let both = 10 * SECOND..13 * SECOND;
        let near = &filtered(&near)[both.clone()];
        let (correlation, _) = find(near, &heard[both.start - 48..both.end + 48], STEP);
        let change = level(&heard[both]) - level(near);
        assert!(correlation > 0.85, "{channels} channels: correlation {correlation:.3} of who speaks meanwhile");
        assert!(change.abs() < 4.0, "{channels} channels: who speaks meanwhile is {change:+.1} dB louder");
    }
}

/// The samples of one channel that a viewer hears.
struct Listener {
    viewer: Viewer,
    /// The RTP timestamp of the first.
    begin: Option<u32>,
    samples: Vec<i16>,
}

impl Listener {
    /// Listens until the condition is met.
    async fn listen(&mut self, met: impl Fn(&Self) -> bool) -> Result<()> {
        while !met(self) {
            let Event::Audio(audio) = self.viewer.event(LIMIT).await? else { continue };
            let begin = *self.begin.get_or_insert(audio.timestamp);
            let at = audio.timestamp.wrapping_sub(begin) as usize;
            // Where packets are missing there is silence.
            ensure!(at < 600 * SECOND, "the timestamps leap to {at}");
            self.samples.resize(self.samples.len().max(at + audio.samples.len() / 2), 0);
            for (sample, pair) in self.samples[at..].iter_mut().zip(audio.samples.chunks(2)) {
                *sample = pair[0];
            }
        }
        Ok(())
    }

    /// Listens for so many seconds more.
    async fn listen_for(&mut self, seconds: usize) -> Result<()> {
        let until = self.samples.len() + seconds * SECOND;
        self.listen(|listener| listener.samples.len() >= until).await
    }
}

/// Says something in real time.
async fn say(client: &ControlClient, samples: &[f32]) -> Result<()> {
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(40_000))?;
    let begun = Instant::now();
    for (number, packet) in samples.chunks_exact(PACKET).enumerate() {
        let payload = encoder.encode_vec_float(packet, 1_200)?.into();
        tokio::time::sleep_until((begun + Duration::from_millis(20) * number as u32).into()).await;
        client.viewer.send_audio(number as u16, (number * PACKET) as u32, payload).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_hear_the_room_and_not_the_talker() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let room = Room::open(folder.path(), to_i16(&speech(HIGH, 12)))?;
    let config = SMALL.replace("\"tone\"", "\"room\"");
    let speaker = room.speaker();
    let config = format!(
        "{config}[speaker]\ndevice = \"file:{},raw\"\nmode = \"full\"\n[auth]\nmode = \"none\"\n",
        speaker.display()
    );
    let porthole = Porthole::start_with(&config, &[("ALSA_CONFIG_PATH", room.alsa().into_os_string())])?;
    let options = Options::new(&porthole.base);
    let viewer = Viewer::connect(&options).await?;
    let mut listener = Listener { viewer, begin: None, samples: Vec::new() };
    let mut talker = ControlClient::connect(&Options { talks: true, decode: false, ..options }).await?;
    talker.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;

    // Somebody at the board speaks alone; then the talker; then both.
    listener.listen_for(1).await?;
    room.speak(true);
    listener.listen_for(3).await?;
    room.speak(false);
    ensure!(code(&talker.call("talk.start", json!({})).await?) == 0);
    let spoken = speech(LOW, 13);
    let both = async {
        room.until_echo(8 * SECOND).await?;
        room.speak(true);
        anyhow::Ok(())
    };
    let (said, began, listened) = tokio::join!(say(&talker, &spoken), both, listener.listen_for(13));
    said?;
    began?;
    listened?;
    let status = porthole.status().await?;
    let underruns = porthole.metric("porthole_speaker_underruns_total").await?;
    ensure!(code(&talker.call("talk.stop", json!({})).await?) == 0);
    let sounds = room.close()?;
    let heard = &listener.samples;
    ensure!(status["speaker"]["mode"] == "full", "{status:#}");

    // Where what was captured is in what is heard: by what was said before the talk, which nothing has changed.
    let first = sounds.near.iter().position(|sample| sample.unsigned_abs() > 2_000).context("nobody spoke")?;
    let begin = &sounds.near[first..][..SECOND / 2];
    let (correlation, at) = find(begin, heard.get(..4 * SECOND).context("too little was heard")?, STEP);
    ensure!(correlation > 0.9, "correlation {correlation:.3} of who speaks alone");
    let place = |captured: usize| (captured + at).checked_sub(first).context("it was captured before it was heard");

    let talk = sounds.echo.iter().position(|sample| sample.unsigned_abs() > 200).context("there was no echo")?;
    let second = sounds.near[talk..].iter().position(|sample| *sample != 0).context("nobody spoke meanwhile")? + talk;
    ensure!(second > talk + 6 * SECOND, "{second} after {talk}");
    // Second for second: on a busy machine the speaker may run dry, which moves the echo in the midst of a word.
    let mut removed = Vec::new();
    let mut from = talk + 2 * SECOND;
    while from + SECOND <= second {
        let there = place(from)?;
        let left = heard.get(there..there + SECOND).context("too little was heard")?;
        removed.push(level(&sounds.echo[from..from + SECOND]) - level(left));
        from += SECOND;
    }
    let each = format!("{removed:.1?}");
    removed.sort_by(f64::total_cmp);
    let median = removed[removed.len() / 2];
    ensure!(median >= ENOUGH, "{median:.1} dB of the echo were removed, in each second {each}; {underruns} underruns");

    let (from, there) = (second + SECOND, place(second + SECOND)?);
    let near = &filtered(&sounds.near)[from..from + 2 * SECOND];
    let both = heard.get(there - 480..there + 2 * SECOND + 960).context("too little was heard")?;
    let (correlation, _) = find(near, both, STEP);
    let change = level(&both[480..][..2 * SECOND]) - level(near);
    ensure!(correlation > 0.7, "correlation {correlation:.3} of who speaks meanwhile; {underruns} underruns");
    ensure!(change.abs() < 5.0, "who speaks meanwhile is {change:+.1} dB louder; {underruns} underruns");
    Ok(())
}
