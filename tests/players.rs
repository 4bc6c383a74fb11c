//! Players on other WebRTC stacks than those of the usual tests (webrtc-rs, Chromium, aiortc): each negotiates, receives and,
//! but for Pion, decodes.
//!
//! They need packages that nothing else does, so they run in `make players` only.

mod common;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use common::{Porthole, SMALL};

/// Debian's own interpreter, for which its packages are.
const PYTHON: &str = "/usr/bin/python3";

/// A file in the folder of this test.
fn player(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players").join(name)
}

/// Has a player watch until it ends by itself. Each player has a deadline of its own.
fn play(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}; .ci/install players has what it needs"))?;
    let [printed, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    ensure!(output.status.success(), "{command:?}: {}\n{printed}\n{errors}", output.status);
    Ok(())
}

#[test]
#[ignore = "needs GStreamer; run by make players"]
fn gstreamer_plays_with_each_bundle_policy() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for policy in ["none", "balanced", "max-compat", "max-bundle"] {
        let mut command = Command::new(PYTHON);
        play(command.arg(player("gstreamer.py")).args([&porthole.base, policy])).context(policy)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs GStreamer; run by make players"]
fn gstreamer_plays_rtsp_by_tcp_and_udp() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtsp]\nlisten = \"127.0.0.1:0\"\n"))?;
    let location = format!("location=rtsp://{}camera", porthole.wait_for_output("rtsp://")?);
    for protocols in ["protocols=tcp", "protocols=udp"] {
        let mut command = Command::new("timeout");
        command.args(["60", "gst-launch-1.0", "-q", "rtspsrc", "name=source", &location, protocols]);
        for decoder in [["rtph264depay", "avdec_h264"], ["rtpopusdepay", "opusdec"]] {
            let [depay, decode] = decoder;
            command.args(["source.", "!", depay, "!", decode, "!", "identity", "eos-after=90", "!", "fakesink"]);
        }
        play(&mut command).context(protocols)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Go; run by make players"]
fn pion_plays() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut command = Command::new("go");
    play(command.args(["run", ".", &porthole.base]).current_dir(player("pion")))
}

#[test]
#[ignore = "needs Firefox; run by make players"]
fn firefox_plays() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    play(Command::new(PYTHON).arg(player("firefox.py")).arg(&porthole.base))
}
