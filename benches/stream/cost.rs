//! CPU time with one and more viewers relative to the encoder alone, and latency from capture to socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::common::Porthole;
use crate::reference::{self, Pace, Reference};
use crate::scrape::Scrape;
use crate::table::{Table, percentile, spread};
use crate::viewers::{Sound, Viewers};
use crate::{CONFIG, FPS, machine};

/// Rounds of all measurements in turn, so that background load affects them alike.
const ROUNDS: usize = 5;

/// Length of a window: its resolution is better than 0.1 %.
const WINDOW: Duration = Duration::from_secs(8);

/// Frames per window.
pub const FRAMES: u32 = WINDOW.as_secs() as u32 * FPS;

/// Pause between the last viewer's first frame and the window, to skip the key frames of the joins.
const SETTLE: Duration = Duration::from_secs(3);

/// Background load, in percent of one core, that affects the results.
const DISTURBED: f64 = 10.0;

/// Numbers of viewers.
const VIEWERS: [usize; 3] = [1, 5, 10];

/// What the whole program with one viewer may cost, the encoder at the camera's pace = 1: if the viewer hears the audio, and
/// if it is muted.
const AIMS: [&str; 2] = ["1.15", "1.08"];

/// Length of the idle measurement, as required.
const IDLE: Duration = Duration::from_secs(10);

/// One live window.
#[derive(Debug, Serialize)]
pub struct Window {
    viewers: usize,
    sound: Sound,
    /// Number of its first frame.
    first: u64,
    /// Frames encoded.
    frames: f64,
    /// Dropped frames and packets, of all kinds.
    pub dropped: f64,
    /// CPU time of the program, in milliseconds per frame.
    pub cpu_per_frame: f64,
    /// CPU time of the program, in percent of one core.
    pub core_percent: f64,
    /// The same by thread name.
    pub threads: BTreeMap<String, f64>,
    /// CPU time of all other processes, in percent of one core.
    others_percent: f64,
    /// Bytes sent, audio and overhead included, per frame and viewer.
    bytes_per_frame: f64,
    #[serde(skip)]
    metrics: Scrape,
}

/// All results of one round.
#[derive(Debug, Serialize)]
struct Round {
    at_once: Reference,
    paced: Reference,
    live: Vec<Window>,
    /// One viewer without audio.
    muted: Window,
}

/// Measures and adds the rows.
pub async fn measure(table: &mut Table) -> Result<()> {
    let porthole = Porthole::start(CONFIG)?;
    let idle = idle(&porthole).await?;
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        eprintln!("  round {number} of {ROUNDS}");
        rounds.push(round(&porthole).await?);
    }
    costs(table, &rounds, idle);
    latencies(table, &rounds)?;
    let others: Vec<f64> = rounds.iter().flat_map(|round| &round.live).map(|window| window.others_percent).collect();
    table.machine(("Other programs' work meanwhile, % of one core", spread(&others, 1, "")));
    if percentile(&others, 0.5) > DISTURBED {
        table.machine(("Warning", "other programs worked during the measurements; lines a to c are disturbed".into()));
    }
    table.raw("cost", rounds)
}

async fn idle(porthole: &Porthole) -> Result<f64> {
    let before = Scrape::take(porthole).await?;
    let started = Instant::now();
    tokio::time::sleep(IDLE).await;
    let spent = Scrape::take(porthole).await?.since(&before).sum("porthole_cpu_seconds_total")?;
    Ok(spent / started.elapsed().as_secs_f64() * 100.0)
}

async fn round(porthole: &Porthole) -> Result<Round> {
    let mut live: Vec<Window> = Vec::new();
    let (mut at_once, mut paced) = (None, None);
    for viewers in VIEWERS {
        live.push(window(porthole, viewers, Sound::On).await?);
        // The encoder alone runs in between, on the frames of the first window.
        let first = live[0].first;
        match viewers {
            1 => at_once = Some(reference::encode(first, FRAMES, Pace::AtOnce)?),
            5 => paced = Some(reference::encode(first, FRAMES, Pace::Live)?),
            _ => {}
        }
    }
    let muted = window(porthole, 1, Sound::Muted).await?;
    Ok(Round { at_once: at_once.context("no reference")?, paced: paced.context("no reference")?, live, muted })
}

/// Measures the program with this number of viewers.
pub async fn window(porthole: &Porthole, count: usize, sound: Sound) -> Result<Window> {
    let viewers = Viewers::start_with(&porthole.base, count, sound)?;
    tokio::time::sleep(SETTLE).await;
    let ours = [porthole.pid(), viewers.pid(), std::process::id()];
    let known = || -> Result<f64> { Ok(ours.iter().map(|pid| threads(*pid)).sum::<Result<Threads>>()?.total()) };
    let first = reference::frame_now();
    let (started, before) = (Instant::now(), Scrape::take(porthole).await?);
    let (work, work_of_ours, threads_before) = (machine::worked()?, known()?, threads(porthole.pid())?);
    tokio::time::sleep(WINDOW).await;
    let (elapsed, after) = (started.elapsed().as_secs_f64(), Scrape::take(porthole).await?);
    let (worked, worked_ours) = (machine::worked()? - work, known()? - work_of_ours);
    let threads = threads(porthole.pid())?.since(&threads_before, elapsed);
    viewers.leave()?;
    let metrics = after.since(&before);
    let frames = metrics.sum("porthole_frames_encoded_total")?;
    anyhow::ensure!(frames > 0.0, "no frame was encoded with {count} viewers");
    let cpu = metrics.sum("porthole_cpu_seconds_total")?;
    Ok(Window {
        viewers: count,
        sound,
        first,
        frames,
        dropped: metrics.sum_or_zero("porthole_frames_dropped_total"),
        cpu_per_frame: cpu / frames * 1e3,
        core_percent: cpu / elapsed * 100.0,
        threads,
        others_percent: (worked - worked_ours) / elapsed * 100.0,
        bytes_per_frame: metrics.sum("porthole_sent_bytes_total")? / frames / count as f64,
        metrics,
    })
}

/// CPU seconds by thread name.
struct Threads(BTreeMap<String, f64>);

impl Threads {
    fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// As a percentage of one core over `elapsed` seconds.
    fn since(&self, before: &Self, elapsed: f64) -> BTreeMap<String, f64> {
        let spent = |name: &String, now: &f64| now - before.0.get(name).unwrap_or(&0.0);
        self.0.iter().map(|(name, now)| (name.clone(), spent(name, now) / elapsed * 100.0)).collect()
    }
}

impl std::iter::Sum for Threads {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = BTreeMap::new();
        for (name, seconds) in all.flat_map(|threads| threads.0) {
            *sum.entry(name).or_default() += seconds;
        }
        Self(sum)
    }
}

/// CPU time of a process's threads (the first field of `schedstat`, in nanoseconds: kernel,
/// Documentation/scheduler/sched-stats.rst).
fn threads(pid: u32) -> Result<Threads> {
    let folder = format!("/proc/{pid}/task");
    let tasks = std::fs::read_dir(&folder).with_context(|| format!("read {folder}"))?;
    let read = |task: std::io::Result<std::fs::DirEntry>| -> Option<Threads> {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        let used = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let nanoseconds: f64 = used.split(' ').next()?.parse().ok()?;
        Some(Threads(BTreeMap::from([(name, nanoseconds / 1e9)])))
    };
    // A thread that exits meanwhile is skipped.
    Ok(tasks.filter_map(read).sum())
}

/// Chooses one of the windows of a round.
type OneWindow = fn(&Round) -> &Window;

/// The median of each thread that takes a noticeable share of a core.
fn threads_of(rounds: &[Round], window: OneWindow) -> String {
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| window(round).threads.keys()).collect();
    let median = |name: &String| {
        let percent: Vec<f64> = rounds.iter().map(|round| *window(round).threads.get(name).unwrap_or(&0.0)).collect();
        percentile(&percent, 0.5)
    };
    let parts = names.into_iter().map(|name| (name, median(name))).filter(|(_, percent)| *percent >= 0.05);
    parts.map(|(name, percent)| format!("{name} {percent:.1}")).collect::<Vec<_>>().join(", ")
}

fn costs(table: &mut Table, rounds: &[Round], idle: f64) {
    let each = |figure: &dyn Fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(figure).collect() };
    let cpu = |round: &Round, at: usize| round.live[at].cpu_per_frame;
    let ratio = each(&|round| cpu(round, 0) / round.at_once.cpu);
    table.row("a. CPU with one viewer, encoding alone = 1", spread(&ratio, 3, ""), "");
    let one_viewer: [(&str, OneWindow); 2] =
        [("one viewer", |round| &round.live[0]), ("one muted viewer", |round| &round.muted)];
    for ((who, window), aim) in one_viewer.into_iter().zip(AIMS) {
        let ratio = each(&|round| window(round).cpu_per_frame / round.paced.cpu);
        table.row(format!("a. CPU with {who}, encoding alone at the camera's pace = 1"), spread(&ratio, 3, ""), "");
        let ratio = each(&|round| (window(round).cpu_per_frame - round.paced.drawing) / round.paced.cpu);
        table.row("a. The same, without drawing the test pattern", spread(&ratio, 3, ""), aim);
        let core = each(&|round| window(round).core_percent);
        table.row(format!("a. CPU with {who}, % of one core"), spread(&core, 1, ""), "");
        table.row("a. Its threads, % of one core", threads_of(rounds, window), "");
    }
    for (name, value) in
        [("at once", each(&|round| round.at_once.cpu)), ("at the camera's pace", each(&|r| r.paced.cpu))]
    {
        table.row(format!("a. Encoding alone, {name}, a frame"), spread(&value, 2, " ms"), "");
    }
    for (at, count) in VIEWERS.into_iter().enumerate() {
        let core = each(&|round| round.live[at].core_percent);
        table.row(format!("b. CPU, % of one core, viewers: {count}"), spread(&core, 1, ""), "");
    }
    for (at, count) in VIEWERS.into_iter().enumerate().skip(1) {
        let further = (count - 1) as f64;
        let core = each(&|round| (round.live[at].core_percent - round.live[0].core_percent) / further);
        let ratio = each(&|round| (cpu(round, at) - cpu(round, 0)) / further / round.at_once.cpu);
        let figure = format!("{}, {:.3} of the encoding (at once)", spread(&core, 2, ""), percentile(&ratio, 0.5));
        table.row(format!("b. Each further viewer up to {count}, % of one core"), figure, "");
    }
    table.row("b. CPU with nobody watching, % of one core", format!("**{idle:.2}**"), "below 0.5");
}

fn latencies(table: &mut Table, rounds: &[Round]) -> Result<()> {
    let (encode, socket) = ("porthole_encode_seconds", "porthole_capture_to_socket_seconds");
    for (at, count) in VIEWERS.into_iter().enumerate() {
        let windows = rounds.iter().map(|round| &round.live[at].metrics);
        let all = windows.fold(Scrape::default(), |sum, window| sum.plus(window));
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| all.quantile(socket, share));
        let p50 = p50?;
        let encode_p50 = all.quantile(encode, 0.5)?;
        let figure = format!("p50 **{p50:.2} ms**, p95 {:.2} ms, p99 {:.2} ms", p95?, p99?);
        let aim = if count == 1 { format!("{:.2} ms", encode_p50 + 2.0) } else { String::new() };
        table.row(format!("c. Capture to last packet in the socket, viewers: {count}"), figure, &aim);
        let (mean, rest) = (all.mean(encode)?, all.mean(socket)? - all.mean(encode)?);
        let figure = format!("p50 {encode_p50:.2} ms, mean {mean:.2} ms; all the rest has a mean of **{rest:.2} ms**");
        table.row("c. Encoding's part of it", figure, if count == 1 { "rest: 2 ms" } else { "" });
    }
    let drawing: Vec<f64> = rounds.iter().map(|round| round.paced.drawing).collect();
    table.row("c. Drawing the test pattern, included in the rest", spread(&drawing, 2, " ms"), "");
    let dropped: f64 = rounds.iter().flat_map(|round| &round.live).map(|window| window.dropped).sum();
    table.row("c. Frames dropped in all these windows", format!("{dropped}"), "0");
    Ok(())
}
