//! The systemd protocol: notifications from porthole and sockets passed to it, with the test's socket in systemd's
//! place.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{LIMIT, Options, Porthole, SMALL, Viewer};

/// Stands in for systemd's notification socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder should be made");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket should be made");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit should be set");
        Self { socket, path, folder }
    }

    fn environment(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        vec![("NOTIFY_SOCKET", self.path.clone().into())]
    }

    /// The next message for which `wanted` returns a value; others are discarded.
    fn until<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        let (mut buffer, mut received) = ([0; 4096], Vec::new());
        loop {
            assert!(Instant::now() < deadline, "no message {what} within {LIMIT:?}, but {received:?}");
            let length = self
                .socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("no message {what} but {received:?}: {error}"));
            let message = String::from_utf8(buffer[..length].to_vec()).expect("a message should be text");
            if let Some(found) = wanted(&message) {
                return found;
            }
            received.push(message);
        }
    }

    fn line(&self, line: &str) {
        self.until(line, |message| message.lines().any(|sent| sent == line).then_some(()));
    }

    fn status(&self, words: &str) {
        self.until(words, |message| message.strip_prefix("STATUS=")?.contains(words).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_status_and_stopping_are_sent() {
    let manager = Manager::new();
    let porthole = Porthole::start_with(SMALL, &manager.environment()).unwrap();
    manager.line("READY=1");
    manager.status("no viewers; camera: closed, test pattern");
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await.unwrap();
    manager.status("1 viewer; camera: live 320x180, test pattern, watched by 1");
    viewer.leave().await.unwrap();
    manager.status("no viewers");
    porthole.signal("TERM").unwrap();
    manager.line("STOPPING=1");
    assert_eq!(porthole.wait().unwrap().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_unless_the_process_is_stopped() {
    let manager = Manager::new();
    let mut environment = manager.environment();
    environment.push(("WATCHDOG_USEC", "400000".into()));
    let porthole = Porthole::start_with(SMALL, &environment).unwrap();
    manager.line("WATCHDOG=1");
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await.unwrap();
    viewer.frame(LIMIT).await.unwrap();
    for _ in 0..5 {
        manager.line("WATCHDOG=1");
    }
    porthole.signal("STOP").unwrap();
    // Drops earlier messages.
    manager.socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut buffer = [0; 4096];
    while manager.socket.recv(&mut buffer).is_ok() {}
    assert!(manager.socket.recv(&mut buffer).is_err(), "a stopped process has no pulse");
    porthole.signal("CONT").unwrap();
    manager.socket.set_read_timeout(Some(LIMIT)).unwrap();
    manager.line("WATCHDOG=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_applies_changes_and_keeps_viewers() {
    let manager = Manager::new();
    let file = manager.folder.path().join("porthole.toml");
    let text = format!("{SMALL}[auth]\nmode = \"none\"\n[rtc]\nudp_port = 0\nmax_viewers = 1\n");
    std::fs::write(&file, &text).unwrap();
    let porthole = Porthole::start_file(&file, &manager.environment()).unwrap();
    manager.line("READY=1");
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await.unwrap();
    viewer.frame(LIMIT).await.unwrap();
    let second = Viewer::connect(&Options::new(&porthole.base)).await;
    assert!(second.is_err(), "one viewer is the limit");

    let changed = text.replace("max_viewers = 1", "max_viewers = 2").replace("fps = 30", "fps = 15");
    std::fs::write(&file, &changed).unwrap();
    porthole.signal("HUP").unwrap();
    manager.until("RELOADING", |message| (message.contains("RELOADING=1\nMONOTONIC_USEC=")).then_some(()));
    manager.line("READY=1");
    let second =
        Viewer::connect(&Options::new(&porthole.base)).await.expect("there should be a place for a second viewer");

    // An invalid file changes nothing.
    std::fs::write(&file, "[rtc]\nmax_viewers = 0\ntcp = 1\n").unwrap();
    porthole.signal("HUP").unwrap();
    manager.line("READY=1");
    assert_eq!(porthole.status().await.unwrap()["max_viewers"], 2);

    // The first viewer is unaffected.
    viewer.frame(LIMIT).await.unwrap();
    drop(second);
    porthole.signal("TERM").unwrap();
    let (code, _, log) = porthole.wait().unwrap();
    assert_eq!(code, Some(0));
    assert!(log.contains("applied: rtc.max_viewers"), "{log}");
    assert!(log.contains("these settings need a restart (systemctl restart porthole): camera[0].fps"), "{log}");
    // Each error is on a line of its own.
    let line = |words: &str| {
        log.lines().filter(|line| line.contains("configuration not reloaded: ") && line.contains(words)).count()
    };
    assert_eq!((line("rtc.max_viewers = 0: out of range"), line("rtc.tcp = 1: not true or false")), (1, 1), "{log}");
    assert!(!log.contains("\\n"), "{log}");
}

#[test]
fn a_systemd_socket_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("porthole.toml");
    std::fs::write(&file, format!("{SMALL}[auth]\nmode = \"none\"\n[rtc]\nudp_port = 0\n")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The request waits in the backlog until the program accepts it, as with socket activation.
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    write!(client, "GET /healthz HTTP/1.0\r\n\r\n").unwrap();

    // systemd passes it as descriptor 3 and names the target process.
    let mut child = Command::new("sh")
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --config \"$1\" 3<&0 </dev/null"])
        .arg(env!("CARGO_BIN_EXE_porthole"))
        .arg(&file)
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer);
    let _ = child.kill();
    let _ = child.wait();
    read.unwrap();
    assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK") && answer.ends_with("ok\n"), "{answer}");
}
