//! The HTTP interface against the whole program: each bad request gets a clear answer and leaves the program well.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::client::Answer;
use common::{LIMIT, Options, Porthole, SMALL, Viewer, request};

const SDP: Headers = &[("content-type", "application/sdp")];

async fn post(porthole: &Porthole, path: &str, headers: Headers<'_>, body: &str) -> Result<Answer> {
    request("POST", &format!("{}{path}", porthole.base), headers, body.into()).await
}

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// The status of an answer that must be a problem, and its detail.
fn problem(answer: &Answer) -> Result<(u16, String)> {
    ensure!(answer.header("content-type") == Some("application/problem+json"), "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body)?;
    ensure!(body["status"] == answer.status, "{answer:?}");
    Ok((answer.status, body["detail"].as_str().context("no detail")?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_offers_get_a_clear_answer() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=fingerprint:sha-256 00\r\n\
                 m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n";
    let text = &[("content-type", "text/plain")];
    let cases: [(&str, Headers, &str, u16, &str); 6] = [
        ("whep", SDP, "this is no SDP", 400, "not an SDP offer"),
        ("whep", SDP, "v=0\r\nnonsense", 400, "not an SDP offer"),
        ("whep", SDP, offer, 406, "no H.264"),
        ("whep", text, offer, 415, "application/sdp"),
        ("whep/attic", SDP, offer, 404, "no camera is called \"attic\"; there are: camera"),
        ("nowhere", SDP, offer, 404, "nothing at this address"),
    ];
    for (path, headers, body, status, words) in cases {
        let (got, detail) = problem(&post(&porthole, path, headers, body).await?)?;
        ensure!(got == status && detail.contains(words), "{path} {body:?}: {got} {detail}");
    }
    let (status, detail) = problem(&post(&porthole, "whep", SDP, &"x".repeat(100_000)).await?)?;
    ensure!(status == 413, "{status} {detail}");
    ensure!(porthole.status().await?["viewers"] == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_what_whep_asks_for() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let lines: Vec<&str> = viewer.answer.lines().collect();
    let having = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).copied().collect::<Vec<_>>();
    ensure!(having("a=sendonly").len() == 2, "{}", viewer.answer);
    ensure!(having("a=candidate:").iter().any(|line| line.contains(" 127.0.0.1 ")), "{}", viewer.answer);
    ensure!(having("a=group:BUNDLE").len() == 1 && having("a=rtcp-mux").len() >= 2, "{}", viewer.answer);
    let streams: Vec<&str> = having("a=msid:").iter().filter_map(|line| line[7..].split(' ').next()).collect();
    ensure!(streams == ["porthole", "porthole"], "{streams:?} in {}", viewer.answer);
    ensure!(having("a=msid:").iter().all(|line| line.split(' ').count() == 2), "{}", viewer.answer);
    ensure!(viewer.answer.contains("packetization-mode=1") && viewer.answer.contains("42e01f"), "{}", viewer.answer);
    viewer.frame(LIMIT).await?;
    ensure!(viewer.session.starts_with(&format!("{}whep/session/", porthole.base)), "{}", viewer.session);
    let session = viewer.session.clone();
    ensure!(viewer.delete().await? == 200);
    ensure!(problem(&request("DELETE", &session, &[], String::new()).await?)?.0 == 404);
    porthole.until_status("nobody watches", |status| status["viewers"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_microphone_the_sound_section_is_inactive() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("\"tone\"", "\"off\""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let audio = viewer.answer.split("m=").find(|section| section.starts_with("audio")).context("no audio section")?;
    ensure!(audio.contains("a=inactive") && !audio.contains("a=msid"), "{audio}");
    viewer.frame(LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_taken_for_the_current_session_only() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let fragment = "a=ice-ufrag:x\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let kind = ("content-type", "application/trickle-ice-sdpfrag");
    let etag = viewer.etag.clone();
    let cases: [(Headers, &str, u16); 5] = [
        (&[kind, ("if-match", &etag)], fragment, 204),
        (&[kind], fragment, 428),
        (&[kind, ("if-match", "\"other\"")], fragment, 412),
        (&[("content-type", "application/sdp"), ("if-match", &etag)], fragment, 415),
        (&[kind, ("if-match", &etag)], "<xml>", 400),
    ];
    for (headers, body, status) in cases {
        let answer = request("PATCH", &viewer.session, headers, body.into()).await?;
        ensure!(answer.status == status, "{headers:?}: {answer:?}");
    }
    let unknown = format!("{}whep/session/0", porthole.base);
    ensure!(request("PATCH", &unknown, &[kind, ("if-match", &etag)], fragment.into()).await?.status == 404);
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_too_many_is_told_to_come_back() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtc]\nmax_viewers = 1\n"))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    let refusal = Viewer::connect(&Options::new(&porthole.base)).await.err().context("was accepted")?.to_string();
    ensure!(refusal.contains("503") && refusal.contains("limit"), "{refusal}");
    viewer.leave().await?;
    porthole.until_status("the place is free", |status| status["viewers"] == 0).await?;
    Viewer::connect(&Options::new(&porthole.base)).await?.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_the_encoder_refuses_is_told() -> Result<()> {
    let large = SMALL.replace("320", "4096").replace("180", "2400").replace("fps = 30", "fps = 1");
    let porthole = Porthole::start(&large)?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let told = |status: &serde_json::Value| {
        status["cameras"][0]["fault"].as_str().is_some_and(|fault| fault.contains("openh264"))
    };
    porthole.until_status("the status tells that the encoder refuses", told).await?;
    ensure!(porthole.metric("porthole_encode_errors_total").await? > 0.0);
    viewer.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_named() -> Result<()> {
    let holder = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = holder.local_addr()?.port();
    let (code, said) = Porthole::fail(&SMALL.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")))?;
    ensure!(code == Some(1) && said.contains(&format!("port {port} is in use")), "{code:?} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_are_served() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (path, kind) in [("", "text/html"), ("viewer.js", "text/javascript"), ("viewer.css", "text/css")] {
        let answer = request("GET", &format!("{}{path}", porthole.base), &[], String::new()).await?;
        ensure!(answer.status == 200 && !answer.body.is_empty(), "/{path}: {answer:?}");
        ensure!(answer.header("content-type").is_some_and(|found| found.starts_with(kind)), "/{path}: {answer:?}");
        ensure!(answer.header("content-security-policy").is_some(), "/{path}");
    }
    let health = request("GET", &format!("{}healthz", porthole.base), &[], String::new()).await?;
    ensure!((health.status, health.body.as_str()) == (200, "ok\n"));
    let missing = request("GET", &format!("{}favicon.ico", porthole.base), &[], String::new()).await?;
    ensure!(missing.status == 404, "{missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_channel_answers_and_survives_nonsense() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    for message in ["nonsense", r#"{"id":1,"method":"fly"}"#, r#"{"id":2,"method":"time.sync"}"#] {
        viewer.send(message).await?;
    }
    let mut answers = Vec::new();
    while answers.len() < 3 {
        if let common::Event::Message(text) = viewer.event(LIMIT).await? {
            answers.push(serde_json::from_str::<serde_json::Value>(&text)?);
        }
    }
    ensure!(answers[0]["error"]["code"] == -32700, "{answers:?}");
    ensure!(answers[1]["id"] == 1 && answers[1]["error"]["code"] == -32601, "{answers:?}");
    let ours = common::client::unix_tenths() as f64 / 10.0;
    let theirs = answers[2]["result"]["sent"].as_f64().context("no time")?;
    ensure!((ours - theirs).abs() < 5_000.0, "the board's clock says {theirs}, ours {ours}");
    viewer.frame(LIMIT).await?;
    Ok(())
}
