//! A program that reads what it is given from its standard input, and whose last words on standard error are kept for the message
//! when it fails. Its standard output is dropped. Nothing here waits for it longer than it is told.

use std::io::{self, Read as _};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::last_line::LastLine;
use super::process_group::ProcessGroup;

/// How much of standard error is read at once, and how often in a row: what a pipe holds. A program that floods it delays
/// nothing.
const READ_SIZE: usize = 4096;
const MAX_READS: usize = 16;

/// A running program; terminated when dropped, with what it has started.
pub struct PipedProgram {
    group: ProcessGroup,
    /// Its standard input, which never blocks; `None` once it is closed.
    pub input: Option<ChildStdin>,
    err: Option<ChildStderr>,
    said: LastLine,
}

impl PipedProgram {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut group = ProcessGroup::spawn(command)?;
        let (input, err) = (group.child().stdin.take(), group.child().stderr.take());
        input.as_ref().map_or(Ok(()), |input| rustix::io::ioctl_fionbio(input, true))?;
        err.as_ref().map_or(Ok(()), |err| rustix::io::ioctl_fionbio(err, true))?;
        Ok(Self { group, input, err, said: LastLine::default() })
    }

    /// Waits until it says something, exits or, if there is something to write, takes it, for `wait` at most. Reads what it says.
    /// Returns whether it has exited.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn wait(&mut self, wait: Duration, is_writing: bool) -> io::Result<bool> {
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut ends = vec![PollFd::new(self.group.exit(), PollFlags::IN)];
        ends.extend(self.err.as_ref().map(|err| PollFd::new(err, PollFlags::IN)));
        ends.extend(self.input.as_ref().filter(|_| is_writing).map(|input| PollFd::new(input, PollFlags::OUT)));
        match poll(&mut ends, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            ready => ready?,
        };
        let has_exited = ends.first().is_some_and(|exit| !exit.revents().is_empty());
        self.read();
        Ok(has_exited)
    }

    /// How it has exited, and the last line that it said, if any; to be called when it has.
    pub fn exit(&mut self) -> (Option<ExitStatus>, Option<String>) {
        let status = self.group.wait_exit();
        self.read();
        (status, Some(self.said.text()).filter(|said| !said.is_empty()))
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
