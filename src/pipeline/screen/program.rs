//! The program that shows a talker: it reads the picture from its standard input, and ends together with what it has started.
//!
//! Nothing here waits for it longer than it is told.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::media::{ScreenCodec, ScreenFrame, VIDEO_RTP_RATE, ivf};
use crate::util::last_line::LastLine;
use crate::util::process_group::ProcessGroup;

/// The variable that tells a program what it reads.
const CODEC_VARIABLE: &str = "PORTHOLE_CODEC";

/// How much of standard error is read at once, and how often in a row: what a pipe holds. A program that floods it must not
/// delay the picture.
const READ_SIZE: usize = 4096;
const MAX_READS: usize = 16;

/// A running program; terminated when dropped.
pub(super) struct ScreenProgram {
    group: ProcessGroup,
    /// `None` once it is closed.
    input: Option<ChildStdin>,
    err: Option<ChildStderr>,
    said: LastLine,
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
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut group = ProcessGroup::spawn(&mut command)?;
        let (input, err) = (group.child().stdin.take(), group.child().stderr.take());
        input.as_ref().map_or(Ok(()), |input| rustix::io::ioctl_fionbio(input, true))?;
        err.as_ref().map_or(Ok(()), |err| rustix::io::ioctl_fionbio(err, true))?;
        let said = LastLine::default();
        Ok(Self { group, input, err, said, codec, begun: None, frame: Vec::new(), written: 0 })
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
        while let Some(input) = self.input.as_mut().filter(|_| self.written < self.frame.len()) {
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
        self.input.is_none()
    }

    /// Tells it that the picture has ended.
    pub(super) fn close(&mut self) {
        self.input = None;
        self.frame.clear();
        self.written = 0;
    }

    /// Whether it has exited. Waits for that, for `wait` at most.
    pub(super) fn has_exited(&mut self, wait: Duration) -> bool {
        self.wait(wait)
    }

    /// How it has exited, and what it said last; to be called when it has.
    pub(super) fn exit(mut self) -> (bool, String) {
        let status = self.group.wait_exit();
        self.read();
        let how = describe(status);
        let said = self.said.text();
        let said = if said.is_empty() { said } else { format!("; it said: {said}") };
        (status.is_some_and(|status| status.success()), format!("{how}{said}"))
    }

    /// Waits until it takes something, says something or exits; whether it has exited.
    fn wait(&mut self, wait: Duration) -> bool {
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let is_ready = self.is_ready();
        let mut ends = vec![PollFd::new(self.group.exit(), PollFlags::IN)];
        ends.extend(self.err.as_ref().map(|err| PollFd::new(err, PollFlags::IN)));
        ends.extend(self.input.as_ref().filter(|_| !is_ready).map(|input| PollFd::new(input, PollFlags::OUT)));
        let waited = poll(&mut ends, Some(&timeout));
        let has_exited = waited.is_ok() && ends.first().is_some_and(|exit| !exit.revents().is_empty());
        self.read();
        has_exited
    }

    /// Reads what there is of standard error.
    fn read(&mut self) {
        let mut chunk = [0; READ_SIZE];
        for _ in 0..MAX_READS {
            let Some(err) = &mut self.err else { return };
            match err.read(&mut chunk) {
                Ok(count) if count > 0 => self.said.push(&chunk[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
                Ok(_) | Err(_) => self.err = None,
            }
        }
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
