//! The processes that a program has started and that are no longer in its process group, because they called setsid(2) or
//! became daemons: finds them in `/proc` and ends them.
//!
//! The program itself and its process group belong to the parent module.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The environment variable that marks the processes of one program. They inherit it.
const VARIABLE: &str = "PORTHOLE_PROGRAM";

/// How much of a process's environment is read: the kernel's default limit for arguments and environment together.
const MAX_ENVIRONMENT: u64 = 2 << 20;

/// How often the processes are looked for again after some were killed: each may have started another one meanwhile.
const MAX_ROUNDS: usize = 8;

/// Recognises the descendants of one program.
#[derive(Debug)]
pub struct Descendants {
    /// The value of the variable, which no other program has.
    mark: String,
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: i32,
    group: i32,
    ended: bool,
}

impl Descendants {
    /// Marks a program that is about to be started.
    pub fn mark(command: &mut Command) -> Self {
        let mark = format!("{:032x}", rand::random::<u128>());
        command.env(VARIABLE, &mark);
        Self { mark }
    }

    /// All outside of the program's own group, which must not have been reaped. To be called before the program is ended:
    /// its children get another parent then.
    pub fn find(&self, program: Pid) -> Vec<OwnedFd> {
        let program = program.as_raw_nonzero().get();
        let running = running();
        let found = running.keys().filter(|pid| self.is_one(**pid, program, &running));
        let opened = found.filter_map(|pid| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?)));
        // Another process may have got its number before it was opened.
        opened.filter(|(pid, _)| self.is_one(*pid, program, &running)).map(|(_, pidfd)| pidfd).collect()
    }

    /// Kills all outside of the program's own group and waits until they have ended, each round no longer than `limit`.
    pub fn kill(&self, program: Pid, limit: Duration) {
        for _ in 0..MAX_ROUNDS {
            let found = self.find(program);
            if found.is_empty() {
                return;
            }
            signal(&found, Signal::KILL);
            if !wait(&found, limit) {
                break;
            }
        }
        tracing::warn!("processes that a program of the configuration has started do not end");
    }

    /// Whether the process is a descendant outside of the program's group, by its parents or by its environment. One that
    /// became a daemon has another parent, and one that was given an empty environment has no mark.
    fn is_one(&self, pid: i32, program: i32, running: &BTreeMap<i32, Stat>) -> bool {
        let Some(stat) = stat(pid).filter(|stat| !stat.ended && stat.group != program) else { return false };
        let mut parent = stat.parent;
        // The list may be inconsistent, since processes end while it is read.
        for _ in 0..running.len() {
            if parent == program {
                return true;
            }
            match running.get(&parent) {
                Some(stat) => parent = stat.parent,
                None => break,
            }
        }
        self.is_marked(pid)
    }

    fn is_marked(&self, pid: i32) -> bool {
        let mut environment = Vec::new();
        let read = File::open(format!("/proc/{pid}/environ"))
            .and_then(|file| file.take(MAX_ENVIRONMENT).read_to_end(&mut environment));
        let mark = format!("{VARIABLE}={}", self.mark);
        // Those of other users cannot be read, nor could they be killed.
        read.is_ok() && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    }
}

/// Sends a signal to processes, some of which may have ended.
pub fn signal(pidfds: &[OwnedFd], signal: Signal) {
    for pidfd in pidfds {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// Waits until all processes have ended, `limit` at most; whether they have.
pub fn wait(pidfds: &[OwnedFd], limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    pidfds.iter().all(|pidfd| {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    })
}

/// All processes of the machine that are visible.
fn running() -> BTreeMap<i32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses the line of proc_pid_stat(5). The program's name, in brackets, may contain anything.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let after_name = line.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&line[after_name..]).ok()?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    Some(Stat { ended, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_confuse_the_parser() {
        let stat = parse_stat(b"42 (a) R 1 (b) S 7 9 9 0 -1 4194560").unwrap();
        assert_eq!((stat.parent, stat.group, stat.ended), (7, 9, false));
        assert!(parse_stat(b"42 (a) Z 7 9 9").unwrap().ended);
        for broken in [&b""[..], b"42 a S 7 9", b"42 (a) S", b"42 (a) S x 9", b"42 (\xff) S 7 \xff"] {
            assert!(parse_stat(broken).is_none());
        }
    }
}
