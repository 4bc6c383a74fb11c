//! The board's devices in a scenario's hands: unplugging and plugging, vivid's built-in faults, the tone; and porthole
//! itself, started and counted. What comes out of it is `eyewitness`'s business.

use std::time::Duration;

use crate::guest::LOOPBACK;
use crate::machine::Board;

/// How long the board may take to do what it was told: far more than it takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(30);

/// How long porthole may take to serve its page: a debug build on an emulated processor.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a process holds of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Board {
    /// Starts porthole with the configuration of the guest, and returns when it serves its page.
    pub fn start_porthole(&self) {
        self.start("porthole run --config /porthole.toml");
        let page = self.wait_until("the page", START_LIMIT, || self.http_get("/").ok());
        assert_eq!(page.status, 200, "{}", page.text());
    }

    /// Pulls the plug of all cameras: they belong to one device of the driver.
    pub fn unplug_cameras(&self) {
        self.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
    }

    /// Plugs the cameras in again.
    pub fn plug_cameras(&self) {
        self.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind");
    }

    /// Plugs in a camera of v4l2loopback at `node`, which gives the guest's footage in the format `fourcc`.
    pub fn plug_loopback(&self, node: &str, fourcc: &str) {
        let number = node.trim_start_matches("/dev/video");
        self.sh(&format!("insmod {LOOPBACK} video_nr={number} exclusive_caps=1"));
        self.start(&format!("play-footage {node} {fourcc}"));
        self.wait_until("the camera to give pictures", LIMIT, || {
            self.try_sh(&format!("v4l2-ctl -d {node} --list-formats")).0.contains(fourcc).then_some(())
        });
    }

    /// Presses the button `control` of vivid at `node`, by the name that v4l2-ctl gives it.
    pub fn press(&self, node: &str, control: &str) {
        self.sh(&format!("v4l2-ctl -d {node} -c {control}=1"));
    }

    /// What porthole says of itself.
    pub fn status(&self) -> serde_json::Value {
        let status = self.http_get("/api/status").expect("the status should be served").text();
        serde_json::from_str(&status).unwrap_or_else(|error| panic!("the status should be JSON: {error}: {status}"))
    }

    /// One of porthole's counters, by its name and labels in `/metrics`; zero as long as it is not there.
    pub fn counter(&self, name: &str) -> u64 {
        let metrics = self.http_get("/metrics").expect("the metrics should be served").text();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap_or_else(|e| panic!("{name} should be a number: {value}: {e}")))
    }

    /// Pulls the plug of the sound card. The driver waits until nobody holds the card any more.
    pub fn unplug_sound_card(&self) {
        self.start("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/unbind");
        self.wait_until("the sound card to be let go by everyone", LIMIT, || {
            // A listing during the unbind may fail at the link that vanishes.
            let (listing, _) = self.try_sh("ls /sys/bus/platform/drivers/snd_aloop");
            (!listing.is_empty() && !listing.contains("snd_aloop.0")).then_some(())
        });
    }

    /// Plugs the sound card in again, and plays the tone into it.
    pub fn plug_sound_card(&self) {
        self.sh("echo snd_aloop.0 > /sys/bus/platform/drivers/snd_aloop/bind");
        self.start("play-tone");
        self.wait_until("the tone to be played", LIMIT, || {
            // The card's files come a moment after the bind.
            let (status, _) = self.try_sh("cat /proc/asound/Loopback/pcm0p/sub0/status");
            status.contains("RUNNING").then_some(())
        });
    }

    /// What porthole holds.
    pub fn holdings(&self) -> Holdings {
        let counts = self.sh("pid=$(pidof porthole) && ls /proc/$pid/fd | wc -l && ls /proc/$pid/task | wc -l");
        let mut counts = counts.split_whitespace().map(|n| n.parse().expect("wc should print a number"));
        let mut next = || counts.next().expect("two counts should be printed");
        Holdings { descriptors: next(), threads: next() }
    }

    /// Waits until porthole holds no more than `before`; what was used a moment ago may be let go a moment later.
    pub fn holds_no_more_than(&self, before: Holdings) {
        self.wait_until(&format!("porthole to hold no more than {before:?}"), LIMIT, || {
            let now = self.holdings();
            (now.descriptors <= before.descriptors && now.threads <= before.threads).then_some(())
        });
    }
}
