//! The package on an emulated Raspberry Pi: Debian for arm64 with systemd as its first process, under QEMU's raspi3b. `make
//! pi` makes the package and the card and runs it; a plain `cargo test` lists it as ignored.
//!
//! How the card is made stands in `make-root`, how the board is run in `machine`; what is asked of it here, in one story,
//! because each start of the board takes minutes.

// The steps and their times are shown as they pass.
#![allow(clippy::print_stdout)]

#[path = "../viewer/client/mod.rs"]
mod client;
mod machine;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::{Event, Options, Viewer};
use machine::{Machine, Ports};
use tokio::runtime::Runtime;

/// For what is done by one program on the emulated processor, which is some twenty times slower than a real one.
const LIMIT: Duration = Duration::from_secs(180);

/// Pictures that show that the picture goes on.
const PICTURES: usize = 20;

/// The loudest that silence may be, of 32767.
const SILENCE: u16 = 200;

/// A file that `make pi` made, by its variable.
fn made(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set; run `make pi`")).into()
}

/// The configuration of the test: a size and rate that the emulated processor manages, and the way to it from outside.
fn configuration(ports: &Ports) -> String {
    format!(
        "[[camera]]\nwidth = 320\nheight = 180\nfps = 5\nbitrate = 200000\n\
         [audio]\ndevice = \"hw:CARD=Loopback,DEV=1\"\nbitrate = 32000\n\
         [rtc]\nadvertise = [\"127.0.0.1:{}\"]\n# kept by an upgrade\n",
        ports.media
    )
}

/// Prints what comes to pass, and when.
struct Story(Instant);

impl Story {
    fn tell(&self, what: &str) {
        println!("{:4} s: {what}", self.0.elapsed().as_secs());
    }
}

#[test]
#[ignore = "takes minutes, and the package and the card of `make pi`"]
fn the_package_is_installed_watched_hurt_upgraded_and_purged() {
    let story = Story(Instant::now());
    let (package, newer) = (made("PORTHOLE_DEB"), made("PORTHOLE_NEWER_DEB"));
    let board = Machine::boot(&made("PORTHOLE_PI"), &[(&package, "/root/porthole.deb"), (&newer, "/root/newer.deb")]);
    story.tell("the board is up");

    install(&board);
    story.tell("the package is installed and its service runs");
    let token = configure(&board);
    story.tell("it serves the camera and the microphone");
    watch(&board, &token, &story);
    hurt(&board, &token, &story);
    upgrade(&board, &token);
    story.tell("an upgrade kept configuration, password and token");
    purge(&board);
    story.tell("a purge left nothing");
}

/// Check 1: it is installed as anybody would, starts, tells how it is, and is its own user.
fn install(board: &Machine) {
    let model = board.sh("cat /proc/device-tree/model | tr -d '\\0'");
    assert!(model.starts_with("Raspberry Pi 3"), "{model}");
    let told = board.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /root/porthole.deb");
    assert!(told.contains("porthole serves its page at\n    http://10.0.2.15:8080/"), "{told}");
    assert!(told.contains("sudo porthole password operator --state /var/lib/porthole"), "{told}");

    assert_eq!(board.sh("systemctl is-active porthole"), "active\n");
    board.until("its status is told", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("nobody watches; camera: closed").then_some(())
    });
    assert_eq!(board.sh("systemd-analyze verify --man=no porthole.service porthole.socket porthole-camera.target"), "");
    assert_eq!(board.sh("ps -o user= -C porthole"), "porthole\n");
    let groups = board.sh("id -nG porthole");
    for group in ["video", "audio", "gpio"] {
        assert!(groups.split_whitespace().any(|word| word == group), "{groups}");
    }
    assert_eq!(board.sh("stat -c '%U %a' /var/lib/porthole"), "porthole 700\n");
    // Somebody who is nobody may read the page of the manual, and complete the commands.
    board.sh("test -e /usr/share/man/man1/porthole.1.gz && test -e /usr/share/bash-completion/completions/porthole");
}

/// Sets passwords and a token, and what the emulated processor manages. What opens no device holds without a restart.
fn configure(board: &Machine) -> String {
    for role in ["viewer", "operator"] {
        board.sh(&format!("echo 'correct horse {role}' | porthole password {role} --state /var/lib/porthole"));
    }
    let token = board.sh("porthole token add test --role viewer --state /var/lib/porthole 2>/dev/null");
    let token = token.split_whitespace().last().expect("a token should be printed").to_owned();
    assert_eq!(board.sh("find /var/lib/porthole -not -user porthole"), "", "what root has set belongs to the service");

    board.write("/etc/porthole/porthole.toml", "[rtc]\nmax_viewers = 0\n");
    let (told, status) = board.try_sh("systemctl reload porthole");
    assert!(status != "0", "a wrong configuration makes the reload fail: {told}");
    assert_eq!(board.sh("systemctl is-active porthole"), "active\n");

    board.write("/etc/porthole/porthole.toml", &configuration(board.ports()));
    board.sh("systemctl reload porthole");
    board.until("the reload is told", LIMIT, || {
        let log = board.sh("journalctl -q -o cat -u porthole");
        (log.contains("taken up: rtc.advertise") && log.contains("needs a new start")).then_some(())
    });
    board.sh("systemctl restart porthole");
    token
}

/// Checks 2 and 7: a viewer outside sees pictures that go on, and hears the tone.
fn watch(board: &Machine, token: &str, story: &Story) {
    let runtime = Runtime::new().expect("a runtime should start");
    runtime.block_on(async {
        let mut viewer = connect(board, token).await;
        story.tell("a viewer has connected");
        let (mut stamps, mut loudest, mut first) = (Vec::new(), 0, None);
        let deadline = Instant::now() + LIMIT;
        while stamps.len() < PICTURES || loudest <= SILENCE {
            let seen = stamps.len();
            assert!(Instant::now() < deadline, "{seen} pictures, and sound of {loudest} at most, within {LIMIT:?}");
            match viewer.event(LIMIT).await.expect("pictures and sound should come") {
                Event::Frame(frame) => {
                    let picture = frame.picture.expect("a picture should be decoded");
                    assert_eq!((picture.width, picture.height), (320, 180));
                    first.get_or_insert_with(Instant::now);
                    stamps.push(frame.timestamp);
                }
                Event::Sound(sound) => {
                    loudest = sound.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0).max(loudest);
                }
                Event::Ended => panic!("the session ended"),
                _ => {}
            }
        }
        let took = first.expect("there were pictures").elapsed().as_secs_f64();
        let moves = stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < u32::MAX / 2 && pair[1] != pair[0]);
        assert!(moves, "the pictures' times should go on: {stamps:?}");
        story.tell(&format!("{:.1} pictures a second of 320x180, and sound", (stamps.len() - 1) as f64 / took));
        let status = board.sh("systemctl show -p StatusText --value porthole");
        assert!(status.contains("1 viewer; camera: live 320x180, watched by 1"), "{status}");
        viewer.leave().await.expect("the viewer should leave");
    });
}

async fn connect(board: &Machine, token: &str) -> Viewer {
    let options = Options { token: Some(token.to_owned()), ..Options::new(&board.page()) };
    let deadline = Instant::now() + LIMIT;
    loop {
        match Viewer::connect(&options).await {
            Ok(viewer) => return viewer,
            Err(error) => assert!(Instant::now() < deadline, "a viewer should connect: {error:#}"),
        }
        tokio::time::sleep(machine::LOOK_AGAIN).await;
    }
}

/// Check 5: killed, and stopped so that nothing in it goes on, systemd has it back each time, and viewers find it again.
fn hurt(board: &Machine, token: &str, story: &Story) {
    let runtime = Runtime::new().expect("a runtime should start");
    for (number, (signal, result)) in [("KILL", "signal"), ("STOP", "watchdog")].into_iter().enumerate() {
        let before = board.sh("systemctl show -p MainPID --value porthole");
        board.sh(&format!("systemctl kill --kill-who=main -s {signal} porthole"));
        board.until("systemd has it back", LIMIT, || {
            let now = board.sh("systemctl show -p MainPID --value porthole");
            let active = board.try_sh("systemctl is-active porthole").0 == "active\n";
            (now != before && active).then_some(())
        });
        let restarts = board.sh("systemctl show -p NRestarts --value porthole");
        assert_eq!(restarts.trim(), (number + 1).to_string(), "after {signal}");
        let log = board.sh("journalctl -q -o cat -u porthole");
        assert!(log.contains(&format!("Failed with result '{result}'")), "{signal}: {log}");
        let pictures = async {
            let mut viewer = connect(board, token).await;
            while !matches!(viewer.event(LIMIT).await.expect("pictures should come"), Event::Frame(_)) {}
            viewer.leave().await
        };
        runtime.block_on(pictures).expect("the viewer should leave");
        story.tell(&format!("SIG{signal}: systemd has it back, and a viewer sees pictures"));
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
    let viewer = runtime.block_on(connect(board, token));
    runtime.block_on(viewer.leave()).expect("the viewer should leave");
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
