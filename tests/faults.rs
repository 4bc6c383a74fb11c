//! Camera faults end to end: viewers stay connected and get a placeholder that names the fault.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, Porthole, SMALL, StallMonitor, Viewer, request};
use test_viewer::Image;

/// A camera that does not exist.
fn absent() -> String {
    SMALL.replace("\"pattern\"", "\"/dev/video99\"")
}

/// The next decoded frame.
async fn next_image(viewer: &mut Viewer) -> Result<Image> {
    viewer.frame(LIMIT).await?.image.context("a frame was not decoded")
}

/// Whether a frame is the placeholder: dark, with bright text in the middle and no test pattern.
fn is_placeholder(image: &Image) -> bool {
    let bright = image.y.iter().filter(|luma| **luma > 100).count();
    let dark = image.y.iter().filter(|luma| **luma < 60).count();
    let rows = image.y.chunks(image.width);
    let lines: Vec<usize> =
        rows.enumerate().filter(|(_, row)| row.iter().any(|luma| *luma > 100)).map(|(y, _)| y).collect();
    let inside = lines.first().zip(lines.last()).is_some_and(|(first, last)| {
        *first > image.height / 20 && *last < image.height - image.height / 20 && last - first > 30
    });
    image.code.is_none() && bright > 300 && dark > image.y.len() * 3 / 4 && inside
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_an_absent_camera_get_a_low_rate_placeholder() -> Result<()> {
    let porthole = Porthole::start(&absent())?;
    let status = porthole.status().await?;
    let camera = &status["cameras"][0];
    ensure!(camera["state"] == "fault", "{status:#}");
    ensure!(
        camera["fault"].as_str().is_some_and(|fault| fault.contains("open /dev/video99: no such device")),
        "{camera:#}"
    );
    let since = camera["since"].as_u64().context("no since")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    ensure!(since <= now && now - since < 60, "{since} at {now}");

    let posted = Instant::now();
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(Viewer::connect(&Options::new(&porthole.base)).await?);
    }
    for viewer in &mut viewers {
        let first = next_image(viewer).await?;
        ensure!((first.width, first.height) == (320, 180), "{}x{}", first.width, first.height);
        ensure!(is_placeholder(&first), "the first frame is not the placeholder");
        let mut stamps = Vec::new();
        for _ in 0..4 {
            let frame = viewer.frame(LIMIT).await?;
            ensure!(is_placeholder(&frame.image.context("not decoded")?));
            stamps.push(frame.timestamp);
        }
        ensure!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < 1 << 31), "time goes back: {stamps:?}");
    }
    let seconds = posted.elapsed().as_secs_f64();
    let encoded = porthole.metric("porthole_frames_encoded_total").await?;
    // Two per second, plus one at once for each new viewer and each retry.
    ensure!(encoded <= seconds * 2.0 + 12.0, "{encoded} placeholders in {seconds:.1} s");
    let status = porthole.status().await?;
    ensure!(status["cameras"][0]["since"] == since && status["cameras"][0]["state"] == "fault", "{status:#}");
    ensure!(status["viewers"] == 3, "{status:#}");
    let health = request("GET", &format!("{}healthz", porthole.base), &[], String::new()).await?;
    ensure!(health.status == 200, "{health:?}");

    for viewer in viewers {
        viewer.leave().await?;
    }
    // The encoder is closed with its last viewer, not at the next attempt to open the camera, up to 10 s later.
    let left = Instant::now();
    porthole.until_status("nobody watches", |status| status["viewers"] == 0).await?;
    porthole.until_metric("porthole_encoders", |encoders| encoders == 0.0).await?;
    ensure!(left.elapsed() < Duration::from_secs(8), "the encoder was freed after {:?}", left.elapsed());
    let encoded = porthole.metric("porthole_frames_encoded_total").await?;
    let pause = tokio::time::Instant::now() + Duration::from_secs(2);
    tokio::time::timeout_at(pause, std::future::pending::<()>()).await.expect_err("the window should pass");
    ensure!(porthole.metric("porthole_frames_encoded_total").await? == encoded, "placeholders are drawn for nobody");
    ensure!(porthole.status().await?["cameras"][0]["state"] == "fault");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_new_viewer_gets_the_placeholder_at_once() -> Result<()> {
    let porthole = Porthole::start(&absent())?;
    let (stall_monitor, mut joins) = (StallMonitor::watch(), Vec::new());
    for _ in 0..10 {
        let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        ensure!(is_placeholder(&next_image(&mut viewer).await?));
        joins.push((viewer.posted, Instant::now()));
        viewer.leave().await?;
    }
    let stalls = stall_monitor.end();
    let times: Vec<_> = joins.into_iter().map(|(posted, shown)| stalls.running(posted, shown)).collect();
    let middle = common::median(times.clone());
    ensure!(middle < Duration::from_secs(1), "median {middle:?} of {times:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_starts_normally_shows_no_placeholder() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    for _ in 0..30 {
        ensure!(next_image(&mut viewer).await?.code.is_some(), "a frame that is not the camera's");
    }
    ensure!(porthole.status().await?["cameras"][0]["since"].is_null());
    Ok(())
}
