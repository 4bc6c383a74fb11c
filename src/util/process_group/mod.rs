//! A program and what it has started: in a process group of its own, and ended together. Its input and output do not belong here.

mod descendants;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use descendants::Descendants;

/// Variables of the service manager that are meant for porthole alone.
pub const SERVICE_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// How long a program may take to exit after SIGTERM.
const TERM_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the kernel may take to end a killed program: longer only if it hangs in a driver, and then it is abandoned.
const KILL_TIMEOUT: Duration = Duration::from_millis(300);

/// A running program with all its processes; terminated when dropped.
#[derive(Debug)]
pub struct ProcessGroup {
    child: Child,
    group: Pid,
    descendants: Descendants,
    /// Readable once the program has exited.
    exit: OwnedFd,
    /// Its exit status, once it was reaped; until then its pid cannot be reused.
    status: Option<ExitStatus>,
}

impl ProcessGroup {
    /// Starts a program, which does not inherit what the service manager has told porthole.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        for name in SERVICE_VARIABLES {
            command.env_remove(name);
        }
        let descendants = Descendants::mark(command);
        let mut child = command.process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        match pidfd_open(group, PidfdFlags::empty()) {
            Ok(exit) => Ok(Self { child, group, descendants, exit, status: None }),
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// The program itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Readable once the program has exited.
    pub fn exit(&self) -> &OwnedFd {
        &self.exit
    }

    /// How the program exited, which it is given a moment for. Those that it has started and that are left are killed. `None`
    /// for one that keeps running.
    pub fn wait_exit(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() && self.wait(TERM_TIMEOUT) {
            self.reap();
        }
        self.status
    }

    /// Kills the rest of the process group and those that have left it, and reaps the program, which has exited.
    fn reap(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
        self.descendants.kill(self.group, KILL_TIMEOUT);
        self.status = self.child.wait().ok();
    }

    /// Whether the program exits within `limit`.
    fn wait(&self, limit: Duration) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        let mut exit = [PollFd::new(&self.exit, PollFlags::IN)];
        poll(&mut exit, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let deadline = Instant::now() + TERM_TIMEOUT;
        let others = self.descendants.find(self.group);
        let _ = kill_process_group(self.group, Signal::TERM);
        descendants::signal(&others, Signal::TERM);
        self.wait(TERM_TIMEOUT);
        if !descendants::wait(&others, deadline.saturating_duration_since(Instant::now())) {
            descendants::signal(&others, Signal::KILL);
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        self.descendants.kill(self.group, KILL_TIMEOUT);
        if self.wait(KILL_TIMEOUT) {
            self.reap();
        }
    }
}
