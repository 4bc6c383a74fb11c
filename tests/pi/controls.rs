//! What the board's pins show, and what a viewer changes: checks 3 and 4 of the story in `main`.
//!
//! The button is not among them: the emulated processor has no way to be told a pin's level from outside. Buttons and the
//! edges that they make are tested on the emulated PC board, whose kernel simulates a GPIO chip.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{Event, Viewer};
use crate::machine::Machine;
use crate::monitor::Monitor;
use crate::viewer::connect;
use crate::{LIMIT, Progress};

/// The lamp's pin.
const LED: u32 = 17;

/// The flashes for a camera that is away.
const AWAY: usize = 2;

/// Of a blink code: longer than the gap between two flashes, shorter than the rest after the last.
const REST: Duration = Duration::from_secs(1);

/// Rests that a record of a blink code has.
const RESTS: usize = 4;

/// From one look at the pin to the next: a tenth of a flash.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The lamp follows who watches and what is the matter, as its pin is seen from outside the board.
pub fn check_led(board: &Machine, token: &str, progress: &Progress) {
    let mut monitor = board.monitor();
    // The last viewer may be about to leave.
    wait_for(&mut monitor, false);
    let runtime = Runtime::new().expect("a runtime should start");
    let mut viewer = runtime.block_on(connect(board, Some(token)));
    wait_for(&mut monitor, true);
    progress.report("the lamp is lit while somebody watches");

    board.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
    board.until("the fault is told", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("camera: fault").then_some(())
    });
    assert_eq!(flashes(&mut monitor), AWAY);
    progress.report("the lamp blinks the code of a camera that is away");
    board.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind");
    board.until("the camera is back", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("camera: live").then_some(())
    });
    wait_for(&mut monitor, true);

    set_control(board, &mut viewer, &runtime);
    progress.report("a viewer has set a control of the camera");
    toggle_privacy(board, &mut viewer, &runtime);
    progress.report("a command has cut the camera and brought it back");

    board.sh("systemctl stop porthole");
    assert!(!monitor.pin(LED), "the lamp should go out with the service");
    runtime.block_on(viewer.leave()).expect("the viewer should leave");
    board.sh("systemctl start porthole");
    progress.report("the lamp is dark when the service has stopped");
}

/// A command over the data channel changes the driver's control, as another program reads it.
fn set_control(board: &Machine, viewer: &mut Viewer, runtime: &Runtime) {
    let brightness = || board.sh("v4l2-ctl -d /dev/video0 -C brightness");
    assert_eq!(brightness(), "brightness: 128\n");
    let answer = ask(viewer, runtime, "controls.set", &json!({ "values": { "brightness": 77 } }));
    assert_eq!(answer["result"]["controls"][0]["value"], 77, "{answer}");
    assert_eq!(brightness(), "brightness: 77\n");
}

/// The privacy switch closes the camera's device, whoever watches.
fn toggle_privacy(board: &Machine, viewer: &mut Viewer, runtime: &Runtime) {
    let holders = || board.sh("ls -l /proc/$(pidof porthole)/fd | grep -c /dev/video || true");
    assert_eq!(holders(), "1\n");
    assert_eq!(ask(viewer, runtime, "privacy.set", &json!({ "on": true }))["result"]["on"], true);
    board.until("the camera is closed", LIMIT, || (holders() == "0\n").then_some(()));
    // From the board's own shell, as root is an operator there.
    let toggled: Value = serde_json::from_str(&board.sh("porthole ctl privacy.toggle")).expect("it should print JSON");
    assert_eq!(toggled["on"], false);
    board.until("the camera is open", LIMIT, || (holders() == "1\n").then_some(()));
}

/// Asks over the data channel.
fn ask(viewer: &mut Viewer, runtime: &Runtime, method: &str, params: &Value) -> Value {
    let request = json!({ "id": method, "method": method, "params": params });
    let mut answer = Value::Null;
    runtime.block_on(async {
        viewer.send(&request.to_string()).await.expect("the control channel should be open");
        let answered = viewer.until(LIMIT, |event| {
            let Event::Message(text) = event else { return false };
            answer = serde_json::from_str(text).expect("messages should be JSON");
            answer["id"] == method
        });
        answered.await.expect("the board should answer");
    });
    answer
}

fn wait_for(monitor: &mut Monitor, level: bool) {
    let deadline = Instant::now() + LIMIT;
    while monitor.pin(LED) != level {
        assert!(Instant::now() < deadline, "the lamp's pin should be {level} within {LIMIT:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The flashes of a blink code. A board that is held up may miss one, and never makes one more, so the most of several
/// groups count.
fn flashes(monitor: &mut Monitor) -> usize {
    let deadline = Instant::now() + LIMIT;
    let (mut lit, mut since) = (monitor.pin(LED), Instant::now());
    let (mut groups, mut counted) = (Vec::new(), 0);
    while groups.len() < RESTS {
        assert!(Instant::now() < deadline, "the lamp should blink; groups of flashes so far: {groups:?}");
        std::thread::sleep(POLL_INTERVAL);
        let now = monitor.pin(LED);
        if now == lit {
            continue;
        }
        if now && since.elapsed() > REST {
            groups.push(std::mem::take(&mut counted));
        }
        counted += usize::from(now);
        (lit, since) = (now, Instant::now());
    }
    groups.into_iter().max().unwrap_or_default()
}
