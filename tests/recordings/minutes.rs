//! Minutes of recording in both modes, as `make recordings` runs them: every frame is in the files, the audio is in step from the
//! beginning to the end, and what recording costs in processor time, memory and bytes for the card. Prints a table.

// The table is what it is run for.
#![allow(clippy::print_stdout)]

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole::capture::camera::timecode;
use serde_json::json;

use crate::common::footprint::call;
use crate::common::{Porthole, missing};
use crate::recording::tone;
use crate::{config, files, has_ended, is_recording, recording, until_listed};

/// The environment variable with the number of minutes; one if it is not set.
const MINUTES: &str = "MINUTES";

/// The size of the test pattern.
const SIZE: (usize, usize) = (320, 180);

/// For how long something is recorded, and then nothing, while what that costs is measured.
const PHASE: Duration = Duration::from_secs(20);

/// The most minutes for that: more of them change nothing.
const MOST_MINUTES: u64 = 10;

/// By how much the audio may be ahead of the picture or behind it, in seconds.
const IN_STEP: f64 = 0.04;

/// The most that recording 1280x720 with 2 Mbit/s takes of a processor core, in percent.
const MOST_CPU: f64 = 1.0;

/// The most memory that it takes, in megabytes.
const MOST_MEMORY: f64 = 10.0;

/// The most bytes for the card besides the media, in percent of them.
const MOST_BESIDES: f64 = 3.0;

/// What was found, with its limits.
#[derive(Default)]
struct Table {
    text: String,
    wrong: Vec<String>,
}

impl Table {
    fn row(&mut self, what: &str, figure: String, limit: &str, holds: bool) {
        let _ = writeln!(self.text, "| {what} | {figure} | {limit} |");
        if !holds {
            self.wrong.push(format!("{what}: {figure}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes MINUTES, and up to ten more: `make recordings`"]
async fn minutes_of_recording_are_whole_in_step_and_cheap() -> Result<()> {
    let minutes: u64 = std::env::var(MINUTES).map_or(Ok(1), |text| text.parse()).context("MINUTES is no number")?;
    let length = Duration::from_secs(60 * minutes);
    let mut table = Table::default();
    // Both at once, in programs of their own.
    let (always, events) = tokio::try_join!(everything(length), some_events(length))?;
    for (mode, found) in [("always", always), ("events", events)] {
        let Found { files, seconds, frames, apart } = found;
        table.row(&format!("{mode}: files"), format!("{files} with {seconds:.0} s"), "", true);
        table.row(&format!("{mode}: frames, each of which is there"), frames.to_string(), "all", true);
        let figure = format!("{:.1} to {:.1} ms", apart.0 * 1e3, apart.1 * 1e3);
        let holds = apart.0.abs().max(apart.1.abs()) < IN_STEP;
        table.row(&format!("{mode}: audio behind the picture"), figure, "40 ms", holds);
    }
    cost(60 * minutes.min(MOST_MINUTES), &mut table).await?;
    let kind = if cfg!(debug_assertions) { "a build without optimisation" } else { "a release build" };
    println!("\n{minutes} min, {kind}\n\n| | found | limit |\n| --- | --- | --- |\n{}", table.text);
    ensure!(table.wrong.is_empty(), "{:#?}", table.wrong);
    Ok(())
}

/// What is in the files of a run.
#[derive(Debug, Default)]
struct Found {
    files: usize,
    seconds: f64,
    frames: usize,
    /// The least and the most that audio is behind the picture, in seconds.
    apart: (f64, f64),
}

/// A directory on the disk of the build: the one for temporary files may be in memory.
fn directory() -> Result<tempfile::TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).context("make a directory for recordings")
}

/// Everything is recorded, in several files.
async fn everything(length: Duration) -> Result<Found> {
    let folder = directory()?;
    let file_minutes = length.as_secs().div_ceil(6 * 60);
    let lines = format!("mode = \"always\"\nfile_minutes = {file_minutes}");
    let porthole = Porthole::start(&config(folder.path(), &lines))?;
    tokio::time::sleep(length).await;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    until_listed(&porthole, "it has ended", has_ended).await?;
    let mut found = Found::default();
    let mut numbers = Vec::new();
    for file in files::all(folder.path())? {
        numbers.extend(found.check(&file)?);
    }
    // Also from one file to the next.
    missing(&numbers, &porthole).await?;
    ensure!(found.seconds > length.as_secs_f64() - 5.0, "{found:?}");
    Ok(found)
}

/// Events of half a minute are recorded, one after another.
async fn some_events(length: Duration) -> Result<Found> {
    /// The test pattern moves all the time, which would be one event.
    const MOTION: &str = "bitrate = 300000\n[camera.motion]\nenabled = true\nexclude = [[0, 0, 1, 1]]";
    let folder = directory()?;
    let config = config(folder.path(), "mode = \"events\"\nbefore = 5\nafter = 5");
    let porthole = Porthole::start(&config.replace("bitrate = 300000", MOTION))?;
    let begun = Instant::now();
    while begun.elapsed() < length {
        call(&porthole, "record.start", json!({})).await?;
        porthole.until_status("it is recorded", is_recording).await?;
        tokio::time::sleep(Duration::from_secs(20)).await;
        call(&porthole, "record.stop", json!({})).await?;
        until_listed(&porthole, "it has ended", has_ended).await?;
    }
    let mut found = Found::default();
    for file in files::all(folder.path())? {
        missing(&found.check(&file)?, &porthole).await?;
    }
    ensure!(found.files as u64 >= length.as_secs().div_ceil(60), "{found:?}");
    Ok(found)
}

impl Found {
    /// Checks a file, and adds what is in it; the numbers of its frames.
    fn check(&mut self, file: &Path) -> Result<Vec<u32>> {
        let [video, audio] = recording::tracks(file)?;
        let length = files::duration(file)?;
        // Of a frame that the program itself has dropped, a gap is left.
        video.check(length - 0.5, 1.0).with_context(|| format!("video of {}", file.display()))?;
        audio.check(length - 1.5, 0.5).with_context(|| format!("audio of {}", file.display()))?;
        let codes = codes(file)?;
        ensure!(codes.len() == video.times.len(), "{} packets, {} frames", video.times.len(), codes.len());
        let numbers: Vec<u32> = codes.iter().map(|code| code.frame).collect();
        ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{}: {numbers:?}", file.display());
        // By how much the clock of the picture is ahead of the time in the file, at each frame.
        let clocks: Vec<(f64, f64)> =
            codes.iter().zip(&video.times).map(|(code, time)| (*time, code.captured as f64 / 1e4 - time)).collect();
        let ticks = ticks(file, &audio.times)?;
        ensure!(ticks.len() as f64 > length - 4.0, "{} ticks in {length} s: {}", ticks.len(), file.display());
        for tick in ticks {
            let at = clocks.partition_point(|(time, _)| *time < tick).min(clocks.len() - 1);
            let second = clocks[at].1 + tick;
            let apart = second - second.round();
            self.apart = (self.apart.0.min(apart), self.apart.1.max(apart));
        }
        self.files += 1;
        self.seconds += length;
        self.frames += numbers.len();
        Ok(numbers)
    }
}

/// The timecodes of all frames of a file. They are read one after another: together they would fill the memory.
fn codes(file: &Path) -> Result<Vec<timecode::Timecode>> {
    let (width, height) = SIZE;
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file).args(["-map", "0:v", "-fps_mode", "passthrough"]);
    command.args(["-enc_time_base", "1:90000", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let (mut codes, mut frame) = (Vec::new(), vec![0; width * height * 3 / 2]);
    loop {
        match output.read_exact(&mut frame) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
        let code = timecode::read(&frame, width, height, width);
        codes.push(code.with_context(|| format!("frame {} of {} has no timecode", codes.len(), file.display()))?);
    }
    ensure!(child.wait()?.success(), "ffmpeg {}", file.display());
    Ok(codes)
}

/// When the tone ticks in a file, in seconds: once a second. `packets` are the times of the packets of audio.
fn ticks(file: &Path, packets: &[f64]) -> Result<Vec<f64>> {
    /// The samples of a packet.
    const PACKET: usize = 960;
    let rate = recording::RATE as usize;
    let arguments = ["-nostdin", "-v", "error", "-i", "FILE", "-map", "0:a", "-ac", "1", "-f", "s16le", "-"];
    let samples = recording::run("ffmpeg", &arguments, file)?;
    let samples: Vec<i16> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    // The decoder leaves out what it needs to begin.
    let left_out = (packets.len() * PACKET).checked_sub(samples.len()).filter(|samples| *samples < PACKET);
    let left_out = left_out.with_context(|| format!("{} samples of {} packets", samples.len(), packets.len()))?;
    let time = |sample: usize| {
        let sample = sample + left_out;
        packets[sample / PACKET] + (sample % PACKET) as f64 / rate as f64
    };
    let (mut ticks, mut at) = (Vec::new(), 0);
    while at + rate < samples.len() {
        // From between two ticks, or the beginning, over the next one.
        match tone::onset(&samples[at..at + rate], recording::RATE) {
            Some(onset) => {
                ticks.push(time(at + onset));
                at += onset + rate / 2;
            }
            None => at += rate / 2,
        }
    }
    Ok(ticks)
}

/// What a process has written.
#[derive(Debug, Clone, Copy)]
struct Usage {
    at: Instant,
    cpu: f64,
    /// Bytes for the disk.
    written: u64,
}

impl Usage {
    async fn of(porthole: &Porthole) -> Result<Self> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", porthole.pid()))?;
        let written =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).context("no count")?;
        Ok(Self { cpu: porthole.metric("porthole_cpu_seconds_total").await?, at: Instant::now(), written })
    }

    /// The percentage of a core since then.
    async fn percent_since(self, porthole: &Porthole) -> Result<f64> {
        let now = Self::of(porthole).await?;
        Ok(100.0 * (now.cpu - self.cpu) / now.at.duration_since(self.at).as_secs_f64())
    }
}

/// A clip of 1280x720 with 2 Mbit/s, as cameras encode it.
fn clip(folder: &Path) -> Result<PathBuf> {
    let clip = folder.join("clip.ts");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30,noise=alls=12:allf=t"]);
    command.args([
        "-t",
        "10",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-tune",
        "zerolatency",
        "-profile:v",
        "baseline",
    ]);
    command
        .args(["-b:v", "2M", "-minrate", "2M", "-maxrate", "2M", "-bufsize", "1M", "-g", "60", "-pix_fmt", "yuv420p"]);
    let status = command.arg(&clip).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "ffmpeg: {status}");
    Ok(clip)
}

/// Records now and then for so many seconds what a camera encodes itself, so that nothing but recording makes the difference.
async fn cost(seconds: u64, table: &mut Table) -> Result<()> {
    let folder = directory()?;
    let (recordings, clip) = (folder.path().join("recordings"), clip(folder.path())?);
    let camera = format!("exec ffmpeg -nostdin -v error -re -stream_loop -1 -i {} -c copy -f h264 -", clip.display());
    let porthole = Porthole::start(&format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[auth]\nmode = \"none\"\n[audio]\ndevice = \"off\"\n[[camera]]\nkeep_open = true\n\
         width = 1280\nheight = 720\nfps = 30\ndevice = '''exec:{camera}'''\n[recording]\nmode = \"manual\"\nbefore = 0\n\
         after = 0\nmin_free = \"\"\ndirectory = {recordings:?}\n"
    ))?;
    porthole.until_metric("porthole_frames_captured_total", |frames| frames >= 60.0).await?;
    let (mut idle, mut busy, mut written) = (Vec::new(), Vec::new(), 0);
    let (mut before, mut most) = (0, 0);
    for round in 1..=(seconds / (2 * PHASE.as_secs())).max(1) {
        let start = Usage::of(&porthole).await?;
        tokio::time::sleep(PHASE).await;
        idle.push(start.percent_since(&porthole).await?);
        // What was allocated for the first file may stay.
        before = if round == 1 { porthole.memory()? } else { before };
        let start = Usage::of(&porthole).await?;
        call(&porthole, "record.start", json!({})).await?;
        porthole.until_status("it is recorded", is_recording).await?;
        // Without its picture, which takes the same for a file of an hour.
        let begun = Usage::of(&porthole).await?;
        tokio::time::sleep(PHASE).await;
        busy.push(begun.percent_since(&porthole).await?);
        most = most.max(porthole.memory()?);
        call(&porthole, "record.stop", json!({})).await?;
        until_listed(&porthole, "it has ended", has_ended).await?;
        written += Usage::of(&porthole).await?.written - start.written;
    }
    let (mut media, mut bytes, mut length) = (0, 0, 0.0);
    for file in files::all(&recordings)? {
        media += files::media_bytes(&file)?;
        bytes += file.metadata()?.len();
        length += files::duration(&file)?;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (idle, busy) = (mean(&idle), mean(&busy));
    table.row("720p, bitrate", format!("{:.2} Mbit/s for {length:.0} s", media as f64 * 8.0 / length / 1e6), "", true);
    // Without optimisation it says little.
    let holds = busy - idle < MOST_CPU || cfg!(debug_assertions);
    let figure = format!("{:.2} % of a core ({idle:.2} % without it)", busy - idle);
    table.row("720p, recording takes", figure, &format!("{MOST_CPU} %"), holds);
    let memory = (most as f64 - before as f64) / 1e6;
    table.row("720p, memory", format!("{memory:.1} MB"), &format!("{MOST_MEMORY} MB"), memory <= MOST_MEMORY);
    let besides = |of: u64| 100.0 * (of as f64 - media as f64) / media as f64;
    let limit = format!("{MOST_BESIDES} %");
    table.row(
        "720p, files besides the media",
        format!("{:.2} %", besides(bytes)),
        &limit,
        besides(bytes) <= MOST_BESIDES,
    );
    ensure!(written > 0, "{}: no file system that is on a disk", recordings.display());
    let figure = format!("{:.2} %", besides(written));
    table.row("720p, written besides the media", figure, &limit, besides(written) <= MOST_BESIDES);
    Ok(())
}
