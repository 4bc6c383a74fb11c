//! The emulated board from outside: the emulator, its serial log, its network link, and ways to run commands and
//! requests.

// A failing scenario prints the board's log.
#![allow(clippy::print_stderr)]

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::guest::Guest;
use crate::packages::run;

/// The board's address, set by `init`.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The host's address on the link, with prefix length.
const OUR_ADDRESS: &str = "10.77.0.1/24";

/// porthole's default port.
const WEB_PORT: u16 = 8080;

/// The port of `init`'s shell service.
const COMMAND_PORT: u16 = 1023;

/// Limit for a boot: ten times what it takes on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// Limit for a whole scenario: the last resort against one that hangs.
const SCENARIO_LIMIT: Duration = Duration::from_secs(300);

/// Limit for one command or response: the emulated processor is some twenty times slower than a real one, and starting
/// a program in a debug build takes longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Interval for polling what the board does not announce.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A running board. It is powered off when dropped; a failing test also prints its log.
pub struct Board {
    emulator: Child,
    log: Arc<Log>,
    _guest: Guest,
}

/// A response of the board's web server.
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Board {
    /// Creates the network link, powers the board on and waits for its devices.
    ///
    /// Call once, in a network namespace of its own (`namespace::isolated`). The link needs /dev/net/tun to be
    /// accessible to this user, as udev makes it.
    pub fn boot(guest: Guest) -> Board {
        for command in [
            "link set lo up".to_owned(),
            "tuntap add board0 mode tap".to_owned(),
            format!("address add {OUR_ADDRESS} dev board0"),
            "link set board0 up".to_owned(),
        ] {
            run(Command::new("ip").args(command.split(' ')));
        }
        let mut emulator = Command::new("qemu-system-x86_64")
            // The emulator computes a fused multiply-add in software: resampling with it takes longer than the sound is.
            .args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,avx=off,fma=off"])
            .args(["-smp", "2", "-m", "1G"])
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .args(["-netdev", "tap,id=cable,ifname=board0,script=no,downscript=no"])
            .args(["-device", "virtio-net-pci,netdev=cable,romfile="])
            .arg("-kernel")
            .arg(guest.kernel())
            .arg("-initrd")
            .arg(guest.initramfs())
            // `-no-reboot` ends the emulator on a panic.
            .args(["-append", "console=ttyS0 quiet panic=-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("qemu-system-x86_64 should start: `make setup-test` installs it");
        let serial = emulator.stdout.take().expect("a piped output should be there");
        let log = Arc::new(Log::default());
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.fill(serial)
        });
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.enforce(SCENARIO_LIMIT)
        });
        let board = Board { emulator, log, _guest: guest };
        board.wait_for_log("board: ready", BOOT_LIMIT);
        board
    }

    /// The serial log so far: messages of the kernel, of `init` and of started programs.
    pub fn log(&self) -> String {
        self.log.lock().text.clone()
    }

    /// Waits until a line of the log contains `text`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) {
        if let Err(why) = self.log.wait_for(text, limit) {
            panic!("no line with {text:?} in the board's log: {why}");
        }
    }

    /// Polls until `poll` returns a value; `what` describes the condition.
    pub fn wait_until<T>(&self, what: &str, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = poll() {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
            assert!(!self.log.lock().ended, "the board stopped while waiting for this: {what}");
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Runs a shell command in the guest and returns its output; a failing command fails the test.
    pub fn sh(&self, command: &str) -> String {
        let (text, status) = self.try_sh(command);
        assert!(status == "0", "{command:?} in the guest: exit status {status}: {text}");
        text
    }

    /// Output and exit status of a shell command in the guest that may fail.
    pub fn try_sh(&self, command: &str) -> (String, String) {
        let output = self.shell(command).unwrap_or_else(|e| panic!("run {command:?} in the guest: {e}"));
        let (text, status) = output
            .rsplit_once("status=")
            .unwrap_or_else(|| panic!("run {command:?} in the guest: cut off: {output:?}"));
        (text.to_owned(), status.trim().to_owned())
    }

    /// Starts a background program in the guest; its output and its exit go to the log.
    pub fn start(&self, command: &str) {
        let quoted = format!("{command}; echo \"board: ended with status $?\"").replace('\'', r"'\''");
        // A separate shell, because a subshell would keep the command port's connection open.
        self.sh(&format!("sh -c '{quoted}' </dev/null >/dev/console 2>&1 &"));
    }

    /// The page's URL, with a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{ADDRESS}:{WEB_PORT}/")
    }

    /// Sends an HTTP request to porthole's port.
    pub fn http_get(&self, path: &str) -> io::Result<HttpAnswer> {
        let mut stream = self.connect(WEB_PORT)?;
        // An HTTP/1.0 response ends with the connection and is not chunked.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {ADDRESS}:{WEB_PORT}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        HttpAnswer::parse(&answer)
            .ok_or_else(|| io::Error::other(format!("not an HTTP answer: {:?}", String::from_utf8_lossy(&answer))))
    }

    /// Connects to a TCP port of the board, with read and write timeouts.
    pub fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((ADDRESS, port)), ANSWER_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(stream)
    }

    fn shell(&self, command: &str) -> io::Result<String> {
        let mut stream = self.connect(COMMAND_PORT)?;
        writeln!(stream, "{{ {command}\n}} </dev/null 2>&1; echo status=$?; exit")?;
        stream.shutdown(Shutdown::Write)?;
        let mut output = String::new();
        stream.read_to_string(&mut output)?;
        Ok(output)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Both fail only if the emulator has already exited.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
        if thread::panicking() {
            self.log.show();
        }
    }
}

impl HttpAnswer {
    fn parse(answer: &[u8]) -> Option<HttpAnswer> {
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = str::from_utf8(&answer[..end]).ok()?;
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(HttpAnswer { status, body: answer[end + 4..].to_vec() })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The serial log, filled by a reader thread.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    text: String,
    ended: bool,
}

impl Log {
    /// Reads until the emulator exits. The emulated serial line adds NUL bytes.
    fn fill(&self, serial: impl Read) {
        let mut serial = BufReader::new(serial);
        let mut line = Vec::new();
        while serial.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            line.retain(|byte| !matches!(byte, 0 | b'\r'));
            let _ = write!(self.lock().text, "{}", String::from_utf8_lossy(&line));
            self.changed.notify_all();
            line.clear();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn wait_for(&self, text: &str, limit: Duration) -> Result<(), String> {
        let waiting = |state: &mut LogState| !state.ended && !state.text.contains(text);
        let (state, _) =
            self.changed.wait_timeout_while(self.lock(), limit, waiting).expect("the log's thread should not panic");
        match &*state {
            state if state.text.contains(text) => Ok(()),
            state if state.ended => Err("the board stopped".to_owned()),
            _ => Err(format!("not within {limit:?}")),
        }
    }

    /// Exits this process if the emulator still runs after `limit`; the namespaces end with it.
    fn enforce(&self, limit: Duration) {
        let running = |state: &mut LogState| !state.ended;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, running);
        let (state, timeout) = waited.expect("the log's thread should not panic");
        drop(state);
        if timeout.timed_out() {
            eprintln!("the scenario has not ended within {limit:?}");
            self.show();
            process::exit(1);
        }
    }

    fn show(&self) {
        eprintln!("--- the board's serial log ---\n{}--- end of the log ---", self.lock().text);
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().expect("the log's thread should not panic")
    }
}
