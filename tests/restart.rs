//! The viewer's path end to end: across ICE restarts and a NAT that maps another port video continues, and an invalid
//! restart changes nothing.

mod common;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{Event, LIMIT, Network, Options, Porthole, SMALL, Viewer};

fn value<'t>(text: &'t str, name: &str) -> Result<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in {text}"))
}

/// Waits for `count` decoded frames, each newer than the one before. Frames lost while there was no path leave
/// undecodable ones until the key frame that the viewer requests.
async fn receive_frames(viewer: &mut Viewer, count: usize) -> Result<()> {
    let (mut numbers, mut requested) = (Vec::new(), false);
    while numbers.len() < count {
        let image = viewer.frame(LIMIT).await?.image;
        if image.is_none() && !std::mem::replace(&mut requested, true) {
            viewer.request_key_frame().await?;
        }
        numbers.extend(image.and_then(|image| image.code).map(|code| code.frame));
    }
    ensure!(numbers.is_sorted(), "the frames are not in order: {numbers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn video_continues_across_ice_restarts() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let network = Network::default();
    let options = Options { network: Some(network.clone()), ..Options::new(&porthole.base) };
    let mut viewer = Viewer::connect(&options).await?;
    viewer.frame(LIMIT).await?;
    let (mut etag, mut ufrag) = (viewer.etag.clone(), value(&viewer.answer, "a=ice-ufrag:")?.to_owned());
    for _ in 0..3 {
        let answer = viewer.restart().await?;
        ensure!(answer.header("content-type") == Some("application/trickle-ice-sdpfrag"), "{answer:?}");
        ensure!(viewer.etag != etag, "the ETag is of the former ICE session");
        let new = value(&answer.body, "a=ice-ufrag:")?;
        ensure!(new != ufrag, "the credentials are of the former ICE session");
        ensure!(answer.body.contains("a=mid:") && answer.body.contains("a=end-of-candidates"), "{answer:?}");
        // Frames from before the restart may be queued; only the new connection proves that the restart worked.
        viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
        receive_frames(&mut viewer, 15).await?;
        // The previous ICE session is gone.
        let fragment = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n";
        ensure!(viewer.patch(&etag, fragment).await?.status == 412, "a stale ETag is refused");
        ensure!(viewer.patch(&viewer.etag, fragment).await?.status == 204);
        (etag, ufrag) = (viewer.etag.clone(), new.to_owned());
    }
    // webrtc-rs discards what arrives while it restarts, but all of it arrives.
    ensure!(network.missing() == 0, "{} packets were not sent meanwhile", network.missing());
    ensure!(porthole.status().await?["viewers"] == 1, "it is one session");
    viewer.leave().await
}

/// The viewer does not notice that its NAT maps another port, so it nominates nothing.
#[tokio::test(flavor = "multi_thread")]
async fn video_continues_when_a_nat_maps_another_port() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let network = Network::default();
    let options = Options { network: Some(network.clone()), ..Options::new(&porthole.base) };
    let mut viewer = Viewer::connect(&options).await?;
    receive_frames(&mut viewer, 5).await?;
    network.change_port();
    let moved = Instant::now();
    // What was on its way arrives on the former port.
    while viewer.frame(LIMIT).await?.arrived < moved + Duration::from_millis(300) {}
    receive_frames(&mut viewer, 15).await?;
    ensure!(porthole.status().await?["viewers"] == 1, "it is one session");
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_ice_restart_keeps_the_session() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    let pwd = "a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k";
    for fragment in [
        "a=ice-ufrag:ab\r\na=ice-pwd:short\r\n".to_owned(),
        format!("a=ice-ufrag:abc\r\n{pwd}\r\n"),
        format!("a=ice-ufrag:ab cd\r\n{pwd}\r\n"),
        format!("a=ice-ufrag:{}\r\n{pwd}\r\n", "x".repeat(300)),
        format!("a=ice-ufrag:abcd\r\n{pwd}\r\na=ice-ufrag:efgh\r\n"),
        "<restart/>".to_owned(),
    ] {
        let answer = viewer.patch("*", &fragment).await?;
        ensure!(answer.status == 400 && answer.header("etag").is_none(), "{fragment:?}: {answer:?}");
    }
    // Credentials with the current ETag do not request a restart.
    ensure!(viewer.patch(&viewer.etag, &format!("a=ice-ufrag:abcd\r\n{pwd}\r\n")).await?.status == 204);
    let unknown = format!("{}whep/session/0", porthole.base);
    let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "*")];
    let answer = common::request("PATCH", &unknown, &headers, format!("a=ice-ufrag:abcd\r\n{pwd}\r\n")).await?;
    ensure!(answer.status == 404, "{answer:?}");
    receive_frames(&mut viewer, 15).await?;
    viewer.restart().await?;
    viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    viewer.frame(LIMIT).await?;
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_ice_restarts_are_serialized() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    let fragment = |ufrag: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n");
    let fragments = ["aaaa", "bbbb", "cccc"].map(fragment);
    let [first, second, third] = &fragments;
    let answers = tokio::try_join!(viewer.patch("*", first), viewer.patch("*", second), viewer.patch("*", third))?;
    let answers = [answers.0, answers.1, answers.2];
    let mut tags = Vec::new();
    for answer in &answers {
        ensure!(answer.status == 200, "{answer:?}");
        tags.push(answer.header("etag").context("no ETag")?);
    }
    tags.sort_unstable();
    tags.dedup();
    ensure!(tags.len() == answers.len(), "each has its ETag: {tags:?}");
    // Exactly one is current.
    let mut held = 0;
    for tag in tags {
        held += usize::from(viewer.patch(tag, "a=mid:0\r\n").await?.status == 204);
    }
    ensure!(held == 1, "{held} ICE sessions hold at once");
    // None of these restarts came from the viewer itself; its own restart reconnects it.
    viewer.restart().await?;
    viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    receive_frames(&mut viewer, 15).await?;
    viewer.leave().await
}
