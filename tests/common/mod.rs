//! Shared by the integration tests: the program as a process on a free port, and a viewer.

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod events;
pub mod fake;
pub mod footprint;
pub mod mjpeg;
pub mod program;
pub mod stalls;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
pub use footprint::{Footprint, until_idle};
pub use program::Program;
pub use stalls::{StallMonitor, Stalls};
use tempfile::TempDir;
pub use test_viewer::{Event, Network, Options, Viewer, request};

/// A deadline for anything that works, on a machine busy with other tests.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The configuration in its directory.
const CONFIG: &str = "porthole.toml";

/// Interval for polling a condition: short enough for any test, and long enough not to slow the program down.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A small test pattern and a tone: what most tests need.
pub const SMALL: &str = r#"
[http]
listen = "127.0.0.1:0"
[[camera]]
device = "pattern"
width = 320
height = 180
fps = 30
bitrate = 300000
[audio]
device = "tone"
"#;

/// A browser's offer, reduced to what matters here.
pub const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:97 H264/90000\r\n\
    a=fmtp:97 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD\r\n\
    a=setup:actpass\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

/// Runs `porthole token` with these arguments for a program with this state directory; returns what it prints, such as the
/// new token.
pub fn token(state: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    command.arg("token").args(arguments).env("STATE_DIRECTORY", state).stdin(Stdio::null());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The running program; killed when dropped.
pub struct Porthole {
    child: Child,
    /// The page's URL, with a trailing slash.
    pub base: String,
    printed: Arc<Mutex<Vec<String>>>,
    log: std::thread::JoinHandle<String>,
    /// Its configuration and its state, if they are its own.
    _folder: Option<TempDir>,
}

impl Porthole {
    /// Starts the program with a configuration and waits until it prints the page's URL.
    pub fn start(config: &str) -> Result<Self> {
        Self::start_with(config, &[])
    }

    /// As [`Self::start`], with additional environment variables.
    pub fn start_with(config: &str, environment: &[(&str, OsString)]) -> Result<Self> {
        let folder = folder_with(config)?;
        let mut command = command_for(folder.path().join(CONFIG));
        Self::spawn(command.envs(environment.iter().cloned()), Some(folder))
    }

    /// Starts the program with an existing configuration file.
    pub fn start_file(file: &Path, environment: &[(&str, OsString)]) -> Result<Self> {
        Self::spawn(command_for(file.into()).envs(environment.iter().cloned()), None)
    }

    fn spawn(command: &mut Command, folder: Option<TempDir>) -> Result<Self> {
        let mut child = command.spawn().context("start porthole")?;
        let mut stderr = child.stderr.take().context("no stderr")?;
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let Some(line) = lines.next() else {
            let _ = child.wait();
            bail!("porthole printed no address: {}", log.join().unwrap_or_default());
        };
        let base = line?.trim().to_owned();
        // Keeps reading so that the program never blocks on a full pipe.
        let printed = Arc::new(Mutex::new(vec![base.clone()]));
        let print = printed.clone();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| print.lock().expect("no holder should panic").push(line))
        });
        Ok(Self { child, base, printed, log, _folder: folder })
    }

    /// Runs the program with a configuration that prevents it from starting; returns exit code and stderr.
    pub fn fail(config: &str) -> Result<(Option<i32>, String)> {
        let folder = folder_with(config)?;
        let output = command_for(folder.path().join(CONFIG)).output().context("run porthole")?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Waits for a line on stdout with this prefix; returns the rest of it.
    pub fn wait_for_output(&self, begin: &str) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let lines = self.printed.lock().expect("no holder should panic").clone();
            if let Some(rest) = lines.iter().find_map(|line| line.strip_prefix(begin)) {
                return Ok(rest.to_owned());
            }
            if Instant::now() > deadline {
                bail!("nothing like {begin:?} was printed within {LIMIT:?}, but {lines:?}");
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The body of a page that has to be there.
    async fn page(&self, path: &str) -> Result<String> {
        let answer = request("GET", &format!("{}{path}", self.base), &[], String::new()).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// `/api/status`.
    pub async fn status(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.page("api/status").await?)?)
    }

    /// One series of a metric; zero if it does not exist yet.
    pub async fn series(&self, name: &str) -> Result<f64> {
        let metrics = self.page("metrics").await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Ok(value.unwrap_or(0.0))
    }

    /// How many frames were dropped before the encoder, because the machine was too slow.
    pub async fn not_encoded(&self) -> Result<f64> {
        let mut frames = 0.0;
        for place in ["Driver", "Stale", "Replaced"] {
            frames += self.series(&format!("porthole_frames_dropped_total{{at=\"{place}\"}}")).await?;
        }
        Ok(frames)
    }

    /// The sum of all series of a metric; `name` may have the labels of one series.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        self.known_metric(name).await?.with_context(|| format!("no metric {name}"))
    }

    /// The same; none while there is no such metric, which with labels is there from its first count on.
    async fn known_metric(&self, name: &str) -> Result<Option<f64>> {
        let metrics = self.page("metrics").await?;
        let series = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value =
                rest.strip_prefix('{').map_or(rest.strip_prefix(' '), |labels| Some(labels.split_once("} ")?.1));
            value?.parse::<f64>().ok()
        });
        let values: Vec<f64> = series.collect();
        let known = !values.is_empty() || name.contains('{') || metrics.contains(name.trim_end_matches("_total"));
        Ok(known.then(|| values.iter().sum()))
    }

    /// Waits until the status satisfies a condition.
    pub async fn until_status(
        &self,
        what: &str,
        met: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status().await?;
            if met(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{what} did not come true within {LIMIT:?}: {status:#}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a metric, or one series of it, satisfies a condition.
    pub async fn until_metric(&self, name: &str, met: impl Fn(f64) -> bool) -> Result<f64> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let value = self.known_metric(name).await?;
            if let Some(value) = value.filter(|value| met(*value)) {
                return Ok(value);
            }
            if Instant::now() > deadline {
                bail!("{name} stayed at {value:?} for {LIMIT:?}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
    }

    /// Waits for the process to exit: exit code, how long it took while the machine did not stall, and log.
    pub fn wait(mut self) -> Result<(Option<i32>, Duration, String)> {
        let (stall_monitor, started) = (StallMonitor::watch(), Instant::now());
        let status = self.child.wait()?;
        let took = stall_monitor.end().running(started, Instant::now());
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        Ok((status.code(), took, log.join().unwrap_or_default()))
    }

    /// Memory in use, in bytes (`VmRSS`).
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("no value")?.parse::<u64>()? * 1024)
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Open file descriptors other than sockets, which come and go with requests.
    pub fn files(&self) -> Result<usize> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?;
        // A descriptor closed meanwhile is skipped.
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        Ok(targets.filter(|target| !target.to_string_lossy().starts_with("socket:")).count())
    }

    /// Threads.
    pub fn threads(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/task", self.pid()))?.count())
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // SAFETY: sysconf reads a constant of the system.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }
}

impl Drop for Porthole {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status()?;
    anyhow::ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

/// A new directory with a configuration. Nothing in its name depends on the process: tests in namespaces of their own have the
/// same numbers.
fn folder_with(config: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join(CONFIG), complete(config)).context("write the configuration")?;
    Ok(folder)
}

fn command_for(path: PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    // Its state directory is beside its configuration and not shared.
    command.env("STATE_DIRECTORY", path.with_extension("state"));
    command.args(["run", "--config"]).arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Completes a configuration for programs that run in parallel, unless it sets these itself: no authentication, and a
/// free UDP port.
fn complete(config: &str) -> String {
    let mut config = config.to_owned();
    for (section, key, line) in [("[auth]", "mode", "mode = \"none\""), ("[rtc]", "udp_port", "udp_port = 0")] {
        if !config.lines().any(|line| line.trim() == section) {
            config = format!("{config}\n{section}\n");
        }
        let named = config.lines().any(|line| line.split('=').next().is_some_and(|name| name.trim() == key));
        if !named {
            config = config.replacen(section, &format!("{section}\n{line}"), 1);
        }
    }
    config
}

/// The path of an example that cargo built for this test or benchmark.
pub fn example(file: &str) -> Result<PathBuf> {
    let deps = std::env::current_exe()?;
    let target = deps.parent().and_then(|deps| deps.parent()).context("no target directory")?;
    Ok(target.join("examples").join(file))
}

/// Starts the test viewer as a process.
pub fn viewer_process(base: &str, arguments: &[&str]) -> Result<Child> {
    let program = example("viewer")?;
    let child = Command::new(&program).arg(base).args(arguments).stdout(Stdio::piped()).spawn();
    child.with_context(|| format!("start {}; build it with cargo build --example viewer", program.display()))
}

/// Checks for gaps in frame numbers; only frames that the program itself dropped, because the machine was too slow, may
/// be missing.
pub async fn missing(numbers: &[u32], porthole: &Porthole) -> Result<()> {
    let gaps: u32 = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]).wrapping_sub(1)).sum();
    let not_encoded = porthole.not_encoded().await?;
    anyhow::ensure!(f64::from(gaps) <= not_encoded, "{gaps} frames missing, {not_encoded} not encoded: {numbers:?}");
    Ok(())
}

/// The frame numbers of the next `count` frames.
pub async fn numbers(viewer: &mut Viewer, count: usize) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let frame = viewer.frame(LIMIT).await?;
        let image = frame.image.context("a frame was not decoded")?;
        numbers.push(image.code.context("a frame has no readable timecode")?.frame);
    }
    Ok(numbers)
}

/// The median of a list of durations.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}
