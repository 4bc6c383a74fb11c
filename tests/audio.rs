//! Audio capture end to end: ALSA's software devices, which exist on every machine, at sample rates and formats other
//! than ours; and missing microphones.

mod common;
// Only pitch and level are measured here.
#[allow(dead_code)]
#[path = "common/tone.rs"]
mod tone;

use std::f64::consts::TAU;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use common::{Event, LIMIT, Options, Porthole, SMALL, Viewer};

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
