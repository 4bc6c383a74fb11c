//! Where a document's commands are run: a directory that looks like a clone of the repository after a build, a home of its own,
//! a camera with controls, and porthole running at the address that the documents use.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::common::fake::Fake;
use crate::common::{LIMIT, POLL_INTERVAL, signal};
use crate::{exists, markdown};

/// The address that the documents use for a board.
const ADDRESS: &str = "192.168.1.20";

/// A camera with the controls that the documents set.
const CAMERA: &str = "format YUYV 320x240@30\ncontrol 9963776 1 0 255 1 128 0 Brightness\n\
                      control 9963788 2 0 1 1 1 0 White Balance, Automatic\n";

/// Counts the commands, for passwords that differ: a command that reads something wants a new one.
static TYPED: AtomicU32 = AtomicU32::new(0);

/// The surroundings of a block of commands.
pub struct Sandbox {
    folder: tempfile::TempDir,
    running: Option<Running>,
    _fake: Fake,
}

/// porthole while it runs; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sandbox {
    /// Gives this network namespace the documents' address. There is one namespace for all sandboxes, one after the other.
    pub fn prepare_network() {
        for arguments in [&["link", "set", "lo", "up"][..], &["address", "add", &format!("{ADDRESS}/24"), "dev", "lo"]]
        {
            let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").expect("there should be a PATH"));
            let status = Command::new("ip").args(arguments).env("PATH", path).status().expect("ip should start");
            assert!(status.success(), "ip {arguments:?}");
        }
    }

    /// A new one, with files that the document has shown before.
    pub fn new(files: &[(String, String)]) -> Self {
        Self::try_new(files).expect("a sandbox should be possible")
    }

    fn try_new(files: &[(String, String)]) -> Result<Self> {
        let (folder, fake) = (tempfile::tempdir()?, Fake::new(CAMERA)?);
        let sandbox = Self { folder, running: None, _fake: fake };
        for name in ["bin", "home", "installed", "clone/target/release"] {
            fs::create_dir_all(sandbox.path(name))?;
        }
        for name in ["Makefile", "systemd"] {
            symlink(crate::root().join(name), sandbox.path("clone").join(name))?;
        }
        fs::copy(crate::root().join("systemd/porthole.toml"), sandbox.path("clone/porthole.toml"))?;
        for (name, text) in files {
            fs::write(sandbox.path("clone").join(name), text)?;
        }
        let program = env!("CARGO_BIN_EXE_porthole");
        symlink(program, sandbox.path("clone/target/release/porthole"))?;
        let [(preload, library), (variable, camera)] = sandbox._fake.environment()?;
        let with_camera = format!("{preload}='{}' {variable}='{}'", library.display(), camera.display());
        sandbox.script("porthole", &format!("{with_camera} exec '{program}' \"$@\""))?;
        sandbox.script("sudo", "exec \"$@\"")?;
        // An answer that refuses is a failure.
        let curl = format!("exec curl --fail-with-body --silent --show-error --max-time {} \"$@\"", LIMIT.as_secs());
        sandbox.script("curl", &format!("PATH=${{PATH#*:}}; {curl}"))?;
        Ok(sandbox)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, line: &str) -> Result<()> {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{line}\n"))?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// Runs a command to its end, which has to be a good one. Of one whose output the document shows, that is compared instead.
    /// porthole itself is started, and stopped once it says where its page is.
    pub fn run(&mut self, command: &markdown::Command) -> Result<()> {
        ensure!(
            is_harmless(&command.text),
            "not known to be harmless; give a reason in tests/docs/not_run.rs not to run it"
        );
        let text = command.text.replace("/usr/local/bin", &self.path("installed").to_string_lossy());
        let text = text.replace("/var/lib/porthole", &self.state().to_string_lossy());
        if serves(&text) {
            self.running = None;
            return stop(self.start(&text)?);
        }
        if self.running.is_none() {
            self.running = Some(self.start("porthole")?);
        }
        let sets_token = text.starts_with("TOKEN=");
        let kept = self.path("token");
        let script = if sets_token { format!("{text}\nprintf %s \"$TOKEN\" >'{}'", kept.display()) } else { text };
        let output = self.shell(&script)?;
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match &command.output {
            Some(expected) => ensure!(printed == *expected, "printed\n{printed}\nand not\n{expected}"),
            None => ensure!(output.status.success(), "{}: {printed}", output.status),
        }
        if sets_token { self.until_token_is_known() } else { Ok(()) }
    }

    fn state(&self) -> PathBuf {
        self.path("home/.local/state/porthole")
    }

    fn prepare(&self, command: &mut Command) -> Result<()> {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH")?);
        command.current_dir(self.path("clone")).env("PATH", path).env("HOME", self.path("home"));
        for variable in ["STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "PORTHOLE_LOG"] {
            command.env_remove(variable);
        }
        if let Ok(token) = fs::read_to_string(self.path("token")) {
            command.env("TOKEN", token);
        }
        Ok(())
    }

    fn shell(&self, script: &str) -> Result<Output> {
        let typed = self.path("typed");
        fs::write(&typed, format!("a new password {}\n", TYPED.fetch_add(1, Ordering::Relaxed)))?;
        let mut command = Command::new("bash");
        self.prepare(&mut command)?;
        command.args(["-euo", "pipefail", "-c", script]).stdin(fs::File::open(typed)?);
        command.output().context("start bash")
    }

    /// Starts porthole and waits for the address of its page.
    fn start(&self, command: &str) -> Result<Running> {
        let mut shell = Command::new("bash");
        self.prepare(&mut shell)?;
        // In place of the shell, which would not pass a signal on.
        shell.args(["-c", &format!("exec env {command}")]).process_group(0);
        let child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut running = Running(child);
        let mut log = running.0.stderr.take().context("no stderr")?;
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = log.read_to_string(&mut text);
            text
        });
        let lines = BufReader::new(running.0.stdout.take().context("no stdout")?).lines();
        let (sender, receiver) = mpsc::sync_channel(1);
        // It reads on, so that porthole is never blocked by a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.try_send(line))));
        match receiver.recv_timeout(LIMIT) {
            Ok(line) if line.starts_with("http") => Ok(running),
            other => {
                drop(running);
                bail!("no address, but {other:?}: {}", log.join().unwrap_or_default())
            }
        }
    }

    /// The running program has heard of a token that the command line has made.
    fn until_token_is_known(&self) -> Result<()> {
        let ask = format!("curl -H \"Authorization: Bearer $TOKEN\" http://{ADDRESS}:8080/api/status");
        let deadline = Instant::now() + LIMIT;
        loop {
            let output = self.shell(&ask)?;
            if output.status.success() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the token is not known: {}", String::from_utf8_lossy(&output.stdout));
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Whether a command does no more than it can do in a sandbox. What a document says may be meant for another machine, and
/// tests may run as root.
fn is_harmless(command: &str) -> bool {
    exists::programs(command).iter().all(|words| {
        let mut words = words.iter().map(String::as_str).skip_while(|word| *word == "sudo" || word.contains('='));
        match words.next() {
            Some("make") => words.eq(["help"]),
            program => matches!(program, Some("porthole" | "curl" | "ffmpeg" | "cp" | "install")),
        }
    })
}

/// Whether a command is porthole as it serves its page, until it is stopped.
fn serves(command: &str) -> bool {
    let words = shlex::split(command).unwrap_or_default();
    let program: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| word.contains('=')).collect();
    match program.as_slice() {
        [program, rest @ ..] if Path::new(program).ends_with("porthole") => {
            rest.first().is_none_or(|first| *first == "run" || (first.starts_with("--") && !rest.contains(&"--help")))
        }
        _ => false,
    }
}

/// Stops porthole as Ctrl-C does.
fn stop(mut running: Running) -> Result<()> {
    signal(running.0.id(), "INT")?;
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = running.0.try_wait()? {
            ensure!(status.success(), "it ended with {status}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it did not stop");
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn only_harmless_commands_are_run() {
    for command in ["sudo porthole devices", "TOKEN=$(porthole token list)", "curl x > y", "make help", "X=1 porthole"]
    {
        assert!(is_harmless(command), "{command}");
    }
    for command in ["sudo apt purge porthole", "porthole devices && rm x", "make run", "make help run", "TOKEN=$(rm x)"]
    {
        assert!(!is_harmless(command), "{command}");
    }
}

#[test]
fn what_serves_is_known_by_its_arguments() {
    for command in ["porthole", "porthole run --config a", "porthole --camera pattern", "X=1 target/release/porthole"] {
        assert!(serves(command), "{command}");
    }
    for command in ["porthole --help", "porthole devices", "curl porthole", "make run", "TOKEN=$(porthole token list)"]
    {
        assert!(!serves(command), "{command}");
    }
}
