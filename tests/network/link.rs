//! Emulates a link between two hosts of the network tests in real time: rate, queue, delay, jitter and loss, by the model
//! of tests/rate. The kernels that the tests run on often have no `netem`.
//!
//!     link SEED SCHEDULE
//!
//! It creates the network interfaces `link0` and `link1`, writes `ready`, and passes IP packets between them until it is
//! killed; the caller moves each to a host. The schedule is a file with a line for each change of the way from `link0` to
//! `link1`: the second from which it holds, then what differs from a link of 100 Mbit/s with 25 ms:
//!
//!     0 rate=2000000 delay=0.025 queue=0.5 jitter=0 loss=0 burst=1
//!     20 rate=500000
//!
//! The way back has the delay, and is cut while the loss is 1. The time begins with the first packet of more than 500
//! bytes from `link0`. Each second it writes what was handed to the link, what has arrived, and the queue.

// Printing is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../rate/link.rs"]
mod link;
#[path = "../rate/random.rs"]
mod random;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use link::{Link, LinkConfig};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The largest IP packet.
const MAX_PACKET: usize = 65_536;

/// The least packet that begins the schedule: media, not the setup.
const MEDIA: usize = 500;

/// While packets are under way, how often to look whether one has arrived.
const TICK: Duration = Duration::from_micros(500);

/// Otherwise.
const IDLE: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, schedule] = arguments.as_slice() else { anyhow::bail!("usage: link SEED SCHEDULE") };
    let seed = seed.parse().with_context(|| format!("seed {seed}: not a number"))?;
    let text = std::fs::read_to_string(schedule).with_context(|| format!("read {schedule}"))?;
    let schedule = parse(&text)?;
    let interfaces = [open("link0")?, open("link1")?];
    println!("ready");
    Emulator::new(interfaces, schedule, seed).run()
}

/// The changes of the link, each with its time in seconds.
fn parse(text: &str) -> Result<Vec<(f64, LinkConfig)>> {
    let mut schedule: Vec<(f64, LinkConfig)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let at: f64 =
            words.next().unwrap_or_default().parse().with_context(|| format!("{line}: needs a time first"))?;
        let mut config = schedule.last().map_or_else(LinkConfig::default, |(_, config)| *config);
        for word in words {
            let (key, value) = word.split_once('=').with_context(|| format!("{word}: needs a value"))?;
            let value: f64 = value.parse().with_context(|| format!("{word}: not a number"))?;
            match key {
                "rate" => config.rate = value,
                "delay" => config.delay = value,
                "jitter" => config.jitter = value,
                "queue" => config.queue = value,
                "loss" => config.loss = value,
                "burst" => config.burst = value,
                _ => anyhow::bail!("{word}: unknown; see the file's introduction"),
            }
        }
        schedule.push((at, config));
    }
    ensure!(!schedule.is_empty(), "the schedule is empty");
    Ok(schedule)
}

/// Creates a TUN interface. It lives as long as the file, also in another network namespace.
fn open(name: &str) -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open("/dev/net/tun").context("open /dev/net/tun; does the kernel have TUN?")?;
    // SAFETY: an all-zero ifreq is valid: it holds integers and a union of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which `request` is for the duration of the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("create {name}"));
    }
    Ok(file)
}

/// One second's figures.
#[derive(Default)]
struct Figures {
    handed: usize,
    dropped: usize,
    arrived: usize,
    queue: f64,
}

struct Emulator {
    interfaces: [File; 2],
    schedule: std::vec::IntoIter<(f64, LinkConfig)>,
    next: Option<(f64, LinkConfig)>,
    /// From each interface to the other.
    links: [Link<Vec<u8>>; 2],
    begun: Instant,
    /// When the schedule began, in seconds.
    from: Option<f64>,
    figures: Figures,
    reported: f64,
}

impl Emulator {
    fn new(interfaces: [File; 2], schedule: Vec<(f64, LinkConfig)>, seed: u64) -> Self {
        let mut schedule = schedule.into_iter();
        let config = schedule.next().map_or_else(LinkConfig::default, |(_, config)| config);
        let next = schedule.next();
        let links = [Link::new(config, seed), Link::new(back(config), seed + 1)];
        let (begun, figures) = (Instant::now(), Figures::default());
        Self { interfaces, schedule, next, links, begun, from: None, figures, reported: 0.0 }
    }

    fn run(mut self) -> Result<()> {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let wait = if self.links.iter().all(Link::is_idle) { IDLE } else { TICK };
            let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
            let mut files = self.interfaces.each_ref().map(|file| PollFd::new(file, PollFlags::IN));
            poll(&mut files, Some(&timeout)).context("wait for packets")?;
            let now = self.begun.elapsed().as_secs_f64();
            self.follow_schedule(now);
            for from in 0..2 {
                self.send(from, &mut buffer, now)?;
                self.deliver(from, now)?;
            }
            self.report(now);
        }
    }

    fn follow_schedule(&mut self, now: f64) {
        let Some(from) = self.from else { return };
        while let Some((_, config)) = self.next.take_if(|(at, _)| from + *at <= now) {
            self.links[0].set(config, now);
            self.links[1].set(back(config), now);
            self.next = self.schedule.next();
        }
    }

    /// Takes what the host at interface `from` has sent.
    fn send(&mut self, from: usize, buffer: &mut [u8], now: f64) -> Result<()> {
        loop {
            let length = match self.interfaces[from].read(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("read a packet"),
            };
            let taken = self.links[from].send(buffer[..length].to_vec(), length, now);
            if from == 0 {
                self.figures.handed += length;
                self.figures.dropped += if taken { 0 } else { length };
                if length > MEDIA {
                    self.from.get_or_insert(now);
                }
            }
        }
    }

    /// Gives what has arrived to the host at the other interface.
    fn deliver(&mut self, from: usize, now: f64) -> Result<()> {
        while let Some((_, packet)) = self.links[from].receive(now) {
            match self.interfaces[1 - from].write(&packet) {
                Ok(_) => {}
                // The interface is not up yet, or its queue is full.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EAGAIN | libc::ENOBUFS)) => {}
                Err(error) => return Err(error).context("write a packet"),
            }
            if from == 0 {
                self.figures.arrived += packet.len();
            }
        }
        if from == 0 {
            self.figures.queue = self.figures.queue.max(self.links[0].waiting());
        }
        Ok(())
    }

    fn report(&mut self, now: f64) {
        let Some(from) = self.from.filter(|_| now - self.reported >= 1.0) else { return };
        let Figures { handed, dropped, arrived, queue } = std::mem::take(&mut self.figures);
        let time = now - self.reported;
        let rate = |bytes: usize| bytes as f64 * 8.0 / time;
        println!(
            "{:.1} s: handed {:.0} bit/s, dropped {:.0}, arrived {:.0}, queue {:.0} ms",
            now - from,
            rate(handed),
            rate(dropped),
            rate(arrived),
            queue * 1e3
        );
        self.reported = now;
    }
}

/// The way back of a link.
fn back(config: LinkConfig) -> LinkConfig {
    let cut = config.loss >= 1.0;
    LinkConfig { delay: config.delay, loss: if cut { 1.0 } else { 0.0 }, ..LinkConfig::default() }
}
