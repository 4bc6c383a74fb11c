//! What ffprobe and ffmpeg find in recorded files, and events as curl reads them.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use porthole::capture::camera::timecode;
use serde_json::Value;

use crate::common::Porthole;

/// The recordings in a directory, by their numbers.
pub fn all(directory: &Path) -> Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        // After the camera, six parts of the time.
        name.strip_suffix(".mp4")?.split('-').find_map(|part| (part.len() == 6).then(|| part.parse::<u64>().ok())?)
    };
    let mut numbered: Vec<_> = paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// The only recording in a directory.
pub fn only(directory: &Path) -> Result<PathBuf> {
    let mut all = all(directory)?;
    ensure!(all.len() == 1, "{all:?}");
    all.pop().context("no recording")
}

/// Runs a program on a file, which must find nothing wrong with it.
fn run(program: &str, before: &[&str], file: &Path, after: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    let output = command.args(before).arg(file).args(after).stdin(Stdio::null()).output()?;
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && wrong.is_empty(), "{program} {}: {wrong}", file.display());
    Ok(output.stdout)
}

fn probe(file: &Path, entries: &str) -> Result<Value> {
    let printed = run("ffprobe", &["-v", "error", "-of", "json", "-show_entries", entries], file, &[])?;
    Ok(serde_json::from_slice(&printed)?)
}

/// The codecs of a file's streams.
pub fn streams(file: &Path) -> Result<Vec<String>> {
    let found = probe(file, "stream=codec_name")?;
    let streams = found["streams"].as_array().context("no streams")?;
    Ok(streams.iter().filter_map(|stream| Some(stream["codec_name"].as_str()?.to_owned())).collect())
}

/// How long a file is, as players show it, in seconds.
pub fn duration(file: &Path) -> Result<f64> {
    let found = probe(file, "format=duration")?;
    Ok(found["format"]["duration"].as_str().context("no duration")?.parse()?)
}

/// When each packet of the video is shown, in seconds, and how many of them a player can start with.
pub fn packets(file: &Path) -> Result<(Vec<f64>, usize)> {
    let found = probe(file, "packet=pts_time,flags")?;
    let packets = found["packets"].as_array().context("no packets")?;
    let time = |packet: &Value| packet["pts_time"].as_str()?.parse().ok();
    let times = packets.iter().map(time).collect::<Option<Vec<f64>>>().context("a packet without a time")?;
    let is_key = |packet: &&Value| packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K'));
    Ok((times, packets.iter().filter(is_key).count()))
}

/// The bytes of all packets.
pub fn media_bytes(file: &Path) -> Result<u64> {
    let found = probe(file, "packet=size")?;
    let packets = found["packets"].as_array().context("no packets")?;
    Ok(packets.iter().filter_map(|packet| packet["size"].as_str()?.parse::<u64>().ok()).sum())
}

/// All frames of a file in YU12, one after another.
pub fn frames(file: &Path) -> Result<Vec<u8>> {
    // Times are those of the file: frames of a busy machine may be closer than its frame rate says.
    let after = [
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:90000",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-",
    ];
    run("ffmpeg", &["-nostdin", "-v", "error", "-i"], file, &after)
}

/// The times of a file's frames in seconds.
pub fn times(file: &Path) -> Result<Vec<f64>> {
    let found = probe(file, "frame=pts_time")?;
    let frames = found["frames"].as_array().context("no frames")?;
    frames.iter().map(|frame| Ok(frame["pts_time"].as_str().context("no time")?.parse()?)).collect()
}

/// The numbers of the test pattern's frames in a file, all of which have to be decoded and to increase.
pub fn numbers(file: &Path, (width, height): (usize, usize)) -> Result<Vec<u32>> {
    let frames = frames(file)?;
    let frames = frames.chunks_exact(width * height * 3 / 2);
    let code = |frame: &[u8]| timecode::read(frame, width, height, width).map(|code| code.frame);
    let numbers = frames.map(code).collect::<Option<Vec<u32>>>().context("a frame without a timecode")?;
    ensure!(!numbers.is_empty() && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    Ok(numbers)
}

/// Checks that a player that goes to a time gets there: to the last key frame before it.
pub fn check_seeking(file: &Path, length: f64) -> Result<()> {
    for at in [0.0, length / 2.0, length - 1.0] {
        let interval = format!("{at}%+#1");
        let before =
            ["-v", "error", "-of", "json", "-select_streams", "v", "-read_intervals", &interval, "-show_entries"];
        let printed = run("ffprobe", &[&before[..], &["packet=pts_time,flags"]].concat(), file, &[])?;
        let found: Value = serde_json::from_slice(&printed)?;
        let packet = &found["packets"][0];
        let time: f64 = packet["pts_time"].as_str().with_context(|| format!("nothing at {at}"))?.parse()?;
        ensure!(time <= at + 0.001 && at - time < 6.0, "{at}: {packet}");
        ensure!(packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K')), "{at}: {packet}");
    }
    Ok(())
}

/// How many frames a player shows of a file that may end anywhere.
pub fn playable(file: &Path) -> Result<usize> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    command.args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framecrc", "-"]);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')).count())
}

/// Lines of the events of a running program.
pub struct Events {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Reads the events; whoever waits for one that does not come is told when curl gives up.
pub fn events(porthole: &Porthole) -> Result<Events> {
    let url = format!("{}api/events", porthole.base);
    let mut command = Command::new("curl");
    let mut child = command.args(["-sN", "--max-time", "30", &url]).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    Ok(Events { child, lines })
}

impl Events {
    /// The next line.
    pub fn next(&mut self) -> Result<String> {
        Ok(self.lines.next().context("the events have ended")??)
    }

    /// Reads up to this line.
    pub fn until(&mut self, line: &str) -> Result<()> {
        while self.next()? != line {}
        Ok(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
