//! The package on an emulated Raspberry Pi: Debian for arm64 with systemd as its first process, under QEMU's raspi3b. `make
//! pi` makes the package and the card and runs it; a plain `cargo test` lists it as ignored.
//!
//! `make-root` builds the card, `machine` runs the board; the checks are here, in one story, because each boot takes
//! minutes. The checks of the 32-bit package on a Raspberry Pi 2 are in `pi2`.

// The steps and their times are shown as they pass.
#![allow(clippy::print_stdout)]

mod controls;
mod machine;
mod monitor;
mod pi2;
// Of what it can measure the share of a pitch is asked here.
#[allow(dead_code)]
#[path = "../common/tone.rs"]
mod tone;
mod viewer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use machine::{Machine, Ports};
use test_viewer::Event;
use tokio::runtime::Runtime;
use viewer::connect;

/// Limit for an action of one program on the emulated processor, which is some twenty times slower than a real one.
const LIMIT: Duration = Duration::from_secs(180);

/// The maximum amplitude of silence, out of 32767.
const SILENCE: u16 = 200;

/// A file built by `make pi`, from its environment variable.
fn made(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set; run `make pi`")).into()
}

/// The test's configuration: a size and rate that the emulated processor can encode, and its address from outside.
fn configuration(ports: &Ports) -> String {
    format!(
        "[[camera]]\nwidth = 320\nheight = 180\nfps = 5\nbitrate = 200000\n\
         [[led]]\ngpio = 17\nshow = \"watched\"\n\
         [audio]\ndevice = \"hw:CARD=Loopback,DEV=1\"\nbitrate = 32000\n\
         [rtc]\nadvertise = [\"127.0.0.1:{}\"]\n# kept by an upgrade\n",
        ports.media
    )
}

/// Prints progress with elapsed time.
struct Progress(Instant);

impl Progress {
    fn report(&self, what: &str) {
        println!("{:4} s: {what}", self.0.elapsed().as_secs());
    }
}

#[test]
#[ignore = "takes minutes, and the package and the card of `make pi`"]
fn the_package_installs_streams_recovers_upgrades_and_purges() {
    let progress = Progress(Instant::now());
    let (package, newer) = (made("PORTHOLE_PI3_DEB"), made("PORTHOLE_NEWER_DEB"));
    let carried = [(&package, "/root/porthole.deb"), (&newer, "/root/newer.deb")];
    let board = Machine::boot(&machine::PI3, &made("PORTHOLE_PI3"), &carried);
    progress.report("the board is up");

    install(&board, "Raspberry Pi 3");
    progress.report("the package is installed and its service runs");
    let token = configure(&board);
    progress.report("it serves the camera and the microphone");
    watch(&board, &token, &progress);
    controls::check_led(&board, &token, &progress);
    kill_service(&board, &token, &progress);
    upgrade(&board, &token);
    progress.report("an upgrade kept configuration, password and token");
    remove_and_install(&board);
    progress.report("after a removal it installs again");
    purge(&board);
    progress.report("a purge left nothing");
}

/// Check 1: on this board model the package installs as usual, starts, reports its status, and runs as its own user.
fn install(board: &Machine, name: &str) {
    let model = board.sh("cat /proc/device-tree/model | tr -d '\\0'");
    assert!(model.starts_with(name), "{model}");
    let printed =
        board.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /root/porthole.deb");
    assert!(printed.contains("porthole serves its page at\n    http://10.0.2.15:8080/"), "{printed}");
    assert!(printed.contains("sudo porthole password operator --state /var/lib/porthole"), "{printed}");

    assert_eq!(board.sh("systemctl is-active porthole"), "active\n");
    board.until("its status is reported", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("no viewers; camera: closed").then_some(())
    });
    assert_eq!(board.sh("systemd-analyze verify --man=no porthole.service porthole.socket porthole-camera.target"), "");
    assert_eq!(board.sh("ps -o user= -C porthole"), "porthole\n");
    let groups = board.sh("id -nG porthole");
    for group in ["video", "audio", "gpio"] {
        assert!(groups.split_whitespace().any(|word| word == group), "{groups}");
    }
    assert_eq!(board.sh("stat -c '%U %a' /var/lib/porthole"), "porthole 700\n");
    // An unprivileged user can read the man page and use shell completion.
    board.sh("test -e /usr/share/man/man1/porthole.1.gz && test -e /usr/share/bash-completion/completions/porthole");
}

/// Sets passwords, a token, and a configuration that the emulated processor can handle. Settings that open no device
/// apply without a restart.
fn configure(board: &Machine) -> String {
    for role in ["viewer", "operator"] {
        board.sh(&format!("echo 'correct horse {role}' | porthole password {role} --state /var/lib/porthole"));
    }
    let token = board.sh("porthole token add test --role operator --state /var/lib/porthole 2>/dev/null");
    let token = token.split_whitespace().last().expect("a token should be printed").to_owned();
    assert_eq!(board.sh("find /var/lib/porthole -not -user porthole"), "", "what root has set belongs to the service");

    board.write("/etc/porthole/porthole.toml", "[rtc]\nmax_viewers = 0\n");
    let (printed, status) = board.try_sh("systemctl reload porthole");
    assert!(status != "0", "a wrong configuration makes the reload fail: {printed}");
    assert_eq!(board.sh("systemctl is-active porthole"), "active\n");

    board.write("/etc/porthole/porthole.toml", &configuration(board.ports()));
    board.sh("systemctl reload porthole");
    board.until("the reload is logged", LIMIT, || {
        let log = board.sh("journalctl -q -o cat -u porthole");
        (log.contains("applied: rtc.advertise") && log.contains("these settings need a restart")).then_some(())
    });
    board.sh("systemctl restart porthole");
    // The service's limits let the thread for audio go before those for pictures.
    let nice = board.sh("cd /proc/$(pidof porthole)/task && for id in *; do \
         [ \"$(cat $id/comm)\" != microphone ] || cut -d' ' -f19 $id/stat; done");
    assert_eq!(nice, "-10\n", "the nice value of the thread `microphone`");
    token
}

/// Checks 2 and 7: a viewer outside receives continuous video and the tone.
fn watch(board: &Machine, token: &str, progress: &Progress) {
    let runtime = Runtime::new().expect("a runtime should start");
    runtime.block_on(async {
        let mut viewer = connect(board, Some(token)).await;
        progress.report("a viewer has connected");
        let loud = |audio: &[i16]| audio.iter().any(|sample| sample.unsigned_abs() > SILENCE);
        let received = viewer::receive(&mut viewer, loud).await;
        progress.report(&format!("{:.1} frames per second at 320x180, and audio", received.rate));
        let status = board.sh("systemctl show -p StatusText --value porthole");
        assert!(status.contains("1 viewer; camera: live 320x180, watched by 1"), "{status}");
        viewer.leave().await.expect("the viewer should leave");
    });
}

/// Check 5: after being killed, and after being stopped, systemd restarts it each time, and viewers can reconnect.
fn kill_service(board: &Machine, token: &str, progress: &Progress) {
    let runtime = Runtime::new().expect("a runtime should start");
    for (number, (signal, result)) in [("KILL", "signal"), ("STOP", "watchdog")].into_iter().enumerate() {
        let before = board.sh("systemctl show -p MainPID --value porthole");
        board.sh(&format!("systemctl kill --kill-who=main -s {signal} porthole"));
        board.until("systemd has restarted it", LIMIT, || {
            let now = board.sh("systemctl show -p MainPID --value porthole");
            let active = board.try_sh("systemctl is-active porthole").0 == "active\n";
            (now != before && active).then_some(())
        });
        let restarts = board.sh("systemctl show -p NRestarts --value porthole");
        assert_eq!(restarts.trim(), (number + 1).to_string(), "after {signal}");
        let log = board.sh("journalctl -q -o cat -u porthole");
        assert!(log.contains(&format!("Failed with result '{result}'")), "{signal}: {log}");
        let first_frame = async {
            let mut viewer = connect(board, Some(token)).await;
            while !matches!(viewer.event(LIMIT).await.expect("frames should arrive"), Event::Frame(_)) {}
            viewer.leave().await
        };
        runtime.block_on(first_frame).expect("the viewer should leave");
        progress.report(&format!("SIG{signal}: systemd has restarted it, and a viewer receives frames"));
    }
}

/// Check 6, the first half.
fn upgrade(board: &Machine, token: &str) {
    let before = board.sh("md5sum /etc/porthole/porthole.toml /var/lib/porthole/passwords.json");
    let old = board.sh("dpkg-query -W -f '${Version}' porthole");
    board.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /root/newer.deb");
    let new = board.sh("dpkg-query -W -f '${Version}' porthole");
    assert_eq!(board.sh(&format!("dpkg --compare-versions {new} gt {old} && echo newer")), "newer\n");
    assert_eq!(board.sh("md5sum /etc/porthole/porthole.toml /var/lib/porthole/passwords.json"), before);
    assert_eq!(board.sh("systemctl is-active porthole"), "active\n");
    let runtime = Runtime::new().expect("a runtime should start");
    let viewer = runtime.block_on(connect(board, Some(token)));
    runtime.block_on(viewer.leave()).expect("the viewer should leave");
}

/// A removal keeps configuration and credentials; another installation can use every unit again.
fn remove_and_install(board: &Machine) {
    let before = board.sh("md5sum /etc/porthole/porthole.toml /var/lib/porthole/passwords.json");
    board.sh("DEBIAN_FRONTEND=noninteractive apt-get remove -y porthole");
    assert_eq!(board.try_sh("systemctl is-active porthole").0, "inactive\n");
    board.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /root/newer.deb");
    assert_eq!(board.sh("md5sum /etc/porthole/porthole.toml /var/lib/porthole/passwords.json"), before);
    for (unit, state) in [("service", "enabled\n"), ("socket", "disabled\n")] {
        assert_eq!(board.try_sh(&format!("systemctl is-enabled porthole.{unit}")).0, state, "{unit}");
    }
    board.sh("systemctl stop porthole && systemctl start porthole.socket && systemctl stop porthole.socket");
    board.sh("systemctl start porthole");
}

/// Check 6, the second half.
fn purge(board: &Machine) {
    board.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -y porthole");
    let left = board
        .sh("find / -xdev -iname '*porthole*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/log/*' \
         -not -path '/var/cache/apt/*' -not -path '/sys/*' -not -path '/run/*'");
    assert_eq!(left, "", "left behind");
    assert_eq!(board.try_sh("getent passwd porthole || getent group porthole").0, "", "its user");
    assert_eq!(board.try_sh("systemctl is-active porthole").0, "inactive\n");
}
