//! Camera switches within one track over the control channel: the RTP that arrives, and how soon. This is a file of its
//! own so that the measurement has the machine to itself; other preferences are in `preferences.rs`.

// --nocapture shows the measurements.
#![allow(clippy::print_stdout)]

mod common;
#[path = "switch/viewer.rs"]
mod viewer;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use common::{Porthole, StallMonitor, Stalls};
use porthole::capture::camera::timecode::camera_hash;
use serde_json::json;
use viewer::{ControlClient, TWO};

/// The frame size of each camera.
const SIZES: [(&str, (usize, usize)); 2] = [("door", (320, 180)), ("yard", (640, 360))];

#[tokio::test(flavor = "multi_thread")]
async fn fifty_camera_switches_stay_within_the_time_limit() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = ControlClient::begin(&porthole).await?;
    viewer.frame().await?;
    // Opens the channel and each camera once.
    for (name, _) in [SIZES[1], SIZES[0]] {
        viewer.call("camera.select", json!({ "camera": name })).await?;
        while viewer.frame().await?.camera != camera_hash(name) {}
    }
    viewer.frames.clear();
    viewer.events.clear();
    let mut switches = Vec::new();
    let stall_monitor = StallMonitor::watch();
    for number in 1..=50 {
        let (name, size) = SIZES[number % 2];
        let requested = Instant::now();
        let id = viewer.send_request("camera.select", json!({ "camera": name })).await?;
        let begins = loop {
            let frame = viewer.frame().await?;
            if frame.camera == camera_hash(name) {
                break frame;
            }
        };
        switches.push((requested, begins.arrived));
        ensure!(begins.key && begins.size == size, "{number}: {begins:?}");
        let answer = viewer.answer(id).await?;
        ensure!(answer["result"]["camera"] == *name, "{answer}");
        // A few frames, so that the next key frame request is not rate-limited.
        for _ in 0..4 {
            let frame = viewer.frame().await?;
            ensure!((frame.camera, frame.size, frame.key) == (camera_hash(name), size, false), "{number}: {frame:?}");
        }
    }
    let stalls = stall_monitor.end();
    let mut took: Vec<_> = switches.into_iter().map(|(requested, begins)| stalls.running(requested, begins)).collect();
    took.sort_unstable();
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    ensure!(slowest < Duration::from_millis(300), "a switch took {slowest:?}, the middle one {median:?}: {took:?}");
    let mut longest = Duration::ZERO;
    for pair in viewer.frames.windows(2) {
        ensure!(pair[0].ssrc == pair[1].ssrc, "another stream");
        let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        ensure!(ticks > 0 && ticks < 90_000 / 5, "{ticks} ticks between two frames");
        longest = longest.max(stalls.running(pair[0].arrived, pair[1].arrived));
    }
    ensure!(longest < Duration::from_millis(200), "the video froze for {longest:?}");
    println!("median {median:.1?}, slowest {slowest:.1?}, longest gap between frames {longest:.1?}");
    let selected = viewer.events.iter().filter(|event| event["params"]["selected"] == true).count();
    ensure!(selected >= 49, "{selected} of 50 selection events");
    // A camera without viewers is closed.
    porthole
        .until_status("the other camera is closed", |status| {
            status["cameras"][1]["state"] == "idle" && status["cameras"][0]["watched"] == 1
        })
        .await?;
    Ok(())
}

#[test]
fn a_stall_counts_only_where_it_overlaps() {
    let start = Instant::now();
    let [a, b, c, d] = [0, 100, 150, 200].map(|at| start + Duration::from_millis(at));
    let stalls = Stalls(vec![(a, b), (c, d)]);
    assert_eq!(stalls.running(a, b), Duration::ZERO);
    assert_eq!(stalls.running(b, c), c - b);
    assert_eq!(stalls.running(a, d), c - b);
}
