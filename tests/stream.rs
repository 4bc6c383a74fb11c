//! Streaming end to end: video and audio arrive complete, in sync and promptly, for one viewer and for ten.

mod common;
#[path = "common/tone.rs"]
mod tone;

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{
    Event, LIMIT, Network, Options, Porthole, SMALL, StallMonitor, Viewer, median, missing, numbers, signal,
    viewer_process,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_decodes_every_frame_from_the_first_key_frame() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let first = viewer.frame(LIMIT).await?;
    ensure!(first.key, "the first frame is no key frame");
    let image = first.image.context("the first frame was not decoded")?;
    ensure!((image.width, image.height) == (320, 180));
    ensure!(first.playout_delay.as_deref() == Some(&[0, 0, 0]), "playout-delay: {:?}", first.playout_delay);
    let ntp = first.capture_ntp.context("no abs-capture-time")?;
    let unix = (ntp >> 32) as f64 - 2_208_988_800.0 + (ntp & 0xffff_ffff) as f64 / 4_294_967_296.0;
    let code = image.code.context("no timecode in the first frame")?;
    ensure!((unix - code.captured as f64 / 1e4).abs() < 0.000_3, "abs-capture-time {unix}, code {}", code.captured);
    let mut frame_numbers = vec![code.frame];
    frame_numbers.extend(numbers(&mut viewer, 90).await?);
    missing(&frame_numbers, &porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_packetization_mode_0_gets_each_nal_unit_as_a_packet() -> Result<()> {
    // At this bitrate frames and parameter sets take more than a packet.
    let porthole = Porthole::start(&SMALL.replace("bitrate = 300000", "bitrate = 2000000"))?;
    let mut usual = Viewer::connect(&Options::new(&porthole.base)).await?;
    ensure!(!usual.frame(LIMIT).await?.single_nal_units, "nothing shares a packet");
    let options = Options { packetization_mode: 0, ..Options::new(&porthole.base) };
    let mut viewer = Viewer::connect(&options).await?;
    ensure!(viewer.answer.contains("packetization-mode=0"), "{}", viewer.answer);
    let mut frame_numbers = Vec::new();
    while frame_numbers.len() < 60 {
        let frame = viewer.frame(LIMIT).await?;
        ensure!(frame.single_nal_units, "NAL units were cut or aggregated in frame {}", frame_numbers.len());
        frame_numbers.push(frame.image.and_then(|image| image.code).context("it was not decoded")?.frame);
    }
    missing(&frame_numbers, &porthole).await?;
    viewer.leave().await?;
    usual.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rtp_timestamps_follow_the_capture_clock() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let mut pairs = Vec::new();
    while pairs.len() < 60 {
        let frame = viewer.frame(LIMIT).await?;
        let code = frame.image.and_then(|image| image.code).context("no code")?;
        pairs.push((frame.timestamp, code.captured));
    }
    for pair in pairs.windows(2) {
        let ticks = f64::from(pair[1].0.wrapping_sub(pair[0].0));
        let tenths = (pair[1].1 - pair[0].1) as f64;
        // The timecode counts tenths of a millisecond: 9 ticks of 90 kHz.
        ensure!((ticks - tenths * 9.0).abs() <= 10.0, "{ticks} ticks in {tenths} tenths of a millisecond");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_and_video_share_one_capture_clock() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let (mut frames, mut samples, mut first) = (Vec::new(), Vec::new(), None);
    // Three seconds contain a whole tick, and sender reports of both streams, which are sent once per second.
    while frames.len() < 90 {
        match viewer.event(LIMIT).await? {
            Event::Frame(frame) => {
                let code = frame.image.and_then(|image| image.code).context("no code")?;
                frames.push((frame.ssrc, frame.timestamp, code.captured as f64 / 1e4));
            }
            Event::Audio(audio) => {
                first.get_or_insert((audio.ssrc, audio.timestamp));
                samples.extend(audio.samples.chunks(2).map(|pair| pair[0]));
            }
            _ => {}
        }
    }
    for (ssrc, timestamp, captured) in frames {
        let reported = viewer.reports.unix(ssrc, timestamp, 90_000.0).context("no sender report for the video")?;
        ensure!((reported - captured).abs() < 0.002, "a frame captured at {captured:.4} is reported as {reported:.4}");
    }
    let (ssrc, timestamp) = first.context("no audio")?;
    // The recording may start inside a tick.
    let skipped = 12_000;
    let onset = skipped + tone::onset(&samples[skipped..], 48_000).context("no tick")?;
    let reported = viewer
        .reports
        .unix(ssrc, timestamp.wrapping_add(onset as u32), 48_000.0)
        .context("no sender report for the audio")?;
    let off = reported - reported.round();
    // The tick starts at the full second; the encoder has a look-ahead of 6.5 ms.
    ensure!(off.abs() < 0.015, "the tick is {:.1} ms off the full second", off * 1e3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_receives_the_test_tone() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let (mut samples, mut last, deadline) = (Vec::new(), None, Instant::now() + LIMIT);
    // One and a half seconds without a gap, in 20 ms packets: a stalled machine loses audio.
    while samples.len() < 75 * 960 {
        ensure!(Instant::now() < deadline, "only {} samples in a row within {LIMIT:?}", samples.len());
        if let Event::Audio(audio) = viewer.event(LIMIT).await? {
            if last.replace(audio.timestamp).is_some_and(|last| audio.timestamp.wrapping_sub(last) != 960) {
                samples.clear();
            }
            samples.extend(audio.samples.chunks(2).map(|pair| pair[0]));
        }
    }
    // A tenth of a second outside the tick, after the codec's start-up: the tone alone, at -30 dBFS.
    let tick = tone::onset(&samples[12_000..], 48_000).context("no tick")? + 12_000;
    let quiet = if tick > 24_000 { &samples[tick - 6_000..tick - 1_200] } else { &samples[tick + 4_800..tick + 9_600] };
    let (share, level) = (tone::goertzel(quiet, 48_000, 440.0), tone::dbfs(quiet));
    ensure!(share > 0.9, "only {share:.2} of the power is at 440 Hz");
    ensure!((level + 30.0).abs() < 2.0, "the tone is at {level:.1} dB of full scale");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joining_viewer_gets_a_key_frame_at_once() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut watching = Viewer::connect(&Options::new(&porthole.base)).await?;
    watching.frame(LIMIT).await?;
    let (stall_monitor, mut joins) = (StallMonitor::watch(), Vec::new());
    for _ in 0..20 {
        let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        let frame = viewer.frame(LIMIT).await?;
        ensure!(frame.image.is_some(), "the first frame was not decoded");
        joins.push((viewer.posted, Instant::now()));
        viewer.leave().await?;
    }
    let stalls = stall_monitor.end();
    let times: Vec<_> = joins.into_iter().map(|(posted, shown)| stalls.running(posted, shown)).collect();
    let middle = median(times.clone());
    ensure!(middle < Duration::from_millis(500), "median {middle:?} of {times:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_viewers_share_one_encoder_and_get_every_frame() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(Viewer::connect(&Options::new(&porthole.base)).await?);
    }
    let watching = viewers.into_iter().map(|mut viewer| tokio::spawn(async move { numbers(&mut viewer, 90).await }));
    let watching: Vec<_> = watching.collect();
    porthole.until_metric("porthole_viewers", |viewers| viewers == 10.0).await?;
    ensure!(porthole.until_metric("porthole_encoders", |encoders| encoders > 0.0).await? == 1.0);
    ensure!(porthole.metric("porthole_cameras_open").await? == 1.0);
    for viewer in watching {
        missing(&viewer.await??, &porthole).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_retransmitted() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let options = Options { network: Some(Network::lossy(20)), ..Options::new(&porthole.base) };
    let mut viewer = Viewer::connect(&options).await?;
    let (mut frame_numbers, mut undecoded) = (Vec::new(), 0);
    while frame_numbers.len() < 150 {
        match viewer.frame(LIMIT).await?.image {
            Some(image) => frame_numbers.push(image.code.context("a frame has no readable timecode")?.frame),
            None => undecoded += 1,
        }
    }
    ensure!(porthole.metric("porthole_nacked_packets_total").await? > 0.0, "no packet was NACKed");
    if undecoded == 0 {
        return missing(&frame_numbers, &porthole).await;
    }
    // A viewer that stalls for half a second asks too late, and gets a key frame. Without repair hardly a frame of 1 s
    // would be decoded.
    let refused = porthole.metric("porthole_resends_refused_total").await?;
    ensure!(refused > 0.0 && undecoded < 30, "{undecoded} frames not decoded, {refused} packets refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_viewer_does_not_delay_others() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let mut stopped = viewer_process(&porthole.base, &[])?;
    let mut lines = BufReader::new(stopped.stdout.take().context("no stdout")?).lines();
    ensure!(lines.any(|line| line.is_ok_and(|line| line.contains("\"frame\""))), "the other viewer saw nothing");
    while viewer.events.try_recv().is_ok() {}
    let mut latencies = [Vec::new(), Vec::new()];
    let mut frame_numbers = Vec::new();
    // Alternately, and the best of each kind, because the machine may be busy at any time.
    for round in 0..6 {
        let stop = round % 2;
        signal(stopped.id(), ["CONT", "STOP"][stop])?;
        let mut part = Vec::new();
        for _ in 0..30 {
            let image = viewer.frame(LIMIT).await?.image.context("a frame was not decoded")?;
            let code = image.code.context("no code")?;
            frame_numbers.push(code.frame);
            part.push(Duration::from_micros(image.decoded.saturating_sub(code.captured) * 100));
        }
        latencies[stop].push(median(part));
    }
    stopped.kill()?;
    stopped.wait()?;
    missing(&frame_numbers, &porthole).await?;
    let [running, stopped] = latencies.map(|medians| medians.into_iter().min().unwrap_or_default());
    ensure!(
        stopped < running + Duration::from_millis(33),
        "beside a running viewer {running:?}, a stopped one {stopped:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frame_requests_are_limited_to_one_per_250_ms() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        let mut viewer = Viewer::connect(&Options { decode: false, ..Options::new(&porthole.base) }).await?;
        viewer.frame(LIMIT).await?;
        viewers.push(viewer);
    }
    // Each viewer requests a key frame at every frame for 90 frames: 3 s at 30 fps.
    let requesting = viewers.into_iter().map(|mut viewer| {
        tokio::spawn(async move {
            let mut keys = Vec::new();
            for _ in 0..90 {
                viewer.request_key_frame().await?;
                let frame = viewer.frame(LIMIT).await?;
                if frame.key {
                    keys.push(frame.timestamp);
                }
            }
            anyhow::Ok(keys)
        })
    });
    let requesting: Vec<_> = requesting.collect();
    for viewer in requesting {
        let keys = viewer.await??;
        ensure!(keys.len() >= 5, "requests were not honoured: {} key frames in 3 s", keys.len());
        for pair in keys.windows(2) {
            let distance = pair[1].wrapping_sub(pair[0]);
            ensure!(distance >= 90_000 / 4, "two key frames within {} ms", distance / 90);
        }
    }
    ensure!(porthole.metric("porthole_key_frame_requests_total").await? >= 100.0);
    Ok(())
}
