//! The emulated board from outside: the emulator, its serial log, and ways to run commands on it. `make-root` builds
//! what it boots; `main` and `pi2` have the checks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::monitor::Monitor;

/// Interval for polling what the board does not announce.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Limit for a boot: five times what it takes on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(400);

/// Limit for one check whether the board is up.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Limit for one command: an installation takes longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// Parameters of every board's kernel. The processor has no hardware random numbers, and keys are generated at startup.
const KERNEL: &str = "console=ttyAMA0,115200 iomem=relaxed panic=-1 random.trust_bootloader=on quiet";

/// The socket of the emulator's monitor, in the board's working directory.
const MONITOR: &str = "monitor";

/// How the emulator runs a board model.
pub struct Model {
    /// The emulator's name for it.
    machine: &'static str,
    /// Parameters that only its kernel needs.
    kernel: &'static str,
}

/// The 64-bit board.
pub const PI3: Model = Model { machine: "raspi3b", kernel: "" };

/// The 32-bit board. Where the memory of modules is protected, its kernel flushes the TLB page by page over hundreds of
/// megabytes at each module, which takes the emulator up to twenty seconds, and the SD card's driver does not survive that.
pub const PI2: Model = Model { machine: "raspi2b", kernel: " rodata=off" };

/// The host ports forwarded to the board.
pub struct Ports {
    command: u16,
    page: u16,
    /// Media over UDP.
    pub media: u16,
}

/// A running board; powered off when dropped. A failing test also prints its serial log.
pub struct Machine {
    emulator: Child,
    ports: Ports,
    log: Arc<Mutex<String>>,
    work: tempfile::TempDir,
}

impl Machine {
    /// Boots the output of `make-root` at `files` on the emulated `model`, with the `carried` files copied to the
    /// card.
    pub fn boot(model: &Model, files: &Path, carried: &[(&PathBuf, &str)]) -> Machine {
        let work = tempfile::tempdir().expect("a directory should be made");
        let card = work.path().join("card");
        run(Command::new("cp").arg("--sparse=always").arg(files.join("card")).arg(&card));
        for (file, target) in carried {
            let request = format!("write {} {target}", file.display());
            // The directory of mke2fs and the like, also for ordinary users.
            let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
            run(Command::new("debugfs").env("PATH", path).args(["-w", "-R", &request]).arg(&card));
        }
        let ports = Ports::free();
        let Ports { command, page, media } = &ports;
        let forwarded = format!(
            "user,id=cable,hostfwd=tcp:127.0.0.1:{command}-:1023,hostfwd=tcp:127.0.0.1:{page}-:8080,\
             hostfwd=udp:127.0.0.1:{media}-:8189"
        );
        // This emulator also runs 32-bit boards.
        let mut emulator = Command::new("qemu-system-aarch64")
            .args(["-M", model.machine, "-m", "1G", "-accel", "tcg,thread=multi"])
            .args(["-display", "none", "-no-reboot", "-serial", "stdio", "-monitor"])
            .arg(format!("unix:{},server,nowait", work.path().join(MONITOR).display()))
            .arg("-kernel")
            .arg(files.join("kernel"))
            .arg("-dtb")
            .arg(files.join("board.dtb"))
            .arg("-initrd")
            .arg(files.join("first.cpio"))
            .arg("-drive")
            .arg(format!("if=sd,format=raw,file={}", card.display()))
            .args(["-netdev", &forwarded, "-device", "usb-net,netdev=cable"])
            .arg("-append")
            .arg(format!("{KERNEL}{}", model.kernel))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It warns about each connection attempt before the board is up.
            .stderr(Stdio::null())
            .spawn()
            .expect("qemu-system-aarch64 should start: .ci/install pi installs it");
        let serial = emulator.stdout.take().expect("a piped output should be there");
        let log = Arc::new(Mutex::new(String::new()));
        thread::spawn({
            let log = log.clone();
            move || fill(serial, &log)
        });
        let board = Machine { emulator, ports, log, work };
        // The emulator accepts connections before the board listens; those fail.
        board.until("the board answers", BOOT_LIMIT, || {
            let up = board.shell_within("systemctl is-active multi-user.target", PROBE_LIMIT).ok()?;
            up.starts_with("active").then_some(())
        });
        board
    }

    /// Its forwarded ports.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The emulator's monitor.
    pub fn monitor(&self) -> Monitor {
        Monitor::connect(&self.work.path().join(MONITOR))
    }

    /// The page's URL, with a trailing slash.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports.page)
    }

    /// Polls until `poll` returns a value.
    pub fn until<T>(&self, what: &str, limit: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = poll() {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Runs a shell command on the board and returns its output; a failing command fails the test.
    pub fn sh(&self, command: &str) -> String {
        let (text, status) = self.try_sh(command);
        assert!(status == "0", "{command:?} on the board: exit status {status}: {text}");
        text
    }

    /// Output and exit status of a shell command on the board.
    pub fn try_sh(&self, command: &str) -> (String, String) {
        let output = self.shell(command).unwrap_or_else(|error| panic!("run {command:?} on the board: {error}"));
        let (text, status) =
            output.rsplit_once("status=").unwrap_or_else(|| panic!("{command:?}: cut off: {output:?}"));
        (text.to_owned(), status.trim().to_owned())
    }

    /// Writes a file on the board.
    pub fn write(&self, path: &str, text: &str) {
        self.sh(&format!("cat >{path} <<'END'\n{text}END"));
    }

    fn shell(&self, command: &str) -> std::io::Result<String> {
        self.shell_within(command, ANSWER_LIMIT)
    }

    fn shell_within(&self, command: &str, limit: Duration) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.command))?;
        stream.set_read_timeout(Some(limit))?;
        writeln!(stream, "{{ {command}\n}} </dev/null 2>&1; echo status=$?; exit")?;
        stream.shutdown(Shutdown::Write)?;
        let mut output = String::new();
        stream.read_to_string(&mut output)?;
        // apt uses its own terminal for maintainer scripts.
        Ok(output.replace('\r', ""))
    }
}

impl Ports {
    /// Free ports, as long as no other process takes them first.
    fn free() -> Ports {
        let tcp = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port should be free"));
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port should be free");
        let [command, page] =
            tcp.map(|listener| listener.local_addr().expect("a listener should know its port").port());
        Ports { command, page, media: udp.local_addr().expect("a socket should know its port").port() }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only if the emulator has already exited.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
        if thread::panicking() {
            let log = self.log.lock().map(|log| log.clone()).unwrap_or_default();
            println!("--- the board's serial log ---\n{log}--- end of the log ---");
        }
    }
}

/// Reads the serial line, which adds NUL bytes.
fn fill(serial: impl Read, log: &Mutex<String>) {
    let mut serial = BufReader::new(serial);
    let mut line = Vec::new();
    while serial.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        line.retain(|byte| !matches!(byte, 0 | b'\r'));
        if let Ok(mut log) = log.lock() {
            let _ = write!(log, "{}", String::from_utf8_lossy(&line));
        }
        line.clear();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}
