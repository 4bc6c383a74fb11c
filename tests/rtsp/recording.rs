//! Recordings by ffmpeg: what ffprobe finds in them, and how far audio and picture are apart.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use porthole::capture::camera::timecode;
use serde_json::Value;

use crate::common::Program;

// A part of it is used.
#[allow(dead_code)]
#[path = "../common/tone.rs"]
pub mod tone;

/// The rate of the decoded audio.
pub const RATE: u32 = 48_000;

/// Has ffmpeg record a URL for so many seconds. The audio is decoded, so that the offset in the file is that of the player.
pub fn start(url: &str, transport: &str, seconds: u32, file: &Path) -> Result<Program> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-rtsp_transport", transport, "-i", url]);
    command.args(["-t", &seconds.to_string(), "-c:v", "copy", "-c:a", "pcm_s16le", "-y"]).arg(file);
    Program::start(&mut command)
}

/// Checks a recording of so many seconds of [`SMALL`]: the times of picture and audio increase without a gap, and the audio is in
/// step with the picture from its beginning to its end.
///
/// [`SMALL`]: crate::common::SMALL
pub fn check(file: &Path, seconds: u32) -> Result<()> {
    let [video, audio] = tracks(file)?;
    let length = f64::from(seconds);
    video.check(length, 0.5).context("video")?;
    audio.check(length, 0.2).context("audio")?;
    // A picture that was kept for whoever comes is older than the first audio, and the audio may be opened meanwhile.
    let begin = audio.times[0] - video.times[0];
    ensure!((-0.04..1.0).contains(&begin), "the audio begins {begin} s after the picture");
    // The tone ticks once a second; a busy machine may lose a tick.
    for after in [0.0, length - 5.0] {
        let delay = audio_delay(file, (320, 180), after)?;
        ensure!(delay.abs() < 0.04, "after {after} s the audio is {delay} s behind the picture");
    }
    Ok(())
}

/// What a program prints for a file, which is in the place of `FILE`.
pub fn run(program: &str, arguments: &[&str], file: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    let (before, after) = arguments.split_at(arguments.iter().position(|word| *word == "FILE").context("no file")?);
    let output = command.args(before).arg(file).args(&after[1..]).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// What a recording holds of one track.
#[derive(Debug)]
pub struct Track {
    /// The times of its packets, in seconds.
    pub times: Vec<f64>,
}

impl Track {
    /// Checks that the times of a recording of so many seconds increase, and have no long gap.
    pub fn check(&self, seconds: f64, longest: f64) -> Result<()> {
        let (first, last) = (self.times.first().context("no packets")?, self.times.last().context("no packets")?);
        ensure!(self.times.windows(2).all(|pair| pair[0] < pair[1]), "not monotone: {:?}", self.times);
        let gap = self.times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        ensure!(gap < longest, "a gap of {gap} s: {:?}", self.times);
        ensure!(last - first > seconds - 0.5, "only {} s", last - first);
        Ok(())
    }
}

/// The tracks of a recording: video and audio.
pub fn tracks(file: &Path) -> Result<[Track; 2]> {
    let arguments = ["-v", "error", "-of", "json", "-show_entries", "packet=codec_type,pts_time,dts_time", "FILE"];
    let found: Value = serde_json::from_slice(&run("ffprobe", &arguments, file)?)?;
    let packets = found["packets"].as_array().context("no packets")?;
    let times = |kind: &str| {
        let of_kind = packets.iter().filter(|packet| packet["codec_type"] == kind);
        let times = of_kind.map(|packet| Ok(packet["pts_time"].as_str().context("no time")?.parse()?));
        times.collect::<Result<Vec<f64>>>()
    };
    Ok([Track { times: times("video")? }, Track { times: times("audio")? }])
}

/// From the first to the last packet of video and of audio, in seconds.
pub fn lengths(file: &Path) -> Result<[f64; 2]> {
    let length = |track: &Track| track.times.last().zip(track.times.first()).map(|(last, first)| last - first);
    let [video, audio] = tracks(file)?;
    Ok([length(&video).context("no video")?, length(&audio).context("no audio")?])
}

/// By how many seconds the audio of a recording of the test pattern is behind its picture: the tone ticks at each full second of
/// the capture clock, which the timecode in the picture tells. The first tick is used that begins `after` seconds from the start.
fn audio_delay(file: &Path, size: (usize, usize), after: f64) -> Result<f64> {
    let [video, audio] = tracks(file)?;
    let (width, height) = size;
    let arguments =
        ["-v", "error", "-i", "FILE", "-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt"];
    let frames = run("ffmpeg", &[&arguments[..], &["yuv420p", "-"]].concat(), file)?;
    let frames: Vec<&[u8]> = frames.chunks_exact(width * height * 3 / 2).collect();
    ensure!(frames.len() == video.times.len(), "{} packets, {} frames", video.times.len(), frames.len());
    let code = |frame: &&[u8]| timecode::read(frame, width, height, width);
    let mut late = frames.iter().zip(&video.times).filter(|(_, time)| **time >= video.times[0] + after);
    let shown = late.find_map(|(frame, time)| Some((code(frame)?, *time)));
    let (code, shown_at) = shown.context("no timecode")?;
    let clock = code.captured as f64 / 1e4 - shown_at;
    // Where a busy machine has lost audio, silence keeps the rest in its place, as players do.
    let in_place = "aresample=async=1:min_hard_comp=0.01";
    let arguments = ["-v", "error", "-i", "FILE", "-map", "0:a", "-af", in_place, "-ac", "1", "-f", "s16le", "-"];
    let samples = run("ffmpeg", &arguments, file)?;
    let samples: Vec<i16> = samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let skipped = (after * f64::from(RATE)) as usize;
    let onset = skipped + tone::onset(samples.get(skipped..).context("it is too short")?, RATE).context("no tick")?;
    let tick = clock + audio.times.first().context("no audio")? + onset as f64 / f64::from(RATE);
    Ok(tick - tick.round())
}
