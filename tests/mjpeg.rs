//! MJPEG streams of the running program: what is encoded for how many readers, slow and stopped ones, limits, and how
//! streams end.
//!
//! Foreign hosts and origins are in `hardening`.

mod common;
#[path = "mjpeg/programs.rs"]
mod programs;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::fake::{DEVICE, Fake};
use common::mjpeg::{Part, Reader, open, open_from, size};
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, Viewer, missing, numbers, request, token};
use porthole::media::convert::StillImage;
use porthole::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use serde_json::{Value, json};

const ENCODED: &str = "porthole_mjpeg_frames_encoded_total{camera=\"camera\"}";
const PASSED: &str = "porthole_mjpeg_frames_passed_total{camera=\"camera\"}";
const SENT: &str = "porthole_mjpeg_frames_sent_total{camera=\"camera\"}";
const CAPTURED: &str = "porthole_frames_captured_total{camera=\"camera\"}";
const READERS: &str = "porthole_mjpeg_readers";

async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

async fn parts(reader: &mut Reader, count: usize) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    while parts.len() < count {
        parts.push(reader.part().await?);
    }
    Ok(parts)
}

/// JPEGs of one grey.
fn grey(width: u32, height: u32, level: u8) -> Result<Vec<u8>> {
    let (pixel, color) = (PixelFormat::I420, Colorimetry::SRGB);
    let format = VideoFormat { pixel, width, height, stride: width, fps: 30.0, color };
    let data = vec![level; (width * height * 3 / 2) as usize];
    Ok(StillImage::of(&RawFrame::new(Timestamp::default(), format, data.into()))?.into_jpeg()?.data)
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_shows_the_camera_in_the_size_that_was_asked_for() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = open(&porthole, "/stream.mjpg").await?;
    for header in ["cache-control: no-store", "x-accel-buffering: no", "content-type: multipart/x-mixed-replace; "] {
        ensure!(reader.head.contains(header), "{header}: {}", reader.head);
    }
    let shown = parts(&mut reader, 5).await?;
    ensure!(shown.iter().all(|part| size(&part.jpeg).is_ok_and(|size| size == (320, 180))));
    ensure!(shown.windows(2).all(|pair| pair[0].captured < pair[1].captured), "time goes back");
    // It is a viewer like others.
    let status = porthole.status().await?;
    ensure!(status["viewers"] == 1 && status["cameras"][0]["watched"] == 1, "{status:#}");
    let mut small = open(&porthole, "/?action=stream&width=161&1700000000").await?;
    ensure!(size(&small.part().await?.jpeg)? == (160, 90));
    let mut coarse = open(&porthole, "/stream.mjpg?camera=camera&quality=5&width=4000").await?;
    let part = coarse.part().await?;
    ensure!(size(&part.jpeg)? == (320, 180) && part.jpeg.len() * 2 < shown[0].jpeg.len());
    let mut second = open(&porthole, "/?action=stream_0").await?;
    second.part().await?;
    drop((reader, small, coarse, second));
    porthole.until_status("idle", |status| status["cameras"][0]["state"] == "idle" && status["viewers"] == 0).await?;
    ensure!(porthole.metric(READERS).await? == 0.0 && porthole.metric("porthole_encoders").await? == 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frame_rate_is_what_was_asked_for() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = open(&porthole, "/stream.mjpg?fps=5").await?;
    let shown = parts(&mut reader, 11).await?;
    let span = Duration::from_micros(shown[10].captured - shown[0].captured);
    // A busy machine may show fewer.
    ensure!(span >= Duration::from_millis(1_800), "ten frames in {span:?}");
    let encoded = porthole.series(ENCODED).await?;
    ensure!((11.0..=14.0).contains(&encoded), "{encoded} frames encoded for 11 that were read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_readers_cost_one_jpeg_a_frame() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(open(&porthole, "/stream.mjpg?width=160").await?);
    }
    let reading = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            parts(&mut reader, 60).await?;
            anyhow::Ok(reader)
        })
    });
    let mut still_open = Vec::new();
    for reading in reading.collect::<Vec<_>>() {
        still_open.push(reading.await??);
    }
    let (encoded, sent) = (porthole.series(ENCODED).await?, porthole.series(SENT).await?);
    let captured = porthole.series(CAPTURED).await?;
    ensure!(sent >= 600.0 && encoded <= captured, "{encoded} of {captured} encoded, {sent} sent");
    ensure!(sent / encoded > 5.0, "{encoded} encoded, {sent} sent");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jpegs_of_an_mjpeg_camera_are_passed_on_byte_for_byte() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30\n")?;
    let own = grey(320, 240, 100)?;
    let folder = fake.frames(std::slice::from_ref(&own))?;
    fake.plug(&format!("format MJPG 320x240@30 files={}\n", folder.display()))?;
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[[camera]]\ndevice = \"{DEVICE}\"\nwidth = {{ ideal = 320 }}\n\
         height = {{ ideal = 240 }}\n[audio]\ndevice = \"off\"\n"
    );
    let porthole = Porthole::start_with(&config, &fake.environment()?)?;
    let mut reader = open(&porthole, "/stream.mjpg?width=320").await?;
    for part in parts(&mut reader, 5).await? {
        ensure!(part.jpeg == own, "not the camera's own JPEG");
    }
    ensure!(porthole.series(PASSED).await? >= 5.0 && porthole.series(ENCODED).await? == 0.0);
    let mut small = open(&porthole, "/stream.mjpg?width=100").await?;
    ensure!(size(&small.part().await?.jpeg)? == (100, 76));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_of_a_camera_is_decoded() -> Result<()> {
    let source = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i color=c=gray:s=320x180:r=15 -c:v libx264";
    let porthole = Porthole::start(&format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\nwidth = 320\nheight = 180\nfps = 15\n\
         device = '''exec:{source} -pix_fmt yuv420p -g 15 -profile:v baseline -tune zerolatency -f h264 -'''\n"
    ))?;
    let mut reader = open(&porthole, "/stream.mjpg").await?;
    // The placeholder comes first if ffmpeg is slow.
    let mut last = 0;
    let deadline = Instant::now() + LIMIT;
    let mut shown = 0;
    while shown < 10 {
        let part = reader.part().await?;
        ensure!(size(&part.jpeg)? == (320, 180) && part.captured >= last);
        last = part.captured;
        shown = if porthole.status().await?["cameras"][0]["state"] == "live" { shown + 1 } else { 0 };
        ensure!(Instant::now() < deadline, "ffmpeg was not shown within {LIMIT:?}");
    }
    ensure!(porthole.series(ENCODED).await? >= 10.0 && porthole.metric("porthole_encoders").await? == 0.0);
    // A viewer beside it gets the camera's stream.
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    reader.part().await?;
    drop(reader);
    viewer.leave().await?;
    porthole.until_status("idle", |status| status["cameras"][0]["state"] == "idle").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_reader_delays_nobody_and_costs_nothing() -> Result<()> {
    // Frames of about 100 kB.
    let porthole = Porthole::start(&SMALL.replace("320", "1280").replace("180", "720"))?;
    let mut stopped = Vec::new();
    for _ in 0..4 {
        let mut reader = open(&porthole, "/stream.mjpg?quality=90").await?;
        reader.part().await?;
        stopped.push(reader);
    }
    // They read no more: after what fits into the buffers on the way, nothing is encoded for them.
    let deadline = Instant::now() + LIMIT;
    let mut before = porthole.series(SENT).await?;
    loop {
        let captured = porthole.series(CAPTURED).await?;
        porthole.until_metric("porthole_frames_captured_total", |now| now >= captured + 10.0).await?;
        let sent = porthole.series(SENT).await?;
        if std::mem::replace(&mut before, sent) == sent {
            break;
        }
        ensure!(Instant::now() < deadline, "{sent} frames were sent to readers that do not read");
    }
    let (encoded, memory) = (porthole.series(ENCODED).await?, porthole.memory()?);
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let seen = numbers(&mut viewer, 30).await?;
    missing(&seen, &porthole).await?;
    ensure!(porthole.series(ENCODED).await? == encoded, "JPEGs are made for nobody");
    // One who reads is served meanwhile.
    let mut reader = open(&porthole, "/stream.mjpg?quality=90").await?;
    parts(&mut reader, 30).await?;
    let grown = porthole.memory()?.saturating_sub(memory);
    // The viewer's encoder, and its peer connection.
    ensure!(grown < 96 << 20, "{grown} bytes grown");
    // One of them goes on reading: it gets what was on the way, and then the present.
    let mut late = stopped.pop().context("a reader")?;
    let now = reader.part().await?.captured;
    let mut on_the_way = 0;
    while late.part().await?.captured < now {
        on_the_way += 1;
    }
    ensure!(on_the_way < 12, "{on_the_way} old frames were queued");
    let skipped = porthole.series("porthole_frames_dropped_total{at=\"Mjpeg\"}").await?;
    ensure!(skipped > 10.0, "{skipped}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_switch_ends_the_video_of_the_camera_at_once() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = open(&porthole, "/stream.mjpg").await?;
    // The pattern's frames are about twice as large as the placeholder.
    let camera = parts(&mut reader, 3).await?.pop().context("a part")?;
    let is_placeholder = |part: &Part| part.jpeg.len() < camera.jpeg.len() * 3 / 4;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    let mut after = 0;
    let placeholder = loop {
        let part = reader.part().await?;
        if is_placeholder(&part) {
            break part;
        }
        after += 1;
        // What was sent before the switch was turned on, but not read.
        ensure!(after <= 3, "{after} frames of the camera after the switch was turned on");
    };
    ensure!(size(&placeholder.jpeg)? == (320, 180));
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    // Whoever comes now sees the placeholder too.
    let mut late = open(&porthole, "/stream.mjpg").await?;
    ensure!(is_placeholder(&late.part().await?), "whoever comes now sees the camera");
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    let deadline = Instant::now() + LIMIT;
    while is_placeholder(&reader.part().await?) {
        ensure!(Instant::now() < deadline, "the camera is not shown again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_ends_the_stream_even_of_a_stopped_reader() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("320", "1280").replace("180", "720"))?;
    let (mut reading, stopped) = (open(&porthole, "/stream.mjpg").await?, open(&porthole, "/stream.mjpg").await?);
    parts(&mut reading, 20).await?;
    let sessions = call(&porthole, "session.list", json!({})).await?;
    let ids: Vec<&str> = sessions["result"]["sessions"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|s| s["session"].as_str())
        .collect();
    ensure!(ids.len() == 2, "{sessions:#}");
    for id in ids {
        let bounded = call(&porthole, "session.limit", json!({ "session": id, "bitrate": 300_000 })).await?;
        ensure!(bounded["error"]["message"].as_str().is_some_and(|text| text.contains("WebRTC")), "{bounded:#}");
        let kicked = call(&porthole, "session.kick", json!({ "session": id })).await?;
        ensure!(kicked.get("result").is_some(), "{kicked:#}");
    }
    reading.finish().await?;
    // The other one does not read, so it learns of it by its connection.
    porthole.until_metric(READERS, |readers| readers == 0.0).await?;
    let sent = stopped.finish().await?;
    ensure!(sent < 4 << 20, "{sent} bytes were on the way");
    porthole.until_status("idle", |status| status["cameras"][0]["state"] == "idle").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_token_ends_its_streams() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let secret = token(state.path(), &["add", "printer", "--role", "viewer"])?;
    let header = format!("Authorization: Bearer {secret}\r\n");
    let mut reader = open_from(&porthole, [127, 0, 0, 1], "/stream.mjpg", &header).await?;
    reader.part().await?;
    let refused = open_from(&porthole, [127, 0, 0, 1], "/stream.mjpg", "").await?;
    ensure!(refused.status() == 401, "{}", refused.head);
    token(state.path(), &["revoke", "printer"])?;
    reader.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited_by_address_and_by_viewers() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtc]\nmax_viewers = 14\n"))?;
    let mut readers = Vec::new();
    for _ in 0..12 {
        readers.push(open(&porthole, "/stream.mjpg").await?);
    }
    let refused = open_from(&porthole, [127, 0, 0, 1], "/stream.mjpg", "").await?;
    ensure!(refused.status() == 429 && refused.head.contains("retry-after: 5"), "{}", refused.head);
    for _ in 0..2 {
        readers.push(open_from(&porthole, [127, 0, 0, 2], "/stream.mjpg", "").await?);
    }
    let refused = open_from(&porthole, [127, 0, 0, 2], "/stream.mjpg", "").await?;
    ensure!(refused.status() == 503 && refused.head.contains("retry-after: 5"), "{}", refused.head);
    let refused = porthole.series("porthole_http_refused_total{reason=\"Readers\"}").await?;
    ensure!(refused == 1.0, "{refused}");
    readers.truncate(11);
    porthole.until_metric(READERS, |readers| readers == 11.0).await?;
    let again = open_from(&porthole, [127, 0, 0, 1], "/stream.mjpg", "").await?;
    ensure!(again.status() == 200, "{}", again.head);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_requests_are_answered_with_what_would_be_right() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (path, status, words) in [
        ("stream.mjpg?width=0", 400, "16 to 8192 pixels"),
        ("stream.mjpg?width=-1", 400, "16 to 8192 pixels"),
        ("stream.mjpg?width=99999999999999999999", 400, "16 to 8192 pixels"),
        ("stream.mjpg?quality=101", 400, "1 to 100"),
        ("stream.mjpg?quality=high", 400, "high"),
        ("stream.mjpg?fps=0", 400, "0.017 to 240 frames a second"),
        ("stream.mjpg?fps=NaN", 400, "frames a second"),
        ("stream.mjpg?fps=inf", 400, "frames a second"),
        ("stream.mjpg?camera=attic", 404, "no camera is called"),
        ("?action=stream_1", 404, "no camera number 1; there are 1, counted from 0"),
        ("?action=snapshot_7", 404, "no camera number 7"),
    ] {
        let answer = request("GET", &format!("{}{path}", porthole.base), &[], String::new()).await?;
        ensure!(answer.status == status && answer.body.contains(words), "{path}: {} {}", answer.status, answer.body);
    }
    let head = request("HEAD", &format!("{}stream.mjpg", porthole.base), &[], String::new()).await?;
    ensure!(head.status == 200 && head.header("content-type").is_some_and(|value| value.starts_with("multipart/")));
    ensure!(porthole.series(CAPTURED).await? == 0.0, "HEAD opens the camera");
    let post = request("POST", &format!("{}stream.mjpg", porthole.base), &[], String::new()).await?;
    ensure!(post.status == 405, "{}", post.status);
    let snapshot = request("HEAD", &format!("{}?action=snapshot", porthole.base), &[], String::new()).await?;
    ensure!(snapshot.header("content-type") == Some("image/jpeg"), "{}", snapshot.status);
    // Any other action is the page's own business.
    let page = request("GET", &format!("{}?action=other", porthole.base), &[], String::new()).await?;
    ensure!(page.body.contains("<html"), "{}", page.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_when_the_program_stops() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = open(&porthole, "/stream.mjpg").await?;
    reader.part().await?;
    let started = Instant::now();
    porthole.signal("TERM")?;
    let ended = tokio::spawn(reader.finish());
    let (code, _, log) = tokio::task::spawn_blocking(move || porthole.wait()).await??;
    ensure!(code == Some(0), "{log}");
    ended.await??;
    ensure!(started.elapsed() < LIMIT / 3, "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_come_and_go_and_leave_nothing() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let round = async || {
        let mut readers = Vec::new();
        for _ in 0..10 {
            readers.push(open(&porthole, "/stream.mjpg").await?);
        }
        readers[0].part().await?;
        drop(readers);
        porthole.until_metric(READERS, |readers| readers == 0.0).await?;
        anyhow::Ok(())
    };
    for _ in 0..3 {
        round().await?;
    }
    let (descriptors, memory) = (porthole.descriptors()?, porthole.memory()?);
    for _ in 0..15 {
        round().await?;
    }
    let deadline = Instant::now() + LIMIT;
    while porthole.descriptors()? > descriptors {
        ensure!(Instant::now() < deadline, "{descriptors} descriptors before, {} after", porthole.descriptors()?);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let grown = porthole.memory()?.saturating_sub(memory);
    ensure!(grown < 8 << 20, "{grown} bytes grown");
    Ok(())
}
