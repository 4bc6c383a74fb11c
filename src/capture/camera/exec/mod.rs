//! A camera that is an external program: it writes MJPEG, H.264 in Annex B format or raw I420 to its standard output.
//!
//! The program runs while somebody is watching, and is terminated together with all processes that it has started. Restarting it
//! after it exits does not belong here: the pipeline's retry loop does that.

mod annexb;
mod jpeg;
mod libcamera;
mod process;
pub mod stream;

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Config, Dropped, Error, VideoSource};
use crate::device::sysfs::VIDEO_NODES;
use crate::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use crate::util::redact::redact;
use process::{Process, Read};
use stream::{Stream, Unreadable};

/// The length to which a command is truncated in messages and in the status, in characters.
const LABEL_LIMIT: usize = 60;

/// The length to which a line of standard error is truncated, in characters.
const LINE_LIMIT: usize = 500;

/// How long a program may take to its first frame: it may connect to a camera in the network, and wait for its next key
/// frame. One that is killed sooner, and started again, would never get there.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of standard error that are logged per second; the rest are counted.
const MAX_LINES_PER_SECOND: u32 = 10;

/// A running program that delivers frames.
pub struct Program {
    label: String,
    process: Process,
    stderr: StderrLog,
    stream: Stream,
    /// The format of the last frame; before the first one, the requested format.
    format: VideoFormat,
    stale: u64,
}

impl Program {
    /// Starts `command`, a command line for the shell.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Later failures of the program are reported by [`VideoSource::next`].
    pub fn start(config: &Config, command: &str) -> Result<Self, Error> {
        let pixel = match config.format {
            None | Some(PixelFormat::Mjpeg | PixelFormat::H264 | PixelFormat::I420) => config.format,
            Some(other) => {
                return Err(Error::Unsupported {
                    device: label(command),
                    requested: format!("format {}", other.name()),
                    supported: "a program may write MJPEG, H264 or YU12".into(),
                });
            }
        };
        Self::run(config, label(command), command, pixel)
    }

    /// Starts the program for a CSI camera.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn libcamera(config: &Config) -> Result<Self, Error> {
        let path = std::env::var("PATH").unwrap_or_default();
        let (line, format) = libcamera::command_line(config, &path, Path::new(VIDEO_NODES))?;
        Self::run(config, "libcamera".into(), &line, Some(format))
    }

    fn run(config: &Config, label: String, line: &str, configured: Option<PixelFormat>) -> Result<Self, Error> {
        let process = Process::start(line).map_err(|source| Error::Io {
            device: label.clone(),
            call: "start /bin/sh",
            source,
        })?;
        tracing::info!("{label}: started");
        let (width, height) = (config.width.target(), config.height.target());
        let pixel = configured.unwrap_or(PixelFormat::I420);
        let format = VideoFormat {
            pixel,
            width,
            height,
            stride: width,
            fps: f64::from(config.fps.target()),
            color: Colorimetry::SRGB,
        };
        let stderr = StderrLog {
            label: label.clone(),
            last: String::new(),
            window_start: Instant::now(),
            logged: 0,
            suppressed: 0,
        };
        Ok(Self { label, process, stderr, stream: Stream::new(configured, format), format, stale: 0 })
    }

    /// The next available frame: the newest, unless frames depend on earlier ones.
    fn newest_frame(&mut self) -> Result<Option<RawFrame>, Error> {
        let mut newest = None;
        while let Some(frame) = self.stream.next_frame().map_err(|error| unreadable_error(&self.label, &error))? {
            let in_order = frame.format.pixel == PixelFormat::H264;
            if newest.replace(frame).is_some() {
                self.stale += 1;
            }
            if in_order {
                break;
            }
        }
        Ok(newest.map(|frame| self.raw(frame)))
    }

    fn raw(&mut self, stream::Frame { captured, gap, format, data }: stream::Frame) -> RawFrame {
        self.format = format;
        RawFrame { gap, ..RawFrame::new(captured, format, data) }
    }
}

impl VideoSource for Program {
    fn format(&self) -> VideoFormat {
        self.format
    }

    fn label(&self) -> &str {
        &self.label
    }

    fn is_pattern(&self) -> bool {
        false
    }

    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(frame) = self.newest_frame()? {
                return Ok(Some(frame));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let quiet = self.stream.quiet_in(Timestamp::now());
            let wait = quiet.map_or(left, |quiet| left.min(quiet));
            let stderr = &mut self.stderr;
            let read = self.process.read(self.stream.buffer(), wait, |line| stderr.log(line));
            match read.map_err(|source| Error::Io { device: self.label.clone(), call: "read", source })? {
                Read::Some => self.stream.mark_arrival(Timestamp::now()),
                Read::Nothing => {
                    if quiet.is_some_and(|quiet| quiet.is_zero())
                        && let Some(frame) = self.stream.finish()
                    {
                        return Ok(Some(self.raw(frame)));
                    }
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Read::End => {
                    // The next call reports the end.
                    if let Some(frame) = self.stream.finish() {
                        return Ok(Some(self.raw(frame)));
                    }
                    let status = self.process.wait_exit(|line| stderr.log(line));
                    let mut how = process::describe(status);
                    if !self.stderr.last.is_empty() {
                        how = format!("{how}; it said: {}", self.stderr.last);
                    }
                    return Err(Error::Ended { device: self.label.clone(), how });
                }
            }
        }
    }

    fn start_timeout(&self) -> Duration {
        START_TIMEOUT
    }

    fn set_bitrate(&mut self, _bitrate: u32) -> bool {
        self.format.pixel != PixelFormat::H264
    }

    fn dropped(&self) -> Dropped {
        Dropped { driver: 0, stale: self.stale, damaged: self.stream.damaged() }
    }
}

/// Logs the program's standard error, without credentials.
struct StderrLog {
    label: String,
    /// The last line, for the error when it exits.
    last: String,
    /// When the current second began, and how many lines were logged and suppressed in it.
    window_start: Instant,
    logged: u32,
    suppressed: u32,
}

impl StderrLog {
    fn log(&mut self, line: &str) {
        let line = shown(line);
        self.last.clone_from(&line);
        if self.window_start.elapsed() >= Duration::from_secs(1) {
            if self.suppressed > 0 {
                tracing::info!("{}: {} more lines", self.label, self.suppressed);
            }
            (self.window_start, self.logged, self.suppressed) = (Instant::now(), 0, 0);
        }
        if self.logged < MAX_LINES_PER_SECOND {
            self.logged += 1;
            tracing::info!("{}: {line}", self.label);
        } else {
            self.suppressed += 1;
        }
    }
}

/// A line of standard error as others may read it.
fn shown(line: &str) -> String {
    redact(line).chars().take(LINE_LIMIT).collect()
}

/// The command as others may read it.
fn label(command: &str) -> String {
    // Before it is truncated, which could separate a password from the host that follows it.
    let command = redact(command);
    let mut label: String = command.chars().take(LABEL_LIMIT).collect();
    if label.len() < command.len() {
        label.push('…');
    }
    format!("exec:{label}")
}

fn unreadable_error(label: &str, error: &Unreadable) -> Error {
    let (requested, supported) = match error {
        Unreadable::Unknown => (
            "what it writes".to_owned(),
            "it is neither MJPEG nor H.264 in Annex B form; for raw I420 set format = \"YU12\" and the exact width and height",
        ),
        Unreadable::NotAs(format) => (
            format!("reading what it writes as {}", format.name()),
            "it is something else; set format = \"auto\" or what it really is",
        ),
    };
    Error::Unsupported { device: label.into(), requested, supported: supported.into() }
}
