//! Lifecycle: sessions leak nothing, nothing runs without viewers, and the program shuts down cleanly.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{Event, LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, Viewer, request, viewer_process};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_leak_nothing() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut before = None;
    for number in 0..240 {
        if number == 40 {
            before = Some(settled(&porthole).await?);
        }
        let mut viewer = Viewer::connect(&Options { decode: false, ..Options::new(&porthole.base) }).await?;
        viewer.frame(LIMIT).await?;
        if number % 2 == 0 {
            ensure!(viewer.delete().await? == 200);
        } else {
            viewer.leave().await?;
        }
    }
    let (tasks, descriptors, threads, memory) = before.context("not measured")?;
    let after = settled(&porthole).await?;
    let grown = after.0 > tasks || after.1 > descriptors || after.2 > threads;
    ensure!(!grown, "before {before:?}, after {after:?}");
    ensure!(after.3 <= memory + memory / 20, "memory grew from {memory} to {} bytes", after.3);
    Ok(())
}

/// Tasks, descriptors, threads and memory without viewers and with the camera closed. Waits until the numbers are
/// stable, because the pool of blocking threads grows and shrinks.
async fn settled(porthole: &Porthole) -> Result<(u64, usize, usize, u64)> {
    let idle = |status: &serde_json::Value| status["viewers"] == 0 && status["cameras"][0]["state"] == "idle";
    porthole.until_status("everything is idle", idle).await?;
    let deadline = Instant::now() + LIMIT;
    let mut last = (0, 0, 0);
    let mut same = 0;
    while same < 20 {
        ensure!(Instant::now() < deadline, "tasks and descriptors do not settle: {last:?}");
        let tasks = porthole.metric("porthole_tasks").await? as u64;
        // Lets this request's own connection close, and stays below the rate limit.
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = (tasks, porthole.descriptors()?, porthole.threads()?);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok((last.0, last.1, last.2, porthole.memory()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_camera_uses_almost_no_cpu() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    viewer.leave().await?;
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    porthole.until_metric("porthole_cameras_open", |open| open == 0.0).await?;
    let captured = porthole.metric("porthole_frames_captured_total").await?;
    let before = porthole.cpu()?;
    let measuring = tokio::time::Instant::now() + Duration::from_secs(10);
    tokio::time::timeout_at(measuring, std::future::pending::<()>()).await.expect_err("the window should pass");
    let used = porthole.cpu()? - before;
    ensure!(used < Duration::from_millis(50), "{used:?} of CPU in 10 s");
    ensure!(porthole.metric("porthole_frames_captured_total").await? == captured);
    ensure!(porthole.metric("porthole_encoders").await? == 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_vanishes_frees_its_session_within_30_s() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    // The sockets of the viewers' address are opened with the first viewer and stay open.
    let mut first = Viewer::connect(&Options::new(&porthole.base)).await?;
    first.frame(LIMIT).await?;
    first.leave().await?;
    let (_, descriptors, ..) = settled(&porthole).await?;
    let mut gone = viewer_process(&porthole.base, &["--no-decode"])?;
    porthole.until_status("the viewer is there", |status| status["viewers"] == 1).await?;
    let sent = porthole.metric("porthole_packets_sent_total").await?;
    porthole.until_metric("porthole_packets_sent_total", |packets| packets > sent + 100.0).await?;
    gone.kill()?;
    gone.wait()?;
    let vanished = Instant::now();
    porthole.until_status("the viewer is gone", |status| status["viewers"] == 0).await?;
    ensure!(vanished.elapsed() < Duration::from_secs(30), "gone after {:?}", vanished.elapsed());
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    porthole.until_metric("porthole_viewers", |viewers| viewers == 0.0).await?;
    let (_, left, ..) = settled(&porthole).await?;
    ensure!(left <= descriptors + 1, "{left} descriptors left, of {descriptors} before");
    Ok(())
}

/// Not only after the 20 s that a viewer may take to connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_dtls_handshake_fails_frees_its_place_at_once() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let rewrite_offer = |offer: String| {
        let wrong = format!("a=fingerprint:sha-256 {}", ["00"; 32].join(":"));
        let line = |line: &str| if line.starts_with("a=fingerprint:") { wrong.clone() } else { line.into() };
        offer.lines().map(|text| line(text) + "\r\n").collect()
    };
    let viewer = Viewer::connect(&Options { rewrite_offer, ..Options::new(&porthole.base) }).await?;
    let deadline = viewer.posted + Duration::from_secs(10);
    while request("GET", &viewer.session, &[], String::new()).await?.status != 404 {
        ensure!(Instant::now() < deadline, "the session of another certificate goes on");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    porthole.until_status("nobody watches", |status| status["viewers"] == 0).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_notifies_viewers_and_frees_the_port() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let base = porthole.base.clone();
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = Viewer::connect(&Options::new(&base)).await?;
        viewer.frame(LIMIT).await?;
        viewers.push(viewer);
    }
    porthole.signal("TERM")?;
    let (code, took, log) = tokio::task::spawn_blocking(|| porthole.wait()).await??;
    ensure!(code == Some(0), "exit code {code:?}: {log}");
    ensure!(took < Duration::from_secs(2), "took {took:?}");
    for mut viewer in viewers {
        viewer
            .until(LIMIT, |event| matches!(event, Event::Message(text) if text.contains("session.end")))
            .await
            .context("no goodbye")?;
        viewer.until(LIMIT, |event| matches!(event, Event::Ended)).await.context("no end")?;
    }
    let address = base.trim_start_matches("http://").trim_end_matches('/');
    std::net::TcpListener::bind(address).with_context(|| format!("{address} is still taken"))?;
    Ok(())
}
