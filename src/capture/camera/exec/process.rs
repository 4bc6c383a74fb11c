//! The lifecycle of a program whose output is read: started in its own process group, read without blocking, and
//! terminated together with the processes that it has started. The format of its output does not belong here.

use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, poll};

use crate::util::process_group::ProcessGroup;
use crate::util::text;

/// The size of the pipe, if the kernel allows it: several compressed frames, or most of a raw one, so that the program
/// does not block in the middle of each. It is the limit for unprivileged users.
const PIPE_SIZE: usize = 1 << 20;

/// The maximum number of bytes per read.
const READ_SIZE: usize = 1 << 20;

/// How much of standard error is read between two looks at the output: a program that floods it must not delay the frames.
/// Four pages of short lines take a millisecond or two.
const STDERR_SHARE: usize = 16 << 10;

/// How much of standard error is read at the end: what a pipe holds, and then some. A child that lives on may still write.
const STDERR_REST: usize = 1 << 20;

/// The maximum length of a line of standard error; the rest is dropped. More than is logged, so that a URL with a password
/// is hardly ever cut before its host.
const LINE_LIMIT: usize = 4096;

/// A running program; terminated when dropped.
#[derive(Debug)]
pub struct Process {
    group: ProcessGroup,
    out: ChildStdout,
    err: Option<ChildStderr>,
    /// The incomplete line of standard error.
    line: Vec<u8>,
}

/// The result of [`Process::read`].
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Something was appended.
    Some,
    /// Nothing came within the timeout.
    Nothing,
    /// End of the output.
    End,
}

impl Process {
    /// Starts a command line with `/bin/sh`.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn start(line: &str) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = ProcessGroup::spawn(&mut command)?;
        let (Some(out), err) = (group.child().stdout.take(), group.child().stderr.take()) else {
            return Err(io::Error::other("the program has no standard output"));
        };
        rustix::io::ioctl_fionbio(&out, true)?;
        err.as_ref().map_or(Ok(()), |err| rustix::io::ioctl_fionbio(err, true))?;
        // A smaller pipe only makes the program wait.
        let _ = rustix::pipe::fcntl_setpipe_size(&out, PIPE_SIZE);
        Ok(Self { group, out, err, line: Vec::new() })
    }

    /// Waits for output, `wait` at most, and appends it to `buffer`. Each complete line of standard error is passed to
    /// `on_line`.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn read(&mut self, buffer: &mut BytesMut, wait: Duration, on_line: impl FnMut(&str)) -> io::Result<Read> {
        let timeout = rustix::event::Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let mut ends = vec![PollFd::new(&self.out, PollFlags::IN)];
        if let Some(err) = &self.err {
            ends.push(PollFd::new(err, PollFlags::IN));
        }
        match poll(&mut ends, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(Read::Nothing),
            ready => ready?,
        };
        let ready = [0, 1].map(|index| ends.get(index).is_some_and(|end| !end.revents().is_empty()));
        if ready[1] {
            self.read_stderr(STDERR_SHARE, on_line);
        }
        if !ready[0] {
            return Ok(Read::Nothing);
        }
        buffer.reserve(READ_SIZE);
        match rustix::io::read(&self.out, buffer.spare_capacity_mut()) {
            Ok((read, _)) => {
                let read = read.len();
                // SAFETY: the kernel has just initialised so many bytes behind those that the buffer holds.
                unsafe { buffer.set_len(buffer.len() + read) };
                Ok(if read == 0 { Read::End } else { Read::Some })
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Read::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// How the program exited, after its last lines of standard error. It is given a moment, because its output ends
    /// before it does. `None` for one that keeps running without output.
    pub fn wait_exit(&mut self, on_line: impl FnMut(&str)) -> Option<ExitStatus> {
        let status = self.group.wait_exit();
        self.read_stderr(STDERR_REST, on_line);
        status
    }

    /// Reads what there is of standard error, but about `limit` bytes at most.
    fn read_stderr(&mut self, limit: usize, mut on_line: impl FnMut(&str)) {
        let Some(err) = &mut self.err else { return };
        let mut chunk = [0; 4096];
        let mut left = limit;
        loop {
            match err.read(&mut chunk) {
                Ok(0) => {
                    self.err = None;
                    break;
                }
                Ok(count) => {
                    for byte in &chunk[..count] {
                        match byte {
                            b'\n' => {
                                emit_line(&self.line, &mut on_line);
                                self.line.clear();
                            }
                            // A program that displays its progress overwrites its own line.
                            b'\r' => self.line.clear(),
                            byte if self.line.len() < LINE_LIMIT => self.line.push(*byte),
                            _ => {}
                        }
                    }
                    // If it writes faster than this reads, the rest waits in the pipe.
                    left = left.saturating_sub(count);
                    if count < chunk.len() || left == 0 {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        emit_line(&self.line, &mut on_line);
        self.line.clear();
    }
}

fn emit_line(line: &[u8], on_line: &mut impl FnMut(&str)) {
    let text = String::from_utf8_lossy(line);
    // Colours and other terminal escapes do not belong in a log.
    let text = text::name(&text);
    if !text.is_empty() {
        on_line(&text);
    }
}

/// A description of how a program exited.
pub fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(127), _)) => "ended with exit status 127 (command not found)".into(),
        Some((Some(code), _)) => format!("ended with exit status {code}"),
        Some((_, Some(signal))) => format!("was ended by signal {signal}"),
        _ => "closed its output".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Whether a process runs that has this argument.
    fn runs(argument: &str) -> bool {
        let processes = std::fs::read_dir("/proc").expect("list the processes").flatten();
        let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.any(|line| line.split(|byte| *byte == 0).any(|found| found == argument.as_bytes()))
    }

    #[test]
    fn processes_in_other_sessions_end_with_the_program() {
        for (index, line) in [
            "setsid sleep N & exec cat /dev/zero",
            "(setsid sleep N >/dev/null 2>&1 &); exec cat /dev/zero",
            // The program itself exits at once, and the other process keeps its output open.
            "setsid sleep N",
            "setsid sh -c 'trap \"\" TERM; sleep N; sleep N' & exec cat /dev/zero",
            "setsid sh -c 'setsid setsid sleep N' & exec cat /dev/zero",
            "env -i setsid sleep N & exec cat /dev/zero",
        ]
        .into_iter()
        .enumerate()
        {
            // A number that no other process has.
            let number = format!("{}.{index}71", 100_000 + std::process::id());
            let process = Process::start(&line.replace('N', &number)).expect("start");
            let deadline = Instant::now() + Duration::from_secs(30);
            while !runs(&number) {
                assert!(Instant::now() < deadline, "{line} does not start");
                std::thread::yield_now();
            }
            drop(process);
            assert!(!runs(&number), "{line}");
        }
    }

    #[test]
    fn processes_in_other_sessions_end_when_the_program_exits() {
        let number = format!("{}.771", 100_000 + std::process::id());
        let line = format!("setsid sleep {number} >/dev/null 2>&1 & sleep 0.05; exit 3");
        let mut process = Process::start(&line).expect("start");
        let mut buffer = BytesMut::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.read(&mut buffer, Duration::from_secs(1), |_| {}).expect("read") != Read::End {
            assert!(Instant::now() < deadline, "the program does not end");
        }
        assert_eq!(describe(process.wait_exit(|_| {})), "ended with exit status 3");
        assert!(!runs(&number));
    }

    #[test]
    fn flood_on_standard_error_does_not_delay_the_output() {
        let mut process = Process::start("yes >&2 & yes >&2 & echo begun; exec cat /dev/zero").expect("start");
        let mut buffer = BytesMut::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut lines = 0;
        for _ in 0..100 {
            let mut now = 0;
            process.read(&mut buffer, Duration::from_secs(1), |_| now += 1).expect("read");
            assert!(now <= STDERR_SHARE / 2, "{now} lines before the output");
            lines += now;
        }
        while lines == 0 {
            assert!(Instant::now() < deadline, "no line of standard error");
            process.read(&mut buffer, Duration::from_secs(1), |_| lines += 1).expect("read");
            buffer.clear();
        }
        assert!(buffer.is_empty() || buffer.starts_with(b"begun"));
    }
}
