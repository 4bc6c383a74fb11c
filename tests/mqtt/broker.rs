//! A broker for the tests, Debian's mosquitto on a free port, and its clients for the shell. Each is a process.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::common::{LIMIT, POLL_INTERVAL};

/// Where is asked whether a subscriber listens.
const LISTENING: &str = "test/listening";

/// The ports of brokers.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// A running broker; killed when dropped.
pub struct Broker {
    child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
    /// User and password of the clients.
    user: Option<(String, String)>,
}

impl Broker {
    /// Starts a broker that everybody may use.
    pub fn start() -> Result<Self> {
        Self::start_with(None, &|_| "allow_anonymous true\n".into())
    }

    /// Starts a broker that wants a user and a password, with more lines of configuration.
    pub fn start_with_user(user: &str, password: &str, lines: &dyn Fn(&Path) -> String) -> Result<Self> {
        Self::start_with(Some((user.into(), password.into())), &|folder| {
            format!("allow_anonymous false\npassword_file {}\n{}", folder.join("passwords").display(), lines(folder))
        })
    }

    fn start_with(user: Option<(String, String)>, lines: &dyn Fn(&Path) -> String) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        // Root would become another user, who cannot read the files; for others the line does nothing.
        let text = format!("user root\nlistener {port} 127.0.0.1\n{}", lines(folder.path()));
        std::fs::write(folder.path().join("mosquitto.conf"), text)?;
        if let Some((user, password)) = &user {
            set_password(folder.path(), user, password)?;
        }
        let child = spawn(folder.path(), port)?;
        Ok(Self { child, port, folder, user })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn stop(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again at the same port, without what it knew.
    pub fn restart(&mut self) -> Result<()> {
        self.child = spawn(self.folder.path(), self.port)?;
        Ok(())
    }

    /// Publishes a message, with more arguments of mosquitto_pub.
    pub fn publish(&self, topic: &str, payload: &[u8], arguments: &[&str]) -> Result<()> {
        let mut command = self.client("mosquitto_pub");
        command.args(["-q", "1", "-s", "-t", topic]).args(arguments).stdin(Stdio::piped());
        let mut child = command.spawn().context("start mosquitto_pub (Debian package mosquitto-clients)")?;
        child.stdin.take().context("no stdin")?.write_all(payload)?;
        let status = child.wait()?;
        ensure!(status.success(), "mosquitto_pub: {status}");
        Ok(())
    }

    /// Subscribes to everything.
    pub fn listen(&self) -> Result<Listener> {
        let mut command = self.client("mosquitto_sub");
        // The payload in hexadecimal, and the retain flag as it was published.
        command.args(["-V", "mqttv5", "-q", "1", "-t", "#", "--retain-as-published", "-F", "%r|%t|%x"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("start mosquitto_sub")?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let received = messages.clone();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).filter_map(|line| Message::parse(&line)).for_each(|message| {
                received.lock().expect("no holder should panic").push(message);
            });
        });
        let listener = Listener { child, messages };
        // Until then it may get messages in another order than they were published in.
        let deadline = Instant::now() + LIMIT;
        while listener.payloads(LISTENING).is_empty() {
            ensure!(Instant::now() < deadline, "mosquitto_sub hears nothing");
            self.publish(LISTENING, b"?", &[])?;
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(listener)
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some((user, password)) = &self.user {
            command.args(["-u", user, "-P", password]);
        }
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A port that nothing listens at, below those that the kernel gives to whoever asks for any.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % u32::from(PORTS);
    let next = || (first + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(PORTS);
    let mut ports = std::iter::repeat_with(|| FIRST_PORT + next() as u16).take(PORTS.into());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no port is free")
}

/// Sets the password of a user in the broker's file.
fn set_password(folder: &Path, user: &str, password: &str) -> Result<()> {
    let path = folder.join("passwords");
    let mut command = Command::new("mosquitto_passwd");
    let output = command.args(["-b", "-c"]).arg(&path).args([user, password]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts the broker and waits until it listens.
fn spawn(folder: &Path, port: u16) -> Result<Child> {
    // Debian has it where an ordinary user's PATH does not look.
    let path = format!("{}:/usr/sbin", std::env::var("PATH")?);
    let log: PathBuf = folder.join("log");
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(folder.join("mosquitto.conf")).env("PATH", path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
    let mut child = command.spawn().context("start mosquitto (Debian package mosquitto)")?;
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            let _ = child.kill();
            bail!("mosquitto does not listen: {}", std::fs::read_to_string(&log)?);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(child)
}

/// A message as a subscriber sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub retained: bool,
    pub topic: String,
    pub payload: Vec<u8>,
}

impl Message {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('|');
        let (retained, topic, hex) = (parts.next()? == "1", parts.next()?.to_owned(), parts.next()?);
        let digits: Vec<char> = hex.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
        Some(Self { retained, topic, payload: digits.chunks(2).map(byte).collect::<Option<_>>()? })
    }

    /// Whether it tells if a device is online.
    pub fn is_device_status(&self) -> bool {
        self.topic.ends_with("/status") && !self.topic.contains("/camera/")
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// A subscriber to everything; killed when dropped.
pub struct Listener {
    child: Child,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Listener {
    /// All messages so far, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("no holder should panic").clone()
    }

    /// The payloads of a topic so far, as text.
    pub fn payloads(&self, topic: &str) -> Vec<String> {
        self.messages().iter().filter(|message| message.topic == topic).map(Message::text).collect()
    }

    /// Waits until the messages meet a condition; what it gives for them.
    pub async fn until<T>(&self, what: &str, met: impl Fn(&[Message]) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let messages = self.messages();
            if let Some(found) = met(&messages) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let told: Vec<String> = messages.iter().map(|m| format!("{} {:.100}", m.topic, m.text())).collect();
                bail!("{what} did not come true within {LIMIT:?}: {told:#?}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the last message of a topic has this payload.
    pub async fn last(&self, topic: &str, payload: &str) -> Result<Message> {
        self.until(&format!("{topic} = {payload:?}"), |messages| {
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            (last.text() == payload).then(|| last.clone())
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
