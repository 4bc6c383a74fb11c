//! Publishing to a server by WHIP: what arrives there, redirects, refusals, servers that go and come back, and what the status
//! tells about it.
//!
//! The server is a small endpoint with a receiver of another implementation; a real one is in
//! `tests/page/publish.test.mjs`.

mod common;
#[path = "publish/endpoint.rs"]
mod endpoint;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, Porthole, SMALL, Viewer, numbers, request};
use endpoint::{Accepted, Endpoint, Reply};
use serde_json::{Value, json};
use test_viewer::{Event, Receiver};
use tokio::sync::Notify;

/// How soon a server that is back has the picture again.
const BACK: Duration = Duration::from_secs(10);

const TOKEN: &str = "t0ken-that-is-secret";

const LIVE: &str = "porthole_publish_live";

fn publishing(url: &str, more: &str) -> String {
    // Otherwise the mode would be taken for that of the authentication.
    format!("{SMALL}\n[auth]\nmode = \"none\"\n[[publish]]\nurl = \"{url}\"\ntoken = \"{TOKEN}\"\n{more}")
}

async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    let mut answer: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
    ensure!(answer.get("error").is_none(), "{method}: {answer}");
    Ok(answer["result"].take())
}

/// The numbers of the next `count` frames with a readable timecode.
async fn published(receiver: &mut Receiver, count: usize, limit: Duration) -> Result<Vec<u32>> {
    let deadline = Instant::now() + limit;
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let frame = receiver.frame(deadline.saturating_duration_since(Instant::now())).await?;
        numbers.extend(frame.image.and_then(|image| image.code).map(|code| code.frame));
    }
    ensure!(numbers.is_sorted(), "time goes back: {numbers:?}");
    Ok(numbers)
}

/// Waits until the one publication has this state.
async fn until(porthole: &Porthole, state: &str) -> Result<Value> {
    let status = porthole.until_status(state, |status| status["publish"][0]["state"] == state).await?;
    Ok(status["publish"][0].clone())
}

/// The log at the end, in which nothing secret is.
async fn log_at_the_end(porthole: Porthole) -> Result<String> {
    porthole.signal("TERM")?;
    let (code, took, log) = tokio::task::spawn_blocking(|| porthole.wait()).await??;
    ensure!(code == Some(0) && took < Duration::from_secs(5), "{code:?} after {took:?}: {log}");
    ensure!(!log.contains(TOKEN) && !log.contains("geheim"), "{log}");
    Ok(log)
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_and_sound_arrive_at_full_and_lite_servers_until_the_session_is_deleted() -> Result<()> {
    for lite in [false, true] {
        let mut endpoint = Endpoint::start_at(([127, 0, 0, 1], 0).into(), Reply::Accept, lite, None).await?;
        let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
        let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
        let offer = endpoint.request(LIMIT).await?;
        ensure!(offer.line == "POST /whip?key=geheim", "{offer:?}");
        ensure!(offer.header("content-type") == Some("application/sdp"), "{offer:?}");
        ensure!(offer.header("authorization") == Some(&format!("Bearer {TOKEN}")), "{offer:?}");
        for words in ["a=sendonly", "a=setup:actpass", "a=end-of-candidates", "a=candidate:", "a=ssrc-group:FID "] {
            ensure!(offer.body.contains(words), "{words}: {}", offer.body);
        }
        ensure!(!offer.body.contains("a=ice-lite"), "{}", offer.body);
        ensure!(receiver.answer.contains("a=ice-lite") == lite, "{}", receiver.answer);
        published(&mut receiver, 10, LIMIT).await?;
        let deadline = Instant::now() + LIMIT;
        let is_loud = |event: &Event| match event {
            Event::Audio(audio) => audio.samples.iter().any(|sample| sample.unsigned_abs() > 1_000),
            _ => false,
        };
        while !is_loud(&receiver.event(deadline.saturating_duration_since(Instant::now())).await?) {}
        let publication = until(&porthole, "live").await?;
        let server = format!("http://{}", endpoint.address);
        ensure!(publication == json!({ "server": server, "camera": "camera", "state": "live", "fault": null }));
        ensure!(porthole.metric(LIVE).await? == 1.0);
        log_at_the_end(porthole).await?;
        let end = endpoint.request(LIMIT).await?;
        ensure!(end.line == "DELETE /session/1?key=geheim", "{end:?}");
        ensure!(end.header("authorization") == Some(&format!("Bearer {TOKEN}")), "{end:?}");
        receiver.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_with_the_offer_and_the_token() -> Result<()> {
    let mut server = Endpoint::start(Reply::Accept).await?;
    let redirect = |to: &str| {
        Reply::Raw(format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
    };
    let balancer = Endpoint::start(redirect(&server.url())).await?;
    let porthole = Porthole::start(&publishing(&balancer.url(), ""))?;
    let Accepted { mut receiver, .. } = server.accepted(LIMIT).await?;
    let offer = server.request(LIMIT).await?;
    ensure!(offer.header("authorization") == Some(&format!("Bearer {TOKEN}")) && offer.body.starts_with("v=0"));
    published(&mut receiver, 5, LIMIT).await?;
    log_at_the_end(porthole).await?;
    let end = server.request(LIMIT).await?;
    ensure!(end.line == "DELETE /session/1?key=geheim", "{end:?}");
    // One that leads to itself.
    let mut endless = Endpoint::start(redirect("/whip")).await?;
    let porthole = Porthole::start(&publishing(&endless.url(), ""))?;
    let publication = until(&porthole, "fault").await?;
    ensure!(publication["fault"] == "the server redirects more than 4 times", "{publication}");
    for _ in 0..5 {
        endless.request(LIMIT).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_nonsense_are_told_and_tried_again() -> Result<()> {
    let refusal = |status: &str, head: &str, body: &str| {
        let length = body.len();
        Reply::Raw(format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\n\r\n{body}"))
    };
    let mut endpoint =
        Endpoint::start(refusal("401 Unauthorized", "", &format!("{TOKEN} at /whip?key=geheim\r\n"))).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    let publication = until(&porthole, "fault").await?;
    let expected = "the server does not accept the token; check token in its [[publish]] section (status 401, and says: \
                    *** at /whip?key=***)";
    ensure!(publication["fault"] == expected, "{publication}");
    for (reply, expected) in [
        (refusal("503 Busy", "Retry-After: 1\r\n", ""), "the server is not ready, or full (status 503)"),
        (refusal("404 Not Found", "", "<html></html>"), "there is no WHIP endpoint; check the path in url"),
        (refusal("201 Created", "", "<html></html>"), "is no SDP; is url that of a WHIP endpoint?"),
        (refusal("201 Created", "", "v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 102\r\n"), "refuses the video, which is H.264"),
        (refusal("201 Created", "", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), "the answer has no video section"),
        (refusal("201 Created", "", &"v=0\r\n".repeat(20_000)), "length limit exceeded"),
        (Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n".into()), "the server does not speak HTTP as it should"),
        (Reply::Raw("x".repeat(100_000)), "the server does not speak HTTP as it should"),
        (Reply::Raw(String::new()), "the server does not speak HTTP as it should"),
    ] {
        // Without the pauses that have grown so far.
        call(&porthole, "publish.stop", json!({})).await?;
        until(&porthole, "idle").await?;
        endpoint.reply(reply);
        call(&porthole, "publish.start", json!({})).await?;
        let told =
            |status: &Value| status["publish"][0]["fault"].as_str().is_some_and(|fault| fault.contains(expected));
        porthole.until_status(expected, told).await?;
    }
    ensure!(porthole.metric("porthole_publish_failures_total").await? >= 10.0);
    endpoint.reply(Reply::Accept);
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    until(&porthole, "live").await?;
    let log = log_at_the_end(porthole).await?;
    ensure!(log.matches("not published: ").count() == 10, "one line for each start: {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_with_data_channels_gets_media_alone() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::AcceptWithData).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 10, LIMIT).await?;
    until(&porthole, "live").await?;
    receiver.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_silent_is_given_up() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::Silence).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    endpoint.request(LIMIT).await?;
    let publication = until(&porthole, "fault").await?;
    ensure!(publication["fault"] == "no response from 127.0.0.1 within 10 s", "{publication}");
    // It stops soon while it waits for one, and the fault stays until then.
    endpoint.request(LIMIT).await?;
    ensure!(porthole.status().await?["publish"][0] == publication);
    log_at_the_end(porthole).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_is_accepted_too_late_is_deleted() -> Result<()> {
    let answer = Arc::new(Notify::new());
    let mut endpoint = Endpoint::start(Reply::AcceptAfter(answer.clone())).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    ensure!(endpoint.request(LIMIT).await?.line.starts_with("POST "));
    let _accepted = endpoint.accepted(LIMIT).await?;
    call(&porthole, "publish.stop", json!({})).await?;
    answer.notify_one();
    let end = endpoint.request(LIMIT).await?;
    ensure!(end.line == "DELETE /session/1?key=geheim", "{end:?}");
    until(&porthole, "idle").await?;
    // The answer of an endpoint that is none.
    let head = "HTTP/1.1 201 Created\r\nLocation: /session/2\r\nContent-Length: 6\r\n\r\n";
    endpoint.reply(Reply::Raw(format!("{head}<html>")));
    call(&porthole, "publish.start", json!({})).await?;
    let lines = [endpoint.request(LIMIT).await?.line, endpoint.request(LIMIT).await?.line];
    ensure!(lines == ["POST /whip?key=geheim", "DELETE /session/2"], "{lines:?}");
    let log = log_at_the_end(porthole).await?;
    ensure!(log.contains("has stopped publishing all cameras"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_gets_the_offer_without_the_token() -> Result<()> {
    let mut server = Endpoint::start(Reply::Accept).await?;
    let to = server.url().replace("127.0.0.1", "localhost");
    let redirect = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let balancer = Endpoint::start(Reply::Raw(redirect)).await?;
    let porthole = Porthole::start(&publishing(&balancer.url(), ""))?;
    let Accepted { mut receiver, .. } = server.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    call(&porthole, "publish.stop", json!({})).await?;
    for start in ["POST /whip", "DELETE /session/1"] {
        let request = server.request(LIMIT).await?;
        ensure!(request.line.starts_with(start) && request.header("authorization").is_none(), "{request:?}");
    }
    until(&porthole, "idle").await?;
    server.reply(Reply::Raw("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".into()));
    call(&porthole, "publish.start", json!({})).await?;
    let publication = until(&porthole, "fault").await?;
    let fault = publication["fault"].as_str().unwrap_or_default();
    ensure!(fault.contains("use the URL that it redirects to"), "{publication}");
    log_at_the_end(porthole).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_was_killed_has_the_picture_again_within_ten_seconds() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::Accept).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    let Accepted { mut receiver, network, .. } = endpoint.accepted(LIMIT).await?;
    let before = published(&mut receiver, 10, LIMIT).await?;
    // Killed and started at once: nothing is heard of the media connection any more.
    network.vanish();
    let killed = Instant::now();
    let Accepted { receiver: mut second, network, .. } = endpoint.accepted(BACK).await?;
    let after = published(&mut second, 1, BACK.saturating_sub(killed.elapsed())).await?;
    ensure!(before.last() < after.first(), "{before:?} {after:?}");
    // Killed, and away for a while.
    let address = endpoint.address;
    drop(endpoint);
    network.vanish();
    let publication = until(&porthole, "fault").await?;
    ensure!(publication["fault"].as_str().is_some_and(|fault| fault.contains("no longer heard")), "{publication}");
    let refused = |status: &Value| status["publish"][0]["fault"].as_str().is_some_and(|why| why.contains("refused"));
    porthole.until_status("refused", refused).await?;
    let failures = porthole.metric("porthole_publish_failures_total").await?;
    porthole.until_metric("porthole_publish_failures_total", |now| now >= failures + 2.0).await?;
    let mut again = Endpoint::start_at(address, Reply::Accept, false, None).await?;
    let started = Instant::now();
    let Accepted { receiver: mut third, .. } = again.accepted(BACK).await?;
    published(&mut third, 1, BACK.saturating_sub(started.elapsed())).await?;
    // A server that ends the connection itself.
    third.close().await?;
    let Accepted { receiver: mut fourth, .. } = again.accepted(BACK).await?;
    published(&mut fourth, 1, BACK).await?;
    log_at_the_end(porthole).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_switch_stops_the_picture_within_a_frame() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::Accept).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), ""))?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 10, LIMIT).await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    let mut after = 0;
    loop {
        // The placeholder has no timecode.
        let frame = receiver.frame(LIMIT).await?;
        if frame.image.context("a frame was not decoded")?.code.is_none() {
            break;
        }
        after += 1;
        // What was on the way when the switch was turned on.
        ensure!(after <= 3, "{after} frames of the camera after the switch was turned on");
    }
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    ensure!(until(&porthole, "live").await?["fault"].is_null(), "the server stays connected");
    call(&porthole, "privacy.set", json!({ "on": false })).await?;
    published(&mut receiver, 5, LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_it_is_published_from_start_to_stop() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::Accept).await?;
    let porthole = Porthole::start(&publishing(&endpoint.url(), "mode = \"on_demand\"\n"))?;
    let status = porthole.status().await?;
    ensure!(status["publish"][0]["state"] == "idle" && status["cameras"][0]["state"] == "idle", "{status:#}");
    let unknown = call(&porthole, "publish.start", json!({ "camera": "garden" })).await;
    ensure!(unknown.is_err_and(|error| error.to_string().contains("no [[publish]] section of the camera")));
    call(&porthole, "publish.start", json!({ "camera": "camera" })).await?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    call(&porthole, "publish.stop", json!({})).await?;
    let lines = [endpoint.request(LIMIT).await?.line, endpoint.request(LIMIT).await?.line];
    ensure!(lines == ["POST /whip?key=geheim", "DELETE /session/1?key=geheim"], "{lines:?}");
    let idle = |status: &Value| status["publish"][0]["state"] == "idle" && status["cameras"][0]["state"] == "idle";
    porthole.until_status("idle", idle).await?;
    ensure!(porthole.metric(LIVE).await? == 0.0 && porthole.metric("porthole_viewers").await? == 0.0);
    // Whoever is ended by an operator stays away until the next start.
    call(&porthole, "publish.start", json!({})).await?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    let sessions = call(&porthole, "session.list", json!({})).await?;
    let session = &sessions["sessions"][0];
    ensure!(session["name"] == "publish to 127.0.0.1" && session["camera"] == "camera", "{sessions:#}");
    call(&porthole, "session.kick", json!({ "session": session["session"] })).await?;
    let kicked = |status: &Value| status["publish"][0]["state"] == "idle" && status["viewers"] == 0;
    porthole.until_status("kicked", kicked).await?;
    let lines = [endpoint.request(LIMIT).await?.line, endpoint.request(LIMIT).await?.line];
    ensure!(lines[1] == "DELETE /session/1?key=geheim", "{lines:?}");
    let log = log_at_the_end(porthole).await?;
    ensure!(log.contains("an operator has ended the session"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_takes_no_viewers_place_and_shares_the_encoder() -> Result<()> {
    let mut endpoint = Endpoint::start(Reply::Accept).await?;
    let porthole = Porthole::start(&format!("{}\n[rtc]\nmax_viewers = 1\n", publishing(&endpoint.url(), "")))?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    numbers(&mut viewer, 5).await?;
    ensure!(porthole.metric("porthole_encoders").await? == 1.0);
    let status = porthole.status().await?;
    ensure!(status["viewers"] == 2 && status["cameras"][0]["watched"] == 2, "{status:#}");
    viewer.leave().await?;
    published(&mut receiver, 5, LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_server_needs_a_certificate_that_the_machine_trusts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, pair.cert.pem())?;
    let mut endpoint =
        Endpoint::start_at(([127, 0, 0, 1], 0).into(), Reply::Accept, false, Some(acceptor(&pair)?)).await?;
    let config = publishing(&endpoint.url(), "");
    let trusting = Porthole::start_with(&config, &[("SSL_CERT_FILE", file.into())])?;
    let Accepted { mut receiver, .. } = endpoint.accepted(LIMIT).await?;
    published(&mut receiver, 5, LIMIT).await?;
    log_at_the_end(trusting).await?;
    let other = folder.path().join("other.pem");
    std::fs::write(&other, rcgen::generate_simple_self_signed(["a".to_owned()])?.cert.pem())?;
    let distrusting = Porthole::start_with(&config, &[("SSL_CERT_FILE", other.into())])?;
    let fault = until(&distrusting, "fault").await?["fault"].take();
    ensure!(
        fault.as_str().is_some_and(|fault| fault.starts_with("TLS with 127.0.0.1: invalid peer certificate")),
        "{fault}"
    );
    Ok(())
}

/// TLS with a certificate.
fn acceptor(pair: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Result<tokio_rustls::TlsAcceptor> {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto};
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)?;
    Ok(tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config)))
}
