//! LED pins, control changes and privacy: checks 3 and 4 of the story in `main`.
//!
//! Buttons are not included: the emulated processor's input pins cannot be set from outside. Buttons and their edges
//! are tested on the emulated PC board, whose kernel simulates a GPIO chip.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::machine::Machine;
use crate::monitor::Monitor;
use crate::viewer::connect;
use crate::{LIMIT, Progress};
use test_viewer::{Event, Viewer};

/// The LED's pin.
const LED: u32 = 17;

/// Flashes for an unavailable camera.
const UNAVAILABLE_FLASHES: usize = 2;

/// A pause in a blink code: longer than the gap between two flashes, shorter than the pause after the last.
const REST: Duration = Duration::from_secs(1);

/// Pauses in a recording of a blink code.
const RESTS: usize = 4;

/// Sampling interval of the pin: a tenth of a flash.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The LED follows viewers and faults, measured at its pin from outside the board.
pub fn check_led(board: &Machine, token: &str, progress: &Progress) {
    let mut monitor = board.monitor();
    // The last viewer may still be disconnecting.
    wait_for(&mut monitor, false);
    let runtime = Runtime::new().expect("a runtime should start");
    let mut viewer = runtime.block_on(connect(board, Some(token)));
    wait_for(&mut monitor, true);
    progress.report("the LED is on while someone is watching");

    board.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind");
    board.until("the fault is reported", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("camera: fault").then_some(())
    });
    assert_eq!(flashes(&mut monitor), UNAVAILABLE_FLASHES);
    progress.report("the LED blinks the code of an absent camera");
    board.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind");
    board.until("the camera is back", LIMIT, || {
        let status = board.sh("systemctl show -p StatusText --value porthole");
        status.contains("camera: live").then_some(())
    });
    wait_for(&mut monitor, true);

    set_control(board, &mut viewer, &runtime);
    progress.report("a viewer has set a control of the camera");
    toggle_privacy(board, &mut viewer, &runtime);
    progress.report("a command has closed and reopened the camera");

    board.sh("systemctl stop porthole");
    assert!(!monitor.pin(LED), "the LED should turn off with the service");
    runtime.block_on(viewer.leave()).expect("the viewer should leave");
    board.sh("systemctl start porthole");
    progress.report("the LED is off after the service has stopped");
}

/// A command over the data channel changes the driver's control, as read by another program.
fn set_control(board: &Machine, viewer: &mut Viewer, runtime: &Runtime) {
    let brightness = || board.sh("v4l2-ctl -d /dev/video0 -C brightness");
    assert_eq!(brightness(), "brightness: 128\n");
    let answer = call(viewer, runtime, "controls.set", &json!({ "values": { "brightness": 77 } }));
    assert_eq!(answer["result"]["controls"][0]["value"], 77, "{answer}");
    assert_eq!(brightness(), "brightness: 77\n");
}

/// The privacy switch closes the camera device despite viewers.
fn toggle_privacy(board: &Machine, viewer: &mut Viewer, runtime: &Runtime) {
    let holders = || board.sh("ls -l /proc/$(pidof porthole)/fd | grep -c /dev/video || true");
    assert_eq!(holders(), "1\n");
    assert_eq!(call(viewer, runtime, "privacy.set", &json!({ "on": true }))["result"]["on"], true);
    board.until("the camera is closed", LIMIT, || (holders() == "0\n").then_some(()));
    // From a root shell on the board, which has the operator role.
    let toggled: Value = serde_json::from_str(&board.sh("porthole ctl privacy.toggle")).expect("it should print JSON");
    assert_eq!(toggled["on"], false);
    board.until("the camera is open", LIMIT, || (holders() == "1\n").then_some(()));
}

/// Sends a request over the data channel.
fn call(viewer: &mut Viewer, runtime: &Runtime, method: &str, params: &Value) -> Value {
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
        assert!(Instant::now() < deadline, "the LED's pin should be {level} within {LIMIT:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The number of flashes in a blink code. A stalled board may miss one and never adds one, so the maximum of several
/// groups counts.
fn flashes(monitor: &mut Monitor) -> usize {
    let deadline = Instant::now() + LIMIT;
    let (mut lit, mut since) = (monitor.pin(LED), Instant::now());
    let (mut groups, mut counted) = (Vec::new(), 0);
    while groups.len() < RESTS {
        assert!(Instant::now() < deadline, "the LED should blink; groups of flashes so far: {groups:?}");
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
