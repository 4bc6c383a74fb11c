//! The viewers in `examples/`, run as a reader would run them, against a program that requires a token.
//!
//! The web page among them is tested in `tests/page/examples.test.mjs`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, POLL_INTERVAL, Porthole, SMALL, example, request, signal};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;
use openh264::nal_units;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two seconds of video at 30 frames/s.
const FRAMES: usize = 60;

/// A program that requires a token, and one for its viewers.
struct Server {
    porthole: Porthole,
    token: String,
    state: TempDir,
}

impl Server {
    fn start() -> Result<Self> {
        let state = tempfile::tempdir()?;
        let environment = [("STATE_DIRECTORY", state.path().into())];
        let porthole = Porthole::start_with(&format!("{SMALL}\n[auth]\nmode = \"password\"\n"), &environment)?;
        let token = common::token(state.path(), &["add", "example", "--role", "viewer"])?;
        Ok(Self { porthole, token, state })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// An example that watches this program: `command` with the endpoint, the token and further arguments.
    fn watch(&self, command: &mut Command, arguments: &[&str]) -> Result<std::process::Child> {
        command.arg(format!("{}whep", self.porthole.base)).args(["--token", &self.token]).args(arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("run {command:?}; cargo build --example watch builds the one in Rust"))
    }

    /// How many viewers the program counts.
    async fn viewers(&self) -> Result<u64> {
        let headers = [("authorization", &*format!("Bearer {}", self.token))];
        let answer = request("GET", &format!("{}api/status", self.porthole.base), &headers, String::new()).await?;
        let status: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        status["viewers"].as_u64().with_context(|| status.to_string())
    }
}

/// The output of an example, which has to end by itself and well.
async fn finish(mut child: std::process::Child) -> Result<Output> {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            let output = child.wait_with_output()?;
            anyhow::bail!("it did not end within {LIMIT:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// The counts of the last line, such as `60 frames, 100 audio packets`.
fn counts(printed: &[u8]) -> Result<[usize; 2]> {
    let printed = String::from_utf8_lossy(printed);
    let line = printed.lines().last().context("nothing was printed")?;
    let (frames, audio) = line.split_once(", ").with_context(|| line.to_owned())?;
    let number = |text: &str| text.split(' ').next().and_then(|number| number.parse().ok());
    Ok([number(frames).with_context(|| line.to_owned())?, number(audio).with_context(|| line.to_owned())?])
}

/// An Annex B stream begins with a key frame and its parameter sets, and every frame of it can be decoded.
fn check_h264(stream: &[u8], frames: usize) -> Result<()> {
    let mut units =
        nal_units(stream).map(|unit| unit.iter().skip_while(|byte| **byte == 0).nth(1).map(|byte| byte & 31));
    let first: Vec<u8> = units.by_ref().flatten().take_while(|kind| *kind != 5).collect();
    ensure!(
        first.contains(&7) && first.contains(&8) && !first.contains(&1),
        "NAL units before the first IDR: {first:?}"
    );
    let (mut decoder, mut decoded) = (Decoder::new()?, 0);
    let mut count = |yuv: Option<openh264::decoder::DecodedYUV<'_>>| {
        if let Some(yuv) = yuv {
            assert_eq!(yuv.dimensions(), (320, 180));
            decoded += 1;
        }
    };
    for unit in nal_units(stream) {
        count(decoder.decode(unit)?);
    }
    for yuv in decoder.flush_remaining()? {
        count(Some(yuv));
    }
    ensure!(decoded == frames, "{decoded} of {frames} frames were decoded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_viewer_writes_h264_to_a_file() -> Result<()> {
    let server = Server::start()?;
    let file = server.path("camera.h264");
    let output = ["--output", file.to_str().context("path")?, "--frames", &FRAMES.to_string()];
    let output = finish(server.watch(&mut Command::new(example("watch")?), &output)?).await?;
    ensure!(output.stdout.is_empty(), "standard output is for the video");
    let [frames, audio_packets] = counts(&output.stderr)?;
    ensure!(frames == FRAMES && audio_packets > 0, "{frames} frames, {audio_packets} audio packets");
    check_h264(&fs::read(file)?, FRAMES)?;
    // It has ended its session itself.
    ensure!(server.viewers().await? == 0, "the session was left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_viewer_writes_to_standard_output_until_it_is_interrupted() -> Result<()> {
    let server = Server::start()?;
    let mut child = server.watch(&mut Command::new(example("watch")?), &[])?;
    let mut stdout = child.stdout.take().context("no stdout")?;
    // Ctrl+C comes with the first bytes of the video.
    let pid = child.id();
    let reader = tokio::task::spawn_blocking(move || {
        let mut first = [0; 4];
        std::io::Read::read_exact(&mut stdout, &mut first)?;
        signal(pid, "INT")?;
        std::io::copy(&mut stdout, &mut std::io::sink())?;
        anyhow::Ok(first)
    });
    finish(child).await?;
    ensure!(reader.await?? == [0, 0, 0, 1], "no start code at the beginning");
    ensure!(server.viewers().await? == 0, "the session was left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_viewer_says_why_it_is_not_let_in() -> Result<()> {
    let mut server = Server::start()?;
    server.token = "pht_wrong".to_owned();
    let error = finish(server.watch(&mut Command::new(example("watch")?), &[])?).await;
    let error = error.err().context("a wrong token was accepted")?.to_string();
    ensure!(error.contains("401"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_viewer_records_and_asks_over_the_data_channel() -> Result<()> {
    let server = Server::start()?;
    let file = server.path("camera.mp4");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/watch.py");
    let arguments = ["--output", file.to_str().context("path")?, "--frames", &FRAMES.to_string()];
    // The Debian package python3-aiortc serves Debian's own interpreter.
    let output = finish(server.watch(Command::new("/usr/bin/python3").arg(script), &arguments)?).await?;
    let printed = String::from_utf8(output.stdout)?;
    let answer = printed.lines().find_map(|line| line.strip_prefix("camera.list: ")).context("no answer")?;
    let answer: Value = serde_json::from_str(answer)?;
    // Not its size: the camera may be starting.
    ensure!(answer["result"]["cameras"][0]["name"] == "camera", "{answer}");
    let [frames, audio_frames] = counts(printed.as_bytes())?;
    ensure!(frames == FRAMES && audio_frames > 0, "{printed}");
    check_recording(&file)?;
    ensure!(server.viewers().await? == 0, "the session was left behind");
    Ok(())
}

/// The recording has all frames, in the camera's size, and lasts as long as they took.
fn check_recording(file: &Path) -> Result<()> {
    let mut command = Command::new("ffprobe");
    let entries = "format=duration:stream=codec_name,width,height,nb_read_frames";
    command.args(["-v", "error", "-count_frames", "-show_entries", entries, "-of", "json"]).arg(file);
    let output = command.output().context("run ffprobe")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let probed: Value = serde_json::from_slice(&output.stdout)?;
    let expected = json!([{ "codec_name": "h264", "width": 320, "height": 180, "nb_read_frames": FRAMES.to_string() }]);
    ensure!(probed["streams"] == expected, "{probed}");
    // Frames that a busy machine leaves out make it longer.
    let seconds: f64 = probed["format"]["duration"].as_str().context("no duration")?.parse()?;
    ensure!(seconds > 0.9 * FRAMES as f64 / 30.0 && seconds < LIMIT.as_secs_f64(), "{probed}");
    Ok(())
}
