//! The 32-bit package on an emulated Raspberry Pi 2: it installs and serves as on the 64-bit board, and whatever
//! depends on integer sizes works: the kernel's cameras and sound cards, encoding, sending. Recovery, upgrade and purge
//! do not depend on the processor and are tested on the other board only.

use std::time::Instant;

use tokio::runtime::Runtime;

use crate::machine::{self, Machine};
use crate::viewer::{self, Received};
use crate::{Progress, install, made, tone};

/// The minimum share of power at a tone's pitch. A square wave, as the board's player produces, has 0.81.
const AT_PITCH: f64 = 0.7;

/// The pitch played by the board (root/play-tone), in hertz.
const PLAYED_HZ: f64 = 1000.0;

/// The pitch of the program's built-in tone, in hertz.
const BUILT_IN_HZ: f64 = 440.0;

/// The configuration: a size and rate that the emulated processor can encode, its address from outside, no
/// authentication, and this audio device.
fn configuration(board: &Machine, audio: &str) -> String {
    format!(
        "[auth]\nmode = \"none\"\n[rtc]\nadvertise = [\"127.0.0.1:{}\"]\n[audio]\ndevice = \"{audio}\"\n\
         [[camera]]\nwidth = 320\nheight = 180\nfps = 5\nbitrate = 200000\n",
        board.ports().media
    )
}

#[test]
#[ignore = "takes minutes, and the package and the card of `make pi`"]
fn the_32_bit_package_serves_the_camera_and_the_pattern() {
    let progress = Progress(Instant::now());
    let board =
        Machine::boot(&machine::PI2, &made("PORTHOLE_PI2"), &[(&made("PORTHOLE_PI2_DEB"), "/root/porthole.deb")]);
    progress.report("the board is up");
    install(&board, "Raspberry Pi 2");
    progress.report("the package is installed and its service runs");
    assert_eq!(board.sh("uname -m"), "armv7l\n");
    let package = board.sh("dpkg-query -W -f '${Architecture} ${Version}' porthole");
    let version = package.strip_prefix("armhf ").expect("the package should be the 32-bit one");
    let (version, _) = version.rsplit_once('-').expect("a version should end with that of the package");
    assert_eq!(board.sh("porthole --version"), format!("porthole {version}\n"));
    devices(&board);
    progress.report("it prints its version and the board's devices");

    board.write("/etc/porthole/porthole.toml", &configuration(&board, "hw:CARD=Loopback,DEV=1"));
    board.sh("systemctl restart porthole");
    let received = watch(&board, PLAYED_HZ, &progress);
    assert!(received.codes.is_empty(), "the camera's frames have no timecode");
    progress
        .report(&format!("the service: {:.1} frames per second from the camera, and the microphone", received.rate));
    board.sh("systemctl stop porthole");

    board.write("/root/pattern.toml", &configuration(&board, "tone"));
    board.sh("systemd-run -q --unit=pattern --property=StateDirectory=pattern \
         porthole run --camera pattern --config /root/pattern.toml");
    let received = watch(&board, BUILT_IN_HZ, &progress);
    assert_eq!(received.codes.len(), received.frames, "each frame of the pattern has its timecode");
    for pair in received.codes.windows(2) {
        assert!(pair[0].frame < pair[1].frame && pair[0].captured < pair[1].captured, "{:?}", received.codes);
    }
    progress.report(&format!("porthole run --camera pattern: {:.1} frames per second, and the tone", received.rate));
}

/// The kernel's camera with its formats, its sound card, and the default choices are listed.
fn devices(board: &Machine) {
    let printed = board.sh("porthole devices");
    for part in [
        "\n  /dev/video0  vivid (vivid, platform:vivid-000)\n",
        "\n      320x180 at 1, 2, 4, 5, 10, ",
        // Twice the width of this processor's registers.
        " integer64     -9223372036854775808 to 9223372036854775807 in steps of 1",
        "\n    plughw:CARD=Loopback,DEV=1  microphone",
        "\n  ACT\n",
        "\nauto takes\n  camera: /dev/video0\n",
    ] {
        assert!(printed.contains(part), "{part:?} is not in: {printed}");
    }
}

/// Connects a viewer, checks for continuous video and a tone of this pitch, and disconnects.
fn watch(board: &Machine, hertz: f64, progress: &Progress) -> Received {
    let runtime = Runtime::new().expect("a runtime should start");
    runtime.block_on(async {
        let mut viewer = viewer::connect(board, None).await;
        progress.report("a viewer has connected");
        let received = viewer::receive(&mut viewer, |audio| tone::goertzel(audio, 48_000, hertz) > AT_PITCH).await;
        viewer.leave().await.expect("the viewer should leave");
        received
    })
}
