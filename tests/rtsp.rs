//! The RTSP server of the running program: ffmpeg records, clients come and go, slow ones delay nobody, and the privacy switch
//! holds.

#[path = "rtsp/access.rs"]
mod access;
#[path = "rtsp/client.rs"]
mod client;
mod common;
#[path = "rtsp/leaving.rs"]
mod leaving;
#[path = "rtsp/recording.rs"]
mod recording;
#[path = "rtsp/replays.rs"]
mod replays;

use std::net::UdpSocket;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use client::{Client, INTERLEAVED, Packet, url};
use common::{LIMIT, Options, Porthole, SMALL, Viewer, missing, numbers, request, until_idle};
use serde_json::json;

/// [`SMALL`] with an RTSP server.
fn config() -> String {
    format!("{SMALL}\n[rtsp]\nlisten = \"127.0.0.1:0\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_records_audio_and_picture_in_step_by_tcp_and_udp() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let (folder, base) = (tempfile::tempdir()?, url(&porthole)?);
    let mut recordings = Vec::new();
    for transport in ["tcp", "udp"] {
        let file = folder.path().join(format!("{transport}.mkv"));
        recordings.push((transport, recording::start(&format!("{base}camera"), transport, 5, &file)?, file));
    }
    let status = porthole.until_status("two watch", |status| status["viewers"] == 2).await?;
    ensure!(status["cameras"][0]["watched"] == 2, "{status:#}");
    for (transport, recording, file) in recordings {
        recording.finish().await.context(transport)?;
        recording::check(&file, 5).context(transport)?;
    }
    until_idle(&porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_as_players_expect() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut client = Client::new(&porthole).await?;
    let options = client.request("OPTIONS", "*", &[]).await?;
    ensure!(options.header("public").is_some_and(|methods| methods.contains("GET_PARAMETER")), "{options:?}");
    let described = client.request("DESCRIBE", "", &[("Accept", "application/sdp")]).await?;
    ensure!(described.status == 200 && described.header("content-type") == Some("application/sdp"), "{described:?}");
    ensure!(described.header("content-base") == Some(&format!("{}camera/", client.base)), "{described:?}");
    for line in ["a=rtpmap:96 H264/90000", "sprop-parameter-sets=", "packetization-mode=1", "a=rtpmap:97 opus/48000/2"]
    {
        ensure!(described.body.contains(line), "no {line}: {}", described.body);
    }
    let silent = client.request("DESCRIBE", "camera?audio=off", &[]).await?;
    ensure!(silent.status == 200 && !silent.body.contains("m=audio"), "{silent:?}");
    for (method, path, headers, status) in [
        ("DESCRIBE", "attic", &[][..], 404),
        ("DESCRIBE", "camera/more", &[], 404),
        ("DESCRIBE", "camera", &[("Accept", "text/html")], 406),
        ("DESCRIBE", "camera", &[("Accept", "text/html, Application/*;q=0.5")], 200),
        ("SETUP", "camera", &[("Transport", INTERLEAVED[0])], 459),
        ("SETUP", "camera/trackID=0", &[], 461),
        ("SETUP", "camera/trackID=0", &[("Transport", "RTP/AVP;multicast")], 461),
        ("SETUP", "camera/trackID=0", &[("Transport", "RTP/AVP;unicast;client_port=53-54")], 461),
        ("SETUP", "camera/trackID=0", &[("Transport", INTERLEAVED[0]), ("Session", "nothing")], 454),
        ("PLAY", "camera", &[], 454),
        ("TEARDOWN", "camera", &[], 454),
        ("GET_PARAMETER", "camera", &[], 200),
        ("RECORD", "camera", &[], 405),
        ("JUMP", "camera", &[], 405),
        ("OPTIONS", "*", &[("Require", "implicit-play")], 551),
    ] {
        let answer = client.request(method, path, headers).await?;
        ensure!(answer.status == status, "{method} {path} {headers:?}: {answer:?}");
    }
    until_idle(&porthole).await?;
    let played = client.play("camera").await?;
    let info = played.header("rtp-info").with_context(|| format!("no RTP-Info: {played:?}"))?.to_owned();
    // Reports come first, so that players align audio and picture from the start.
    let reports = [client.packet().await?, client.packet().await?];
    ensure!(reports.iter().all(|report| report.bytes[1] == 200) && (reports[0].channel, reports[1].channel) == (1, 3));
    let first = client.packet_on(0).await?;
    ensure!(info.contains(&format!("url={}camera/trackID=0;", client.base)), "{info}");
    ensure!(info.contains(&format!("rtptime={},", first.time())), "{info} for {}", first.time());
    ensure!(client.request("PLAY", "camera", &[]).await?.status == 200, "it plays on");
    let again = client.request("SETUP", "camera/trackID=0", &[("Transport", INTERLEAVED[0])]).await?;
    ensure!(again.status == 455, "{again:?}");
    let described = client.request("DESCRIBE", "camera", &[]).await?;
    ensure!(described.status == 200 && described.body.contains("sprop-parameter-sets="), "{described:?}");
    let paused = client.request("PAUSE", "camera", &[]).await?;
    ensure!(paused.status == 200, "{paused:?}");
    porthole.until_status("closed", |status| status["viewers"] == 1 && status["cameras"][0]["state"] == "idle").await?;
    let resumed = client.request("PLAY", "camera", &[]).await?;
    let later = resumed.header("rtp-info").context("no RTP-Info")?.to_owned();
    ensure!(later != info, "{later}");
    client.frame().await?;
    ensure!(client.request("TEARDOWN", "attic", &[]).await?.status == 454, "another camera");
    ensure!(client.request("TEARDOWN", "camera", &[]).await?.status == 200);
    until_idle(&porthole).await?;
    // Reports may arrive later.
    client.send(b"$\x01\x00\x04abcd").await?;
    client.headers.clear();
    // The base alone names the one track that there is.
    let alone = client.request("SETUP", "camera?audio=off", &[("Transport", INTERLEAVED[0])]).await?;
    ensure!(alone.status == 200, "{alone:?}");
    let both = client.request("SETUP", "camera/trackID=1", &[("Transport", INTERLEAVED[0])]).await?;
    ensure!(both.header("transport").is_some_and(|way| way.contains("interleaved=2-3")), "{both:?}");
    ensure!(client.request("PLAY", "camera", &[]).await?.status == 200);
    client.frame().await?;
    client.packet_on(2).await?;
    drop(client);
    until_idle(&porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_goes_to_the_client_alone_and_ends_with_its_connection() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut client = Client::from(&porthole, [127, 0, 0, 9]).await?;
    let socket = UdpSocket::bind("127.0.0.9:0")?;
    socket.set_read_timeout(Some(LIMIT))?;
    let elsewhere = UdpSocket::bind(("127.0.0.8", socket.local_addr()?.port()))?;
    elsewhere.set_nonblocking(true)?;
    let port = socket.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;destination=127.0.0.8;client_port={port}-{port}");
    let answer = client.request("SETUP", "camera/trackID=0", &[("Transport", &transport)]).await?;
    let (accepted, session) = (answer.header("transport").context("no transport")?, answer.session()?.to_owned());
    let ports =
        accepted.split("server_port=").nth(1).and_then(|rest| rest.split(['-', ';']).next()).context("no port")?;
    ensure!(client.request("PLAY", "camera", &[("Session", &session)]).await?.status == 200);
    let mut buffer = [0; 2048];
    for _ in 0..30 {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let is_report = buffer[1] == 200;
        let expected = ports.parse::<u16>()? + u16::from(is_report);
        ensure!(length > 12 && from.port() == expected, "{length} bytes from {from}, not {expected}");
    }
    drop(client);
    until_idle(&porthole).await?;
    ensure!(elsewhere.recv(&mut buffer).is_err(), "sent to somebody else");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_delays_nobody_and_is_dropped() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    let (mut stopped, mut reading) = (Client::new(&porthole).await?, Client::new(&porthole).await?);
    stopped.play("camera").await?;
    reading.play("camera").await?;
    let memory = porthole.memory()?;
    let watching = tokio::spawn(async move {
        let seen = numbers(&mut viewer, 90).await?;
        anyhow::Ok((viewer, seen))
    });
    // It is dropped after some seconds. Meanwhile the others go on.
    let mut last = reading.frame().await?[0].time();
    let deadline = Instant::now() + 2 * LIMIT;
    while porthole.status().await?["viewers"] == 3 {
        ensure!(Instant::now() < deadline, "it is not dropped");
        for _ in 0..30 {
            let time = reading.frame().await?[0].time();
            let step = time.wrapping_sub(last);
            ensure!(step < 90_000, "nothing for {step} ticks");
            last = time;
        }
    }
    stopped.until_closed().await?;
    ensure!(porthole.memory()?.saturating_sub(memory) < 16 << 20, "{} bytes", porthole.memory()?);
    let (viewer, seen) = watching.await??;
    missing(&seen, &porthole).await?;
    drop(reading);
    viewer.leave().await?;
    until_idle(&porthole).await
}

/// Frames until the next one of another kind: how many, and the time between the last two in ticks.
async fn frames_until(client: &mut Client, is_wanted: impl Fn(u32) -> bool) -> Result<usize> {
    let mut last = client.frame().await?[0].time();
    for count in 1..200 {
        let time = client.frame().await?[0].time();
        if is_wanted(time.wrapping_sub(std::mem::replace(&mut last, time))) {
            return Ok(count);
        }
    }
    anyhow::bail!("no such frame of 200")
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_switch_ends_picture_and_sound_within_a_frame_and_gives_them_back() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut client = Client::new(&porthole).await?;
    client.play("camera").await?;
    for _ in 0..30 {
        client.frame().await?;
    }
    let switch = async |on: bool| {
        let body = json!({ "id": 1, "method": "privacy.set", "params": { "on": on } }).to_string();
        let headers = [("content-type", "application/json")];
        request("POST", &format!("{}api/command", porthole.base), &headers, body).await
    };
    ensure!(switch(true).await?.status == 200);
    // The placeholder has two frames a second. What was on the way when the answer came is of before.
    let after = frames_until(&mut client, |step| step > 30_000).await?;
    ensure!(after <= 15, "{after} frames after the switch was turned on");
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    // Silence takes a few bytes, the tone more than a hundred.
    let quiet = async |packet: Result<Packet>| packet.map(|packet| packet.bytes.len() < 12 + 60);
    let mut silent = 0;
    while silent < 20 {
        silent = if quiet(client.packet_on(2).await).await? { silent + 1 } else { 0 };
    }
    // Whoever comes now sees the placeholder too.
    let mut late = Client::new(&porthole).await?;
    late.play("camera").await?;
    ensure!(frames_until(&mut late, |step| step > 30_000).await? == 1);
    ensure!(switch(false).await?.status == 200);
    for client in [&mut client, &mut late] {
        frames_until(client, |step| step < 10_000).await?;
    }
    drop((client, late));
    until_idle(&porthole).await
}
