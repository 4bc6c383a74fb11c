//! Audio capture end to end: ALSA's software devices, which exist on every machine, at sample rates and formats other
//! than ours; and missing microphones.

mod common;
// Only pitch and level are measured here.
#[allow(dead_code)]
#[path = "common/tone.rs"]
mod tone;

use std::f64::consts::TAU;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use common::{Event, LIMIT, Options, Porthole, SMALL, Viewer};
use serde_json::{Value, json};
use test_viewer::{Audio, Network};

/// The pitch of the test's tone in hertz.
const PITCH: f64 = 1_000.0;

/// Length of the tone in seconds: longer than a viewer takes to connect and receive audio.
const SECONDS: u32 = 40;

/// A device: name, sample rate, ALSA sample format, channels, and how to write a sample from -1 to 1.
type Device = (&'static str, u32, &'static str, u16, fn(f64) -> Vec<u8>);

const DEVICES: [Device; 4] = [
    ("cd", 44_100, "S16_LE", 2, |sample| ((sample * 32_767.0) as i16).to_le_bytes().to_vec()),
    ("phone", 16_000, "S32_LE", 1, |sample| ((sample * 2_147_483_647.0) as i32).to_le_bytes().to_vec()),
    ("studio", 96_000, "FLOAT_LE", 1, |sample| (sample as f32).to_le_bytes().to_vec()),
    ("usb", 48_000, "S24_3LE", 2, |sample| ((sample * 8_388_607.0) as i32).to_le_bytes()[..3].to_vec()),
];

/// Creates ALSA devices in `folder` that read a tone from files, and an ALSA configuration that names them.
fn make(folder: &std::path::Path) -> Result<std::path::PathBuf> {
    let mut configuration = "</usr/share/alsa/alsa.conf>\n".to_owned();
    for (name, rate, form, channels, write) in DEVICES {
        let mut data = Vec::new();
        for at in 0..rate * SECONDS {
            let sample = 0.25 * (TAU * PITCH * f64::from(at) / f64::from(rate)).sin();
            (0..channels).for_each(|_| data.extend(write(sample)));
        }
        let file = folder.join(name);
        std::fs::write(&file, data)?;
        // The file plugin has no rate of its own; the slave definition fixes it, as hardware would.
        writeln!(
            configuration,
            "pcm.{name} {{ type plug slave {{ rate {rate} format {form} channels {channels} pcm {{ \
             type file slave.pcm null file /dev/null infile \"{}\" format raw }} }} }}",
            file.display()
        )?;
    }
    let path = folder.join("asound.conf");
    std::fs::write(&path, configuration)?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_rate_and_format_keeps_its_pitch() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let alsa = make(folder.path())?;
    for (name, rate, ..) in DEVICES {
        let config = SMALL.replace("\"tone\"", &format!("\"{name}\""));
        let porthole = Porthole::start_with(&config, &[("ALSA_CONFIG_PATH", alsa.clone().into_os_string())])?;
        let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        let (mut samples, mut stamps) = (Vec::new(), Vec::new());
        while samples.len() < 48_000 {
            if let Event::Audio(audio) = viewer.event(LIMIT).await? {
                stamps.push(audio.timestamp);
                samples.extend(audio.samples.chunks(2).map(|pair| pair[0]));
            }
        }
        // Skips the codec's start-up.
        let (share, level) = (tone::goertzel(&samples[12_000..], 48_000, PITCH), tone::dbfs(&samples[12_000..]));
        let status = porthole.status().await?;
        ensure!(share > 0.9, "{name}: {share:.2} of the energy at {PITCH} Hz from {rate} Hz: {status:#}");
        ensure!((level + 12.0).abs() < 1.5, "{name}: the tone is at {level:.1} dB of full scale");
        let steps = stamps.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) == 960).count();
        ensure!(steps * 10 >= stamps.len() * 8, "{name}: {steps} steps of 20 ms in {} packets", stamps.len());
        ensure!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) % 960 == 0), "{name}: off the grid");
        ensure!(status["audio"]["state"] == "live" && status["audio"]["fault"].is_null(), "{name}: {status:#}");
        viewer.leave().await?;
        porthole.signal("TERM")?;
        let (_, _, log) = porthole.wait()?;
        ensure!(log.contains(&format!(" {name}: {rate} Hz")), "{log}");
    }
    Ok(())
}

/// Asks for a viewer's audio to be muted or not.
async fn mute(viewer: &Viewer, muted: bool) -> Result<()> {
    viewer.send(&json!({ "id": 1, "method": "audio.mute", "params": { "muted": muted } }).to_string()).await
}

/// The next audio packet of a viewer.
async fn packet(viewer: &mut Viewer) -> Result<Audio> {
    match viewer.until(LIMIT, |event| matches!(event, Event::Audio(_))).await? {
        Event::Audio(audio) => Ok(audio),
        event => bail!("{event:?}"),
    }
}

/// How often the thread of the microphone has slept.
fn sleeps(porthole: &Porthole) -> Result<u64> {
    for thread in std::fs::read_dir(format!("/proc/{}/task", porthole.pid()))? {
        let folder = thread?.path();
        if std::fs::read_to_string(folder.join("comm"))?.trim() == "microphone" {
            let status = std::fs::read_to_string(folder.join("status"))?;
            let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            return Ok(sleeps.context("no context switches")?.trim().parse()?);
        }
    }
    bail!("no thread called microphone")
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_runs_only_while_somebody_hears_it() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    ensure!(porthole.status().await?["audio"]["encoding"] == false, "nobody is there");
    let mut muted = Viewer::connect(&Options::new(&porthole.base)).await?;
    let mut hearing = Viewer::connect(&Options::new(&porthole.base)).await?;
    packet(&mut hearing).await?;
    // It counts whether anybody hears it.
    mute(&muted, true).await?;
    muted.until(LIMIT, |event| matches!(event, Event::Message(text) if text.contains("muted"))).await?;
    let mut before = packet(&mut hearing).await?;
    for _ in 0..10 {
        before = packet(&mut hearing).await?;
    }
    // What was on its way.
    while muted.events.try_recv().is_ok() {}
    ensure!(porthole.status().await?["audio"]["encoding"] == true, "one of two hears it");

    mute(&hearing, true).await?;
    let resting = |status: &Value| status["audio"]["encoding"] == false && status["audio"]["state"] == "idle";
    porthole.until_status("nobody hears it", resting).await?;
    let encoded = porthole.metric("porthole_audio_packets_total").await?;
    while let Ok(event) = hearing.events.try_recv() {
        if let Event::Audio(audio) = event {
            before = audio;
        }
    }
    let before_rest = sleeps(&porthole)?;
    // Two seconds of the camera's time.
    for _ in 0..60 {
        hearing.frame(LIMIT).await?;
    }
    // At work it wakes up 50 times a second. It may have been about to fall asleep.
    let woken = sleeps(&porthole)? - before_rest;
    ensure!(woken < 3, "the thread woke up {woken} times for nobody");
    ensure!(porthole.metric("porthole_audio_packets_total").await? == encoded, "Opus runs for nobody");
    while let Ok(event) = muted.events.try_recv() {
        ensure!(!matches!(event, Event::Audio(_)), "audio for a muted viewer");
    }

    mute(&hearing, false).await?;
    let first = packet(&mut hearing).await?;
    ensure!(first.marker, "the first packet after the gap is not marked");
    // The clock went on: the gap in timestamps is that in time, within the time that packets take.
    let (gap, silence) = (
        f64::from(first.timestamp.wrapping_sub(before.timestamp)) / 48_000.0,
        (first.arrived - before.arrived).as_secs_f64(),
    );
    ensure!(silence > 1.5 && (gap - silence).abs() < 0.5, "timestamps advanced by {gap:.3} s in {silence:.3} s");
    let second = packet(&mut hearing).await?;
    ensure!(second.sequence_number.wrapping_sub(first.sequence_number) == 1 && !second.marker, "{first:?} {second:?}");
    porthole.until_status("it is heard", |status| status["audio"]["encoding"] == true).await?;
    muted.leave().await?;
    hearing.leave().await?;
    porthole.until_status("everybody has left", resting).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_carries_fec_only_while_somebody_loses_packets() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    for _ in 0..50 {
        ensure!(!packet(&mut viewer).await?.speech, "nobody loses anything");
    }
    // It takes no earlier packets along with later ones (RFC 2198).
    let options = Options { network: Some(Network::lossy(20)), decode: false, ..Options::new(&porthole.base) };
    let lossy = Viewer::connect(&options).await?;
    viewer.until(LIMIT, |event| matches!(event, Event::Audio(audio) if audio.speech)).await?;
    lossy.leave().await?;
    viewer.until(LIMIT, |event| matches!(event, Event::Audio(audio) if !audio.speech)).await?;
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_microphone_sends_silence() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("\"tone\"", "\"hw:CARD=Gone\""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let mut packets = 0;
    while packets < 100 {
        if let Event::Audio(audio) = viewer.event(LIMIT).await? {
            packets += 1;
            let loudest = audio.samples.iter().map(|sample| sample.unsigned_abs()).max().context("an empty packet")?;
            ensure!(loudest < 10, "packet {packets} is at {loudest}");
        }
    }
    let status = porthole.until_status("the fault", |status| status["audio"]["state"] == "fault").await?;
    let fault = status["audio"]["fault"].as_str().context("no fault")?;
    ensure!(fault.contains("hw:CARD=Gone: no such audio device"), "{fault}");
    Ok(())
}
