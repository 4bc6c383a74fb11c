//! Controls the board's devices for a scenario: unplugging and plugging, vivid's fault injection, the tone; and starts
//! and inspects porthole. What viewers receive is checked by `observer`.

use std::time::Duration;

use crate::guest::{GPIO, LOOPBACK};
use crate::machine::Board;

/// Limit for an action on the board: far more than it takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Limit for porthole to serve its page: a debug build on an emulated processor.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The GPIO chip's pins in sysfs.
const PINS: &str = "/sys/devices/platform/gpio-sim.0/gpiochip0";

/// Kernel resources of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Board {
    /// Starts porthole with the guest's configuration and waits until it serves its page.
    pub fn start_porthole(&self) {
        self.start("porthole run --config /porthole.toml");
        let page = self.wait_until("the page", START_LIMIT, || self.http_get("/").ok());
        assert_eq!(page.status, 200, "{}", page.text());
    }

    /// Unplugs all cameras: they belong to one device of the driver.
    pub fn unplug_cameras(&self) {
        self.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
    }

    /// Plugs the cameras back in.
    pub fn plug_cameras(&self) {
        self.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind");
    }

    /// Plugs in a v4l2loopback camera at `node` that plays the guest's footage in the format `fourcc`.
    pub fn plug_loopback(&self, node: &str, fourcc: &str) {
        let number = node.trim_start_matches("/dev/video");
        self.sh(&format!("insmod {LOOPBACK} video_nr={number} exclusive_caps=1"));
        self.start(&format!("play-footage {node} {fourcc}"));
        self.wait_until("the camera to deliver frames", LIMIT, || {
            self.try_sh(&format!("v4l2-ctl -d {node} --list-formats")).0.contains(fourcc).then_some(())
        });
    }

    /// Plugs in a GPIO chip of 32 pins.
    pub fn plug_gpio(&self) {
        self.sh("modprobe configfs && mount -t configfs none /sys/kernel/config");
        self.sh(&format!("insmod {GPIO}"));
        let chip = "/sys/kernel/config/gpio-sim/board";
        self.sh(&format!("mkdir -p {chip}/bank && echo 32 > {chip}/bank/num_lines && echo 1 > {chip}/live"));
        self.wait_until("the GPIO chip", LIMIT, || (self.try_sh("test -c /dev/gpiochip0").1 == "0").then_some(()));
    }

    /// Whether a pin is high.
    pub fn pin(&self, line: u32) -> bool {
        self.sh(&format!("cat {PINS}/sim_gpio{line}/value")).trim() == "1"
    }

    /// Waits until a pin is high, or low.
    pub fn wait_for_pin(&self, line: u32, high: bool) {
        self.wait_until(&format!("pin {line} to be {}", if high { "high" } else { "low" }), LIMIT, || {
            (self.pin(line) == high).then_some(())
        });
    }

    /// The lengths of a pin's alternating levels over some seconds, in hundredths of a second.
    pub fn record_pin(&self, line: u32, seconds: u32) -> Vec<(bool, u32)> {
        // Shell built-ins only, so that no process is started per sample.
        let script = format!(
            "end=$(($(cut -d. -f1 /proc/uptime) + {seconds})); while read now rest < /proc/uptime; read level < \
             {PINS}/sim_gpio{line}/value; echo $now $level; [ ${{now%.*}} -lt $end ]; do :; done"
        );
        let text = self.sh(&script);
        let samples = text.lines().map(|line| {
            let (now, level) = line.split_once(' ').expect("a time and a level");
            (now.replace('.', "").parse::<u32>().expect("a time"), level == "1")
        });
        let mut levels: Vec<(bool, u32)> = Vec::new();
        let mut since = None;
        for (now, level) in samples {
            match levels.last_mut() {
                Some((last, lasted)) if *last == level => *lasted = now - since.unwrap_or(now),
                _ => {
                    since = Some(now);
                    levels.push((level, 0));
                }
            }
        }
        levels
    }

    /// Drives a pin like a button: low, or back to high, after this many bounces.
    pub fn pull(&self, line: u32, low: bool, bounces: u32) {
        let (to, from) = if low { ("pull-down", "pull-up") } else { ("pull-up", "pull-down") };
        let pull = format!("{PINS}/sim_gpio{line}/pull");
        self.sh(&format!(
            "for n in $(seq {bounces}); do echo {to} > {pull}; echo {from} > {pull}; done; echo {to} > {pull}"
        ));
    }

    /// Whether porthole has a device file open.
    pub fn holds(&self, device: &str) -> bool {
        self.sh("ls -l /proc/$(pidof porthole)/fd").lines().any(|line| line.ends_with(&format!(" -> {device}")))
    }

    /// Stops porthole as the service manager does, and waits for it to exit.
    pub fn stop_porthole(&self) {
        self.sh("kill $(pidof porthole)");
        self.wait_until("porthole to end", LIMIT, || (self.try_sh("pidof porthole").1 != "0").then_some(()));
    }

    /// Triggers vivid's button control `control` at `node`, by its v4l2-ctl name.
    pub fn press(&self, node: &str, control: &str) {
        self.sh(&format!("v4l2-ctl -d {node} -c {control}=1"));
    }

    /// porthole's status.
    pub fn status(&self) -> serde_json::Value {
        let status = self.http_get("/api/status").expect("the status should be served").text();
        serde_json::from_str(&status).unwrap_or_else(|error| panic!("the status should be JSON: {error}: {status}"))
    }

    /// A counter in `/metrics` by name and labels; zero if it does not exist yet.
    pub fn counter(&self, name: &str) -> u64 {
        let metrics = self.http_get("/metrics").expect("the metrics should be served").text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap_or_else(|e| panic!("{name} should be a number: {value}: {e}")))
    }

    /// Unplugs the sound card. The driver waits until no process has it open.
    pub fn unplug_sound_card(&self) {
        self.start("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/unbind");
        self.wait_until("every process to close the sound card", LIMIT, || {
            // A listing during the unbind may fail on a link that disappears.
            let (listing, _) = self.try_sh("ls /sys/bus/platform/drivers/snd_aloop");
            (!listing.is_empty() && !listing.contains("snd_aloop.0")).then_some(())
        });
    }

    /// Plugs the sound card back in and plays the tone into it.
    pub fn plug_sound_card(&self) {
        self.sh("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/bind");
        self.start("play-tone");
        self.wait_until("the tone to be played", LIMIT, || {
            // The card's files appear shortly after the bind.
            let (status, _) = self.try_sh("cat /proc/asound/Loopback/pcm0p/sub0/status");
            status.contains("RUNNING").then_some(())
        });
    }

    /// porthole's kernel resources.
    pub fn holdings(&self) -> Holdings {
        let counts = self.sh("pid=$(pidof porthole) && ls /proc/$pid/fd | wc -l && ls /proc/$pid/task | wc -l");
        let mut counts = counts.split_whitespace().map(|n| n.parse().expect("wc should print a number"));
        let mut next = || counts.next().expect("two counts should be printed");
        Holdings { descriptors: next(), threads: next() }
    }

    /// Waits until porthole uses no more than `before`; resources may be released with a delay.
    pub fn holds_no_more_than(&self, before: Holdings) {
        self.wait_until(&format!("porthole to hold no more than {before:?}"), LIMIT, || {
            let now = self.holdings();
            (now.descriptors <= before.descriptors && now.threads <= before.threads).then_some(())
        });
    }
}
