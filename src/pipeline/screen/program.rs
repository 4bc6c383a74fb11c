//! The program that shows a talker: it reads the picture from its standard input, and ends together with what it has started.
//!
//! Nothing here waits for it longer than it is told.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::media::{ScreenCodec, ScreenFrame, VIDEO_RTP_RATE, ivf};
use crate::util::piped_program::PipedProgram;

/// The variable that tells a program what it reads.
const CODEC_VARIABLE: &str = "PORTHOLE_CODEC";

/// A running program; terminated when dropped.
pub(super) struct ScreenProgram {
    program: PipedProgram,
    codec: ScreenCodec,
    /// When the first frame was captured; `None` before it.
    begun: Option<u64>,
    /// The frame that is being written, and how much of it was.
    frame: Vec<u8>,
    written: usize,
}

impl ScreenProgram {
    /// Starts a command line with `/bin/sh`.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub(super) fn start(line: &str, codec: ScreenCodec) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).env(CODEC_VARIABLE, codec.name());
        let program = PipedProgram::start(&mut command)?;
        Ok(Self { program, codec, begun: None, frame: Vec::new(), written: 0 })
    }

    /// Whether a frame can be begun: the last one was written.
    pub(super) fn is_ready(&self) -> bool {
        self.written >= self.frame.len()
    }

    /// Begins to write a frame. VP8 gets the headers of IVF, the first of which needs the size that a key frame has.
    pub(super) fn begin(&mut self, frame: &ScreenFrame) {
        self.frame.clear();
        self.written = 0;
        let begun = match (self.begun, self.codec) {
            (Some(begun), _) => begun,
            (None, ScreenCodec::H264) => frame.ticks,
            (None, ScreenCodec::Vp8) => {
                let Some(size) = ivf::key_frame_size(&frame.data) else { return };
                self.frame.extend(ivf::stream_header(size, VIDEO_RTP_RATE));
                frame.ticks
            }
        };
        self.begun = Some(begun);
        if self.codec == ScreenCodec::Vp8 {
            self.frame.extend(ivf::frame_header(frame.data.len() as u32, frame.ticks.saturating_sub(begun)));
        }
        self.frame.extend_from_slice(&frame.data);
    }

    /// Writes as much of the frame as the program takes, and reads what it says. Waits for it, for `wait` at most.
    pub(super) fn write(&mut self, wait: Duration) {
        self.wait(wait);
        while let Some(input) = self.program.input.as_mut().filter(|_| self.written < self.frame.len()) {
            match input.write(&self.frame[self.written..]) {
                Ok(count) if count > 0 => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It reads no more. It may go on for a while.
                Ok(_) | Err(_) => self.close(),
            }
        }
    }

    /// Whether it takes no more.
    pub(super) fn is_closed(&self) -> bool {
        self.program.input.is_none()
    }

    /// Tells it that the picture has ended.
    pub(super) fn close(&mut self) {
        self.program.input = None;
        self.frame.clear();
        self.written = 0;
    }

    /// Whether it has exited. Waits for that, for `wait` at most.
    pub(super) fn has_exited(&mut self, wait: Duration) -> bool {
        self.wait(wait)
    }

    /// Whether it was successful, and how it has exited; to be called when it has.
    pub(super) fn exit(mut self) -> (bool, String) {
        let (status, said) = self.program.exit();
        let said = said.map_or_else(String::new, |said| format!("; it said: {said}"));
        (status.is_some_and(|status| status.success()), format!("{}{said}", describe(status)))
    }

    /// Waits until it takes something, says something or exits; whether it has exited.
    fn wait(&mut self, wait: Duration) -> bool {
        let is_writing = !self.is_ready();
        self.program.wait(wait, is_writing).unwrap_or(false)
    }
}

fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(127), _)) => "the program ended with exit status 127 (command not found)".into(),
        Some((Some(code), _)) => format!("the program ended with exit status {code}"),
        Some((_, Some(signal))) => format!("the program was ended by signal {signal}"),
        _ => "the program cannot be ended".into(),
    }
}
