//! Players that need packages of their own: on other WebRTC stacks than those of the usual tests (webrtc-rs, Chromium, aiortc), and
//! by RTSP and MJPEG. Each plays picture and sound to its end, is killed, and plays again, and leaves nothing behind.
//!
//! They run in `make players` only, and so does a recording of a minute. Programs that no package has are replayed in `rtsp` and
//! `whep_clients`.

mod common;
// A part of each is used.
#[allow(dead_code)]
#[path = "rtsp/recording.rs"]
mod recording;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{Footprint, LIMIT, POLL_INTERVAL, Porthole, Program, SMALL, until_idle};

/// Debian's own interpreter, for which its packages are.
const PYTHON: &str = "/usr/bin/python3";

/// A browser takes a while to start, and a program to build, on a machine that is busy with other things.
const SLOW: Duration = Duration::from_secs(150);

/// A file in the folder of this test.
fn player(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players").join(name)
}

/// [`SMALL`] with an RTSP server.
fn with_rtsp() -> Result<(Porthole, String)> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtsp]\nlisten = \"127.0.0.1:0\"\n"))?;
    let url = format!("rtsp://{}camera", porthole.wait_for_output("rtsp://")?);
    Ok((porthole, url))
}

/// Has a player watch until it ends by itself.
async fn play(porthole: &Porthole, command: &mut Command) -> Result<()> {
    let player = Program::start(command).context(".ci/install players has what it needs")?;
    player.finish_within(SLOW).await?;
    until_idle(porthole).await
}

/// Has a player watch, be killed while it does, and watch again.
async fn come_and_go(porthole: &Porthole, player: impl Fn() -> Command) -> Result<()> {
    play(porthole, &mut player()).await?;
    let before = Footprint::of(porthole).await?;
    let killed = Program::start(&mut player())?;
    let watches = |status: &serde_json::Value| status["viewers"] == 1 && status["cameras"][0]["state"] == "live";
    porthole.until_status("it watches", watches).await?;
    drop(killed);
    until_idle(porthole).await.context("after it was killed")?;
    play(porthole, &mut player()).await.context("again")?;
    before.until_restored(porthole).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs GStreamer; run by make players"]
async fn gstreamer_plays_with_each_bundle_policy() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let gstreamer = |policy: &str| {
        let mut command = Command::new(PYTHON);
        command.arg(player("gstreamer.py")).args([&porthole.base, policy]);
        command
    };
    for policy in ["none", "balanced", "max-compat"] {
        play(&porthole, &mut gstreamer(policy)).await.context(policy)?;
    }
    // That of whepsrc.
    come_and_go(&porthole, || gstreamer("max-bundle")).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs GStreamer; run by make players"]
async fn gstreamer_plays_rtsp_by_tcp_and_udp() -> Result<()> {
    let (porthole, url) = with_rtsp()?;
    for protocols in ["protocols=tcp", "protocols=udp"] {
        let gstreamer = || {
            let mut command = Command::new("gst-launch-1.0");
            command.args(["-q", "rtspsrc", "name=source", &format!("location={url}"), protocols]);
            for decoder in [["rtph264depay", "avdec_h264"], ["rtpopusdepay", "opusdec"]] {
                let [depay, decode] = decoder;
                command.args(["source.", "!", depay, "!", decode, "!", "identity", "eos-after=90", "!", "fakesink"]);
            }
            command
        };
        come_and_go(&porthole, gstreamer).await.context(protocols)?;
    }
    Ok(())
}

/// VLC without a window, and without sound, of which MJPEG has none. Each picture that it shows goes into a folder.
fn vlc(url: &str, folder: &Path) -> Command {
    // It refuses to run as root.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.env("HOME", folder).args(["cvlc", "--no-audio", "--vout=dummy", "--video-filter=scene"]);
    command.args(["--scene-format=png", "--scene-ratio=1", "--scene-prefix=shown"]);
    command.arg(format!("--scene-path={}", folder.display())).arg(url);
    command
}

/// Waits until VLC has shown a second of pictures that differ: the frames have their numbers in them.
async fn until_shown(folder: &Path) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let files = fs::read_dir(folder)?.filter_map(|entry| fs::read(entry.ok()?.path()).ok());
        let shown: HashSet<Vec<u8>> = files.filter(|file| file.ends_with(b"IEND\xaeB`\x82")).collect();
        if shown.len() >= 30 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} different pictures within {LIMIT:?}", shown.len());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs VLC; run by make players"]
async fn vlc_plays_mjpeg() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut before = None;
    for path in ["stream.mjpg", "?action=stream"] {
        for is_killed in [false, true] {
            let folder = tempfile::tempdir()?;
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
            let player = Program::start(&mut vlc(&format!("{}{path}", porthole.base), folder.path()))?;
            until_shown(folder.path()).await.context(path)?;
            if is_killed {
                drop(player);
            } else {
                player.signal("TERM")?;
                player.finish().await?;
            }
            until_idle(&porthole).await?;
            before.get_or_insert(Footprint::of(&porthole).await?);
        }
    }
    before.context("no rounds")?.until_restored(&porthole).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than a minute; run by make players"]
async fn ffmpeg_records_a_minute_by_tcp_and_udp() -> Result<()> {
    let (porthole, url) = with_rtsp()?;
    let folder = tempfile::tempdir()?;
    let files = ["tcp", "udp"].map(|transport| (transport, folder.path().join(format!("{transport}.mkv"))));
    let recordings = files.iter().map(|(transport, file)| recording::start(&url, transport, 60, file));
    for recording in recordings.collect::<Result<Vec<_>>>()? {
        recording.finish_within(SLOW).await?;
    }
    for (transport, file) in &files {
        recording::check(file, 60).context(*transport)?;
    }
    until_idle(&porthole).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Go; run by make players"]
async fn pion_plays() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pion");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(player("pion"));
    Program::start(&mut build)?.finish_within(2 * SLOW).await?;
    // go2rtc, which is made with Pion, only closes its connection.
    for leave in ["delete", "close"] {
        let pion = || {
            let mut command = Command::new(&program);
            command.args([&porthole.base, leave]);
            command
        };
        come_and_go(&porthole, pion).await.context(leave)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits until a killed player is missed; run by make players"]
async fn aiortc_plays() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let aiortc = || {
        let mut command = Command::new(PYTHON);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/watch.py"));
        command.args([&format!("{}whep", porthole.base), "--frames", "60"]);
        command
    };
    come_and_go(&porthole, aiortc).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Firefox; run by make players"]
async fn firefox_plays() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for what in ["h264", "h264", "mjpeg"] {
        let mut command = Command::new(PYTHON);
        play(&porthole, command.arg(player("firefox.py")).args([&porthole.base, what])).await.context(what)?;
    }
    Ok(())
}
