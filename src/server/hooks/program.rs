//! Runs the program of a hook: without a shell, with the event in its environment and on its standard input, and with a limit for
//! its time. It ends together with what it has started.

use std::io::{self, Write as _};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::config::HookProgram;
use super::event::HookEvent;
use super::failure::HookFailure;
use crate::util::piped_program::PipedProgram;

/// How often it is looked whether the program should end early.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// A running program.
struct RunningProgram {
    program: PipedProgram,
    /// What of the event it has not taken.
    rest: Vec<u8>,
}

/// Runs a program to its end, for `limit` at most, or until `stop` is cancelled. Blocks.
///
/// # Errors
///
/// [`HookFailure`] when it cannot be started, fails or takes too long.
pub fn run(
    program: &HookProgram,
    event: &HookEvent,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), HookFailure> {
    let deadline = Instant::now() + limit;
    let mut running = RunningProgram::start(program, event).map_err(|error| cannot_start(&error))?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HookFailure::TimedOut(format!("it has not ended within {} s, and was ended", limit.as_secs())));
        }
        if stop.is_cancelled() {
            return Err(HookFailure::Stopped);
        }
        match running.next(left.min(CHECK_INTERVAL)) {
            Ok(None) => {}
            Ok(Some((status, _))) if status.success() => return Ok(()),
            Ok(Some((status, said))) => return Err(failed(status, said)),
            Err(error) => return Err(HookFailure::Failed(format!("it cannot be watched: {error}"))),
        }
    }
}

fn cannot_start(error: &io::Error) -> HookFailure {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; check the path in exec, and the first line of a script",
        io::ErrorKind::PermissionDenied => "; porthole's user has to be allowed to run it (chmod +x)",
        _ => "",
    };
    HookFailure::Failed(format!("it cannot be started: {error}{hint}"))
}

impl RunningProgram {
    fn start(program: &HookProgram, event: &HookEvent) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).envs(event.variables()).current_dir("/");
        let program = PipedProgram::start(&mut command)?;
        Ok(Self { program, rest: format!("{}\n", event.json()).into_bytes() })
    }

    /// Waits for something to happen, for `wait` at most; how the program exited, and what it said last, if it has.
    fn next(&mut self, wait: Duration) -> io::Result<Option<(ExitStatus, Option<String>)>> {
        let has_exited = self.program.wait(wait, true)?;
        self.write();
        if !has_exited {
            return Ok(None);
        }
        let (status, said) = self.program.exit();
        Ok(status.map(|status| (status, said)))
    }

    /// Hands the event over, as far as the program takes it. It may also close its input.
    fn write(&mut self) {
        let Some(input) = &mut self.program.input else { return };
        match input.write(&self.rest) {
            Ok(count) if count < self.rest.len() => drop(self.rest.drain(..count)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => self.program.input = None,
        }
    }
}

/// Why the program has failed: its exit status, and what it said last.
fn failed(status: ExitStatus, said: Option<String>) -> HookFailure {
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    HookFailure::Failed(format!("{status}{said}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::server::hooks::event::{HookKind, HookPhase};
    use crate::util::process_group::SERVICE_VARIABLES;

    const LIMIT: Duration = Duration::from_secs(30);

    fn event(details: Vec<(&'static str, Value)>) -> HookEvent {
        let (kind, phase) = (HookKind::Motion, HookPhase::Begun);
        HookEvent { kind, phase, camera: Some("door".into()), time: 5, details, recording: None }
    }

    /// Runs a script of the shell, which finds the path of a file in `$1`; what it has written there.
    fn shell(script: &str, event: &HookEvent, limit: Duration) -> (Result<(), HookFailure>, String) {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("out");
        let arguments = ["-c", script, "sh", &file.to_string_lossy()].map(str::to_owned).to_vec();
        let program = HookProgram { path: "/bin/sh".into(), arguments };
        let done = run(&program, event, limit, &CancellationToken::new());
        (done, std::fs::read_to_string(file).unwrap_or_default())
    }

    /// Whether a process runs that has this argument.
    fn runs(argument: &str) -> bool {
        let processes = std::fs::read_dir("/proc").expect("list the processes").flatten();
        let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.any(|line| line.split(|byte| *byte == 0).any(|found| found == argument.as_bytes()))
    }

    #[test]
    fn a_program_is_told_the_event_and_nothing_in_it_is_run() {
        let hostile = event(vec![("reason", json!("$(touch /tmp/x); `id` \"'\n"))]);
        let (done, out) = shell("cat > \"$1\"; printf %s \"$PORTHOLE_REASON\" >> \"$1\"", &hostile, LIMIT);
        assert_eq!(done, Ok(()));
        assert_eq!(out, format!("{}\n$(touch /tmp/x); `id` \"'\n", hostile.json()));
        // More than a pipe holds, to a program that reads none of it, and to one that does.
        let large = event(vec![("list", json!(vec!["x".repeat(1_000); 300]))]);
        assert_eq!(shell("exit 0", &large, LIMIT), (Ok(()), String::new()));
        assert_eq!(shell("cat > \"$1\"", &large, LIMIT), (Ok(()), format!("{}\n", large.json())));
    }

    #[test]
    fn a_program_inherits_no_socket_and_nothing_of_the_service_manager() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&socket);
        let link = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).expect("a descriptor");
        let (done, out) = shell("ls -l /proc/self/fd > \"$1\"; env >> \"$1\"", &event(Vec::new()), LIMIT);
        assert_eq!(done, Ok(()));
        assert!(out.contains("pipe:") && !out.contains(&*link.to_string_lossy()), "{out}");
        assert!(!SERVICE_VARIABLES.iter().any(|name| out.contains(&format!("{name}="))), "{out}");
    }

    #[test]
    fn why_a_program_fails_is_told_with_its_last_line() {
        let failed = |script: &str| shell(script, &event(Vec::new()), LIMIT).0.expect_err(script).to_string();
        assert_eq!(failed("echo begun >&2; echo no network >&2; exit 3"), "exit status: 3: no network");
        assert_eq!(failed("exit 4"), "exit status: 4");
        assert_eq!(failed("kill -9 $$"), "signal: 9 (SIGKILL)");
        assert!(!failed("echo http://user:secret@host/ >&2; exit 1").contains("secret"));
        let flood = failed("yes no | head -c 999999 >&2; exit 5");
        assert!(flood.starts_with("exit status: 5: no"), "{flood}");
        let missing = HookProgram { path: "/does/not/exist".into(), arguments: Vec::new() };
        let wrong = run(&missing, &event(Vec::new()), LIMIT, &CancellationToken::new()).expect_err("missing");
        assert!(wrong.to_string().starts_with("it cannot be started: No such file"), "{wrong}");
    }

    #[test]
    fn a_program_that_hangs_ends_with_all_that_it_has_started() {
        for (index, script) in [
            "sleep N",
            "trap '' TERM; sleep N; sleep N",
            "sleep N & wait",
            "setsid sleep N & wait",
            // It ends at once, but what it has started does not.
            "sleep N >/dev/null 2>&1 &",
            "setsid sleep N >/dev/null 2>&1 &",
            "yes >&2 & sleep N",
        ]
        .into_iter()
        .enumerate()
        {
            let number = format!("{}.{index}17", 200_000 + std::process::id());
            let begun = Instant::now();
            let (done, _) = shell(&script.replace('N', &number), &event(Vec::new()), Duration::from_secs(1));
            let is_over = script.ends_with('&');
            assert_eq!(matches!(done, Err(HookFailure::TimedOut(_))), !is_over, "{script}: {done:?}");
            assert!(!runs(&number) && begun.elapsed() < LIMIT, "{script}");
        }
    }

    #[test]
    fn a_program_ends_when_porthole_stops() {
        let program = HookProgram { path: "/bin/sleep".into(), arguments: vec!["3600".into()] };
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let begun = Instant::now();
        let running = std::thread::spawn(move || run(&program, &event(Vec::new()), 100 * LIMIT, &stopping));
        stop.cancel();
        let done = running.join().expect("it should end");
        assert!(done == Err(HookFailure::Stopped) && begun.elapsed() < LIMIT, "{done:?}");
    }
}
