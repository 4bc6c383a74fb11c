//! The machine of the measurements and its background load.

use std::process::Command;

use anyhow::{Context as _, Result};

/// Load average above which other processes affect the results.
const BUSY: f64 = 0.7;

/// Properties of the machine, the program and the run. Unknown ones are marked.
pub fn describe() -> Vec<(&'static str, String)> {
    let load = load();
    let busy = load.split(' ').next().and_then(|one| one.parse().ok()).is_some_and(|one: f64| one > BUSY);
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let mut facts = vec![
        ("Date", output("date", &["-u", "+%F %R UTC"])),
        ("Commit", commit()),
        ("Processor", format!("{}, {cores} cores", processor())),
        ("Memory", memory()),
        ("Kernel", output("uname", &["-srm"])),
        ("Compiler", output("rustc", &["--version"])),
        ("Load average at the start", load),
    ];
    if busy {
        facts.push((
            "Warning",
            "the machine was busy with other things at the start; do not trust these figures".into(),
        ));
    }
    facts
}

/// The current load average, to which the measurements contribute.
pub fn load_at_end() -> (&'static str, String) {
    ("Load average at the end, with the bench's own work", load())
}

/// Busy CPU seconds since boot, including time stolen by a hypervisor.
pub fn worked() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, interrupts, softly, stolen, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat has {} fields in its first line, not 8 or more", ticks.len());
    };
    // The unit is USER_HZ, which is 100 on every Linux that Rust builds for.
    Ok((user + nice + system + interrupts + softly + stolen) as f64 / 100.0)
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = info.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let board = std::fs::read_to_string("/proc/device-tree/model").ok().map(|model| model.replace('\0', ""));
    let model = board.or_else(|| value("model name")).unwrap_or_else(|| std::env::consts::ARCH.into());
    if value("flags").is_some_and(|flags| flags.contains("hypervisor")) {
        return format!("{model}, virtual machine");
    }
    model
}

fn memory() -> String {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or("unknown".into(), |kib: f64| format!("{:.1} GiB", kib / (1 << 20) as f64))
}

fn commit() -> String {
    let hash = output("git", &["rev-parse", "--short=12", "HEAD"]);
    match output("git", &["status", "--porcelain", "--untracked-files=no"]).as_str() {
        "" | "unknown" => hash,
        _ => format!("{hash} with changes"),
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".into(),
    }
}
